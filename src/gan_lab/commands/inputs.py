"""Inputs of the measuring commands: device, config with the run's data set, real images, protocol."""

from collections.abc import Collection, Iterator
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from gan_lab.config.build import instantiate
from gan_lab.config.default_extractor import with_default_extractor
from gan_lab.config.untrusted import check_parts
from gan_lab.data.base import TrainingData
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import Labeled
from gan_lab.metrics.protocol import MeasurementProtocol
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.version import __version__


def device_named(name: str | None) -> torch.device:
    """The device of this name, checked for availability; None for a GPU if there is one, else the CPU.

    Raises:
        ConfigError: The device cannot be used.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).cpu()  # the device meta has no data
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} cannot be used: {str(error).splitlines()[0].rstrip('.')}.") from error
    return device


def with_data_of(cfg: DictConfig, run: DictConfig) -> DictConfig:
    """The config of a command, with the data set of the run unless another is given, and the extractor that fits it.

    Raises:
        CheckpointError: The run names a data set class that is not gan_lab's own and is not allowed.
    """
    with open_dict(cfg):
        complete = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))
        if not cfg.get("dataset") and "dataset" in run:
            check_parts(run.dataset, "dataset", "The run")
            complete.dataset = run.dataset
        return with_default_extractor(complete)


class RealImages:
    """The data set of a config, read on first use.

    Args:
        cfg: A config with `dataset`.
        hint: End of the error message if no data set is given: why it is needed, and how to give it.
    """

    def __init__(self, cfg: DictConfig, hint: str = "choose one, as in dataset=mnist") -> None:
        self.cfg = cfg
        self.hint = hint
        self._data: TrainingData | None = None

    def fingerprint(self) -> str:
        """See `TrainingData.fingerprint`."""
        return self._built().fingerprint()

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
            if not self.cfg.get("dataset"):
                raise ConfigError(f"dataset is not given: {self.hint}.")
            self._data = cast(TrainingData, instantiate(self.cfg.dataset, "dataset"))
            self._data.prepare_data()
            self._data.setup("fit")
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
