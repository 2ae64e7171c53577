"""Inputs of the measuring commands: device, config with the run's data set, real images, protocol."""

import difflib
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from gan_lab.config.build import instantiate
from gan_lab.config.checks import check_dataset
from gan_lab.config.default_extractor import with_default_extractor
from gan_lab.config.early_checks import check_source
from gan_lab.config.known_keys import unknown_key
from gan_lab.config.untrusted import check_parts
from gan_lab.data.base import TrainingData
from gan_lab.data.content import DataContent, changed_data, changes_labels, recorded_content
from gan_lab.errors import ConfigError, DataError, first_line
from gan_lab.metrics.measuring import Labeled
from gan_lab.metrics.protocol import MeasurementProtocol
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.version import __version__

log = logging.getLogger(__name__)


def device_named(name: str | None) -> torch.device:
    """The device of this name, checked for availability; None for a GPU if there is one, else the CPU.

    Raises:
        ConfigError: The device cannot be used.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).cpu()  # the device meta has no data
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} cannot be used: {first_line(error)}.") from error
    return device


def with_data_of(cfg: DictConfig, run: DictConfig) -> DictConfig:
    """The config of a command, with the data set of the run unless another is given, and the extractor that fits it.

    Keys of `dataset` without a data set replace those of the run: `dataset.source` for a new place of its images.

    Raises:
        ConfigError: The data set of the run has no such key.
        CheckpointError: The run names a data set class that is not gan_lab's own and is not allowed.
    """
    with open_dict(cfg):
        complete = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))
        given = complete.get("dataset") or OmegaConf.create()
        if "_target_" not in given and "dataset" in run:
            check_parts(run.dataset, "dataset", "The run")
            if unknown := sorted(given.keys() - run.dataset.keys()):
                near = difflib.get_close_matches(unknown[0], map(str, run.dataset), n=1)
                raise ConfigError(unknown_key(f"dataset.{unknown[0]}", [f"dataset.{name}" for name in near]))
            complete.dataset = OmegaConf.merge(run.dataset, given)
        return with_default_extractor(complete)


def check_size(dataset: DictConfig, channels: int | None, resolution: int | None) -> None:
    """Refuse real images of another size than the samples: features would be those of resized images.

    Args:
        dataset: The `dataset` node of a config.
        channels: Channels of the samples; None if they are unknown.
        resolution: Their resolution in pixels; None if it is unknown, and for points.

    Raises:
        ConfigError: Names the key and the value that fits.
    """
    if resolution is None or dataset.get("resolution") is None:  # points, which the metrics refuse
        return
    for key, ours in {"channels": channels, "resolution": resolution}.items():
        if ours is not None and dataset.get(key) not in (None, ours):
            raise ConfigError(f"dataset.{key}={dataset[key]}, but the samples have {ours}: give dataset.{key}={ours}.")


def size_of_samples(run: DictConfig) -> tuple[int | None, int | None]:
    """Channels and resolution of the samples of a run; None if they are unknown."""
    network = OmegaConf.select(run, "architecture.generator") or OmegaConf.create()
    return network.get("channels"), network.get("resolution")


@dataclass(frozen=True)
class Trained:
    """What a command knows about the data that a run was trained with.

    Attributes:
        content: Their recorded content; None if it is unknown.
        is_repeated: Whether the command reads these data, perhaps at a new place, and not others that it names.
        labels_for: What compares the labels of the samples with those of the data, for messages; empty if nothing does.
    """

    content: DataContent | None = None
    is_repeated: bool = True
    labels_for: str = ""

    @classmethod
    def of(cls, cfg: DictConfig, run: DictConfig, labels_for: str = "") -> "Trained":
        """Of a run, for the config of a command; without labels in its samples nothing compares them."""
        given = cfg.get("dataset") or {}
        has_labels = OmegaConf.select(run, "conditioning.num_classes") is not None
        return cls(recorded_content(run), given.keys() <= {"source"}, labels_for if has_labels else "")

    def compare(self, data: TrainingData) -> None:
        """Warn if the data of the run have changed, since the numbers are of the present ones.

        Raises:
            DataError: The labels belong to other classes now, and something compares them.
        """
        now = None if data.content is None else recorded_content({"data_content": data.content.to_config()})
        if not (changes := ", ".join(changed_data(self.content, now))):
            return
        if self.labels_for and self._has_other_labels(now):
            raise DataError(
                f"{self.labels_for} compares classes, and the run was trained with {changes}: give the data set with "
                "the classes of the run, or leave the metric out."
            )
        if self.is_repeated:
            log.warning(f"The data of the run have changed: it was trained with {changes}. The present ones are used.")

    def _has_other_labels(self, now: DataContent | None) -> bool:
        """Whether labels have another meaning. Another data set may have other names of the same classes."""
        before = self.content
        if before is None or now is None:
            return False
        other_number = len(before.classes or ()) != len(now.classes or ())
        return changes_labels(before, now) or other_number or (self.is_repeated and before.classes != now.classes)


class RealImages:
    """The data set of a config, read on first use.

    Args:
        cfg: A config with `dataset`.
        hint: End of the error message if no data set is given: why it is needed, and how to give it.
        trained: What the run was trained with; the data are compared with it.
    """

    def __init__(
        self, cfg: DictConfig, hint: str = "choose one, as in dataset=mnist", trained: Trained | None = None
    ) -> None:
        self.cfg = cfg
        self.hint = hint
        self.trained = trained or Trained()
        self._data: TrainingData | None = None

    def fingerprint(self) -> str:
        """See `TrainingData.fingerprint`."""
        return self._built().fingerprint()

    @property
    def size(self) -> int:
        """See `TrainingData.size`."""
        return self._built().size

    @property
    def content_hash(self) -> str | None:
        """See `TrainingData.content_hash`."""
        return self._built().content_hash

    @property
    def source(self) -> str | None:
        """See `TrainingData.source`."""
        return self._built().source

    @property
    def split(self) -> str | None:
        """See `TrainingData.split`."""
        return self._built().split

    @property
    def data(self) -> TrainingData:
        """The data module, after `setup`."""
        return self._built()

    def reals(self, count: int | None, batch_size: int) -> Iterator[Labeled]:
        """See `TrainingData.reals`."""
        return self._built().reals(count, batch_size)

    def named(self, batch_size: int) -> Iterator[tuple[Tensor, list[str]]]:
        """See `TrainingData.named`."""
        return self._built().named(batch_size)

    def at(self, positions: Collection[int], batch_size: int) -> dict[int, Tensor]:
        """The images at these positions of `named`, each float32 (C, H, W) in [-1, 1] on the CPU."""
        found: dict[int, Tensor] = {}
        wanted, first = sorted(set(positions)), 0
        for images, _ in self.named(batch_size):
            for position in wanted[len(found) :]:
                if position < first + len(images):
                    found[position] = images[position - first].cpu()
            if len(found) == len(wanted):
                break
            first += len(images)
        return found

    def _built(self) -> TrainingData:
        if self._data is None:
            check_dataset(self.cfg.get("dataset"), self.hint)
            check_source(self.cfg.dataset, self.cfg.get("run"))
            data = cast(TrainingData, instantiate(self.cfg.dataset, "dataset"))
            data.prepare_data()
            data.setup("fit")
            self.trained.compare(data)
            self._data = data
        return self._data


HINT = "images=... and exports need the real images to compare with, as dataset=mnist"
"""End of the error message for images or an export without a data set."""


def sampling_protocol(cfg: DictConfig, loaded: PretrainedGenerator, truncation: float | None) -> MeasurementProtocol:
    """Measurement protocol of a run's samples, without the metrics."""
    return MeasurementProtocol(
        samples=cfg.evaluation.samples,
        weights=cfg.weights,
        seed=cfg.seed,
        images_seen=loaded.images_seen,
        batch_norm=f"batch of {cfg.evaluation.batch_size}" if cfg.batch_norm == "batch" else cfg.batch_norm,
        truncation=truncation,
        truncation_form=None if truncation is None else loaded.form_of_truncation(cfg.truncation_form),
        truncation_cutoff=None if truncation is None else cfg.truncation_cutoff,
        noise=None if cfg.noise == "fixed" else cfg.noise,
        version=__version__,
    )
