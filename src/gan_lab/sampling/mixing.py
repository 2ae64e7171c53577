"""Style mixing: samples with the styles of one sample in some layers and of another in the rest (StyleGAN)."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.layers.style_mapping import has_styles
from gan_lab.runs.remote import named
from gan_lab.sampling.pretrained import Given, PretrainedGenerator

NAMED_LAYERS = {"coarse": (0, 2), "middle": (3, 6), "fine": (7, 17)}
"""First and last layer: the convolutions of 4 and 8 pixels, of 16 and 32, and of more; at 1024 pixels all layers."""


@dataclass(frozen=True)
class MixedSamples:
    """Mixed samples and their sources (Karras et al., 2019, section 3.1); all float32 on the CPU.

    Attributes:
        columns: Source of each column, (columns, C, H, W).
        rows: Source of each row, (rows, C, H, W).
        mixed: Row by row, (rows * columns, C, H, W): the given layers of the column's source, the rest of the row's.
    """

    columns: Tensor
    rows: Tensor
    mixed: Tensor


def mix_styles(
    loaded: PretrainedGenerator, layers: str, rows: int, columns: int, seed: int = 0, condition: Given = None
) -> MixedSamples:
    """Mix the styles of two groups of samples.

    Args:
        loaded: A generator with styles.
        layers: `coarse`, `middle`, `fine`, or numbers from 0, as in `4-7`.
        rows: Number of rows.
        columns: Number of columns. The sources are the `columns + rows` samples of this seed, the columns' first.
        seed: See `PretrainedGenerator.sample`.
        condition: Of the sources, see `PretrainedGenerator.sample`.

    Raises:
        ConfigError: The generator has no styles or no such layers, or the condition does not fit.
    """
    if not has_styles(loaded.generator):
        raise ConfigError(
            f"mixing={layers} needs a generator with styles, and that of {named(loaded.path)} has none; set "
            "mixing=null."
        )
    latents, given = loaded.draw(columns + rows, seed, condition)
    styles = loaded.styles(latents, given)  # (columns + rows, layers, style_dim)
    copied = _layers(layers, styles.shape[1])
    sources = loaded.generate_from_styles(styles, given).cpu()
    mixed = []
    for source in styles[columns:]:
        row = source.repeat(columns, 1, 1)
        row[:, copied] = styles[:columns, copied]
        mixed.append(loaded.generate_from_styles(row, None if given is None else given[:columns]).cpu())
    return MixedSamples(sources[:columns], sources[columns:], torch.cat(mixed))


def named_layers(count: int) -> dict[str, slice]:
    """The layers of each name for a generator with `count` layers, without names of layers that it lacks."""
    return {name: slice(first, last + 1) for name, (first, last) in NAMED_LAYERS.items() if first < count}


def _layers(text: str, count: int) -> slice:
    """Layers of a text, for a generator with `count` layers.

    Raises:
        ConfigError: The generator has not all of them, or the text names none.
    """
    if text in NAMED_LAYERS:
        first, last = NAMED_LAYERS[text]
        last = min(last, count - 1)
    elif numbers := re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text):
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    else:
        raise ConfigError(f"mixing={text} is not allowed: it must be coarse, middle, fine, or layers as in 4-7.")
    if not first <= last < count:
        raise ConfigError(f"mixing={text} is not allowed: the layers of this generator are numbered 0 to {count - 1}.")
    return slice(first, last + 1)
