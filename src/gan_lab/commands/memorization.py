"""Memorization test of a checkpoint: a figure of its samples beside their nearest training images, and numbers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from gan_lab.analysis.neighbors import Memorization, Nearest, Numbering, nearest
from gan_lab.analysis.neighbors import memorization as measure_memorization
from gan_lab.commands.inputs import RealImages, Trained, check_size, device_named, size_of_samples, with_data_of
from gan_lab.commands.outputs import folder_of_outputs
from gan_lab.config.build import instantiate
from gan_lab.config.default_extractor import check_extractor
from gan_lab.figures import enlarged, save_image, sheet
from gan_lab.files import write_text
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.metrics.protocol import MeasurementProtocol
from gan_lab.progress import progress
from gan_lab.reports.tables import aligned
from gan_lab.runs.latest import run_named
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.version import __version__

_IMAGE_SIZE = 128  # pixels, of an image in the figure


@dataclass(frozen=True)
class Training:
    """Features of the training images.

    Attributes:
        features: float32 (n, d), or (2n, d) with the mirror images in the second half.
        image_numbers: Number of each row's image, int64, the same for equal images.
        names: Names of the n images.
    """

    features: Tensor
    image_numbers: Tensor
    names: list[str]

    def name(self, row: int) -> str:
        """Name of the image of a feature row."""
        mirrored = " (mirrored)" if row >= len(self.names) else ""
        return self.names[row % len(self.names)] + mirrored


@dataclass(frozen=True)
class MemorizationResult:
    """Distances between samples and their nearest training images.

    Attributes:
        found: Distances and ratios, and those of held-out real images.
        protocol: Protocol of the measurement.
        rows: For each sample of the figure, its nearest training images with their distances.
        folder: Holds `memorization.json` and `memorization.png`.
    """

    found: Memorization
    protocol: MeasurementProtocol
    rows: list[dict[str, Any]]
    folder: Path

    def __str__(self) -> str:
        written = f"Written to {self.folder}: memorization.json, memorization.png."
        return "\n".join([*_table(self.found), f"Protocol: {self.protocol}.", written])


def memorization(cfg: DictConfig) -> MemorizationResult:
    """Compare samples with the training images by a composed `memorization` config; write the figure and the numbers.

    Raises:
        UserError: A value, the run or the data cannot be used.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device)
    complete = with_data_of(cfg, loaded.config)
    check_extractor(complete, complete.get("dataset"))
    check_size(complete.get("dataset") or OmegaConf.create(), *size_of_samples(loaded.config))
    data = RealImages(complete, trained=Trained.of(cfg, loaded.config))
    extractor = instantiate(complete.extractor, "extractor").to(device)
    mirrored = bool(complete.dataset.get("flip", False)) if cfg.mirrored is None else cfg.mirrored
    with value_errors_as_config_errors():
        training = _training(data, extractor, mirrored, cfg.batch_size, device)
        chunks = loaded.chunks(cfg.samples, cfg.seed, batch_size=cfg.batch_size)
        batches = -(-cfg.samples // cfg.batch_size)
        features = torch.cat([extractor(images) for images, _ in progress(chunks, "features of samples", batches)])
        found = measure_memorization(features, training.features, training.image_numbers, cfg.samples, cfg.seed)
        chosen = found.distances.argsort(stable=True)[: cfg.count]  # the nearest samples, which may be copies
        near = nearest(features[chosen], training.features, cfg.nearest)
    folder = Path(cfg.out) if cfg.out is not None else folder_of_outputs(path)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = chosen.cpu()
    save_image(_figure(loaded, data, training, chosen, near, cfg), folder / "memorization.png")
    protocol = _protocol(cfg, loaded, extractor, found, mirrored)
    rows = _rows(training, chosen, near)
    record = {**_numbers(found), "protocol": protocol.to_json(), "rows": rows}
    write_text(folder / "memorization.json", json.dumps(record, indent=2) + "\n")
    return MemorizationResult(found, protocol, rows, folder)


def _training(
    data: RealImages, extractor: nn.Module, mirrored: bool, batch_size: int, device: torch.device
) -> Training:
    """Features of all training images, and of their mirror images if training used them."""
    numbering, names = Numbering(mirrored), []
    features, mirrors, numbers = [], [], []
    for images, called in progress(data.named(batch_size), "features of the training images"):
        images = images.to(device)
        features.append(extractor(images))
        if mirrored:
            mirrors.append(extractor(images.flip(-1)))
        numbers.append(numbering(images))
        names += called
    return Training(torch.cat(features + mirrors), torch.cat(numbers * (1 + mirrored)).to(device), names)


def _figure(
    loaded: PretrainedGenerator, data: RealImages, training: Training, chosen: Tensor, near: Nearest, cfg: DictConfig
) -> Image.Image:
    """A row for each chosen sample: the sample and its nearest training images with their distances."""
    latents, labels = loaded.draw(cfg.samples, cfg.seed)
    samples = loaded.samples_of(latents[chosen], None if labels is None else labels[chosen]).cpu()
    count = len(training.names)
    images = data.at([row % count for row in near.indices.flatten().tolist()], cfg.batch_size)
    rows, captions = [], []
    for number, sample, places, distances in zip(
        chosen.tolist(), samples, near.indices.tolist(), near.distances.tolist(), strict=True
    ):
        shown = [images[row % count].flip(-1) if row >= count else images[row] for row in places]
        rows.append(("", [enlarged(image, _IMAGE_SIZE) for image in (sample, *shown)]))
        captions.append([f"sample {number}", *(f"{distance:.4g}" for distance in distances)])
    return sheet(rows, ["sample", "nearest", *(f"no. {k}" for k in range(2, cfg.nearest + 1))], _IMAGE_SIZE, captions)


def _numbers(found: Memorization) -> dict[str, float]:
    names = ("distance", "baseline_distance", "ratio", "closer", "baseline_closer", "copies", "baseline_copies")
    return {name: getattr(found, name) for name in names}


def _protocol(
    cfg: DictConfig, loaded: PretrainedGenerator, extractor: Any, found: Memorization, mirrored: bool
) -> MeasurementProtocol:
    return MeasurementProtocol(
        samples=cfg.samples,
        weights=cfg.weights,
        seed=cfg.seed,
        images_seen=loaded.images_seen,
        batch_norm="running",
        version=__version__,
        extractor=getattr(extractor, "name", type(extractor).__name__),
        extractor_fingerprint=getattr(extractor, "fingerprint", None),
        extractor_preprocessing=getattr(extractor, "preprocessing", None),
        options={
            "training_images": found.training_images,
            "baseline_images": found.baseline_images,
            "mirrored": mirrored,
        },
    )


def _rows(training: Training, chosen: Tensor, near: Nearest) -> list[dict[str, Any]]:
    """The rows of the figure as data."""
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


def _table(found: Memorization) -> list[str]:
    """Table of the numbers of samples and of held-out training images."""
    values = [
        ("mean distance to the nearest training image", found.distance, found.baseline_distance, "0"),
        ("ratio of the two", found.ratio, 1.0, "0"),
        ("fraction nearer to it than its own neighbor is", found.closer, found.baseline_closer, "1"),
        ("fraction nearer than a third of that", found.copies, found.baseline_copies, "1"),
    ]
    rows = [[name, f"{value:.4g}", f"{baseline:.4g}", copies] for name, value, baseline, copies in values]
    return aligned([["", "samples", "real images", "copies"], *rows])
