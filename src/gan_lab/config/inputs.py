"""What the commands that measure are given: a device, a run, the real images."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor

from gan_lab.config.build import instantiate
from gan_lab.config.foreign import check_parts
from gan_lab.config.sampling import newest_run
from gan_lab.data.base import TrainingData
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import Labelled


def device_named(name: str | None) -> torch.device:
    """The device of this name, after a look whether it is there; None for a GPU if there is one.

    Raises:
        ConfigError: It cannot be used.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} cannot be used: {str(error).splitlines()[0].rstrip('.')}.") from error
    return device


def run_named(name: str) -> Path:
    """The run folder or checkpoint file that a user means; `latest` for the newest run.

    Raises:
        CheckpointError: There is no newest run.
    """
    return newest_run(Path("runs")) if name == "latest" else Path(name)


def with_data_of(cfg: DictConfig, run: DictConfig) -> DictConfig:
    """The config of a command with the data set of the run, unless another is given.

    Raises:
        CheckpointError: The run asks for a data set that is not gan_lab's own and is not allowed.
    """
    with open_dict(cfg):
        whole = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))
        if not cfg.get("dataset") and "dataset" in run:
            check_parts(run.dataset, "dataset", "The run")
            whole.dataset = run.dataset
        return whole


class RealImages:
    """The data set of a config, which is read only if something asks for it.

    Args:
        cfg: A config with `dataset`.
        hint: The end of the sentence if there is none: why it is needed, and how it is given.
    """

    def __init__(self, cfg: DictConfig, hint: str = "choose one, as in dataset=mnist") -> None:
        self.cfg = cfg
        self.hint = hint
        self._data: TrainingData | None = None

    def fingerprint(self) -> str:
        """See `TrainingData.fingerprint`."""
        return self._built().fingerprint()

    @property
    def split(self) -> str | None:
        """See `TrainingData.split`."""
        return self._built().split

    def reals(self, count: int | None, batch_size: int) -> Iterator[Labelled]:
        """See `TrainingData.reals`."""
        return self._built().reals(count, batch_size)

    def named(self, batch_size: int) -> Iterator[tuple[Tensor, list[str]]]:
        """See `TrainingData.named`."""
        return self._built().named(batch_size)

    def at(self, positions: Collection[int], batch_size: int) -> dict[int, Tensor]:
        """The images at these places of what `named` gives, each float32 (C, H, W) in [-1, 1] on the CPU."""
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
