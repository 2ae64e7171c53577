"""Measurement of samples by metrics, and the files that store the values with their protocol."""

import csv
import io
import json
import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torchmetrics import Metric

from gan_lab.errors import ConfigError, DataError
from gan_lab.files import atomic_write, open_to_append, read_text, set_aside, write_text
from gan_lab.metrics.held_out import Translated
from gan_lab.metrics.naming import values_by_log_key
from gan_lab.metrics.pairwise import PairwiseMetric, compute_pairs
from gan_lab.metrics.protocol import Measurement, MeasurementProtocol, read_results

log = logging.getLogger(__name__)

T = TypeVar("T")

COLUMNS = ("images_seen", "weights", "key", "value", "ideal_value", "protocol")

Labeled = tuple[Tensor, Tensor | None]
"""Samples (n, ...) and their labels, int64 (n,), if there are any."""


def measure(
    metrics: Mapping[str, Metric],
    chunks: Iterable[Labeled | Translated],
    seconds: dict[str, float] | None = None,
) -> dict[str, dict[str, float]]:
    """Values of every metric on the same generated samples.

    Metrics that compare with real samples keep their real statistics. Metrics with `takes_labels` also receive the
    labels, those with `needs_targets` the targets.

    Args:
        metrics: By name.
        chunks: Generated samples and their labels, or with their targets, in chunks.
        seconds: Times are added to it: of generating the `samples`, of updating the metrics (`features`), of
            distances and kernels of pairs of features (`pairs`), and of computing each metric, under its name.

    Returns:
        By metric and by log key without its prefix, such as `kl_symmetric_10k`, which ends with the number of samples.

    Raises:
        ConfigError: A metric cannot be computed on the samples, or needs more of them.
    """
    for metric in metrics.values():
        getattr(metric, "reset_generated", metric.reset)()
    seconds = {} if seconds is None else seconds
    count = 0
    for chunk in _timed(chunks, seconds):
        count += len(chunk[0])
        with value_errors_as_config_errors(), _clock(seconds, "features"):
            for name, metric in metrics.items():
                metric.update(chunk[0], **_extra_inputs(name, metric, chunk))
    if pairwise := [metric for metric in metrics.values() if isinstance(metric, PairwiseMetric)]:
        with value_errors_as_config_errors(), _clock(seconds, "pairs"):
            compute_pairs(pairwise)
    found = {}
    for name, metric in metrics.items():
        with value_errors_as_config_errors(), _clock(seconds, name):
            found[name] = values_by_log_key(name, metric, metric.compute(), count)
    return found


def _extra_inputs(name: str, metric: Metric, chunk: Labeled | Translated) -> dict[str, Tensor | None]:
    """What `update` of a metric takes besides the samples.

    Raises:
        ValueError: The samples have no targets, and the metric needs them.
    """
    if getattr(metric, "needs_targets", False):
        if not isinstance(chunk, Translated) or chunk.targets is None:
            raise ValueError(
                f"metrics={name} compares translations with their targets, and these samples have none: choose another "
                "metric, or train with dataset=paired"
            )
        return {"targets": chunk.targets}
    return {"labels": chunk[1]} if getattr(metric, "takes_labels", False) else {}


def _timed(chunks: Iterable[T], seconds: dict[str, float]) -> Iterator[T]:
    """Yield the chunks, adding the time that each takes to `seconds`."""
    iterator = iter(chunks)
    while True:
        with _clock(seconds, "samples"):
            chunk = next(iterator, None)
        if chunk is None:
            return
        yield chunk


