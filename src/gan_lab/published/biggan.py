"""BigGAN and BigGAN-deep: files of ajbrock's BigGAN-PyTorch, and huggingface's pytorch-pretrained-BigGAN."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.base import Converted, Network, Source, Weights, plain_latents, state_dict

ARCHITECTURES = "gan_lab.architectures"
AJBROCK, AJBROCK_URL = "biggan_ajbrock", "https://github.com/ajbrock/BigGAN-PyTorch"
HUGGINGFACE, HUGGINGFACE_URL = "biggan_huggingface", "https://github.com/huggingface/pytorch-pretrained-BigGAN"
HUGGINGFACE_LICENSE = "unknown; the code has the license MIT"

ORIGINAL, U, V = (f"parametrizations.weight.{name}" for name in ("original", "0.u", "0.v"))

LAST_WIDTHS = {32: 4, 64: 2}
"""Channels of the generator's last map divided by the width, by resolution; 1 for others."""

THEIR_EPSILON, EPSILON = 1e-4, 1e-5
"""Added to variances in huggingface's batch norms, and in ours."""

ATTENTION = {"theta": "query", "phi": "key", "g": "value", "o": "output"}


def recognizes_huggingface(content: Any) -> bool:
    """Whether a file's content is the state dict of huggingface's BigGAN."""
    return isinstance(content, Mapping) and "generator.gen_z.weight_orig" in content


