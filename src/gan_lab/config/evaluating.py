"""Metrics of generated images, from a checkpoint or from a folder."""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torchmetrics import Metric

from gan_lab import __version__
from gan_lab.config.build import instantiate_each
from gan_lab.config.checks import Rule, check_rules
from gan_lab.config.comparing import aligned
from gan_lab.config.inputs import RealImages, device_named, run_named, with_data_of
from gan_lab.config.load import Loaded, load
from gan_lab.data.decode import to_tensor
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.raw import RawImages
from gan_lab.errors import ConfigError, DataError
from gan_lab.metrics.measuring import Labelled, append_records, measure, records, to_device, write_results
from gan_lab.metrics.reals import learn_reals

RULES = (
    Rule("evaluation.samples", lambda v: v >= 1, "at least 1"),
    Rule("evaluation.batch_size", lambda v: v >= 1, "at least 1"),
    Rule("evaluation.real_images", lambda v: v is None or v >= 1, "at least 1, or null for all"),
)

GRID = "grid.png"
"""What `gan-lab sample` writes beside the samples, and is none."""

HINT = "images=... and exports need the real images to compare with, as dataset=mnist"
"""What the user is told who gives images or an export and no data set."""

_CHANNELS = {"1": 1, "L": 1}
"""Of the modes of Pillow that are grey; all others become three."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        config: That of the run; empty for a folder of images.
        samples: Number of generated images.
        chunks: The images and their labels, a part at a time.
        folder: Where the numbers are kept by default.
        protocol: What the numbers depend on beside the metrics.
        images_seen: Real images that the run had seen; 0 for a folder of images.
        weights: `ema` or `raw`; `images` for a folder of images.
    """

    config: DictConfig
    samples: int
    chunks: Iterator[Labelled]
    folder: Path
    protocol: dict[str, Any]
    images_seen: int
    weights: str


def evaluate(cfg: DictConfig) -> str:
    """Measure what a composed `evaluate` config describes, and write `results.json` and `evaluations.csv`.

    Returns:
        What to print: a table, and how the numbers were made.

    Raises:
        UserError: A value, the run, the images or the data cannot be used.
    """
    if not any(cfg.evaluation.metrics.values()):
        raise ConfigError("metrics=[] measures nothing: choose some, as in metrics=[fd,pr] extractor=efflite0.")
    check_rules(cfg, RULES)
    device = device_named(cfg.device)
    subject = _images(cfg) if cfg.images is not None else _run(cfg, device)
    whole = with_data_of(cfg, subject.config)
    metrics: dict[str, Metric] = instantiate_each(whole.evaluation.metrics, "evaluation.metrics")
    to_device(metrics, device)
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    real = learn_reals(metrics, RealImages(whole, HINT), cfg.evaluation.real_images, cfg.evaluation.batch_size)
    seconds["real images"] = time.perf_counter() - start
    values = measure(metrics, ((samples.to(device), labels) for samples, labels in subject.chunks), seconds)
    found = records(metrics, values, subject.samples, subject.protocol, real)
    folder = Path(cfg.out) if cfg.out is not None else subject.folder
    _write(found, folder, subject)
    spent = ", ".join(f"{word} {value:.1f}" for word, value in seconds.items())
    return "\n".join([*_table(found), f"Seconds: {spent}.", f"Written to {folder}: results.json, evaluations.csv."])


def _run(cfg: DictConfig, device: torch.device) -> Subject:
    path = run_named(cfg.run)
    loaded = load(path, cfg.weights, device).adjusted(cfg.truncation, cfg.truncation_form, cfg.batch_norm, cfg.seed)
    folder = path if path.is_dir() else path.parent
    samples = cfg.evaluation.samples
    protocol = sampling_protocol(cfg, loaded, cfg.truncation)
    chunks = loaded.chunks(samples, cfg.seed, batch_size=cfg.evaluation.batch_size)
    return Subject(loaded.config, samples, chunks, folder, protocol, loaded.images_seen, cfg.weights)


