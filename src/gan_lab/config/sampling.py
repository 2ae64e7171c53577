"""Samples of a checkpoint, written to files."""

from pathlib import Path

import torch
from torch import Tensor

from gan_lab.config.load import load
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.pictures import picture, to_image, to_uint8


def newest_run(root: Path) -> Path:
    """The run under `root` whose last checkpoint is the newest.

    Raises:
        CheckpointError: There is none.
    """
    checkpoints = sorted(root.rglob("checkpoints/last.ckpt"), key=lambda file: file.stat().st_mtime)
    if not checkpoints:
        raise CheckpointError(
            f"run=latest finds no run under {root}: train one, or give run=<run folder or checkpoint>."
        )
    return checkpoints[-1].parents[1]


def write_samples(
    run: Path,
    count: int,
    seed: int,
    weights: str,
    out: Path | None,
    columns: int | None,
    files: bool,
    device: str | None,
) -> None:
    """Write `grid.png` and one file for each sample (for points one CSV file), and say where.

    Raises:
        CheckpointError: There is no usable checkpoint at `run`.
        ConfigError: A number is out of range, or the device is not there.
    """
    if count < 1:
        raise ConfigError(f"count={count} is not allowed: it must be at least 1.")
    if columns is not None and columns < 1:
        raise ConfigError(f"columns={columns} is not allowed: it must be at least 1, or null for a square.")
    try:
        loaded = load(run, weights, device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]}") from error
    samples = loaded.sample(count, seed)
    folder = out or (run if run.is_dir() else run.parent) / "samples" / f"seed_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    picture(samples, columns).save(folder / "grid.png")
    if files:
        _write_files(samples, folder)
    print(f"{count} samples of {loaded.path} after {loaded.images_seen:,} images, {weights} weights: {folder}/grid.png")


def _write_files(samples: Tensor, folder: Path) -> None:
    if samples.dim() == 2:
        lines = [",".join(f"{value:.6g}" for value in point) for point in samples.tolist()]
        (folder / "points.csv").write_text("\n".join(lines) + "\n")
        return
    digits = len(str(len(samples) - 1))
    for k, image in enumerate(to_uint8(samples).to(torch.uint8)):
        to_image(image).save(folder / f"{k:0{digits}d}.png")
