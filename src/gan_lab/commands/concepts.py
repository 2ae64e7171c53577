"""Concepts of `gan-lab forget`: masks of samples by a rule, a place, files or a class, and how much samples have."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan_lab.analysis.concepts import mask_by_rule, rectangle_mask
from gan_lab.analysis.occlusion import importance, log_odds, most_important
from gan_lab.commands.classifiers import SampleClassifier
from gan_lab.errors import DataError


@dataclass(frozen=True)
class Concept:
    """What the maps of a generator may draw.

    Attributes:
        name: For titles.
        masks: Samples (n, C, H, W) to masks bool (n, H, W); masks of files are of the first samples.
        score: How much of it samples have: the fraction of pixels that a rule finds, or the mean probability of a
            class; None for a place.
    """

    name: str
    masks: Callable[[Tensor], Tensor]
    score: Callable[[Tensor], float] | None = None


@dataclass(frozen=True)
class ClassOfSamples:
    """A class whose evidence in samples is a concept.

    Attributes:
        classifier: The classifier of samples.
        label: Number of the class.
    """

    classifier: SampleClassifier
    label: int

    def members(self, samples: Tensor) -> Tensor:
        """Whether each sample is classified as the class, bool (n,)."""
        return self.classifier.logits(samples).argmax(1) == self.label

    def probability(self, samples: Tensor) -> float:
        """Mean probability of the class."""
        return self.classifier.logits(samples).softmax(1)[:, self.label].double().mean().item()

    def masks(self, samples: Tensor, patch: float, area: float) -> Tensor:
        """The pixels whose occlusion lowers the odds of the class most, bool (n, H, W); see `most_important`."""
        size = max(1, round(patch * min(samples.shape[2:])))
        values = importance(samples, lambda images: log_odds(self.classifier.logits(images), self.label), size)
        return most_important(values, area)


def concept_of(samples: Tensor, of_class: ClassOfSamples | None, cfg: DictConfig) -> Concept:
    """The concept of a `forget` config.

    Args:
        samples: Whose mean image is that of the rule `different`.
        of_class: The class of `concept.label`.
        cfg: The config.
    """
    given = cfg.concept
    if given.rule is not None:
        mean = samples.mean(0)

        def by_rule(images: Tensor) -> Tensor:
            return mask_by_rule(images, given.rule, given.threshold, mean)

        return Concept(given.rule, by_rule, lambda images: by_rule(images).double().mean().item())
    if of_class is not None:
        title = f"class {of_class.classifier.name(of_class.label)}"
        return Concept(title, lambda images: of_class.masks(images, given.patch, given.area), of_class.probability)
    if given.rectangle is not None:
        return Concept(
            "rectangle", lambda images: rectangle_mask(tuple(given.rectangle), len(images), *images.shape[2:])
        )
    if given.masks is not None:
        return Concept("masks", lambda images: _masks_of_files(Path(given.masks), len(images), *images.shape[2:]))
    return Concept("boxes", lambda images: _masks_of_boxes(Path(given.boxes), len(images), *images.shape[2:]))


def _masks_of_files(folder: Path, count: int, height: int, width: int) -> Tensor:
    if not folder.is_dir():
        raise DataError(f"concept.masks={folder} is not a directory; give a folder of files <number of sample>.png.")
    return torch.stack([_mask_of_file(folder / f"{number}.png", height, width) for number in range(count)])


def _mask_of_file(file: Path, height: int, width: int) -> Tensor:
    """Mask in a PNG file; empty if there is no file."""
    if not file.exists():
        return torch.zeros(height, width, dtype=torch.bool)
    try:
        with Image.open(file) as image:
            mask = torch.from_numpy(np.array(image.convert("L"))) > 127
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"{file} cannot be read as an image.") from error
    if mask.shape != (height, width):
        raise DataError(f"{file} has {mask.shape[1]}x{mask.shape[0]} pixels, but the samples have {width}x{height}.")
    return mask


def _masks_of_boxes(file: Path, count: int, height: int, width: int) -> Tensor:
    """Masks of the boxes in a CSV file."""
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                sample, left, top, right, bottom = (
                    int(row[name]) for name in ("sample", "left", "top", "right", "bottom")
                )
                if 0 <= sample < count and min(left, top) >= 0:
                    masks[sample, top:bottom, left:right] = True
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file} must be a CSV file with whole numbers: sample, left, top, right, bottom.") from error
    return masks
