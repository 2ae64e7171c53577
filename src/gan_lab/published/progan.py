"""ProGAN: checkpoints of pytorch_GAN_zoo, and pickles of the authors' TensorFlow code."""

from math import modf, sqrt
from typing import Any

import torch
from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.base import Converted, Network, Source, Weights, plain_latents
from gan_lab.published.tensorflow import are_networks, variables_of

ARCHITECTURES = "gan_lab.architectures.pggan"
WEIGHT = "parametrizations.weight.original"

ZOO, ZOO_URL = "progan_gan_zoo", "https://github.com/facebookresearch/pytorch_GAN_zoo"
ZOO_LICENSE = "unknown; the code has the license BSD-3-Clause"
TENSORFLOW, TENSORFLOW_URL = "progan_tensorflow", "https://github.com/tkarras/progressive_growing_of_gans"
TENSORFLOW_LICENSE = "CC BY-NC 4.0, non-commercial"

SETTINGS = {"label_size": 0, "use_wscale": True, "use_pixelnorm": True}
"""Settings of the networks in TensorFlow that can be imported."""

GROUP = 4
"""Samples in a group of the minibatch standard deviation, in both codes."""


def recognizes_zoo(content: Any) -> bool:
    """Whether a file's content has the entries of a checkpoint of pytorch_GAN_zoo, and ProGAN's layers."""
    return isinstance(content, dict) and any(
        isinstance(content.get(key), dict) and "formatLayer.module.weight" in content[key] for key in ("netG", "avgG")
    )


def convert_zoo(source: Source) -> Converted:
    """Convert `avgG`, or `netG` for `raw`, and `netD`.

    Raises:
        CheckpointError: A network is missing or another one.
    """
    content, file = source.content, source.file
    name = {"ema": "avgG", "raw": "netG"}[source.weights]
    if not isinstance(content.get(name), dict):
        raise CheckpointError(f"{file} has no network {name}: give the other of weights=ema and weights=raw.")
    settings = vars(content.get("config")) if hasattr(content.get("config"), "__dict__") else {}
    if settings.get("attribKeysOrder"):
        raise CheckpointError(f"{file} has a generator with labels of a classifier, which cannot be imported.")
    alpha = settings.get("alpha", 0)
    alpha = 1.0 - float(alpha) if isinstance(alpha, int | float) else 1.0
    generator = _zoo_generator(Weights(content[name], name, file), alpha)
    critic = content.get("netD")
    return Converted(
        format=ZOO,
        generator=generator,
        latent=plain_latents(generator.config["latent_dim"]),
        num_classes=None,
        license=ZOO_LICENSE,
        url=ZOO_URL,
        conversion=[
            f"Weights of {name}{' and netD' if isinstance(critic, dict) else ''} by name; biases times the constant of "
            "their layer, which is applied to biases too; the factor sqrt(2) of layers without an activation in their "
            "weights.",
            "Weights of the minibatch standard deviation times sqrt(4 / 3), because it is computed with the unbiased "
            "variance of groups of 4.",
        ],
        discriminator=_zoo_discriminator(Weights(critic, "netD", file), alpha) if isinstance(critic, dict) else None,
    )


def _zoo_generator(weights: Weights, alpha: float) -> Network:
    outputs, latent_dim = weights.shape("formatLayer.module.weight", 2)
    count = outputs // 16
    levels = _levels(weights, "toRGBLayers.{}.module.weight")
    widths = [count] + [weights.shape(f"scaleLayers.{k}.0.module.weight", 4)[0] for k in range(levels - 1)]
    channels = weights.shape("toRGBLayers.0.module.weight", 4)[0]
    # Their layer is linear, ours a transposed convolution of 16 times the fan-in.
    project = weights.take("formatLayer.module.weight").view(count, 4, 4, latent_dim)
    bias = weights.take("formatLayer.module.bias", 1) * sqrt(2 / latent_dim)
    state = {f"blocks.0.project.{WEIGHT}": 4 * project.permute(3, 0, 1, 2), "blocks.0.bias": bias.view(count, 4, 4)}
    state |= _zoo_layer(weights, "groupScale0.0", "blocks.0.conv")
    for level in range(1, levels):
        for place in (0, 1):
            state |= _zoo_layer(weights, f"scaleLayers.{level - 1}.{place}", f"blocks.{level}.conv{place + 1}")
    for level in range(levels):
        state |= _zoo_layer(weights, f"toRGBLayers.{level}", f"to_image.{level}", activated=False)
    weights.finish()
    options = {"latent_dim": latent_dim, "channels": channels, **_sizes(weights, widths), "pixel_bias": True}
    return _network(weights, "ProGANGenerator", options, state, alpha)


