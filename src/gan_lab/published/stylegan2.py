"""StyleGAN2 of NVIDIA's PyTorch codes: pickles of `stylegan2-ada-pytorch`, and `stylegan3` with `--cfg=stylegan2`."""

from typing import Any

import torch
from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.base import Converted, Network, Source, Weights, plain_latents
from gan_lab.published.network_pickles import Record, submodule, tensors_of

FORMAT = "stylegan2"
LICENSE = "NVIDIA Source Code License: non-commercial use, for research or evaluation only"
URL = "https://github.com/NVlabs/stylegan2-ada-pytorch"
ARCHITECTURES = "gan_lab.architectures.stylegan2"

LINEAR, PLAIN_BIAS = "parametrizations.weight.original", "bias"
SLOW_BIAS = "parametrizations.bias.original"


def recognizes(content: Any) -> bool:
    """Whether a file's content has the entries that the training scripts write."""
    return isinstance(content, dict) and any(isinstance(content.get(key), Record) for key in ("G_ema", "G"))


def convert(source: Source) -> Converted:
    """Convert G_ema, or G for `raw`, and D.

    Raises:
        CheckpointError: A network is missing or another one.
    """
    content, file = source.content, source.file
    name = {"ema": "G_ema", "raw": "G"}[source.weights]
    record = content.get(name)
    if not isinstance(record, Record):
        raise CheckpointError(f"{file} has no network {name}: give the other of weights=ema and weights=raw.")
    if submodule(record, "synthesis.b4") is None:
        raise CheckpointError(f"{file} has a generator {record.name!r:.80} that is not StyleGAN2's.")
    critic = content.get("D")
    generator, latent_dim, num_classes = convert_generator(
        Weights(tensors_of(record, file), name, file), clamp=_clamp(record, "synthesis.b4.conv1")
    )
    discriminator = None
    if isinstance(critic, Record):
        group = submodule(critic, "b4.mbstd")
        discriminator = convert_discriminator(
            Weights(tensors_of(critic, file), "D", file),
            clamp=_clamp(critic, "b4.conv"),
            group=None if group is None else group.state.get("group_size"),
        )
    return Converted(
        format=FORMAT,
        generator=generator,
        latent=plain_latents(latent_dim),
        num_classes=num_classes,
        license=LICENSE,
        url=URL,
        conversion=[
            f"Weights of {name}{'' if discriminator is None else ' and D'} by name; kernels of convolutions with "
            "upsampling with inputs first."
        ],
        discriminator=discriminator,
    )


def _clamp(network: Record, layer: str) -> float | None:
    found = submodule(network, layer)
    value = None if found is None else found.state.get("conv_clamp")
    return float(value) if isinstance(value, int | float) else None


def convert_generator(weights: Weights, clamp: float | None) -> tuple[Network, int, int | None]:
    """Config and state of the generator, the size of its latents, and its number of labels.

    Raises:
        CheckpointError: A tensor is missing, left over, or has another shape.
    """
    resolutions = _resolutions(weights, "synthesis.b{}.conv1.weight")
    widths = [weights.shape(f"synthesis.b{size}.conv1.weight", 4)[0] for size in resolutions]
    channels, _, _, _ = weights.shape("synthesis.b4.torgb.weight", 4)
    style_dim = weights.shape("synthesis.b4.conv1.affine.weight", 2)[1]
    inputs = weights.shape("mapping.fc0.weight", 2)[1]
    labels = _num_classes(weights)
    latent_dim = inputs - (0 if labels is None else style_dim)
    state, layers = _mapping(weights, "styles.network.")
    state["styles.average"] = weights.take("mapping.w_avg")
    state["constant.maps"] = weights.take("synthesis.b4.const", 3)[None]
    for number, size in enumerate(resolutions):
        theirs, ours = f"synthesis.b{size}", f"blocks.{number}"
        for place, conv in enumerate(["conv1"] if size == 4 else ["conv0", "conv1"]):
            state |= _styled(weights, f"{theirs}.{conv}", f"{ours}.convs.{place}", up=conv == "conv0")
        state |= _affine(weights, f"{theirs}.torgb", f"{ours}.to_image")
        state[f"{ours}.to_image.conv.{LINEAR}"] = weights.take(f"{theirs}.torgb.weight", 4)
        state[f"{ours}.bias"] = weights.take(f"{theirs}.torgb.bias", 1)
    _finish(weights)
    config = {
        "_target_": f"{ARCHITECTURES}.StyleGAN2Generator",
        "latent_dim": latent_dim,
        "channels": channels,
        **_sizes(weights, resolutions, widths),
        "style_dim": style_dim,
        "mapping_layers": layers,
        "num_classes": None,
        "clamp": clamp,
    }
    return Network(config, state, _wrapper(labels)), latent_dim, labels


