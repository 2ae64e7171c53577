"""Metrics of generated images, from a checkpoint or from a folder."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torchmetrics import Metric

from gan_lab import __version__
from gan_lab.config.build import instantiate, instantiate_each
from gan_lab.config.comparing import aligned
from gan_lab.config.load import Loaded, load
from gan_lab.config.sampling import newest_run
from gan_lab.data.base import TrainingData
from gan_lab.data.decode import Decoder
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.raw import RawImages
from gan_lab.errors import ConfigError, DataError
from gan_lab.metrics.measuring import Labelled, append_records, measure, records, to_device
from gan_lab.metrics.reals import learn_reals


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
    if not cfg.evaluation.metrics:
        raise ConfigError("metrics=[] measures nothing: choose some, as in metrics=[fd,pr] extractor=efflite0.")
    device = torch.device(cfg.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    subject = _images(cfg) if cfg.images is not None else _run(cfg, device)
    whole = _with_run(cfg, subject.config)
    metrics: dict[str, Metric] = instantiate_each(whole.evaluation.metrics, "evaluation.metrics")
    to_device(metrics, device)
    start = time.perf_counter()
    learn_reals(metrics, _Data(whole), cfg.evaluation.real_images, cfg.evaluation.batch_size)
    learned = time.perf_counter()
    try:
        values = measure(metrics, ((samples.to(device), labels) for samples, labels in subject.chunks))
    except ValueError as error:
        raise ConfigError(f"{str(error).rstrip('.')}.") from error
    found = records(metrics, values, subject.samples, subject.protocol)
    folder = Path(cfg.out) if cfg.out is not None else subject.folder
    _write(found, folder, subject)
    seconds = f"Real images: {learned - start:.1f} s; generated images: {time.perf_counter() - learned:.1f} s."
    return "\n".join([*_table(found), seconds, f"Written to {folder}: results.json, evaluations.csv."])


class _Data:
    """The real images, which are read only if a metric asks for them."""

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self._data: TrainingData | None = None

    def fingerprint(self) -> str:
        return self._built().fingerprint()

    def reals(self, count: int | None, batch_size: int) -> Iterator[Labelled]:
        return self._built().reals(count, batch_size)

    def _built(self) -> TrainingData:
        if self._data is None:
            if not self.cfg.get("dataset"):
                raise ConfigError(
                    "dataset is not given: images=... needs the real images to compare with, as dataset=mnist."
                )
            self._data = cast(TrainingData, instantiate(self.cfg.dataset, "dataset"))
            self._data.prepare_data()
            self._data.setup("fit")
        return self._data


def _run(cfg: DictConfig, device: torch.device) -> Subject:
    path = newest_run(Path("runs")) if cfg.run == "latest" else Path(cfg.run)
    loaded = load(path, cfg.weights, device)
    protocol = {
        "weights": cfg.weights, "seed": cfg.seed, "images_seen": loaded.images_seen, "batch_norm": "running",
        "version": __version__,
    }  # fmt: skip
    folder = path if path.is_dir() else path.parent
    samples = cfg.evaluation.samples
    chunks = _drawn(loaded, samples, cfg.seed, cfg.evaluation.batch_size)
    return Subject(loaded.config, samples, chunks, folder, protocol, loaded.images_seen, cfg.weights)


def _drawn(loaded: Loaded, count: int, seed: int, batch_size: int) -> Iterator[Labelled]:
    """Samples of a generator, a function of the seed whatever the batch size."""
    latents, labels = loaded.draw(count, seed)
    for k in range(0, count, batch_size):
        part = None if labels is None else labels[k : k + batch_size]
        yield loaded.generate(latents[k : k + batch_size], part), part


def _images(cfg: DictConfig) -> Subject:
    raw = read_image_folder(cfg.images)
    first = raw.load(0)
    side, channels = first.size[0], {"L": 1, "1": 1, "RGB": 3}.get(first.mode, 3)
    path = Path(cfg.images)
    protocol = {"weights": "images", "seed": None, "images_seen": None, "batch_norm": None, "version": __version__}
    chunks = _decoded(raw, side, channels, cfg.evaluation.batch_size)
    folder = path if path.is_dir() else path.parent
    return Subject(OmegaConf.create(), len(raw), chunks, folder, protocol, 0, "images")


def _decoded(raw: RawImages, side: int, channels: int, batch_size: int) -> Iterator[Labelled]:
    """Images as they are: nothing is resized, so that no resizing of ours is measured.

    Raises:
        DataError: An image is not square, or of another size than the first.
    """
    decoder = Decoder(channels, side, "stretch")
    for k in range(0, len(raw), batch_size):
        parts = []
        for position in range(k, min(k + batch_size, len(raw))):
            size = raw.load(position).size
            if size != (side, side):
                raise DataError(
                    f"{raw.name(position)} is {size[0]}x{size[1]} pixels, but {raw.name(0)} is {side} wide: generated images "
                    "must be square and all of one size."
                )
            parts.append(decoder(raw, position))
        labels = None if raw.labels is None else raw.labels[k : k + batch_size]
        yield to_unit_range(torch.stack(parts)), labels


def _with_run(cfg: DictConfig, run: DictConfig) -> DictConfig:
    """The config of the evaluation with the data set of the run, unless another is given."""
    with open_dict(cfg):
        whole = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))
        if not cfg.get("dataset") and "dataset" in run:
            whole.dataset = run.dataset
        return whole


def _write(found: dict[str, dict[str, Any]], folder: Path, subject: Subject) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    append_records(folder / "evaluations.csv", subject.images_seen, subject.weights, found)
    file = folder / "results.json"
    prefix = "eval/raw/" if subject.weights == "raw" else "eval/"
    kept = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(kept | {prefix + key: record for key, record in found.items()}, indent=2) + "\n")


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
