"""State dicts in the formats of BigGAN-PyTorch and pytorch-pretrained-BigGAN, with random weights."""

from itertools import pairwise

import numpy as np
from torch import Tensor, nn

from tests.helpers.published_files import random_tensors

MULTIPLIERS = {32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}
"""Channels of BigGAN's generator from 4 pixels on, divided by the width."""


def normalized_layer(name: str, shape: tuple[int, ...], bias: bool = True) -> dict[str, tuple[int, ...]]:
    """A layer of BigGAN-PyTorch, with its spectral norm."""
    shapes = {f"{name}.weight": shape, f"{name}.u0": (1, shape[0]), f"{name}.sv0": (1,)}
    return shapes | ({f"{name}.bias": shape[:1]} if bias else {})


def bottleneck(inputs: int, hidden: int, outputs: int) -> list[tuple[int, int, int]]:
    """Inputs, outputs and kernel size of the convolutions of a block of BigGAN-deep."""
    return [(inputs, hidden, 1), (hidden, hidden, 3), (hidden, hidden, 3), (hidden, outputs, 1)]


def attention(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.gamma": ()}
    for part, inputs, outputs in (
        ("theta", channels, channels // 8),
        ("phi", channels, channels // 8),
        ("g", channels, channels // 2),
        ("o", channels // 2, channels),
    ):
        shapes |= normalized_layer(f"{name}.{part}", (outputs, inputs, 1, 1), bias=False)
    return shapes


def norm(name: str, channels: int, condition: int, classes: int | None) -> dict[str, tuple[int, ...]]:
    """A conditional norm of BigGAN-PyTorch: of a vector with this size, or tables of classes."""
    shapes: dict[str, tuple[int, ...]] = {f"{name}.stored_mean": (channels,), f"{name}.stored_var": (channels,)}
    for part in ("gain", "bias"):
        if classes is None:
            shapes |= normalized_layer(f"{name}.{part}", (channels, condition), bias=False)
        else:
            shapes[f"{name}.{part}.weight"] = (classes, channels)
    return shapes


def ajbrock_shapes(
    resolution: int,
    width: int,
    latent: int,
    classes: int,
    shared: int = 0,
    hierarchical: bool = True,
    deep: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the generator in BigGAN-PyTorch; `shared` is the size of the embedding, 0 without one."""
    maps = [width * k for k in MULTIPLIERS[resolution]]
    chunk = latent // len(maps) if hierarchical and not deep else 0
    condition = latent + shared if deep else shared + chunk
    shapes = {"shared.weight": (classes, shared)} if shared else {}
    shapes |= normalized_layer("linear", (16 * maps[0], condition if deep else chunk or latent))
    tables = None if shared else classes
    place = 0
    for stage, (inputs, outputs) in enumerate(pairwise(maps)):
        for step in range(2 if deep else 1):
            block = f"blocks.{place}.0"
            if deep:
                hidden = inputs // 4
                for part, (i, o, k) in enumerate(
                    (
                        (inputs, hidden, 1),
                        (hidden, hidden, 3),
                        (hidden, hidden, 3),
                        (hidden, outputs if step else inputs, 1),
                    ),
                    1,
                ):
                    shapes |= normalized_layer(f"{block}.conv{part}", (o, i, k, k))
                    shapes |= norm(f"{block}.bn{part}", i, condition, None)
            else:
                for part, i in ((1, inputs), (2, outputs)):
                    shapes |= normalized_layer(f"{block}.conv{part}", (outputs, i, 3, 3))
                    shapes |= norm(f"{block}.bn{part}", i, condition, tables)
                shapes |= normalized_layer(f"{block}.conv_sc", (outputs, inputs, 1, 1))
            place += 1
        if 8 * 2**stage == 64:
            shapes |= attention(f"blocks.{place - 1}.1", outputs)
    last = maps[-1]
    shapes |= {f"output_layer.0.{part}": (last,) for part in ("gain", "bias", "stored_mean", "stored_var")}
    return shapes | normalized_layer("output_layer.2", (128 if deep else 3, last, 3, 3))


def ajbrock_discriminator_shapes(
    resolution: int, width: int, classes: int, deep: bool = False
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the discriminator in BigGAN-PyTorch, at 64 or 128 pixels."""
    maps = [width * k for k in ((1, 2, 4, 8, 16, 16) if resolution == 128 else (1, 2, 4, 8, 16))]
    shapes: dict[str, tuple[int, ...]] = {}
    if deep:
        shapes |= normalized_layer("input_conv", (width, 3, 3, 3))
    pairs = list(pairwise(maps)) if deep else list(zip([3, *maps[:-1]], maps, strict=True))
    for stage, (inputs, outputs) in enumerate(pairs):
        for step in range(2 if deep else 1):
            block, first = f"blocks.{stage}.{step}", outputs if step else inputs
            if deep:
                hidden = outputs // 4
                for part, (i, o, k) in enumerate(bottleneck(first, hidden, outputs), 1):
                    shapes |= normalized_layer(f"{block}.conv{part}", (o, i, k, k))
                if outputs > first:
                    shapes |= normalized_layer(f"{block}.conv_sc", (outputs - first, first, 1, 1))
            else:
                shapes |= normalized_layer(f"{block}.conv1", (outputs, first, 3, 3))
                shapes |= normalized_layer(f"{block}.conv2", (outputs, outputs, 3, 3))
                if first != outputs or stage < len(pairs) - 1:
                    shapes |= normalized_layer(f"{block}.conv_sc", (outputs, first, 1, 1))
        if resolution // 2 ** (stage + 1) == 64:
            shapes |= attention(f"blocks.{stage}.{2 if deep else 1}", outputs)
    shapes |= normalized_layer("linear", (1, maps[-1]))
    return shapes | normalized_layer("embed", (classes, maps[-1]), bias=False)


def huggingface_shapes(width: int, latent: int, label: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of pytorch-pretrained-BigGAN at 128 pixels."""
    maps, condition = [width * k for k in MULTIPLIERS[128]], latent + label

    def layer(name: str, shape: tuple[int, ...], bias: bool = True) -> dict[str, tuple[int, ...]]:
        rest = int(np.prod(shape[1:]))
        shapes = {f"{name}.weight_orig": shape, f"{name}.weight_u": shape[:1], f"{name}.weight_v": (rest,)}
        return shapes | ({f"{name}.bias": shape[:1]} if bias else {})

    shapes = {"embeddings.weight": (label, classes), **layer("generator.gen_z", (16 * maps[0], condition))}
    number = 0
    for stage, (inputs, outputs) in enumerate(pairwise(maps)):
        if stage == 4:
            shapes[f"generator.layers.{number}.gamma"] = (1,)
            for part, i, o in (
                ("theta", inputs, inputs // 8),
                ("phi", inputs, inputs // 8),
                ("g", inputs, inputs // 2),
                ("o_conv", inputs // 2, inputs),
            ):
                shapes |= layer(f"generator.layers.{number}.snconv1x1_{part}", (o, i, 1, 1), bias=False)
            number += 1
        for step in (0, 1):
            block, hidden = f"generator.layers.{number}", inputs // 4
            for part, (i, o, k) in enumerate(
                (
                    (inputs, hidden, 1),
                    (hidden, hidden, 3),
                    (hidden, hidden, 3),
                    (hidden, outputs if step else inputs, 1),
                )
            ):
                shapes |= layer(f"{block}.conv_{part}", (o, i, k, k))
                shapes |= {f"{block}.bn_{part}.running_{kind}": (51, i) for kind in ("means", "vars")}
                for kind in ("scale", "offset"):
                    shapes |= layer(f"{block}.bn_{part}.{kind}", (i, condition), bias=False)
            number += 1
    last = maps[-1]
    shapes |= {f"generator.bn.running_{kind}": (51, last) for kind in ("means", "vars")}
    shapes |= {"generator.bn.weight": (last,), "generator.bn.bias": (last,)}
    return shapes | layer("generator.conv_to_rgb", (last, last, 3, 3))


def biggan_tensors(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Random tensors, with positive variances, and vectors of PyTorch's spectral norm that fit their weight."""
    tensors = random_tensors(shapes, seed)
    for name, value in tensors.items():
        if name.endswith(("_var", "running_vars")):
            value.copy_(0.5 + value.abs())
        elif name.endswith("bias"):
            value.mul_(0.3)
        elif name.endswith("weight_orig"):
            u, v = (tensors[name.replace("weight_orig", f"weight_{kind}")] for kind in "uv")
            for _ in range(3):
                v.copy_(nn.functional.normalize(value.flatten(1).T @ u, dim=0))
                u.copy_(nn.functional.normalize(value.flatten(1) @ v, dim=0))
    return tensors