def convert_huggingface(source: Source) -> Converted:
    """Convert the generator, with the statistics of one truncation.

    Raises:
        CheckpointError: A tensor is missing, left over, or has another shape.
    """
    weights = Weights(source.content, "generator", source.file)
    label_dim, classes = weights.shape("embeddings.weight", 2)
    outputs, inputs = weights.shape("generator.gen_z.weight_orig", 2)
    width = outputs // 256
    blocks = [name.removesuffix("conv_0.bias") for name in weights if name.endswith("conv_0.bias")]
    resolution = 4 * 2 ** (len(blocks) // 2)
    count = weights.shape("generator.bn.running_means", 2)[0]
    step = round(source.truncation * (count - 1))
    state = {"vectors": weights.take("embeddings.weight", 2).T, **_torch_layer(weights, "gen_z", "project")}
    place = 0
    for number in range(len(blocks) + 1):
        layer = f"generator.layers.{number}"
        if f"{layer}.gamma" in weights:
            attention = f"network.attentions.{place // 2 - 1}"
            for theirs, ours in ATTENTION.items():
                name = f"layers.{number}.snconv1x1_{theirs}{'_conv' if theirs == 'o' else ''}"
                state |= _torch_layer(weights, name, f"attentions.{place // 2 - 1}.{ours}", bias=False)
            state[f"{attention}.gamma"] = weights.take(f"{layer}.gamma").view(())
        elif f"{layer}.conv_0.bias" in weights:
            ours = f"{'doubling' if place % 2 else 'keeping'}.{place // 2}"
            for part in range(4):
                state |= _torch_layer(weights, f"layers.{number}.conv_{part}", f"{ours}.conv{part + 1}")
                norm = f"layers.{number}.bn_{part}"
                state |= _torch_layer(weights, f"{norm}.scale", f"{ours}.norm{part + 1}.gain", bias=False)
                state |= _torch_layer(weights, f"{norm}.offset", f"{ours}.norm{part + 1}.shift", bias=False)
                state |= _statistics(weights, norm, f"{ours}.norm{part + 1}.norm", step)
            place += 1
    state |= _statistics(weights, "bn", "output_norm", step)
    for name in ("weight", "bias"):
        state[f"network.output_norm.{name}"] = weights.take(f"generator.bn.{name}", 1)
    state |= _torch_layer(weights, "conv_to_rgb", "output")
    weights.finish()
    config = {
        "_target_": f"{ARCHITECTURES}.biggan_deep.BigGANDeepGenerator",
        "latent_dim": inputs - label_dim,
        "channels": 3,
        "resolution": resolution,
        "width": width,
        "output_width": len(state["network.output.bias"]),
    }
    return Converted(
        format=HUGGINGFACE,
        generator=Network(config, state, _generator_wrapper(classes, label_dim, spectral=True)),
        latent=plain_latents(inputs - label_dim),
        num_classes=classes,
        license=HUGGINGFACE_LICENSE,
        url=HUGGINGFACE_URL,
        conversion=[
            f"Statistics of the batch norms for a truncation of {step / (count - 1):g}; variances plus 9e-5, because "
            "the code adds 1e-4 to them and gan_lab 1e-5.",
        ],
    )


def _torch_layer(weights: Weights, theirs: str, ours: str, bias: bool = True) -> dict[str, Tensor]:
    """A layer with PyTorch's spectral norm."""
    name = f"generator.{theirs}"
    state = {
        f"network.{ours}.{ORIGINAL}": weights.take(f"{name}.weight_orig"),
        f"network.{ours}.{U}": weights.take(f"{name}.weight_u", 1),
        f"network.{ours}.{V}": weights.take(f"{name}.weight_v", 1),
    }
    return state | ({f"network.{ours}.bias": weights.take(f"{name}.bias", 1)} if bias else {})


def _statistics(weights: Weights, theirs: str, ours: str, step: int) -> dict[str, Tensor]:
    means, variances = (weights.take(f"generator.{theirs}.running_{kind}", 2) for kind in ("means", "vars"))
    return {
        f"network.{ours}.running_mean": means[step],
        f"network.{ours}.running_var": variances[step] + (THEIR_EPSILON - EPSILON),
    }


def recognizes_ajbrock(content: Any) -> bool:
    """Whether a file's content is the state dict of a generator of BigGAN-PyTorch."""
    tensors = state_dict(content)
    return "linear.weight" in tensors and "blocks.0.0.conv1.weight" in tensors and "output_layer.0.gain" in tensors


def convert_ajbrock(source: Source) -> Converted:
    """Convert the generator of one file, and the discriminator of another.

    Raises:
        CheckpointError: A tensor is missing, left over, or has another shape.
    """
    generator, latent_dim, classes = _ajbrock_generator(Weights(state_dict(source.content), "generator", source.file))
    discriminator = None
    if source.discriminator is not None:
        assert source.discriminator_file is not None
        critic = Weights(state_dict(source.discriminator), "discriminator", source.discriminator_file)
        discriminator = _ajbrock_discriminator(critic)
    return Converted(
        format=AJBROCK,
        generator=generator,
        latent=plain_latents(latent_dim),
        num_classes=classes,
        license="unknown",
        url=AJBROCK_URL,
        conversion=[
            "Rows of the first linear layer in the order of gan_lab, channels last; the label's columns of conditional "
            "norms last. Vectors of the spectral norms from one power iteration of the stored ones, as the code does."
        ],
        discriminator=discriminator,
    )


def _ajbrock_generator(weights: Weights) -> tuple[Network, int, int]:
    """The network, the size of its latents, and the number of classes."""
    deep = "blocks.0.0.conv4.weight" in weights
    spectral = "linear.u0" in weights
    blocks = len([name for name in weights if name.endswith(".conv2.weight")])
    doublings = blocks // 2 if deep else blocks
    resolution = 4 * 2**doublings
    outputs, inputs = weights.shape("linear.weight", 2)
    last = weights.shape("output_layer.0.gain", 1)[0]
    shared = "shared.weight" in weights
    label_dim = weights.shape("shared.weight", 2)[1] if shared else 0
    rows, columns = weights.shape("blocks.0.0.bn1.gain.weight", 2)
    classes = weights.shape("shared.weight", 2)[0] if shared else rows
    chunk = columns - label_dim if shared and not deep else 0
    state = {"vectors": weights.take("shared.weight", 2)} if shared else {}
    order = torch.arange(outputs).view(-1, 16).T.flatten()  # pixels, then channels
    state |= _layer(weights, "linear", "network.project", rows=order)
    label_last = torch.arange(columns).roll(-label_dim) if chunk else None
    for number in range(blocks):
        theirs = f"blocks.{number}.0"
        ours = f"network.{('keeping', 'doubling')[number % 2]}.{number // 2}" if deep else f"network.blocks.{number}"
        for part in (1, 2, 3, 4) if deep else (1, 2):
            state |= _layer(weights, f"{theirs}.conv{part}", f"{ours}.conv{part}")
            state |= _norm(weights, f"{theirs}.bn{part}", f"{ours}.norm{part}", shared, label_last)
        if not deep:
            state |= _layer(weights, f"{theirs}.conv_sc", f"{ours}.skip")
        place = number // 2 if deep else number
        state |= _attention(weights, f"blocks.{number}.1", f"network.attentions.{place}")
    for theirs, kind in (("gain", "weight"), ("bias", "bias"), ("stored_mean", "running_mean"),
                         ("stored_var", "running_var")):  # fmt: skip
        state[f"network.output_norm.{kind}"] = weights.take(f"output_layer.0.{theirs}", 1)
    state |= _layer(weights, "output_layer.2", "network.output")
    weights.finish()
    latent_dim = inputs - label_dim if deep else inputs * (doublings + 1 if chunk else 1)
    config = {
        "_target_": f"{ARCHITECTURES}.{'biggan_deep.BigGANDeep' if deep else 'biggan.BigGAN'}Generator",
        "latent_dim": latent_dim,
        "channels": 3,
        "resolution": resolution,
        "width": last // LAST_WIDTHS.get(resolution, 1),
        "attention_resolution": _attention_resolution(weights, state, lambda place: 8 * 2**place),
        **(
            {"output_width": len(state["network.output.bias"])} if deep else {"hierarchical": chunk > 0, "label_dim": 0}
        ),
    }
    return Network(config, state, _generator_wrapper(classes, label_dim, spectral)), latent_dim, classes


def _ajbrock_discriminator(weights: Weights) -> Network:
    deep = "input_conv.weight" in weights
    spectral = "linear.u0" in weights
    stages = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    resolution = 4 * 2 ** (stages if deep else stages - 1)
    first = weights.shape("input_conv.weight" if deep else "blocks.0.0.conv1.weight", 4)[0]
    classes = weights.shape("embed.weight", 2)[0]
    state = _layer(weights, "input_conv", "network.input") if deep else {}
    for stage in range(stages):
        if deep:
            parts = [(f"blocks.{stage}.{place}", f"network.{name}.{stage}") for place, name in enumerate(
                ("widening", "keeping"))]  # fmt: skip
        else:
            parts = [(f"blocks.{stage}.0", f"network.blocks.{stage - 1}" if stage else "network.input")]
        for theirs, ours in parts:
            for part in (1, 2, 3, 4) if deep else (1, 2):
                state |= _layer(weights, f"{theirs}.conv{part}", f"{ours}.conv{part}")
            if f"{theirs}.conv_sc.weight" in weights:
                state |= _layer(weights, f"{theirs}.conv_sc", f"{ours}.further" if deep else f"{ours}.skip")
        state |= _attention(weights, f"blocks.{stage}.{2 if deep else 1}", f"network.attentions.{stage}")
    state |= _layer(weights, "linear", "network.output")
    state |= _layer(weights, "embed", "embedding", bias=False)
    weights.finish()
    config = {
        "_target_": f"{ARCHITECTURES}.{'biggan_deep.BigGANDeep' if deep else 'biggan.BigGAN'}Discriminator",
        "channels": 3,
        "resolution": resolution,
        "width": first // (4 if resolution == 32 else 1),
        "attention_resolution": _attention_resolution(weights, state, lambda place: resolution // 2 ** (place + 1)),
    }
    wrapper = {"conditioning": {"_target_": f"{ARCHITECTURES}.conditioning.Projection", "num_classes": classes,
                                "init": "orthogonal"}}  # fmt: skip
    return Network(config, state, wrapper | _spectral_norm(spectral))


def _layer(
    weights: Weights,
    theirs: str,
    ours: str,
    bias: bool = True,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
) -> dict[str, Tensor]:
    """A layer, with the spectral norm of the code if it has one, and its rows or columns in another order.

    In evaluation the code makes one power iteration of its stored vector, and uses the result.
    """
    kernel = weights.take(f"{theirs}.weight")
    u = weights.take(f"{theirs}.u0", 2)[0] if f"{theirs}.u0" in weights else None
    if rows is not None:
        kernel, u = kernel[rows], None if u is None else u[rows]
    if columns is not None:
        kernel = kernel[:, columns]
    if u is None:
        state = {f"{ours}.weight": kernel}
    else:
        weights.take(f"{theirs}.sv0")
        matrix = kernel.flatten(1)
        v = F.normalize(u @ matrix, dim=0)
        state = {f"{ours}.{ORIGINAL}": kernel, f"{ours}.{U}": F.normalize(matrix @ v, dim=0), f"{ours}.{V}": v}
    if bias:
        values = weights.take(f"{theirs}.bias", 1)
        state[f"{ours}.bias"] = values if rows is None else values[rows]
    return state


def _norm(weights: Weights, theirs: str, ours: str, shared: bool, columns: Tensor | None) -> dict[str, Tensor]:
    """A conditional norm: linear layers of the condition, or tables with a row for each label."""
    inner = f"{ours}.norm" if shared else f"{ours}.norm.norm"
    state = {
        f"{inner}.running_mean": weights.take(f"{theirs}.stored_mean", 1),
        f"{inner}.running_var": weights.take(f"{theirs}.stored_var", 1),
    }
    if shared:
        state |= _layer(weights, f"{theirs}.gain", f"{ours}.gain", bias=False, columns=columns)
        return state | _layer(weights, f"{theirs}.bias", f"{ours}.shift", bias=False, columns=columns)
    state[f"{ours}.norm.gain"] = 1 + weights.take(f"{theirs}.gain.weight", 2)
    state[f"{ours}.norm.shift"] = weights.take(f"{theirs}.bias.weight", 2)
    return state


def _attention(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    """An attention layer, if there is one at this place."""
    if f"{theirs}.gamma" not in weights:
        return {}
    state = {f"{ours}.gamma": weights.take(f"{theirs}.gamma").view(())}
    for name, place in ATTENTION.items():
        state |= _layer(weights, f"{theirs}.{name}", f"{ours}.{place}", bias=False)
    return state


def _attention_resolution(
    weights: Weights, state: Mapping[str, Tensor], resolution_at: Callable[[int], int]
) -> int | None:
    """Resolution of the attention layer, from the place in its name; None without one."""
    places = [int(name.split(".")[2]) for name in state if name.startswith("network.attentions.")]
    if len(set(places)) > 1:
        raise CheckpointError(
            f"{weights.file} has a {weights.network} with several attention layers: gan_lab has at most one."
        )
    return resolution_at(places[0]) if places else None


def _generator_wrapper(classes: int, label_dim: int, spectral: bool) -> dict[str, Any]:
    if label_dim:
        conditioning = {"_target_": f"{ARCHITECTURES}.conditioning.SharedEmbedding", "num_classes": classes,
                        "dim": label_dim}  # fmt: skip
    else:
        conditioning = {"_target_": f"{ARCHITECTURES}.conditioning.ConditionalNorm", "num_classes": classes}
    return {"conditioning": conditioning} | _spectral_norm(spectral)


def _spectral_norm(spectral: bool) -> dict[str, Any]:
    """The wrapper of networks with spectral norm, as `wrapper/<network>=[spectral_norm]`."""
    return {"spectral_norm": {"_target_": f"{ARCHITECTURES}.spectral.SpectralNormalization"}} if spectral else {}