@contextmanager
def _clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the time of the block to `seconds[name]`; unfinished GPU work counts for the block that waits for it."""
    start = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start


def check_samples(metrics: Mapping[str, Metric], samples: int, real_images: int | None) -> None:
    """Check, before there is anything else, that metrics work with a number of samples.

    Args:
        metrics: By name.
        samples: Number of samples.
        real_images: Value of `evaluation.real_images`, for the message.

    Raises:
        ConfigError: There are too few samples for a metric.
    """
    for metric in metrics.values():
        if check := getattr(metric, "check_generated", None):
            with _named_counts(samples, real_images):
                check(samples)


def check_counts(metrics: Mapping[str, Metric], samples: int, labels: Tensor | None, real_images: int | None) -> None:
    """Check, before there are samples, that metrics work with their number, beside the real images that they have.

    Args:
        metrics: By name, with their real statistics.
        samples: Number of samples.
        labels: Labels of the samples, int64 (samples,), if there are any.
        real_images: Value of `evaluation.real_images`, for the message.

    Raises:
        ConfigError: There are too few samples or real images for a metric.
    """
    for metric in metrics.values():
        if check := getattr(metric, "check_counts", None):
            with _named_counts(samples, real_images):
                check(samples, labels)


@contextmanager
def _named_counts(samples: int, real_images: int | None) -> Iterator[None]:
    """Turn a ValueError about numbers of images into a ConfigError that names the keys."""
    try:
        yield
    except ValueError as error:
        real = "null" if real_images is None else real_images
        raise ConfigError(
            f"{str(error).rstrip('.')}: change evaluation.samples={samples} or evaluation.real_images={real}, or "
            "leave the metric out."
        ) from error


@contextmanager
def value_errors_as_config_errors() -> Iterator[None]:
    """Turn a ValueError of a metric, such as too few samples, into a ConfigError.

    Raises:
        ConfigError: A metric raised a ValueError in the block.
    """
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{str(error).rstrip('.')}.") from error


def measurements(
    metrics: Mapping[str, Metric],
    values: Mapping[str, Mapping[str, float]],
    protocol: MeasurementProtocol,
    real: Mapping[str, str | None],
) -> dict[str, Measurement]:
    """Measurements by log key: the value, the value of a perfect sampler if it is known, and the protocol.

    Args:
        metrics: By name, after `measure`. A metric may have `protocol`, the settings that its value depends on, and
            `ideal_values`, the values of a perfect sampler in the form of `compute`.
        values: What `measure` returned.
        protocol: Protocol of the samples.
        real: Protocol entries of the real samples, from `load_or_compute_real_statistics`; for metrics that use them.
    """
    assert protocol.samples is not None
    found: dict[str, Measurement] = {}
    comparing = replace(protocol, **real)  # type: ignore[arg-type]
    for name, metric in metrics.items():
        ideal = values_by_log_key(name, metric, getattr(metric, "ideal_values", dict)(), protocol.samples)
        common = comparing if hasattr(metric, "real_state") else protocol
        if getattr(metric, "uses_classifier", False):
            common = replace(protocol, samples=None, batch_norm=None)
        own = common.of_metric(name, getattr(metric, "protocol", {}))
        found |= {key: Measurement(value, ideal.get(key), own) for key, value in values[name].items()}
    return found


def check_metrics(metrics: Mapping[str, object]) -> None:
    """Refuse what is not a metric of torchmetrics.

    Raises:
        ConfigError: Names the key and the base class.
    """
    for name, metric in metrics.items():
        if not isinstance(metric, Metric):
            raise ConfigError(
                f"evaluation.metrics.{name} is a {type(metric).__name__}, which is not a metric: derive the class from "
                "torchmetrics.Metric."
            )


def append_records(file: Path, images_seen: int, weights: str, found: Mapping[str, Measurement]) -> None:
    """Append a line for each measurement to a CSV file, with the protocol as JSON in the last column."""
    end = _last_byte(file)
    with open_to_append(file) as lines:
        writer = csv.writer(lines)
        if not end:
            writer.writerow(COLUMNS)
        elif end != b"\n":  # half a line, which a full disk has left
            lines.write("\n")
        for key, measurement in found.items():
            numbers = (measurement.to_json()[column] for column in ("value", "ideal_value"))
            writer.writerow([images_seen, weights, key, *numbers, json.dumps(measurement.protocol.to_json())])


def _last_byte(file: Path) -> bytes:
    """Empty if the file is missing or empty."""
    if not (file.is_file() and file.stat().st_size):
        return b""
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        return content.read()


def has_records(file: Path, images_seen: int) -> bool:
    """Whether the CSV file, which may be missing, has measurements at this point."""
    try:
        return any(line.startswith(f"{images_seen},") for line in read_text(file).split("\n"))
    except FileNotFoundError:
        return False


def forget_records(file: Path, images_seen: int, again: Collection[tuple[str, str]] = ()) -> None:
    """Drop the lines after the point from which a run resumes, since the run will write them again.

    Args:
        file: The CSV file; it may be missing.
        images_seen: The point.
        again: Weights and keys of lines at exactly this point that will be written again, too.
    """
    try:
        header, *lines = read_text(file).split("\n")
    except FileNotFoundError:
        return
    rows = [row for line in lines if (row := _record(line))] if header.strip() == ",".join(COLUMNS) else []
    if len(rows) < len([line for line in lines if line.strip()]):
        log.warning("%s has damaged lines: they are left out, and %s is the old file.", file, set_aside(file))
    kept = [
        row
        for row in rows
        if int(row["images_seen"]) < images_seen
        or (int(row["images_seen"]) == images_seen and (row["weights"], row["key"]) not in again)
    ]
    new = io.StringIO(newline="")
    writer = csv.DictWriter(new, COLUMNS)
    writer.writeheader()
    writer.writerows(kept)
    write_text(file, new.getvalue())


def _record(line: str) -> dict[str, str] | None:
    """Cells of a line by column; None if it is not a complete line, as after a full disk."""
    try:
        row = dict(zip(COLUMNS, next(csv.reader([line.rstrip("\r")]), []), strict=True))
        valid = int(row["images_seen"]) >= 0 and isinstance(json.loads(row["protocol"]), dict)
    except (csv.Error, ValueError, RecursionError):
        return None
    return row if valid else None


def forget_results(file: Path, images_seen: int) -> None:
    """Drop the measurements after the point from which a run resumes: they are of weights that no longer exist.

    Args:
        file: The `results.json`; it may be missing or damaged.
        images_seen: The point.
    """
    try:
        found = read_results(file)
    except DataError:
        return
    kept = {key: each for key, each in found.items() if (each.protocol.images_seen or 0) <= images_seen}
    if len(kept) < len(found):
        write_results(file, kept)


def write_results(file: Path, found: Mapping[str, Measurement]) -> None:
    """Write measurements by log key as JSON, atomically; see `read_results`."""
    records = {key: measurement.to_json() for key, measurement in found.items()}
    with atomic_write(file) as target:
        target.write(json.dumps(records, indent=2).encode() + b"\n")


def to_device(metrics: Mapping[str, Metric], device: torch.device) -> None:
    """Transfer metrics to a device and turn off their synchronization, since only one process measures."""
    for metric in metrics.values():
        metric.to(device)
        for part in metric.modules():
            if isinstance(part, Metric):
                part.distributed_available_fn = _not_distributed


def _not_distributed() -> bool:
    return False
