"""SN-GAN: checkpoints of the library mimicry, one for each network."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.base import Converted, Network, Source, Weights, plain_latents, state_dict

FORMAT, URL = "sngan_mimicry", "https://github.com/kwotsin/mimicry"
LICENSE = "unknown; the code has the license MIT"
ARCHITECTURES = "gan_lab.architectures"
LAYERS = {"c1": "conv1", "c2": "conv2", "c_sc": "skip"}
STATISTICS = ("weight", "bias", "running_mean", "running_var")
LARGEST_CONSTANT = 32
"""Up to this resolution all maps have the same number of channels: 4 times the width, in the discriminator 2."""


def recognizes(content: Any) -> bool:
    """Whether a file's content is a checkpoint of an unconditional residual generator."""
    return "l1.weight" in _tensors(content) and "block2.c1.weight" in _tensors(content)


def convert(source: Source) -> Converted:
    """Convert the generator of one checkpoint, and the discriminator of another.

    Raises:
        CheckpointError: A tensor is missing, left over, or has another shape.
    """
    generator = _generator(Weights(_tensors(source.content), "generator", source.file))
    discriminator = None
    if source.discriminator is not None:
        assert source.discriminator_file is not None
        critic = Weights(_tensors(source.discriminator), "discriminator", source.discriminator_file)
        discriminator = _discriminator(critic, generator.config["resolution"])
    return Converted(
        format=FORMAT,
        generator=generator,
        latent=plain_latents(generator.config["latent_dim"]),
        num_classes=None,
        license=LICENSE,
        url=URL,
        conversion=["Rows of the first linear layer in the order of gan_lab, channels last."],
        discriminator=discriminator,
    )


def _tensors(content: Any) -> dict[str, Any]:
    return state_dict(content.get("model_state_dict")) if isinstance(content, Mapping) else {}


def _blocks(weights: Weights, first: int) -> list[str]:
    """Names of the blocks, from this number on."""
    names = []
    while f"block{first}.c1.bias" in weights:
        names.append(f"block{first}")
        first += 1
    return names


def _generator(weights: Weights) -> Network:
    weights.drop("num_batches_tracked")
    blocks = _blocks(weights, 2)
    outputs, latent_dim = weights.shape("l1.weight", 2)
    maps = weights.shape("block2.b1.weight", 1)[0]
    start = isqrt(outputs // maps)
    last = f"{len(blocks) + 2}"
    width = weights.shape(f"b{last}.weight", 1)[0]
    order = torch.arange(outputs).view(maps, -1).T.flatten()  # pixels, then channels
    state = {f"project.{kind}": weights.take(f"l1.{kind}")[order] for kind in ("weight", "bias")}
    for number, block in enumerate(blocks):
        for theirs, ours in LAYERS.items():
            for kind in ("weight", "bias"):
                state[f"blocks.{number}.{ours}.{kind}"] = weights.take(f"{block}.{theirs}.{kind}")
        for place in (1, 2):
            state |= _norm(weights, f"{block}.b{place}", f"blocks.{number}.norm{place}")
    state |= _norm(weights, f"b{last}", "output_norm")
    channels = weights.shape(f"c{last}.weight", 4)[0]
    state |= {f"output.{kind}": weights.take(f"c{last}.{kind}") for kind in ("weight", "bias")}
    weights.finish()
    resolution = start * 2 ** len(blocks)
    config = {
        "_target_": f"{ARCHITECTURES}.resnet.ResNetGenerator",
        "latent_dim": latent_dim,
        "channels": channels,
        "resolution": resolution,
        "width": width // 4 if resolution <= LARGEST_CONSTANT else width,
        "widths": "sngan",
        "upsampling": "bilinear",
    }
    return Network(config, state)


def _norm(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.{kind}": weights.take(f"{theirs}.{kind}", 1) for kind in STATISTICS}


def _discriminator(weights: Weights, resolution: int) -> Network:
    """The network; its resolution is that of the generator, since networks for 48 and 64 pixels have equal shapes."""
    blocks = _blocks(weights, 1)
    if not blocks:
        raise CheckpointError(
            f"{weights.file} has no tensor block1.c1.bias in its discriminator: it is another network."
        )
    width, channels = weights.shape("block1.c1.weight_orig", 4)[:2]
    state: dict[str, Tensor] = {}
    for number, block in enumerate(blocks):
        for theirs, ours in LAYERS.items():
            if f"{block}.{theirs}.bias" in weights:
                state |= _layer(weights, f"{block}.{theirs}", f"{f'blocks.{number - 1}' if number else 'input'}.{ours}")
    state |= _layer(weights, f"l{len(blocks) + 1}", "output")
    weights.finish()
    config = {
        "_target_": f"{ARCHITECTURES}.resnet.ResNetDiscriminator",
        "channels": channels,
        "resolution": resolution,
        "width": width // 2 if resolution <= LARGEST_CONSTANT else width,
        "widths": "sngan",
        "pool": "sum",
        "skip_relu": True,
    }
    wrapper = {"spectral_norm": {"_target_": f"{ARCHITECTURES}.spectral.SpectralNormalization"}}
    return Network(config, state, wrapper)


def _layer(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    """A layer with PyTorch's spectral norm."""
    names = {"parametrizations.weight.original": "weight_orig", "parametrizations.weight.0.u": "weight_u",
             "parametrizations.weight.0.v": "weight_v", "bias": "bias"}  # fmt: skip
    return {f"{ours}.{name}": weights.take(f"{theirs}.{theirs_name}") for name, theirs_name in names.items()}
