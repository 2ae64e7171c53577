"""`gan-lab sample`: samples of a checkpoint, written to files."""

from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.commands.inputs import device_named
from gan_lab.commands.outputs import folder_of_outputs, refuse_used_folder, samples_name
from gan_lab.errors import ConfigError
from gan_lab.figures import (
    draw_by_class,
    draw_samples,
    save_image,
    table_of_mixtures,
    to_image,
    to_uint8,
)
from gan_lab.files import create_folder, write_text
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.direction_file import read_directions, space_of_directions
from gan_lab.sampling.mixing import mix_styles
from gan_lab.sampling.pretrained import Given, PretrainedGenerator, load
from gan_lab.sampling.spaces import space_named

BATCH_SIZE = 64
"""Samples that are shifted along a direction at a time."""


@dataclass(frozen=True)
class SampleFiles:
    """Samples and the files they were written to.

    Attributes:
        samples: float32 (n, C, H, W) in [-1, 1], or points (n, d).
        folder: Holds the grid and, with `files=true`, a file for each sample.
        grid: The figure of all samples, with `mixing` also of their sources.
        checkpoint: The file of the generator.
        images_seen: Real images seen in training.
        weights: `ema` or `raw`.
    """

    samples: Tensor
    folder: Path
    grid: Path
    checkpoint: Path
    images_seen: int
    weights: str

    def __str__(self) -> str:
        return (
            f"{len(self.samples)} samples of {named(self.checkpoint)} after {self.images_seen:,} images, "
            f"{self.weights} weights: {self.grid}"
        )


def sample(cfg: DictConfig) -> SampleFiles:
    """Write `grid.png`, and with `files=true` a file for each sample (for points one CSV file), into a new folder.

    With labels, the samples are sorted by class; with `generator`, by generator. With `direction`, each is shifted by
    the same step. With `mixing`, the samples have mixed styles, and the grid has their sources in its first row and
    column; the labels are those of the sources, from left to right, then downwards.

    Raises:
        UserError: The run or a value cannot be used, or the folder contains files.
    """
    out = None if cfg.out is None else Path(cfg.out)
    if out is not None:
        refuse_used_folder(out)
    run = run_named(cfg.run)
    loaded = load(run, cfg.weights, device_named(cfg.device))
    adjusted = loaded.adjusted(
        cfg.truncation, cfg.truncation_form, cfg.batch_norm, cfg.seed, cfg.truncation_cutoff, cfg.noise
    )
    samples, grid = (_plain if cfg.mixing is None else _mixed)(adjusted, cfg)
    folder = create_folder(out or folder_of_outputs(run) / "samples" / _name(cfg, loaded))
    save_image(grid, folder / "grid.png")
    if cfg.files:
        _write_files(samples, folder)
    return SampleFiles(samples, folder, folder / "grid.png", loaded.path, loaded.images_seen, cfg.weights)


def _plain(loaded: PretrainedGenerator, cfg: DictConfig) -> tuple[Tensor, Image.Image]:
    """Samples and their grid, with the names of the classes beside its rows."""
    given = loaded.conditions_in_rows(cfg.labels, cfg.generator, cfg.count)
    samples = loaded.sample(cfg.count, cfg.seed, given) if cfg.direction is None else _shifted(loaded, given, cfg)
    if given is None:
        return samples, draw_samples(samples, cfg.columns)
    return samples, draw_by_class(samples, given, loaded.condition.names(loaded.classes), cfg.columns)


def _shifted(loaded: PretrainedGenerator, given: Given, cfg: DictConfig) -> Tensor:
    """The samples after a step along a direction of a file.

    Raises:
        UserError: The file cannot be used, is of another generator, or has no direction of this number.
    """
    file = Path(cfg.direction)
    space = space_named(space_of_directions(file), loaded)
    points, condition = space.draw(cfg.count, cfg.seed, given)
    step = cfg.distance * read_directions(file, space.name, points.shape[1]).along(cfg.number)
    return torch.cat([samples for samples, _ in space.chunks(points + step, condition, BATCH_SIZE)])


def _mixed(loaded: PretrainedGenerator, cfg: DictConfig) -> tuple[Tensor, Image.Image]:
    """Samples of mixed styles, and a grid of them and of their sources.

    Raises:
        ConfigError: The last row is not complete.
    """
    columns = cfg.columns or ceil(sqrt(cfg.count))
    rows, rest = divmod(cfg.count, columns)
    if rest:
        raise ConfigError(
            f"count={cfg.count} is not allowed: with mixing and {columns} columns, give a multiple of it."
        )
    given = loaded.conditions_in_rows(cfg.labels, cfg.generator, columns + rows)
    found = mix_styles(loaded, cfg.mixing, rows, columns, cfg.seed, given)
    return found.mixed, table_of_mixtures(found.columns, found.rows, found.mixed)


def _name(cfg: DictConfig, loaded: PretrainedGenerator) -> str:
    form = loaded.form_of_truncation(cfg.truncation_form)
    return samples_name(
        cfg.seed,
        cfg.labels,
        cfg.truncation,
        form,
        cfg.weights,
        cfg.batch_norm,
        cfg.truncation_cutoff,
        cfg.noise,
        cfg.mixing,
        cfg.generator,
        None if cfg.direction is None else (cfg.number, cfg.distance),
    )


def _write_files(samples: Tensor, folder: Path) -> None:
    if samples.dim() == 2:
        lines = [",".join(f"{value:.6g}" for value in point) for point in samples.tolist()]
        write_text(folder / "points.csv", "\n".join(lines) + "\n")
        return
    digits = len(str(len(samples) - 1))
    for k, image in enumerate(to_uint8(samples).to(torch.uint8)):
        save_image(to_image(image), folder / f"{k:0{digits}d}.png", durable=False)
