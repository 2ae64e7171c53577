"""Whether a checkpoint copies its training images: a picture to look at, and numbers with their protocol."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from gan_lab import __version__
from gan_lab.analysis.neighbours import Memorisation, Nearest, Numbering, memorisation, nearest
from gan_lab.config.build import instantiate
from gan_lab.config.checks import Rule, check_rules
from gan_lab.config.comparing import aligned
from gan_lab.config.inputs import RealImages, device_named, run_named, with_data_of
from gan_lab.config.load import Loaded, load
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import refusals_told
from gan_lab.pictures import enlarged, sheet

RULES = (
    Rule("count", lambda v: v >= 1, "at least 1"),
    Rule("nearest", lambda v: v >= 1, "at least 1"),
    Rule("samples", lambda v: v >= 1, "at least 1"),
    Rule("batch_size", lambda v: v >= 1, "at least 1"),
)

_SIDE = 128  # pixels, of an image in the picture


@dataclass(frozen=True)
class Training:
    """The training images, as they are compared.

    Attributes:
        features: float32 (n, d), or (2n, d) with the mirror images behind.
        owners: The number of each row's image, int64, the same where images are equal.
        names: Of the n images.
    """

    features: Tensor
    owners: Tensor
    names: list[str]

    def name(self, row: int) -> str:
        """What a row of the features shows."""
        mirrored = " (mirrored)" if row >= len(self.names) else ""
        return self.names[row % len(self.names)] + mirrored


def neighbours(cfg: DictConfig) -> str:
    """Do what a composed `neighbours` config says, and write `neighbours.png` and `neighbours.json`.

    Returns:
        What to print: a table, and how the numbers were made.

    Raises:
        UserError: A value, the run or the data cannot be used.
    """
    check_rules(cfg, RULES)
    if cfg.count > cfg.samples:
        raise ConfigError(f"count={cfg.count} is not allowed: it must be at most samples={cfg.samples}.")
    if not cfg.extractor:
        raise ConfigError("extractor is not given: choose the space of the distances, as in extractor=efflite0.")
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device)
    whole = with_data_of(cfg, loaded.config)
    data, extractor = RealImages(whole), instantiate(whole.extractor, "extractor").to(device)
    mirrored = bool(whole.dataset.get("flip", False)) if cfg.mirrored is None else cfg.mirrored
    with refusals_told():
        training = _training(data, extractor, mirrored, cfg.batch_size, device)
        chunks = loaded.chunks(cfg.samples, cfg.seed, batch_size=cfg.batch_size)
        features = torch.cat([extractor(images) for images, _ in chunks])
        found = memorisation(features, training.features, training.owners, cfg.samples, cfg.seed)
        chosen = found.distances.argsort(stable=True)[: cfg.count]  # the nearest, as those are the suspicious ones
        near = nearest(features[chosen], training.features, cfg.nearest)
    folder = Path(cfg.out) if cfg.out is not None else path if path.is_dir() else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    chosen = chosen.cpu()
    _picture(loaded, data, training, chosen, near, cfg).save(folder / "neighbours.png")
    protocol = _protocol(cfg, loaded, extractor, found, mirrored)
    record = {**_numbers(found), "protocol": protocol, "rows": _rows(training, chosen, near)}
    (folder / "neighbours.json").write_text(json.dumps(record, indent=2) + "\n")
    return "\n".join([*_table(found), _words(protocol), f"Written to {folder}: neighbours.json, neighbours.png."])


def _training(
    data: RealImages, extractor: nn.Module, mirrored: bool, batch_size: int, device: torch.device
) -> Training:
    """Features of all training images, and of their mirror images if training showed these too."""
    numbering, names = Numbering(mirrored), []
    features, mirrors, owners = [], [], []
    for images, called in data.named(batch_size):
        images = images.to(device)
        features.append(extractor(images))
        if mirrored:
            mirrors.append(extractor(images.flip(-1)))
        owners.append(numbering(images))
        names += called
    return Training(torch.cat(features + mirrors), torch.cat(owners * (1 + mirrored)).to(device), names)


def _picture(
    loaded: Loaded, data: RealImages, training: Training, chosen: Tensor, near: Nearest, cfg: DictConfig
) -> Image.Image:
    """A row for each chosen sample: itself, and its nearest training images with their distances."""
    latents, labels = loaded.draw(cfg.samples, cfg.seed)
    samples = loaded.generate(latents[chosen], None if labels is None else labels[chosen]).cpu()
    count = len(training.names)
    images = data.at([row % count for row in near.indices.flatten().tolist()], cfg.batch_size)
    rows, captions = [], []
    for number, sample, places, distances in zip(
        chosen.tolist(), samples, near.indices.tolist(), near.distances.tolist(), strict=True
    ):
        shown = [images[row % count].flip(-1) if row >= count else images[row] for row in places]
        rows.append(("", [enlarged(image, _SIDE) for image in (sample, *shown)]))
        captions.append([f"sample {number}", *(f"{distance:.4g}" for distance in distances)])
    return sheet(rows, ["sample", "nearest", *(f"no. {k}" for k in range(2, cfg.nearest + 1))], _SIDE, captions)


def _numbers(found: Memorisation) -> dict[str, float]:
    names = ("distance", "baseline_distance", "ratio", "share", "baseline_share", "copies", "baseline_copies")
    return {name: getattr(found, name) for name in names}


def _protocol(cfg: DictConfig, loaded: Loaded, extractor: Any, found: Memorisation, mirrored: bool) -> dict[str, Any]:
    words = {word: getattr(extractor, word, None) for word in ("fingerprint", "preprocessing")}
    return {
        "samples": cfg.samples, "training_images": found.training_images, "baseline_images": found.baseline_images,
        "mirrored": mirrored, "extractor": getattr(extractor, "name", type(extractor).__name__),
        **{f"extractor_{word}": value for word, value in words.items()},
        "weights": cfg.weights, "seed": cfg.seed, "images_seen": loaded.images_seen, "batch_norm": "running",
        "version": __version__,
    }  # fmt: skip


def _rows(training: Training, chosen: Tensor, near: Nearest) -> list[dict[str, Any]]:
    """The picture in words."""
    return [
        {
            "sample": number,
            "nearest": [
                {"image": training.name(row), "distance": distance}
                for row, distance in zip(places, distances, strict=True)
            ],
        }
        for number, places, distances in zip(
            chosen.tolist(), near.indices.tolist(), near.distances.tolist(), strict=True
        )
    ]


def _table(found: Memorisation) -> list[str]:
    """The numbers beside those of training images that were taken out of the set."""
    values = [
        ("mean distance to the nearest training image", found.distance, found.baseline_distance, "0"),
        ("ratio of the two", found.ratio, 1.0, "0"),
        ("share nearer to it than its own neighbour is", found.share, found.baseline_share, "1"),
        ("share nearer than a third of that", found.copies, found.baseline_copies, "1"),
    ]
    rows = [[name, f"{value:.4g}", f"{baseline:.4g}", copies] for name, value, baseline, copies in values]
    return aligned([["", "samples", "real images", "copies"], *rows])


def _words(protocol: dict[str, Any]) -> str:
    return f"Protocol: {', '.join(f'{key} {value}' for key, value in protocol.items())}."
