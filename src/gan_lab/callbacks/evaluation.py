"""Numbers on how good the samples are, as the run goes and at its end."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from torchmetrics import Metric

from gan_lab import __version__
from gan_lab.callbacks.drawing import in_chunks
from gan_lab.callbacks.every import Every
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.metrics.measuring import (
    Labelled,
    append_records,
    count_word,
    forget_records,
    log_name,
    measure,
    records,
    to_device,
    write_results,
)
from gan_lab.metrics.reals import learn_reals

log = logging.getLogger(__name__)

EVALUATED_LATENTS = 0x4556414C
"""Key of the latents that are evaluated; any number will do, so long as it stays the same."""

WEIGHTS = {"ema": "eval/", "raw": "eval/raw/"}
"""Which generator drew the samples, to the beginning of the log key."""


class Evaluation(Callback):
    """Every so many images and at the end, measures samples of the averaged and of the raw generator.

    The samples come from the same latents each time. The first process does all of it, so that the number of processes
    changes nothing; the random stream and the statistics of the training are left alone. The log has `eval/<name>_10k` for a
    metric with one value and `eval/<name>_<value>_10k` for one with several, the same under `eval/raw/` for the raw generator,
    and `eval/seconds`. `evaluations.csv` has all numbers and `results.json` the last ones, each with the protocol that it was
    made by; the loggers are told the protocol once. An evaluation that would take more than its share of the time is left
    out, and the next one is due as usual, so that runs are evaluated at the same images.

    Args:
        metrics: torchmetrics by name, see `gan_lab.metrics.measuring.measure`; with none, nothing is done. None is left out.
        folder: Where the two files go, and the best checkpoint.
        budget_images: Length of the run in real images.
        samples: Samples of each generator.
        real_images: Real images that metrics compare with, which a fixed seed picks; None for all.
        every_images: Images from one evaluation to the next; None for `times` evaluations.
        times: Evaluations in a run, evenly spaced, the last at its end.
        max_share: Largest part of the wall-clock time, apart from the last evaluation; 1 for no limit.
        batch_size: Samples made at a time.
        best: Log key of which the checkpoint with the best value is kept as `checkpoints/best.ckpt`; None to keep none.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        metrics: dict[str, Metric | None],
        folder: str,
        budget_images: int,
        samples: int = 10_000,
        real_images: int | None = None,
        every_images: int | None = None,
        times: int = 20,
        max_share: float = 0.05,
        batch_size: int = 512,
        best: str | None = None,
    ) -> None:
        numbers = {"samples": samples, "batch_size": batch_size, "every_images": every_images, "times": times}
        for name, value in (numbers | {"real_images": real_images}).items():
            if value is not None and value < 1:
                raise ConfigError(f"evaluation.{name}={value} is not allowed: it must be at least 1.")
        if not 0 < max_share <= 1:
            raise ConfigError(f"evaluation.max_share={max_share} is not allowed: it must be in (0, 1].")
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        if best is not None and not self.metrics:
            raise ConfigError(f"evaluation.best={best} needs a metric: choose one with metrics=[...].")
        self.folder = Path(folder)
        self.samples = samples
        self.real_images = real_images
        self.batch_size = batch_size
        self._best = _Best(best) if best is not None else None
        self._every = Every(every_images or budget_images // times)
        self._time = _Share(max_share)
        self._first = self._last = -1  # images seen, at the start and at the newest evaluation
        self._real: dict[str, str | None] = {}  # what is to be said of the real samples
        self._records: dict[str, dict[str, Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {} if self._best is None else {self._best.key: self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._best is not None and self._best_file.is_file():
            self._best.value = state.get(self._best.key)

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if not self.metrics:
            return
        self._first = module.images_seen
        self._every.start(module.images_seen)
        if trainer.is_global_zero:
            to_device(self.metrics, module.device)
            if self._best is not None:
                self._best.check(self.metrics, self.samples)
            data = trainer.datamodule  # type: ignore[attr-defined]
            self._real = learn_reals(self.metrics, data, self.real_images, self.batch_size)
            forget_records(self.folder / "evaluations.csv", module.images_seen)
        self._time.start()

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        # One process has the clock, and all must do the same.
        if self.metrics and self._every.due(module.images_seen) and trainer.strategy.broadcast(self._time.affordable()):
            self._evaluate(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if not self.metrics:
            return
        if module.interrupted:
            return
        if module.images_seen != self._last:
            self._evaluate(trainer, module)
        if trainer.is_global_zero:
            write_results(self.folder / "results.json", self._records)
            log.info(self._time.told())

    def _evaluate(self, trainer: Trainer, module: AdversarialModule) -> None:
        if trainer.is_global_zero:
            with module.profile("evaluation"), self._time:
                self._measure(module)
            self._log(trainer, module)
        self._last = module.images_seen
        if self._best is not None and self._best.beaten(trainer, self._records, self.metrics):
            trainer.save_checkpoint(self._best_file)

    @property
    def _best_file(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"

    def _measure(self, module: AdversarialModule) -> None:
        """Fill the records of both generators, and write them down."""
        common = {
            "seed": module.seed,
            "images_seen": module.images_seen,
            "batch_norm": "running",
            "truncation": None,
            "version": __version__,
        }
        self._records = {}
        for weights, prefix in WEIGHTS.items():
            values = measure(self.metrics, self._samples(module, weights == "ema"))
            found = records(self.metrics, values, self.samples, {"weights": weights, **common}, self._real)
            if module.images_seen == self._first:  # of a run that had its evaluation here before it was resumed
                again = {(weights, key) for key in found}
                forget_records(self.folder / "evaluations.csv", module.images_seen, again)
            append_records(self.folder / "evaluations.csv", module.images_seen, weights, found)
            self._records |= {prefix + key: record for key, record in found.items()}

    def _samples(self, module: AdversarialModule, average: bool) -> Iterator[Labelled]:
        key = (module.seed, EVALUATED_LATENTS)
        latents, labels = module.sample_latents(self.samples, *key), module.sample_labels(self.samples, *key)
        return in_chunks(module, latents, labels, average, self.batch_size)

    def _log(self, trainer: Trainer, module: AdversarialModule) -> None:
        values = {key: record["value"] for key, record in self._records.items()}
        line = {key: float("nan") if value is None else value for key, value in values.items()}
        line |= {"eval/seconds": self._time.last, "progress/images_seen": module.images_seen}
        told = self._last >= 0
        for logger in trainer.loggers:
            logger.log_metrics(line, step=module.images_seen)
            # CSVLogger would make a file of its own for what is in two others.
            if not (told or isinstance(logger, CSVLogger)):
                logger.log_hyperparams({"protocol": _without_numbers(self._records)})


class _Share:
    """A clock of the run and of the part that evaluations took, as a context manager around each of them."""

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self.last = 0.0  # seconds of the newest evaluation
        self._spent = 0.0
        self._begin = time.perf_counter()

    def start(self) -> None:
        self._begin = time.perf_counter()

    def affordable(self) -> bool:
        """Whether one more evaluation, as long as the last, stays within the share."""
        return self.largest == 1 or self._spent + self.last <= self.largest * (time.perf_counter() - self._begin)

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.last = time.perf_counter() - self._entered
        self._spent += self.last

    def told(self) -> str:
        share = self._spent / max(time.perf_counter() - self._begin, 1e-9)
        return f"Evaluation took {self._spent:.1f} s, {100 * share:.1f} % of the training (evaluation.max_share={self.largest:g})."


class _Best:
    """The best value of a log key so far, in all processes; where lower is better, with its sign changed."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.value: float | None = None

    def beaten(self, trainer: Trainer, found: dict[str, dict[str, Any]], metrics: dict[str, Metric]) -> bool:
        """Whether the newest value is the best.

        Raises:
            ConfigError: There is no such key.
        """
        newest = trainer.strategy.broadcast(self._newest(found, metrics) if trainer.is_global_zero else None)
        if newest is None or (self.value is not None and newest <= self.value):
            return False
        self.value = newest
        return True

    def _newest(self, found: dict[str, dict[str, Any]], metrics: dict[str, Metric]) -> float | None:
        """The value, with its sign changed where lower is better; None for NaN."""
        if self.key not in found:
            raise ConfigError(f"evaluation.best={self.key} is not measured: choose from {', '.join(found)}.")
        owner = self._owner(metrics)
        part = self._name.removeprefix(f"{log_name(owner, metrics[owner])}_").rpartition("_")[0]
        higher = metrics[owner].higher_is_better and part not in getattr(metrics[owner], "lower_is_better", ())
        value = found[self.key]["value"]
        return value if value is None or higher else -value

    def check(self, metrics: dict[str, Metric], samples: int) -> None:
        """Refuse a key of no metric or of another number of samples before anything is measured.

        Raises:
            ConfigError: It is one.
        """
        count = f"_{count_word(samples)}"
        if not (self.key.startswith("eval/") and self.key.endswith(count) and self._owner(metrics)):
            names = " or ".join(log_name(name, metric) for name, metric in metrics.items())
            raise ConfigError(
                f"evaluation.best={self.key} is not measured: it must be eval/ or eval/raw/, then {names}, with the name of the "
                f"value where there are several, and {count} at the end."
            )

    @property
    def _name(self) -> str:
        """The key without what says whose samples they were."""
        return self.key.removeprefix(WEIGHTS["raw"]).removeprefix(WEIGHTS["ema"])

    def _owner(self, metrics: dict[str, Metric]) -> str:
        """The name of the metric whose value it is; of `fd` and `fd_class` the one that says more; empty for none."""
        fitting = [name for name, metric in metrics.items() if self._name.startswith(f"{log_name(name, metric)}_")]
        return max(fitting, key=lambda name: len(log_name(name, metrics[name])), default="")


def _without_numbers(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        key: {entry: value for entry, value in record.items() if entry not in ("value", "floor", "images_seen")}
        for key, record in found.items()
    }
