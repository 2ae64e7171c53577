"""Import of the DCGAN authors' arrays: equal to forward passes that are written from Theano's definitions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gan_lab
from gan_lab.sampling.export_file import read_card
from tests.helpers.imported import discriminator_of

Command = Callable[..., Any]

LATENT = 6
GENERATOR = [(LATENT, 128), (128,), (128,), (8, 4, 5, 5), (4,), (4,), (4, 2, 5, 5), (2,), (2,), (2, 3, 5, 5)]
"""Shapes for 32 pixels: a linear layer with gain and shift, two deconvolutions with them, the last deconvolution."""
DISCRIMINATOR = [(2, 3, 5, 5), (4, 2, 5, 5), (4,), (4,), (8, 4, 5, 5), (8,), (8,), (128, 1)]


def arrays(shapes: list[tuple[int, ...]], seed: int) -> list[Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=source) / (4 if len(shape) == 4 else 1) for shape in shapes]


def write(folder: Path, generator: list[Tensor], discriminator: list[Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    for network, values in (("gen", generator), ("discrim", discriminator)):
        for number, value in enumerate(values, 1):
            np.save(folder / f"200_{network}_params.jl_{number:02d}.npy", value.numpy())
    (folder / "200_gen_params.jl").write_bytes(b"a pickle, which is not read")
    return folder


IMAGENET_GENERATOR = [
    (LATENT, 128), (128,), (128,), (8, 8, 3, 3), (8,), (8,), (8, 4, 3, 3), (4,), (4,), (4, 4, 3, 3), (4,), (4,),
    (4, 3, 3, 3),
]  # fmt: skip
"""For 16 pixels, with two layers at each resolution."""
IMAGENET_DISCRIMINATOR = [
    (4, 3, 3, 3), (4, 4, 3, 3), (4,), (4,), (8, 4, 3, 3), (8,), (8,), (8, 8, 3, 3), (8,), (8,), (128, 1),
]  # fmt: skip


def convolution(x: Tensor, kernel: Tensor, stride: int = 2) -> Tensor:
    """Convolution with the half of the kernel as padding, with kernels (outputs, inputs, k, k), by its definition."""
    half = kernel.shape[-1] // 2
    padded = torch.nn.functional.pad(x, [half] * 4)
    size = x.shape[-1] // stride
    out = x.new_zeros(len(x), len(kernel), size, size)
    for i in range(kernel.shape[-1]):
        for j in range(kernel.shape[-1]):
            top, left = 2 * half - i, 2 * half - j
            part = padded[:, :, top : top + stride * size : stride, left : left + stride * size : stride]
            out = out + torch.einsum("nchw,oc->nohw", part, kernel[:, :, i, j])
    return out


def deconvolution(x: Tensor, kernel: Tensor, stride: int = 2) -> Tensor:
    """The gradient of `convolution` in its input, with kernels (inputs, outputs, k, k)."""
    size = stride * x.shape[-1]
    zeros = torch.zeros(len(x), kernel.shape[1], size, size, requires_grad=True)
    (found,) = torch.autograd.grad(convolution(zeros, kernel, stride), zeros, x)
    return found


def normalized(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    dims = [d for d in range(x.dim()) if d != 1]
    var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
    ones = [1] * (x.dim() - 2)
    return (x - mean) / (var + 1e-8).sqrt() * gain.view(-1, *ones) + shift.view(-1, *ones)


def generated(t: list[Tensor], z: Tensor, strides: Sequence[int]) -> Tensor:
    x = torch.relu(normalized(z @ t[0], t[1], t[2])).view(len(z), -1, 4, 4)
    for k, stride in enumerate(strides[:-1], 1):
        x = torch.relu(normalized(deconvolution(x, t[3 * k], stride), t[3 * k + 1], t[3 * k + 2]))
    return torch.tanh(deconvolution(x, t[-1], strides[-1]))


def scored(t: list[Tensor], x: Tensor, strides: Sequence[int]) -> Tensor:
    x = torch.nn.functional.leaky_relu(convolution(x, t[0], strides[0]), 0.2)
    for k, stride in enumerate(strides[1:]):
        x = convolution(x, t[3 * k + 1], stride)
        x = torch.nn.functional.leaky_relu(normalized(x, t[3 * k + 2], t[3 * k + 3]), 0.2)
    return (x.flatten(1) @ t[-1])[:, 0]


@pytest.mark.parametrize(
    ("shapes", "strides", "resolution"),
    [
        ((GENERATOR, DISCRIMINATOR), (2, 2, 2), 32),
        ((IMAGENET_GENERATOR, IMAGENET_DISCRIMINATOR), (1, 2, 1, 2), 16),
    ],
    ids=["svhn", "imagenet"],
)
def test_both_networks_equal_the_published_ones(
    shapes: tuple[list[tuple[int, ...]], list[tuple[int, ...]]], strides: tuple[int, ...], resolution: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    generator, discriminator = arrays(shapes[0], 0), arrays(shapes[1], 1)
    folder = write(tmp_path / "arrays", generator, discriminator)
    file = gan_lab.import_weights(folder, out=tmp_path / "x.safetensors").file
    loaded = gan_lab.load(file, device="cpu")
    latents, _ = loaded.draw(16)
    expected = generated(generator, latents, strides[::-1])
    assert 0.1 < expected.std() < 0.9
    found = loaded.adjusted(batch_norm="batch").generate(latents)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)
    images = torch.rand(8, 3, resolution, resolution, generator=torch.Generator().manual_seed(5)) * 2 - 1
    ours = discriminator_of(file).train()  # the files have no statistics
    torch.testing.assert_close(ours(images), scored(discriminator, images, strides), rtol=1e-3, atol=1e-3)
    card, _ = read_card(file)
    assert card["source"]["license"] == "MIT" and len(card["source"]["sha256"]) == len(generator) + len(discriminator)


def test_statistics_are_those_of_samples(tmp_path: Path) -> None:
    folder = write(tmp_path / "svhn", arrays(GENERATOR, 0), [])
    file = gan_lab.import_weights(folder, out=tmp_path / "x.safetensors").file
    loaded = gan_lab.load(file, device="cpu")
    latents, _ = loaded.draw(256)
    by_batch = loaded.adjusted(batch_norm="batch").generate(latents)
    assert (loaded.generate(latents) - by_batch).abs().mean() < 0.05 < by_batch.std()


@pytest.mark.parametrize(
    ("change", "sentence"),
    {
        "another kernel size": (
            lambda f: np.save(f / "200_gen_params.jl_10.npy", np.ones((2, 3, 7, 7))),
            "kernels of 7x7",
        ),
        "an odd number of layers in pairs": (
            lambda f: np.save(f / "200_gen_params.jl_10.npy", np.ones((2, 3, 3, 3))),
            "3 layers of 3x3 kernels, which must be pairs",
        ),
        "missing": (lambda f: (f / "200_gen_params.jl_05.npy").unlink(), "06.npy is not number 5 of the arrays"),
        "surplus": (lambda f: np.save(f / "200_gen_params.jl_11.npy", np.ones(2)), "svhn"),
        "shape": (lambda f: np.save(f / "200_gen_params.jl_05.npy", np.ones(3)), "which must have (4,)"),
        "no folder of arrays": (lambda f: [file.unlink() for file in f.glob("*.npy")], "has no files <...>gen_params"),
        "truncated": (lambda f: (f / "200_gen_params.jl_01.npy").write_bytes(b"\x93NUMPY"), "01.npy cannot be read"),
        "pickled objects": (
            lambda f: np.save(f / "200_gen_params.jl_01.npy", np.array([{}], object), allow_pickle=True),
            "01.npy cannot be read",
        ),
        "whole numbers": (lambda f: np.save(f / "200_gen_params.jl_01.npy", np.ones(3, int)), "is not an array of"),
    }.values(),
)
def test_what_is_refused(change: Callable[[Path], Any], sentence: str, tmp_path: Path, command: Command) -> None:
    change(write(tmp_path / "svhn", arrays(GENERATOR, 0), arrays(DISCRIMINATOR, 1)))
    outcome = command("import", "svhn")
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