def sampling_protocol(cfg: DictConfig, loaded: Loaded, truncation: float | None) -> dict[str, Any]:
    """What numbers of a run's samples depend on beside the metrics; `truncation` is null without one."""
    protocol = {
        "weights": cfg.weights, "seed": cfg.seed, "images_seen": loaded.images_seen,
        "batch_norm": f"batch of {cfg.evaluation.batch_size}" if cfg.batch_norm == "batch" else cfg.batch_norm,
        "truncation": truncation, "version": __version__,
    }  # fmt: skip
    return protocol if truncation is None else protocol | {"truncation_form": cfg.truncation_form}


def _images(cfg: DictConfig) -> Subject:
    if cfg.truncation is not None or cfg.batch_norm != "running":
        given = f"batch_norm={cfg.batch_norm}" if cfg.truncation is None else f"truncation={cfg.truncation}"
        raise ConfigError(
            f"{given} is for samples of a run, and images={cfg.images} are there already: give one of them."
        )
    try:
        raw = read_image_folder(cfg.images)
    except DataError as error:
        raise DataError(str(error).replace("dataset.source=", "images=")) from error
    samples = [k for k in range(len(raw)) if Path(raw.name(k)).name != GRID]
    if not samples:
        raise DataError(f"images={cfg.images} holds no samples but {GRID}: gan-lab sample files=true writes them.")
    raw = raw.at(torch.tensor(samples))
    path = Path(cfg.images).expanduser()
    protocol = {
        "weights": "images", "seed": None, "images_seen": None, "batch_norm": None, "truncation": None,
        "version": __version__,
    }  # fmt: skip
    chunks = _decoded(raw, cfg.evaluation.batch_size)
    folder = path if path.is_dir() else path.parent
    return Subject(OmegaConf.create(), len(raw), chunks, folder, protocol, 0, "images")


def _decoded(raw: RawImages, batch_size: int) -> Iterator[Labelled]:
    """Images as they are: nothing is resized, so that no resizing of ours is measured.

    Raises:
        DataError: An image is not square, or of another size than the first, or one is grey and another is not.
    """
    first = raw.load(0)
    side, channels = first.size[0], _CHANNELS.get(first.mode, 3)
    for k in range(0, len(raw), batch_size):
        parts = []
        for position in range(k, min(k + batch_size, len(raw))):
            image = raw.load(position)
            if image.size != (side, side):
                raise DataError(
                    f"{raw.name(position)} is {image.width}x{image.height} pixels, but {raw.name(0)} is {side} wide: generated "
                    "images must be square and all of one size."
                )
            if _CHANNELS.get(image.mode, 3) != channels:
                raise DataError(
                    f"{raw.name(position)} is {image.mode}, but {raw.name(0)} is {first.mode}: generated images must all be "
                    "grey or all be coloured."
                )
            parts.append(to_tensor(image, channels, side, "stretch"))
        labels = None if raw.labels is None else raw.labels[k : k + batch_size]
        yield to_unit_range(torch.stack(parts)), labels


def _write(found: dict[str, dict[str, Any]], folder: Path, subject: Subject) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    append_records(folder / "evaluations.csv", subject.images_seen, subject.weights, found)
    file = folder / "results.json"
    prefix = "eval/raw/" if subject.weights == "raw" else "eval/"
    try:
        kept = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError as error:
        log.warning("%s is no JSON, so only the new numbers are in it now: %s.", file, error)
        kept = {}
    write_results(file, kept | {prefix + key: record for key, record in found.items()})


def _table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The numbers, and below them what all of them have in common and what each has beside that."""
    rows = [["metric", "value", "perfect sampler"]]
    for key, record in found.items():
        rows.append([key, *("" if record[part] is None else f"{record[part]:.5g}" for part in ("value", "floor"))])
    entries = {key: {k: v for k, v in record.items() if k not in ("value", "floor")} for key, record in found.items()}
    first, *others = entries.values()
    shared = {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}
    lines = [*aligned(rows), f"Protocol: {_words(shared)}."]
    told: dict[str, list[str]] = {}
    for key, entry in entries.items():
        if own := {k: v for k, v in entry.items() if k not in shared}:
            told.setdefault(_words(own), []).append(key)
    return [*lines, *(f"{', '.join(keys)}: {words}." for words, keys in told.items())]


def _words(entries: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in entries.items())
