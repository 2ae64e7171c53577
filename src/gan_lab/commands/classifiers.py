"""Classifiers of samples, by name: of the digits of a data set, or the discriminator of a run that classifies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lab.commands.inputs import size_of_samples, with_data_of
from gan_lab.config.build import instantiate
from gan_lab.config.checks import check_dataset
from gan_lab.config.default_extractor import CLASSIFIERS, default_extractor
from gan_lab.config.schema import CONF
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.discriminators import load_discriminator
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.sampling.rows import label_named

_BATCH = 500  # images at a time


@dataclass(frozen=True)
class SampleClassifier:
    """A classifier of samples.

    Attributes:
        network: Images (n, C, H, W) in [-1, 1] to logits (n, classes), on `device`.
        classes: Number of classes, K.
        names: Their names, if they are known.
        device: Device of the network.
        description: What it is, for protocols.
    """

    network: Callable[[Tensor], Tensor]
    classes: int
    names: Sequence[str] | None
    device: torch.device
    description: str

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (n, K) on the CPU for images in [-1, 1] on any device."""
        return torch.cat([self.network(part.to(self.device)).float().cpu() for part in images.split(_BATCH)])

    def label(self, key: str, given: int | str) -> int:
        """Number of the class with this number or name.

        Raises:
            ConfigError: There is none; names the key.
        """
        number = given
        if isinstance(given, str):
            try:
                number = label_named(given, self.names)
            except ConfigError as error:
                raise ConfigError(str(error).replace("labels=", f"{key}=", 1)) from error
        if type(number) is not int or not 0 <= number < self.classes:
            raise ConfigError(
                f"{key}={given} is not allowed: the classifier has {self.classes} classes; give a number from 0 to "
                f"{self.classes - 1}, or a name."
            )
        return number

    def name(self, label: int) -> str:
        """Name of a class, or its number."""
        return str(label) if self.names is None else self.names[label]


def classifier_for(cfg: DictConfig, loaded: PretrainedGenerator, run: Path) -> SampleClassifier:
    """The classifier of a command: `cfg.classifier`, or by default one that fits the data set of the run.

    Args:
        cfg: A config with `classifier`, and `dataset` as in `with_data_of`.
        loaded: The generator whose samples are classified.
        run: Its run folder or file.

    Raises:
        UserError: There is no classifier, or it does not fit the samples or their classes.
    """
    complete = with_data_of(cfg, loaded.config)
    name = cfg.classifier or default_classifier(complete.get("dataset"))
    if name in CLASSIFIERS:
        found = _of_digits(name, complete, loaded)
    else:
        found = _of_discriminator(run if name is None else run_named(name), name, loaded, cfg.allow_targets)
    known = _classes_of(loaded)
    if known is not None and known != found.classes:
        raise ConfigError(
            f"classifier={name} has {found.classes} classes, and the data set of {named(loaded.path)} has {known}: "
            "give one of the same classes."
        )
    return found


def _classes_of(loaded: PretrainedGenerator) -> int | None:
    """Number of classes of the training data; None if it is unknown. An export has names of classes only."""
    known = OmegaConf.select(loaded.config, "dataset.num_classes")
    return len(loaded.classes) if known is None and loaded.classes is not None else known


def default_classifier(dataset: Any) -> str | None:
    """Name of the classifier that fits a data set; None if there is none."""
    choice = default_extractor(dataset)
    return choice if choice in CLASSIFIERS else None


def _of_digits(name: str, complete: DictConfig, loaded: PretrainedGenerator) -> SampleClassifier:
    channels, _ = size_of_samples(loaded.config)
    if channels not in (None, 1):
        raise ConfigError(
            f"classifier={name} is for images with 1 channel, and the samples have {channels}: give a run whose "
            "discriminator classifies, as one of model=acgan."
        )
    check_dataset(complete.get("dataset"), f"classifier={name} is trained on it; choose it, as in dataset={name}")
    holder = OmegaConf.create({"dataset": complete.dataset})
    holder.extractor = OmegaConf.load(CONF / "extractor" / f"{name}.yaml")  # in which ${dataset} refers to the other
    network = instantiate(holder.extractor.extractor.classifier, "classifier").to(loaded.device)
    description = f"classifier of {name} with a test error of {100 * network.test_error:.1f} %"
    return SampleClassifier(network, 10, loaded.classes, loaded.device, description)


def _of_discriminator(
    path: Path, name: str | None, loaded: PretrainedGenerator, allow_targets: Sequence[str]
) -> SampleClassifier:
    """The classifier in a discriminator, of the run itself if it has no name."""
    advice = (
        f"{' or '.join(CLASSIFIERS)} for images of digits, or a run whose discriminator classifies, as one of "
        "model=acgan or semi_supervised"
    )
    missing = f"No classifier fits this data set: give classifier={advice}."
    try:
        other = load_discriminator(path, loaded.device, allow_targets)
    except CheckpointError as error:
        raise ConfigError(missing) if name is None else error from error
    network = cast(Any, other.network)
    if not getattr(network, "classifies", False):
        raise ConfigError(
            missing if name is None else f"classifier={name} has a discriminator without classes: give {advice}."
        )
    ours, theirs = size_of_samples(loaded.config), size_of_samples(other.config)
    if ours != theirs:
        raise ConfigError(
            f"classifier={name} is for images of {theirs[1]} pixels with {theirs[0]} channels, and the samples have "
            f"{ours[1]} and {ours[0]}: give one of the same images."
        )

    def classify(images: Tensor) -> Tensor:
        return network.auxiliary(network.features(images))

    classes = int(OmegaConf.select(other.config, "dataset.num_classes"))
    description = f"discriminator of {other.path} after {other.images_seen:,} images as the classifier"
    return SampleClassifier(classify, classes, loaded.classes, loaded.device, description)
