"""Near-duplicates of a data set: a list of what training could leave out, and pairs to look at."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image

from gan_lab.analysis.duplicates import Duplicates, hash_duplicates, near_duplicates, usual_distance
from gan_lab.analysis.neighbours import Numbering
from gan_lab.analysis.semantic_hash import Hashing, semantic_hashes, thumbnails
from gan_lab.config.build import instantiate
from gan_lab.config.checks import Rule, check_rules
from gan_lab.config.inputs import RealImages, device_named
from gan_lab.data.exclude import COLUMN
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import refusals_told
from gan_lab.pictures import enlarged, evenly, sheet

USUAL_PART = 0.5
"""The default threshold of method=extractor, as a part of the usual distance to the nearest image."""

RULES = (
    Rule("count", lambda v: v >= 1, "at least 1"),
    Rule("epochs", lambda v: v >= 1, "at least 1"),
    Rule("batch_size", lambda v: v >= 1, "at least 1"),
)

_SIDE = 128  # pixels, of an image in the picture
_PAIRS = 3  # in a row of the picture
_LETTERS = 15  # of a name below an image


def duplicates(cfg: DictConfig) -> str:
    """Do what a composed `duplicates` config says, and write `duplicates.csv` and, if there are any, `duplicates.png`.

    Returns:
        What to print.

    Raises:
        UserError: A value or the data cannot be used.
    """
    check_rules(cfg, RULES)
    if cfg.method not in METHODS:
        raise ConfigError(f"method={cfg.method} is not known: choose from {', '.join(METHODS)}.")
    data = RealImages(cfg, "choose the set to look through, as in dataset=digits")
    with refusals_told():
        found, names, way = METHODS[cfg.method](cfg, data, device_named(cfg.device))
    folder = Path(cfg.out)
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(found, names, folder / "duplicates.csv")
    picture = folder / "duplicates.png"
    if len(found.dropped):
        _picture(found, names, data, cfg).save(picture)
    else:
        picture.unlink(missing_ok=True)  # of an earlier call
    return "\n".join(_told(found, names, way, folder))


def _by_hash(cfg: DictConfig, data: RealImages, device: torch.device) -> tuple[Duplicates, list[str], str]:
    """By an autoencoder that is trained on the set itself; the distance is the number of bits that differ."""
    bits = cfg.threshold or 0
    if bits != int(bits) or bits < 0:
        raise ConfigError(
            f"threshold={bits} is not allowed: for method=autoencoder it must be a whole number of bits, at least 0."
        )
    hashing = Hashing(epochs=cfg.epochs, seed=cfg.seed)
    parts, names = [], []
    for images, called in data.named(cfg.batch_size):
        parts.append(thumbnails(images))
        names += called
    found = hash_duplicates(semantic_hashes(torch.cat(parts), hashing, device), int(bits))
    limit = f"at most {int(bits)} of {hashing.bits} bits differ" if bits else f"all {hashing.bits} bits are the same"
    return found, names, f"hashes of an autoencoder, {hashing.epochs} epochs, seed {hashing.seed}, of which {limit}"


def _by_features(cfg: DictConfig, data: RealImages, device: torch.device) -> tuple[Duplicates, list[str], str]:
    """By the distance in an extractor's space."""
    if not cfg.extractor:
        raise ConfigError("extractor is not given: method=extractor needs a space, as in extractor=efflite0.")
    if cfg.threshold is not None and cfg.threshold <= 0:
        raise ConfigError(f"threshold={cfg.threshold} is not allowed: it must be greater than 0, or null.")
    extractor, numbering = instantiate(cfg.extractor, "extractor").to(device), Numbering()
    parts, owners, names = [], [], []
    for images, called in data.named(cfg.batch_size):
        parts.append(extractor(images.to(device)))
        owners.append(numbering(images))
        names += called
    features = torch.cat(parts)
    threshold, source = cfg.threshold, ""
    if threshold is None:
        threshold = USUAL_PART * usual_distance(features, torch.cat(owners), seed=cfg.seed)
        source = f", {USUAL_PART:g} of the median distance to the nearest image"
    way = f"at most {threshold:.4g}{source}, in the space of {extractor.name} ({extractor.fingerprint}, {extractor.preprocessing})"
    return near_duplicates(features, threshold), names, way


METHODS = {"autoencoder": _by_hash, "extractor": _by_features}
"""What a user types to what it does."""


def _told(found: Duplicates, names: Sequence[str], way: str, folder: Path) -> list[str]:
    many = f"{len(found.dropped):,} of {len(names):,} images"
    if not len(found.dropped):
        return [f"{many} are near-duplicates: {way}.", f"Written to {folder}: duplicates.csv."]
    return [
        f"{many} are near-duplicates of one before them that is kept: {way}.",
        f"Nothing was changed; dataset.exclude={folder}/duplicates.csv trains without them.",
        f"Written to {folder}: duplicates.csv, duplicates.png.",
    ]


def _write_csv(found: Duplicates, names: Sequence[str], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow([COLUMN, "kept", "distance"])
        for dropped, kept, distance in zip(*(column.tolist() for column in found), strict=True):
            writer.writerow([names[dropped], names[kept], f"{distance:.6g}"])


def _picture(found: Duplicates, names: Sequence[str], data: RealImages, cfg: DictConfig) -> Image.Image:
    """Pairs from the nearest to the farthest, evenly spread: the image that is kept, and the one that is dropped."""
    order = found.distances.argsort(stable=True)
    chosen = evenly(order.tolist(), max(2, cfg.count))[: cfg.count]
    pairs = [(int(found.kept[k]), int(found.dropped[k]), float(found.distances[k])) for k in chosen]
    images = data.at([position for kept, dropped, _ in pairs for position in (kept, dropped)], cfg.batch_size)
    rows, captions = [], []
    for first in range(0, len(pairs), _PAIRS):
        row = pairs[first : first + _PAIRS]
        rows.append(("", [enlarged(images[position], _SIDE) for pair in row for position in pair[:2]]))
        captions.append([text for kept, _, distance in row for text in (_short(names[kept]), f"at {distance:.4g}")])
    return sheet(rows, ["kept", "dropped"] * min(_PAIRS, len(pairs)), _SIDE, captions)


def _short(name: str) -> str:
    """The end of a path, or the beginning of other words."""
    word = name.rpartition("/")[2]
    return word if len(word) <= _LETTERS else f"{word[: _LETTERS - 1]}…"
