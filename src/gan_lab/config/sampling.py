"""Samples of a checkpoint, written to files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    labels: Any,
    truncation: float | None,
    truncation_form: str,
    batch_norm: str,
    out: Path | None,
    columns: int | None,
    files: bool,
    device: str | None,
) -> None:
    """Write `grid.png` and one file for each sample (for points one CSV file), and say where.

    Given labels, the samples of a class follow each other.

    Raises:
        CheckpointError: There is no usable checkpoint at `run`.
        ConfigError: A number is out of range, the device is not there, or the run cannot be sampled so.
    """
    if count < 1:
        raise ConfigError(f"count={count} is not allowed: it must be at least 1.")
    if columns is not None and columns < 1:
        raise ConfigError(f"columns={columns} is not allowed: it must be at least 1, or null for a square.")
    try:
        loaded = load(run, weights, device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={device} cannot be used: {str(error).splitlines()[0]}") from error
    spread_labels = spread(labels, count, loaded.labels.num_classes)
    adjusted = loaded.adjusted(truncation, truncation_form, batch_norm, seed)
    samples = adjusted.sample(count, seed, spread_labels)
    name = f"seed_{seed}" if truncation is None else f"seed_{seed}_{truncation_form}_{truncation:g}"
    folder = out or (run if run.is_dir() else run.parent) / "samples" / name
    folder.mkdir(parents=True, exist_ok=True)
    if spread_labels and columns is None:
        columns = spread_labels.count(spread_labels[0])  # a row for each class
    picture(samples, columns).save(folder / "grid.png")
    if files:
        _write_files(samples, folder)
    print(f"{count} samples of {loaded.path} after {loaded.images_seen:,} images, {weights} weights: {folder}/grid.png")


def spread(labels: Any, count: int, classes: int | None) -> list[int] | None:
    """One label for each of `count` samples from what a user writes, in rows: `null`, a number, a list or `all`.

    Raises:
        ConfigError: It is none of these.
    """
    if labels is None:
        return None
    if labels == "all":
        chosen = list(range(classes or 1))
    else:
        chosen = list(labels) if isinstance(labels, Sequence) and not isinstance(labels, str) else [labels]
    if not chosen or not all(type(label) is int for label in chosen):
        raise ConfigError(f"labels={labels} is not allowed: it must be a number, a list of numbers, all, or null.")
    each = -(-count // len(chosen))
    return [label for label in chosen for _ in range(each)][:count]


def _write_files(samples: Tensor, folder: Path) -> None:
    if samples.dim() == 2:
        lines = [",".join(f"{value:.6g}" for value in point) for point in samples.tolist()]
        (folder / "points.csv").write_text("\n".join(lines) + "\n")
        return
    digits = len(str(len(samples) - 1))
    for k, image in enumerate(to_uint8(samples).to(torch.uint8)):
        to_image(image).save(folder / f"{k:0{digits}d}.png")
