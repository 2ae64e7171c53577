"""DCGAN: the arrays of the authors' Theano code, a folder of `.npy` files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.base import Converted, Network, Source, plain_latents

FORMAT, URL, LICENSE = "dcgan_theano", "https://github.com/Newmu/dcgan_code", "MIT"
ARCHITECTURES = "gan_lab.architectures.dcgan"
CONVOLUTIONS = {3: 2, 4: 1, 5: 1}
"""Layers at each resolution by kernel size: the ImageNet networks have two of 3x3, the others one of 5x5."""


@dataclass(frozen=True)
class Arrays:
    """Weights of both networks, in the order of their files; the discriminator's may be empty."""

    generator: list[Tensor]
    discriminator: list[Tensor]


def files_of(folder: Path, network: str) -> list[Path]:
    """The files `<...><network>_params<...>_<number>.npy` of a folder, by number from 1 on.

    Raises:
        CheckpointError: A number is missing or there twice.
    """
    numbered = [(int(found[1]), file) for file in folder.glob("*.npy")
                if (found := re.fullmatch(rf".*{network}_params.*_(\d{{1,4}})\.npy", file.name))]  # fmt: skip
    numbered.sort()
    for place, (number, file) in enumerate(numbered, 1):
        if number != place:
            raise CheckpointError(f"{file} is not number {place} of the arrays of {network}_params in {folder}.")
    return [file for _, file in numbered]


def read_arrays(folder: Path) -> Arrays:
    """The arrays in a folder, without pickled objects.

    Raises:
        CheckpointError: There are none, or one is damaged or of another kind.
    """
    networks = [[_read(file) for file in files_of(folder, network)] for network in ("gen", "discrim")]
    if not networks[0]:
        raise CheckpointError(
            f"{folder} has no files <...>gen_params<...>_01.npy and so on: give a file, or the folder of such files."
        )
    return Arrays(*networks)


def _read(file: Path) -> Tensor:
    try:
        array = np.load(file, mmap_mode="r")  # compares the shape with the size of the file
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{file} cannot be read: it is truncated, damaged, or not an array of numbers."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise CheckpointError(f"{file} is not an array of floating point numbers.")
    return torch.from_numpy(array.astype(np.float32))


def recognizes(content: Any) -> bool:
    """Whether the content is that of a folder of arrays."""
    return isinstance(content, Arrays)


def convert(source: Source) -> Converted:
    """Convert both networks.

    Raises:
        CheckpointError: A network has other layers.
    """
    arrays: Arrays = source.content
    generator = _generator(arrays.generator, source.file)
    return Converted(
        format=FORMAT,
        generator=generator,
        latent=plain_latents(generator.config["latent_dim"]),
        num_classes=None,
        license=LICENSE,
        url=URL,
        conversion=[
            "Kernels flipped in both axes, because Theano convolves; units of the first layer in the order of gan_lab, "
            "channels last.",
            "The files have no statistics of batch norms. Those of the generator are means over 16 batches of 64 "
            "samples; the code samples with the statistics of each batch, as batch_norm=batch. The discriminator has "
            "none, and fits training and gan-lab probe only, which measures them.",
            "Latents are normal; some of the published networks were trained with uniform ones.",
        ],
        discriminator=_discriminator(arrays.discriminator, source.file) if arrays.discriminator else None,
        needs_statistics=True,
    )


def _generator(arrays: list[Tensor], folder: Path) -> Network:
    project, gain, shift, *rest = arrays
    *layers, last = rest
    latent_dim, units = project.shape
    order = torch.arange(units).view(-1, 16).T.flatten()  # pixels, then channels
    state = {
        "project.weight": project.T[order],
        "project_norm.weight": gain[order],
        "project_norm.bias": shift[order],
        "output.weight": last.flip(2, 3),
        **_layers(layers, folder),
    }
    config = {
        "_target_": f"{ARCHITECTURES}.DCGANGenerator",
        "latent_dim": latent_dim,
        "channels": last.shape[1],
        **_sizes(len(layers) // 3 + 1, last, folder),
        "width": last.shape[0],
        "max_width": units // 16,
        "unit_norm": True,
    }
    return Network(config, state)


def _discriminator(arrays: list[Tensor], folder: Path) -> Network:
    first, *layers, last = arrays
    state = {"input.weight": first.flip(2, 3), "output.weight": last.T, **_layers(layers, folder)}
    config = {
        "_target_": f"{ARCHITECTURES}.DCGANDiscriminator",
        "channels": first.shape[1],
        **_sizes(len(layers) // 3 + 1, first, folder),
        "width": first.shape[0],
        "max_width": last.shape[0] // 16,
    }
    return Network(config, state)


def _layers(arrays: list[Tensor], folder: Path) -> dict[str, Tensor]:
    """Convolutions, each followed by gain and shift of its norm."""
    if len(arrays) % 3:
        raise CheckpointError(
            f"{folder} has a number of arrays that is not that of kernels with a gain and a shift each."
        )
    state: dict[str, Tensor] = {}
    for number in range(len(arrays) // 3):
        kernel, gain, shift = arrays[3 * number : 3 * number + 3]
        names = {f"convs.{number}.weight": kernel.flip(2, 3), f"norms.{number}.weight": gain,
                 f"norms.{number}.bias": shift}  # fmt: skip
        state |= names
    return state


def _sizes(layers: int, weight: Tensor, folder: Path) -> dict[str, int]:
    """Resolution, kernel size and layers at each resolution of a network with this number of convolutions."""
    kernel = weight.shape[-1]
    if kernel not in CONVOLUTIONS:
        raise CheckpointError(f"{folder} has kernels of {kernel}x{kernel}; the published networks have 3x3 or 5x5.")
    number = CONVOLUTIONS[kernel]
    if layers % number:
        raise CheckpointError(f"{folder} has {layers} layers of {kernel}x{kernel} kernels, which must be pairs.")
    return {"resolution": 4 * 2 ** (layers // number), "kernel": kernel, "convolutions": number}
