"""`gan-lab duplicates`: list of near-duplicates that training can exclude, and a figure of pairs."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image

from gan_lab.analysis.duplicates import Duplicates, hash_duplicates, near_duplicates, usual_distance
from gan_lab.analysis.neighbors import Numbering
from gan_lab.analysis.semantic_hash import Hashing, semantic_hashes, thumbnails
from gan_lab.commands.inputs import RealImages, device_named
from gan_lab.config.build import instantiate
from gan_lab.config.default_extractor import check_extractor, with_default_extractor
from gan_lab.data.exclude import COLUMN
from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, evenly, save_image, sheet
from gan_lab.files import write_text
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.progress import progress

THRESHOLD_FACTOR = 0.5
"""Default threshold of method=extractor, as a multiple of the median distance to the nearest image."""

_IMAGE_SIZE = 128  # pixels, of an image in the figure
_PAIRS = 3  # in a row of the figure
_LETTERS = 15  # of a name below an image


@dataclass(frozen=True)
class DuplicateList:
    """The near-duplicates of a data set.

    Attributes:
        found: Positions of the dropped images and of the kept ones they duplicate, and their distances.
        names: Names of all images.
        method: Description of the method.
        folder: Holds `duplicates.csv` and, if there are any, `duplicates.png`.
    """

    found: Duplicates
    names: list[str]
    method: str
    folder: Path

    def __str__(self) -> str:
        return "\n".join(_summary(self.found, self.names, self.method, self.folder))


def duplicates(cfg: DictConfig) -> DuplicateList:
    """Find near-duplicates by a composed `duplicates` config; write `duplicates.csv` and, if any, `duplicates.png`.

    Raises:
        UserError: A value or the data cannot be used.
    """
    data = RealImages(cfg, "choose the data set to search, as in dataset=digits")
    with value_errors_as_config_errors():
        found, names, way = METHODS[cfg.method](cfg, data, device_named(cfg.device))
    folder = Path(cfg.out)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(found, names, folder / "duplicates.csv")
    figure = folder / "duplicates.png"
    if len(found.dropped):
        save_image(_figure(found, names, data, cfg), figure)
    else:
        figure.unlink(missing_ok=True)  # from an earlier call
    return DuplicateList(found, names, way, folder)


def _by_hash(cfg: DictConfig, data: RealImages, device: torch.device) -> tuple[Duplicates, list[str], str]:
    """Find them by hashes of an autoencoder trained on the set; the distance is the number of differing bits."""
    bits = cfg.threshold or 0
    if bits != int(bits) or bits < 0:
        raise ConfigError(
            f"threshold={bits} is not allowed: for method=autoencoder it must be a whole number of bits, at least 0."
        )
    hashing = Hashing(epochs=cfg.epochs, seed=cfg.seed)
    parts, names = [], []
    for images, called in progress(data.named(cfg.batch_size), "images"):
        parts.append(thumbnails(images))
        names += called
    found = hash_duplicates(semantic_hashes(torch.cat(parts), hashing, device), int(bits))
    limit = f"at most {int(bits)} of {hashing.bits} bits differ" if bits else f"all {hashing.bits} bits are the same"
    return found, names, f"hashes of an autoencoder, {hashing.epochs} epochs, seed {hashing.seed}, of which {limit}"


def _by_features(cfg: DictConfig, data: RealImages, device: torch.device) -> tuple[Duplicates, list[str], str]:
    """Find them by the distance in the feature space of an extractor."""
    cfg = with_default_extractor(cfg)
    check_extractor(cfg, cfg.get("dataset"))
    if cfg.threshold is not None and cfg.threshold <= 0:
        raise ConfigError(f"threshold={cfg.threshold} is not allowed: it must be greater than 0, or null.")
    extractor, numbering = instantiate(cfg.extractor, "extractor").to(device), Numbering()
    parts, numbers, names = [], [], []
    for images, called in progress(data.named(cfg.batch_size), "images"):
        parts.append(extractor(images.to(device)))
        numbers.append(numbering(images))
        names += called
    features = torch.cat(parts)
    threshold, source = cfg.threshold, ""
    if threshold is None:
        threshold = THRESHOLD_FACTOR * usual_distance(features, torch.cat(numbers), seed=cfg.seed)
        source = f", {THRESHOLD_FACTOR:g} of the median distance to the nearest image"
    space = f"{extractor.name} ({extractor.fingerprint}, {extractor.preprocessing})"
    way = f"at most {threshold:.4g}{source}, in the space of {space}"
    return near_duplicates(features, threshold), names, way


METHODS = {"autoencoder": _by_hash, "extractor": _by_features}
"""Choices of `method`."""


def _summary(found: Duplicates, names: Sequence[str], way: str, folder: Path) -> list[str]:
    many = f"{len(found.dropped):,} of {len(names):,} images"
    if not len(found.dropped):
        return [f"{many} are near-duplicates: {way}.", f"Written to {folder}: duplicates.csv."]
    return [
        f"{many} are near-duplicates of an earlier image, which is kept: {way}.",
        f"Nothing was changed; dataset.exclude={folder}/duplicates.csv trains without them.",
        f"Written to {folder}: duplicates.csv, duplicates.png.",
    ]


def _write_csv(found: Duplicates, names: Sequence[str], file: Path) -> None:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow([COLUMN, "kept", "distance"])
    for dropped, kept, distance in zip(*(column.tolist() for column in found), strict=True):
        writer.writerow([names[dropped], names[kept], f"{distance:.6g}"])
    write_text(file, lines.getvalue())


def _figure(found: Duplicates, names: Sequence[str], data: RealImages, cfg: DictConfig) -> Image.Image:
    """Pairs of kept and dropped images, at even steps from the nearest to the farthest pair."""
    order = found.distances.argsort(stable=True)
    chosen = evenly(order.tolist(), max(2, cfg.count))[: cfg.count]
    pairs = [(int(found.kept[k]), int(found.dropped[k]), float(found.distances[k])) for k in chosen]
    images = data.at([position for kept, dropped, _ in pairs for position in (kept, dropped)], cfg.batch_size)
    rows, captions = [], []
    for first in range(0, len(pairs), _PAIRS):
        row = pairs[first : first + _PAIRS]
        rows.append(("", [enlarged(images[position], _IMAGE_SIZE) for pair in row for position in pair[:2]]))
        captions.append([text for kept, _, distance in row for text in (_short(names[kept]), f"at {distance:.4g}")])
    return sheet(rows, ["kept", "dropped"] * min(_PAIRS, len(pairs)), _IMAGE_SIZE, captions)


def _short(name: str) -> str:
    """The last part of a path, shortened."""
    last = name.rpartition("/")[2]
    return last if len(last) <= _LETTERS else f"{last[: _LETTERS - 1]}…"