def convert_discriminator(weights: Weights, clamp: float | None, group: Any) -> Network:
    """Config and state of the discriminator.

    Raises:
        CheckpointError: A tensor is missing, left over, or has another shape.
    """
    largest = _resolutions(weights, "b{}.conv0.weight", first=8)[-1]
    resolutions = [2**k for k in range(2, largest.bit_length())]
    widths = [weights.shape("b4.conv.weight", 4)[0]]
    widths += [weights.shape(f"b{size}.conv0.weight", 4)[0] for size in resolutions[1:]]
    channels = weights.shape(f"b{largest}.fromrgb.weight", 4)[1]
    residual = f"b{largest}.skip.weight" in weights
    labels = _num_classes(weights)
    state: dict[str, Tensor] = {}
    layers = None
    if labels is not None:
        state, layers = _mapping(weights, "label_mapping.")
    state |= _layer(weights, f"b{largest}.fromrgb", f"from_image.{largest}")
    for number, size in enumerate(resolutions[1:]):
        state |= _layer(weights, f"b{size}.conv0", f"blocks.{number}.conv1")
        state |= _layer(weights, f"b{size}.conv1", f"blocks.{number}.conv2")
        if residual:
            state[f"blocks.{number}.skip.{LINEAR}"] = weights.take(f"b{size}.skip.weight", 4)
    for theirs, ours in (("conv", "conv"), ("fc", "linear"), ("out", "output")):
        state |= _layer(weights, f"b4.{theirs}", ours)
    _finish(weights)
    config = {
        "_target_": f"{ARCHITECTURES}.StyleGAN2Discriminator",
        "channels": channels,
        **_sizes(weights, resolutions, widths),
        "blocks": "resnet" if residual else "orig",
        "minibatch_group": group if isinstance(group, int) else None,
        "mapping_layers": layers or 8,
        "num_classes": None,
        "clamp": clamp,
    }
    return Network(config, state, _wrapper(labels))


def _resolutions(weights: Weights, pattern: str, first: int = 4) -> list[int]:
    """The resolutions from `first` on, for which there is such a tensor."""
    found = [first]
    while pattern.format(2 * found[-1]) in weights:
        found.append(2 * found[-1])
    return found


def _sizes(weights: Weights, resolutions: list[int], widths: list[int]) -> dict[str, Any]:
    """Options that give maps of these channels: min(channel_base / resolution, width).

    Raises:
        CheckpointError: There are none.
    """
    width = max(widths)
    products = [count * size for count, size in zip(widths, resolutions, strict=True)]
    base = max(p for p, count in zip(products, widths, strict=True) if count < width or count == widths[-1])
    if widths != [min(base // size, width) for size in resolutions]:
        raise CheckpointError(
            f"{weights.file} has maps of {widths} channels in its {weights.network}, which are not "
            "min(channel_base / resolution, width) for any channel_base and width."
        )
    return {"resolution": resolutions[-1], "width": width, "channel_base": base}


def _num_classes(weights: Weights) -> int | None:
    return weights.shape("mapping.embed.weight", 2)[1] if "mapping.embed.weight" in weights else None


def _wrapper(num_classes: int | None) -> dict[str, Any]:
    if num_classes is None:
        return {}
    mapping = {"_target_": "gan_lab.architectures.conditioning.LabelMapping", "num_classes": num_classes}
    return {"conditioning": mapping}


def _mapping(weights: Weights, ours: str) -> tuple[dict[str, Tensor], int]:
    """State of a mapping network, and its number of layers."""
    state: dict[str, Tensor] = {}
    if "mapping.embed.weight" in weights:
        state |= _layer(weights, "mapping.embed", f"{ours}embedding.linear")
    layers = 0
    while f"mapping.fc{layers}.weight" in weights:
        state |= _layer(weights, f"mapping.fc{layers}", f"{ours}layers.{layers}", bias=SLOW_BIAS)
        layers += 1
    if not layers:
        raise CheckpointError(
            f"{weights.file} has a mapping network without layers in its {weights.network}: gan_lab needs at least one."
        )
    return state, layers


def _layer(weights: Weights, theirs: str, ours: str, bias: str = PLAIN_BIAS) -> dict[str, Tensor]:
    return {f"{ours}.{LINEAR}": weights.take(f"{theirs}.weight"), f"{ours}.{bias}": weights.take(f"{theirs}.bias", 1)}


def _affine(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    return _layer(weights, f"{theirs}.affine", f"{ours}.affine")


def _styled(weights: Weights, theirs: str, ours: str, up: bool) -> dict[str, Tensor]:
    kernel = weights.take(f"{theirs}.weight", 4)
    return {
        **_affine(weights, theirs, f"{ours}.conv"),
        f"{ours}.conv.conv.{LINEAR}": kernel.transpose(0, 1) if up else kernel,
        f"{ours}.noise.map": weights.take(f"{theirs}.noise_const", 2),
        f"{ours}.noise.strength": weights.take(f"{theirs}.noise_strength", 0),
        f"{ours}.bias": weights.take(f"{theirs}.bias", 1),
    }


def _finish(weights: Weights) -> None:
    """Refuse other filters than [1, 3, 3, 1], and what is left."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for name in [name for name in weights if name.endswith("resample_filter")]:
        value = weights.take(name)
        if value.shape != (4, 4) or not torch.allclose(value, torch.outer(taps, taps), atol=1e-6):
            raise CheckpointError(
                f"{weights.file} has a filter {name} in its {weights.network} that is not [1, 3, 3, 1], the filter of "
                "StyleGAN2: it is another network, which cannot be imported."
            )
    weights.finish()
