"""From samples to numbers with the protocol that they were made by."""

import csv
import io
import json
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gan_lab.errors import ConfigError
from gan_lab.metrics.cache import whole

COLUMNS = ("images_seen", "weights", "key", "value", "floor", "protocol")

_OF_INCEPTION = {"fd": "fid", "kd": "kid"}

Labelled = tuple[Tensor, Tensor | None]
"""Samples (n, ...) and their labels, int64 (n,), if there are any."""


def measure(
    metrics: Mapping[str, Metric], chunks: Iterable[Labelled], seconds: dict[str, float] | None = None
) -> dict[str, dict[str, float]]:
    """The values of every metric on the same generated samples.

    A metric that compares with real samples keeps what it knows of them. One with `takes_labels` is given the labels too.

    Args:
        metrics: By name.
        chunks: Generated samples and their labels, a part at a time.
        seconds: Is added what went by until the `samples` were there, until the metrics had taken them (`features`), and until
            each metric, by its name, had its value.

    Returns:
        By metric and log key without its prefix, such as `kl_symmetric_10k`, which ends with the number of samples.

    Raises:
        ConfigError: A metric refuses the samples, or needs more of them.
    """
    for metric in metrics.values():
        getattr(metric, "reset_generated", metric.reset)()
    seconds = {} if seconds is None else seconds
    count = 0
    for samples, labels in _timed(chunks, seconds):
        count += len(samples)
        with refusals_told(), _clock(seconds, "features"):
            for metric in metrics.values():
                if getattr(metric, "takes_labels", False):
                    metric.update(samples, labels=labels)
                else:
                    metric.update(samples)
    found = {}
    for name, metric in metrics.items():
        with refusals_told(), _clock(seconds, name):
            found[name] = by_key(log_name(name, metric), metric.compute(), count)
    return found


def _timed(chunks: Iterable[Labelled], seconds: dict[str, float]) -> Iterator[Labelled]:
    """The chunks, with the time that each took to come."""
    iterator = iter(chunks)
    while True:
        with _clock(seconds, "samples"):
            chunk = next(iterator, None)
        if chunk is None:
            return
        yield chunk


@contextmanager
def _clock(seconds: dict[str, float], word: str) -> Iterator[None]:
    """Add the time that the block takes; work that a GPU is still at counts where it is waited for."""
    start = time.perf_counter()
    yield
    seconds[word] = seconds.get(word, 0.0) + time.perf_counter() - start


@contextmanager
def refusals_told() -> Iterator[None]:
    """What a metric says of samples that it cannot measure becomes a mistake of the user.

    Raises:
        ConfigError: A metric raised a ValueError in the block.
    """
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{str(error).rstrip('.')}.") from error


def log_name(name: str, metric: Metric) -> str:
    """`fd_efflite0` for a metric `fd` in the features of `efflite0`; the features of FID and KID give those names."""
    extractor = getattr(metric, "extractor_name", None)
    if extractor is None:
        return name
    return _OF_INCEPTION.get(name, f"{name}_inception") if extractor == "inception" else f"{name}_{extractor}"


def by_key(name: str, values: Tensor | Mapping[str, Tensor], samples: int) -> dict[str, float]:
    """Values of a metric by log key: the name, the name of the value where there are several, and the number of samples."""
    named = {f"{name}_{key}": value for key, value in values.items()} if isinstance(values, Mapping) else {name: values}
    return {f"{key}_{count_word(samples)}": float(value) for key, value in named.items()}


def count_word(samples: int) -> str:
    """10k for 10,000, and 25600 as it is."""
    return f"{samples // 1000}k" if samples % 1000 == 0 else str(samples)


def records(
    metrics: Mapping[str, Metric],
    values: Mapping[str, Mapping[str, float]],
    samples: int,
    protocol: Mapping[str, Any],
    real: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """For each log key the number, what a perfect sampler would get if that is known, and how the number was made.

    A word of a metric's protocol that all numbers have already, such as a seed of its own, gets the metric's name before it.

    Args:
        metrics: By name, as they were measured; one may have `protocol`, the settings that its value depends on, and `floor`,
            the values of a perfect sampler in the form of `compute`.
        values: What `measure` returned.
        samples: Number of generated samples.
        protocol: What all numbers have in common.
        real: What those that compare with real samples have in common beside that, see `learn_reals`.
    """
    found = {}
    for name, metric in metrics.items():
        floors = by_key(log_name(name, metric), getattr(metric, "floor", dict)(), samples)
        common = {"samples": samples, **protocol, **(real if hasattr(metric, "real_state") else {})}
        own = {f"{name}_{word}" if word in common else word: v for word, v in getattr(metric, "protocol", {}).items()}
        for key, value in values[name].items():
            found[key] = {"value": _finite(value), "floor": _finite(floors.get(key)), **common, **own}
    return found


def _finite(value: float | None) -> float | None:
    """JSON has no word for infinity: null stands for it and for NaN."""
    return value if value is not None and math.isfinite(value) else None


def append_records(file: Path, images_seen: int, weights: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Add a line for each number to a CSV file, with its protocol as JSON in the last column."""
    new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.writer(lines)
        if new:
            writer.writerow(COLUMNS)
        for key, record in found.items():
            protocol = {entry: value for entry, value in record.items() if entry not in ("value", "floor")}
            writer.writerow([images_seen, weights, key, record["value"], record["floor"], json.dumps(protocol)])


def forget_records(file: Path, images_seen: int, again: Collection[tuple[str, str]] = ()) -> None:
    """Drop the lines that a run wrote after the point from which it is resumed, as it will write them again.

    Args:
        file: The CSV file, if there is one.
        images_seen: The point.
        again: Weights and keys of lines at the very point that are written again, too.
    """
    if not file.exists():
        return
    with file.open(newline="") as lines:
        rows = [(int(row["images_seen"]), row) for row in csv.DictReader(lines)]
    kept = [
        row
        for seen, row in rows
        if seen < images_seen or (seen == images_seen and (row["weights"], row["key"]) not in again)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(kept)
    with whole(file) as target:
        target.write(text.getvalue().encode())


def write_results(file: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Write records by log key as JSON; whatever happens, the file is complete."""
    with whole(file) as target:
        target.write(json.dumps(found, indent=2).encode() + b"\n")


def to_device(metrics: Mapping[str, Metric], device: torch.device) -> None:
    """Move metrics, and let them take the samples of this process for all there are: one process measures."""
    for metric in metrics.values():
        metric.to(device)
        for part in metric.modules():
            if isinstance(part, Metric):
                part.distributed_available_fn = _alone


def _alone() -> bool:
    return False
