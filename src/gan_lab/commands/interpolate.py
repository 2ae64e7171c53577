"""`gan-lab interpolate`: animation of a walk through the latents or styles of a checkpoint."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from math import pi, sin
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.commands.inputs import device_named
from gan_lab.commands.outputs import folder_of_outputs, samples_name
from gan_lab.config.early_checks import ends_of_walk
from gan_lab.errors import ConfigError
from gan_lab.figures import draw_by_class, draw_samples, gif_of, image_grid, save_image
from gan_lab.files import atomic_write, unused_path
from gan_lab.layers.labeled import averaged_in_mixtures
from gan_lab.layers.style_mapping import has_styles
from gan_lab.noise import Noise, mix
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.direction_file import read_directions
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.spaces import space_named
from gan_lab.sampling.walks import StepLengths, closed_spline, number_of_points, samples_between

Writer = Callable[[Path, Iterator[Image.Image], float], None]
"""Writes frames to a file, at the given frames per second."""

SHEET_COLUMNS, SHEET_SIZE = 9, 1280
"""Columns of a sheet by default, and its approximate longer width or height in pixels."""

_PATH = 0x50415448
"""Noise key of the walks: an arbitrary constant."""


@dataclass(frozen=True)
class Animation:
    """A walk through latents or styles, written to a file.

    Attributes:
        file: The GIF or MP4, or the PNG of a sheet.
        frames: Number of frames, or of columns of the sheet.
        count: Samples in each frame.
        checkpoint: The file of the generator.
        images_seen: Real images seen in training.
        weights: `ema` or `raw`.
        largest_step: Largest change of a sample from one frame to the next, divided by its mean change, over all
            samples; see `StepLengths`. None if nothing changes.
        averaged: What the generator averages between two classes; empty for other walks.
    """

    file: Path
    frames: int
    count: int
    checkpoint: Path
    images_seen: int
    weights: str
    largest_step: float | None = None
    averaged: Sequence[str] = ()

    def __str__(self) -> str:
        largest = self.largest_step
        steps = "" if largest is None else f", largest step of a sample {largest:.1f} times its mean step"
        averaged = f", between classes the generator averages {' and '.join(self.averaged)}" if self.averaged else ""
        return (
            f"{self.frames} frames of {self.count} samples of {named(self.checkpoint)} after {self.images_seen:,} "
            f"images, {self.weights} weights{averaged}{steps}: {self.file}"
        )


def interpolate(cfg: DictConfig) -> Animation:
    """Write the animation that a composed `interpolate` config describes.

    Raises:
        UserError: A value, the run or the file cannot be used.
    """
    path = run_named(cfg.run)
    loaded = load(path, cfg.weights, device_named(cfg.device))
    if cfg.space == "w" and not has_styles(loaded.generator):
        raise ConfigError(
            f"space=w needs a generator with styles, and that of {named(loaded.path)} has none; set space=z."
        )
    loaded = loaded.adjusted(
        cfg.truncation,
        cfg.truncation_form,
        seed=cfg.seed,
        truncation_cutoff=cfg.truncation_cutoff,
        noise=cfg.noise,
    )
    file = _file(cfg, path, loaded)
    write = _writer(file)
    walk = _walk(loaded, cfg)
    file.parent.mkdir(parents=True, exist_ok=True)
    steps = StepLengths()
    if write is None:
        columns = cfg.columns or SHEET_COLUMNS
        parts = list(_recorded(walk.sheet(columns), loaded, steps))
        save_image(image_grid(torch.stack(parts, 1).flatten(0, 1), columns, SHEET_SIZE), file)
        frames, count = columns, len(parts[0])
    else:
        frames = _number_of_frames(cfg)
        count = cfg.count if walk.count is None else walk.count
        write(file, map(walk.draw, _recorded(walk.frames(frames), loaded, steps)), cfg.fps)
    largest = steps.largest_over_mean
    return Animation(file, frames, count, loaded.path, loaded.images_seen, cfg.weights, largest, walk.averaged)


def _file(cfg: DictConfig, run: Path, loaded: PretrainedGenerator) -> Path:
    """The file to write, which does not exist.

    Raises:
        ConfigError: `out` exists.
    """
    if cfg.out is not None:
        if Path(cfg.out).exists():
            raise ConfigError(f"out={cfg.out} exists already: give another name.")
        return Path(cfg.out)
    form = loaded.form_of_truncation(cfg.truncation_form)
    name = samples_name(
        cfg.seed,
        cfg.labels,
        cfg.truncation,
        form,
        cfg.weights,
        truncation_cutoff=cfg.truncation_cutoff,
        noise=cfg.noise,
        generator=cfg.generator,
    )
    walk = "walk" if cfg.space == "z" else f"walk_{cfg.space}"
    walk = walk if ends_of_walk(cfg) is None else re.sub(r"[^\w.-]+", "_", f"{walk}_from_{cfg['from']}_to_{cfg.to}")
    walk = walk if cfg.direction is None else f"{walk}_direction_{cfg.number}"
    return unused_path(folder_of_outputs(run) / "samples" / f"{walk}_{name}.gif")


@dataclass(frozen=True)
class Walk:
    """A walk of samples.

    Attributes:
        frames: Number of frames to the samples (n, ...) of each; the last frame leads back to the first.
        sheet: Number of columns to the samples (n, ...) of each: from one end to the other, or along the closed walk.
        draw: Draws the samples of a frame.
        count: Number of samples in a frame; None for `count` of the config.
        averaged: What the generator averages between classes.
    """

    frames: Callable[[int], Iterator[Tensor]]
    sheet: Callable[[int], Iterator[Tensor]]
    draw: Callable[[Tensor], Image.Image]
    count: int | None = None
    averaged: Sequence[str] = ()


def _walk(loaded: PretrainedGenerator, cfg: DictConfig) -> Walk:
    """The walk that a config describes.

    Raises:
        ConfigError: The labels, the direction or the ends do not fit the generator.
    """
    if (ends := ends_of_walk(cfg)) is not None:
        return _walk_between_ends(loaded, cfg, *ends)
    chosen = loaded.conditions_in_rows(cfg.labels, cfg.generator, cfg.count)
    _, given = loaded.draw(cfg.count, cfg.seed, chosen)
    draw = partial(draw_samples, columns=cfg.columns)
    if chosen is not None:
        names = loaded.condition.names(loaded.classes)
        draw = partial(draw_by_class, labels=chosen, classes=names, columns=cfg.columns)
    walk = _walk_in_styles if cfg.space == "w" else _walk_in_latents
    walk = walk if cfg.direction is None else _walk_along_a_direction
    frames = partial(walk, loaded, given, cfg)

    def sheet(columns: int) -> Iterator[Tensor]:
        number = max(columns, _number_of_frames(cfg))
        wanted = {round(column * number / columns) for column in range(columns)}
        return (samples for frame, samples in enumerate(frames(number)) if frame in wanted)

    return Walk(frames, sheet, draw)


def _number_of_frames(cfg: DictConfig) -> int:
    return max(2, round(cfg.seconds * cfg.fps))


def _recorded(frames: Iterator[Tensor], loaded: PretrainedGenerator, steps: StepLengths) -> Iterator[Tensor]:
    """The samples of each frame on the CPU, whose distances to those before are recorded.

    Raises:
        ConfigError: They are points.
    """
    for samples in frames:
        if samples.dim() != 4:
            raise ConfigError(f"{named(loaded.path)} generates points: gan-lab interpolate is for images.")
        steps.add(samples)
        yield samples.cpu()


def _walk_between_ends(
    loaded: PretrainedGenerator, cfg: DictConfig, kind: str, first: int | str, second: int | str
) -> Walk:
    """A walk from `from` to `to` and back: of one sample, of the samples of a seed, or from class to class."""
    space = space_named(cfg.space, loaded)
    if kind == "class":
        labels = [loaded.conditions_in_rows(label, None, cfg.count) for label in (first, second)]
        ends = [space.draw(cfg.count, cfg.seed, each) for each in labels]
        averaged = averaged_in_mixtures(loaded.generator) if space.name == "z" else ["styles"]
        if not averaged:
            raise ConfigError(
                f"from={cfg['from']} needs a generator that averages what it makes of labels, and that of "
                f"{named(loaded.path)} takes one label for each sample: give from= and to= as samples or seeds."
            )
    elif kind == "seed":
        given = loaded.conditions_in_rows(cfg.labels, cfg.generator, cfg.count)
        ends, averaged = [space.draw(cfg.count, int(seed), given) for seed in (first, second)], []
    else:
        numbers = [int(first), int(second)]
        count = max(numbers) + 1
        points, condition = space.draw(count, cfg.seed, loaded.conditions_in_rows(cfg.labels, cfg.generator, count))
        ends = [(points[n : n + 1], None if condition is None else condition[n : n + 1]) for n in numbers]
        averaged = []
    between = partial(samples_between, space, ends)
    return Walk(
        frames=lambda number: between(1 - (1 - 2 * torch.arange(number) / number).abs()),
        sheet=lambda columns: between(torch.linspace(0, 1, columns)),
        draw=partial(draw_samples, columns=cfg.columns),
        count=len(ends[0][0]),
        averaged=averaged,
    )


def _walk_in_latents(
    loaded: PretrainedGenerator, given: Tensor | None, cfg: DictConfig, frames: int
) -> Iterator[Tensor]:
    """Samples of each frame, whose latents have the distribution of the prior."""
    noise = Noise(mix(cfg.seed, _PATH), cfg.count)
    for latents in loaded.latent.closed_path(noise, frames, cfg.smoothing * cfg.fps):
        yield loaded.samples_of(latents, given)


def _walk_in_styles(
    loaded: PretrainedGenerator, given: Tensor | None, cfg: DictConfig, frames: int
) -> Iterator[Tensor]:
    """Samples of each frame, whose styles are on a closed spline through those of latents of the prior."""
    keys = [mix(cfg.seed, _PATH, number) for number in range(number_of_points(frames, cfg.smoothing * cfg.fps))]
    points = [loaded.styles(loaded.latent.sample(Noise(key, cfg.count)), given) for key in keys]
    stacked = torch.stack(points)  # (points, n, layers, style_dim)
    for weights in closed_spline(len(points), frames).to(stacked.device):
        yield loaded.generate_from_styles(torch.tensordot(weights, stacked, 1), given)


def _walk_along_a_direction(
    loaded: PretrainedGenerator, given: Tensor | None, cfg: DictConfig, frames: int
) -> Iterator[Tensor]:
    """Samples of each frame, whose points go up and down along a direction of a file, from where they are and back.

    Raises:
        UserError: The file cannot be used, or has no direction of this number.
    """
    space = space_named(cfg.space, loaded)
    points, _ = space.draw(cfg.count, cfg.seed, given)
    found = read_directions(Path(cfg.direction), space.name, points.shape[1])
    step = cfg.distance * found.along(cfg.number)
    for frame in range(frames):
        yield space.generate(points + sin(2 * pi * frame / frames) * step, given)


def _writer(file: Path) -> Writer | None:
    """The function that writes an animation of this file type; None for a sheet.

    Raises:
        ConfigError: The type is unknown, or its encoder is not installed.
    """
    if file.suffix.lower() == ".gif":
        return _write_gif
    if file.suffix.lower() == ".png":
        return None
    if file.suffix.lower() != ".mp4":
        raise ConfigError(f"out={file} is not allowed: the name must end in .gif, .mp4 or .png.")
    if find_spec("imageio_ffmpeg") is None:
        raise ConfigError(f"out={file} needs an encoder: pip install imageio-ffmpeg, or give a name that ends in .gif.")
    return _write_mp4


def _write_gif(file: Path, frames: Iterator[Image.Image], fps: float) -> None:
    data = gif_of(frames, fps)
    with atomic_write(file) as target:
        target.write(data)


def _write_mp4(file: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """Write H.264 with 4:2:0 colors, which all players support; width and height must be even."""
    import imageio_ffmpeg

    first = next(frames).convert("RGB")
    width, height = (size // 2 * 2 for size in first.size)
    with atomic_write(file) as target:
        writer = imageio_ffmpeg.write_frames(target.name, (width, height), fps=fps, macro_block_size=2, quality=8)
        writer.send(None)
        for frame in (first, *frames):
            writer.send(np.ascontiguousarray(frame.convert("RGB").crop((0, 0, width, height))))
        writer.close()