def _zoo_discriminator(weights: Weights, alpha: float) -> Network:
    levels = _levels(weights, "fromRGBLayers.{}.module.weight")
    widths = [weights.shape(f"fromRGBLayers.{level}.module.weight", 4)[0] for level in range(levels)]
    channels = weights.shape("fromRGBLayers.0.module.weight", 4)[1]
    state: dict[str, Tensor] = {}
    for level in range(levels):
        state |= _zoo_layer(weights, f"fromRGBLayers.{level}", f"from_image.{level}")
    for level in range(levels - 1):
        for place in (0, 1):
            state |= _zoo_layer(weights, f"scaleLayers.{level}.{place}", f"blocks.{level}.conv{place + 1}")
    state |= _zoo_layer(weights, "groupScaleZero.0", "end.conv")
    state |= _zoo_layer(weights, "groupScaleZero.1", "end.linear")
    state |= _zoo_layer(weights, "decisionLayer", "output", activated=False)
    kernel = state[f"end.conv.{WEIGHT}"]
    state[f"end.conv.{WEIGHT}"] = torch.cat([kernel[:, :-1], kernel[:, -1:] * sqrt(GROUP / (GROUP - 1))], 1)
    weights.finish()
    options = {"channels": channels, **_sizes(weights, widths), "minibatch_group": GROUP}
    return _network(weights, "ProGANDiscriminator", options, state, alpha)


def _zoo_layer(weights: Weights, theirs: str, ours: str, activated: bool = True) -> dict[str, Tensor]:
    kernel, bias = weights.take(f"{theirs}.module.weight"), weights.take(f"{theirs}.module.bias", 1)
    constant = sqrt(2 / kernel[0].numel())
    return {f"{ours}.{WEIGHT}": kernel if activated else kernel * sqrt(2), f"{ours}.bias": bias * constant}


def recognizes_tensorflow(content: Any) -> bool:
    """Whether a file's content is the authors' G, D and averaged G."""
    return are_networks(content, "tfutil.Network")


def convert_tensorflow(source: Source) -> Converted:
    """Convert the averaged generator, or the trained one for `raw`, and the discriminator.

    Raises:
        CheckpointError: A network is another one.
    """
    content, file = source.content, source.file
    generators = {"ema": (content[2], "Gs"), "raw": (content[0], "G")}
    record, name = generators[source.weights]
    generator = _tensorflow_generator(Weights(variables_of(record, file, SETTINGS), name, file))
    return Converted(
        format=TENSORFLOW,
        generator=generator,
        latent=plain_latents(generator.config["latent_dim"]),
        num_classes=None,
        license=TENSORFLOW_LICENSE,
        url=TENSORFLOW_URL,
        conversion=[
            f"Weights of {name} and D by name, with outputs first; kernels of convolutions with upsampling flipped in "
            "both axes."
        ],
        discriminator=_tensorflow_discriminator(Weights(variables_of(content[1], file, SETTINGS), "D", file)),
    )


def _tensorflow_generator(weights: Weights) -> Network:
    latent_dim, outputs = weights.shape("4x4/Dense/weight", 2)
    count = outputs // 16
    levels = _levels(weights, "ToRGB_lod{}/weight")
    resolutions = [4 * 2**level for level in range(levels)]
    widths = [count] + [weights.shape(f"{r}x{r}/Conv1/weight", 4)[3] for r in resolutions[1:]]
    channels = weights.shape("ToRGB_lod0/weight", 4)[3]
    state = {
        f"blocks.0.project.{WEIGHT}": weights.take("4x4/Dense/weight").view(latent_dim, count, 4, 4),
        "blocks.0.project.bias": weights.take("4x4/Dense/bias", 1),
        **_tensorflow_layer(weights, "4x4/Conv", "blocks.0.conv"),
    }
    for level, size in enumerate(resolutions[1:], 1):
        fused = f"{size}x{size}/Conv0_up/weight" in weights
        first = f"{size}x{size}/Conv0_up" if fused else f"{size}x{size}/Conv0"
        state |= _tensorflow_layer(weights, first, f"blocks.{level}.conv1", up=fused)
        state |= _tensorflow_layer(weights, f"{size}x{size}/Conv1", f"blocks.{level}.conv2")
    for level in range(levels):
        state |= _tensorflow_layer(weights, f"ToRGB_lod{levels - 1 - level}", f"to_image.{level}")
    fraction, above = modf(float(weights.take("lod", 0)))
    weights.finish()
    options = {"latent_dim": latent_dim, "channels": channels, **_sizes(weights, widths)}
    return _network(weights, "ProGANGenerator", options, state, 1 - fraction, int(above))


def _tensorflow_discriminator(weights: Weights) -> Network:
    levels = _levels(weights, "FromRGB_lod{}/weight")
    widths = [weights.shape(f"FromRGB_lod{levels - 1 - level}/weight", 4)[3] for level in range(levels)]
    channels = weights.shape("FromRGB_lod0/weight", 4)[2]
    state: dict[str, Tensor] = {}
    fused = False
    for level in range(levels):
        state |= _tensorflow_layer(weights, f"FromRGB_lod{levels - 1 - level}", f"from_image.{level}")
    for level in range(levels - 1):
        size = 8 * 2**level
        fused = f"{size}x{size}/Conv1_down/weight" in weights
        last = f"{size}x{size}/Conv1_down" if fused else f"{size}x{size}/Conv1"
        state |= _tensorflow_layer(weights, f"{size}x{size}/Conv0", f"blocks.{level}.conv1")
        state |= _tensorflow_layer(weights, last, f"blocks.{level}.conv2")
    for theirs, ours in (("Conv", "end.conv"), ("Dense0", "end.linear"), ("Dense1", "output")):
        state |= _tensorflow_layer(weights, f"4x4/{theirs}", ours)
    fraction, above = modf(float(weights.take("lod", 0)))
    weights.finish()
    options = {"channels": channels, **_sizes(weights, widths), "minibatch_group": GROUP, "fused_scale": fused}
    return _network(weights, "ProGANDiscriminator", options, state, 1 - fraction, int(above))


def _tensorflow_layer(weights: Weights, theirs: str, ours: str, up: bool = False) -> dict[str, Tensor]:
    """A layer: kernels are (h, w, inputs, outputs), those of upsampling (h, w, outputs, inputs) and flipped."""
    kernel = weights.take(f"{theirs}/weight")
    if kernel.dim() == 2:
        kernel = kernel.T
    else:
        kernel = kernel.permute(2, 3, 0, 1).flip(2, 3) if up else kernel.permute(3, 2, 0, 1)
    return {f"{ours}.{WEIGHT}": kernel, f"{ours}.bias": weights.take(f"{theirs}/bias", 1)}


def _levels(weights: Weights, pattern: str) -> int:
    """Number of resolutions, for which there is such a tensor."""
    levels = 0
    while pattern.format(levels) in weights:
        levels += 1
    if levels < 2:
        raise CheckpointError(f"{weights.file} has a {weights.network} of less than 8 pixels: gan_lab has none.")
    return levels


def _sizes(weights: Weights, widths: list[int]) -> dict[str, Any]:
    """Options that give maps of these channels: min(fmap_base / (resolution / 2), width), from 4 pixels on.

    Raises:
        CheckpointError: There are none.
    """
    width, last = max(widths), len(widths) - 1
    halves = [2 * 2**level for level in range(len(widths))]
    base = max(w * half for w, half in zip(widths, halves, strict=True) if w < width or w == widths[last])
    if widths != [min(base // half, width) for half in halves] or min(base, width) != widths[0]:
        raise CheckpointError(
            f"{weights.file} has maps of {widths} channels in its {weights.network}, which are not "
            "min(fmap_base / (resolution / 2), width) for any fmap_base and width."
        )
    return {"resolution": 4 * 2**last, "width": width, "fmap_base": base}


def _network(
    weights: Weights, name: str, options: dict[str, Any], state: dict[str, Tensor], alpha: float, above: int = 0
) -> Network:
    """A network in its stage: `above` is the number of resolutions that it has not grown to.

    Raises:
        CheckpointError: There is no such stage.
    """
    resolution = options["resolution"] // 2 ** max(0, above)
    if above < 0 or resolution < 4 or not 0 <= alpha <= 1 or (resolution == 4 and alpha < 1):
        raise CheckpointError(f"{weights.file} has a {weights.network} in a stage of growing that does not exist.")
    state["_extra_state"] = torch.tensor([resolution, alpha], dtype=torch.float64)
    return Network({"_target_": f"{ARCHITECTURES}.{name}", **options}, state)
