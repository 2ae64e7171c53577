"""Evaluation of generated samples during training and at its end."""

import logging
import math
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torchmetrics import Metric

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.best import set_aside_later_best
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.sampling import sample_in_chunks, translate_held_out
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.loggers.wandb_run import ResumedRun
from gan_lab.metrics.encoders import give_encoder
from gan_lab.metrics.held_out import TRAIN, HeldOutTargets, Translated
from gan_lab.metrics.measuring import (
    Labeled,
    append_records,
    check_counts,
    check_metrics,
    check_samples,
    forget_records,
    forget_results,
    has_records,
    measure,
    measurements,
    to_device,
    value_errors_as_config_errors,
    write_results,
)
from gan_lab.metrics.naming import (
    PREFIXES,
    count_suffix,
    higher_is_better,
    log_name,
    metric_of_key,
    without_prefix,
)
from gan_lab.metrics.protocol import Measurement, MeasurementProtocol
from gan_lab.metrics.real_statistics import load_or_compute_real_statistics
from gan_lab.version import __version__

log = logging.getLogger(__name__)

LAST = "evaluated_at"
"""Key of the images seen at the newest evaluation in the callback's state."""

EVALUATED_LATENTS = 0x4556414C
"""Key of the fixed latents: an arbitrary constant."""


class Evaluation(Callback):
    """Compute metrics on samples of the averaged and of the raw generator at intervals of images and at the end.

    The samples come from the same latents each time. Only the first process evaluates, so results do not depend on the
    number of processes; random streams and statistics of the training are not affected. The log has `eval/<name>_10k`
    for a metric with one value and `eval/<name>_<value>_10k` for one with several, the same under `eval/raw/` for the
    raw generator, and `eval/seconds`. `evaluations.csv` has all values and `results.json` the last ones, each with its
    measurement protocol; loggers receive the protocol once. An evaluation that would exceed `max_time_fraction` is
    skipped and the next one is due as usual, so all runs are evaluated at the same numbers of images.

    If the conditions come from the data, as in image-to-image translation, the samples have those of the data set's
    held-out pairs, and metrics compare them with the images of these. `eval/copy/` then has the values of the source
    images themselves, a baseline, if they have the shape of the samples.

    Args:
        metrics: torchmetrics by name, see `gan_lab.metrics.measuring.measure`; None values are ignored. Empty for no
            evaluation.
        folder: Run folder, for the two files and the best checkpoint.
        budget_images: Length of the run in real images.
        samples: Samples of each generator; fewer if all metrics have `enough_samples` below that.
        real_images: Real images that metrics compare with, chosen by a fixed seed; None for all.
        every_images: Images between evaluations; None for `times` evaluations.
        times: Evaluations in a run, evenly spaced, the last at its end.
        max_time_fraction: Largest fraction of the wall-clock time that evaluations take, the last one aside; 1: no
            limit.
        batch_size: Samples generated at a time.
        best: Log key; the checkpoint with its best value is kept as `checkpoints/best.ckpt`. None for none.

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
        max_time_fraction: float = 0.05,
        batch_size: int = 512,
        best: str | None = None,
    ) -> None:
        numbers = {"samples": samples, "batch_size": batch_size, "every_images": every_images, "times": times}
        for name, value in (numbers | {"real_images": real_images}).items():
            if value is not None and value < 1:
                raise ConfigError(f"evaluation.{name}={value} is not allowed: it must be at least 1.")
        if not 0 < max_time_fraction <= 1:
            raise ConfigError(f"evaluation.max_time_fraction={max_time_fraction} is not allowed: it must be in (0, 1].")
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        check_metrics(self.metrics)
        if best is not None and not self.metrics:
            raise ConfigError(f"evaluation.best={best} needs a metric: choose one with metrics=[...].")
        self.folder = Path(folder)
        enough = [getattr(metric, "enough_samples", samples) for metric in self.metrics.values()]
        self.samples = min(samples, max(enough, default=samples))
        self._budget_images = budget_images
        self.real_images = real_images
        self.batch_size = batch_size
        self._best = _Best(best) if best is not None else None
        self._every = Every(every_images or budget_images // times)
        self._time = _TimeBudget(max_time_fraction)
        self._first = self._last = -1  # images seen at the start, and at the newest evaluation
        self._logged = -1  # images seen at the newest evaluation before the run was resumed
        self._real: dict[str, str | None] = {}  # entries of the protocol about the real samples
        self._records: dict[str, Measurement] = {}
        self._skipped = 0
        self._error: ConfigError | None = None  # of the evaluation at the end
        self._is_repeated = False  # the evaluation at the start of a resumed run is in its log already
        self._targets: HeldOutTargets | None = None  # of translations
        self._copies: dict[str, dict[str, float]] | None = None  # values of their sources

    def state_dict(self) -> dict[str, Any]:
        best = {} if self._best is None else {self._best.key: self._best.value}
        return {LAST: self._last} | best

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._logged = state.get(LAST, -1)
        if self._best is not None and self._best_file.is_file():
            self._best.value = state.get(self._best.key)

    def check(self, module: AdversarialModule, data: Any) -> None:
        """See `Callback.check`: `best` must be the key of a metric, and the metrics need enough samples."""
        if not self.metrics:
            return
        if module.condition.needs_batch:
            self.samples = min(self.samples, data.held_out_size)
        if self._best is not None:
            self._best.check(self.metrics, self.samples)
        check_samples(self.metrics, self.samples, self.real_images)

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        if trainer.is_global_zero:
            forget_results(self.folder / "results.json", module.images_seen)
            forget_records(self.folder / "evaluations.csv", module.images_seen)
            self._is_repeated = self._logged == module.images_seen and has_records(
                self.folder / "evaluations.csv", module.images_seen
            )
        if not self.metrics:
            return
        if self._best is not None and set_aside_later_best(trainer, self._best_file, module.images_seen):
            self._best.value = None
        self.check(module, trainer.datamodule)  # for a trainer that was not built from a config
        self._first = module.images_seen
        self._every.start(module.images_seen)
        # In all processes: these may refuse the run.
        give_encoder(self.metrics, module.inference())
        self._use_classifier(module, average=True)
        if trainer.is_global_zero:
            to_device(self.metrics, module.device)
            self._real = load_or_compute_real_statistics(
                self.metrics, self._reals(trainer.datamodule, module), self.real_images, self.batch_size
            )
            check_counts(self.metrics, self.samples, self._labels(module), self.real_images)
        self._time.start()

    def _reals(self, data: Any, module: AdversarialModule) -> Any:
        """The real samples that metrics compare with: the data set, or for translations the held-out targets."""
        if not module.condition.needs_batch:
            return data
        self._targets = HeldOutTargets(data, self.samples, self.batch_size)
        if self._targets.split == TRAIN:
            log.info(
                "The metrics are of %d images that training uses, since the data set has no others: they do not show "
                "how well other images are translated.", self.samples,
            )  # fmt: skip
        return self._targets

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        if not self.metrics:
            return
        is_due = self._every.due(module.images_seen)
        if trainer.should_stop and not module.interrupted:
            # The end is always evaluated; here and not in on_train_end, so that the checkpoint of this batch contains
            # the best value, and best.ckpt does not count the epoch as complete.
            try:
                self._evaluate(trainer, module)
            except ConfigError as error:
                self._error = error  # raised in on_train_end, after that checkpoint was written
            return
        if not is_due:
            return
        if trainer.strategy.broadcast(self._time.allows_another()):  # the clock of the first process decides for all
            self._evaluate(trainer, module)
            return
        if trainer.is_global_zero and self._skipped == 0:
            log.info(self._time.explanation())
        self._skipped += 1

    def on_train_end(self, trainer: Any, module: AdversarialModule) -> None:
        if not self.metrics:
            return
        if module.interrupted:
            return
        if self._error is not None:
            raise self._error
        if module.images_seen != self._last:  # a callback after this one has ended the run
            self._evaluate(trainer, module)
        if trainer.is_global_zero:
            write_results(self.folder / "results.json", self._records)
            self._log_descriptions()
            skipped = f" {self._skipped} evaluations were skipped for this limit." if self._skipped else ""
            log.info(self._time.summary() + skipped)

    def _log_descriptions(self) -> None:
        """Log a sentence on the final value of each metric that has one, `describe`, for the averaged generator."""
        for name, metric in self.metrics.items():
            if describe := getattr(metric, "describe", None):
                key = f"{PREFIXES['ema']}{log_name(name, metric)}{count_suffix(metric, self.samples)}"
                log.info("%s", describe(self._records[key]))

    def _evaluate(self, trainer: Any, module: AdversarialModule) -> None:
        if trainer.is_global_zero:
            with module.profile("evaluation"), self._time:
                self._measure(module)
            self._log(trainer, module)
        self._last = module.images_seen
        if self._best is not None and self._best.is_improved(trainer, self._records, self.metrics):
            trainer.save_checkpoint(self._best_file)

    @property
    def _best_file(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"

    def _measure(self, module: AdversarialModule) -> None:
        """Evaluate both generators, and the sources of translations, and append the values to `evaluations.csv`."""
        self._records = {}
        for weights, prefix in PREFIXES.items():
            if weights == "copy":
                values = self._values_of_copies(module)
            else:
                self._use_classifier(module, weights == "ema")
                give_encoder(self.metrics, module.inference(weights == "ema"))
                values = measure(self.metrics, self._samples(module, weights == "ema"))
            if values is None:
                continue
            found = measurements(self.metrics, values, self._protocol(module, weights), self._real)
            if module.images_seen == self._first:  # already evaluated before the run was resumed
                replaced = {(weights, key) for key in found}
                forget_records(self.folder / "evaluations.csv", module.images_seen, replaced)
            append_records(self.folder / "evaluations.csv", module.images_seen, weights, found)
            self._records |= {prefix + key: record for key, record in found.items()}

    def _use_classifier(self, module: AdversarialModule, average: bool) -> None:
        """Give the module's classifier to the metrics that measure one.

        Raises:
            ConfigError: The module has none.
        """
        with value_errors_as_config_errors():
            for metric in self.metrics.values():
                if getattr(metric, "uses_classifier", False):
                    cast(Any, metric).use_classifier(module.classifier(average))

    def _protocol(self, module: AdversarialModule, weights: str) -> MeasurementProtocol:
        return MeasurementProtocol(
            samples=self.samples,
            weights=weights,
            seed=module.seed,
            images_seen=module.images_seen,
            batch_norm="running",
            version=__version__,
            options={} if self._targets is None else self._targets.protocol,
        )

    def _labels(self, module: AdversarialModule) -> Tensor | None:
        """Labels of the samples, the same at each evaluation; None if they have none."""
        if self._targets is not None:
            return None
        return module.sample_inputs(self.samples, module.seed, EVALUATED_LATENTS)[1]

    def _samples(self, module: AdversarialModule, average: bool) -> Iterator[Labeled | Translated]:
        key = (module.seed, EVALUATED_LATENTS)
        if self._targets is not None:
            return translate_held_out(module, self._targets.data, self.samples, key, average, self.batch_size)
        return sample_in_chunks(module, *module.sample_inputs(self.samples, *key), average, self.batch_size)

    def _values_of_copies(self, module: AdversarialModule) -> dict[str, dict[str, float]] | None:
        """Values of the sources in place of the samples, computed once; None if these are not of one shape."""
        if self._targets is not None and self._copies is None:
            chunks = self._targets.copies(module.condition, module.device)
            if first := list(islice(chunks, 1)):
                self._copies = measure(self.metrics, chain(first, chunks))
        return self._copies

    def _log(self, trainer: Any, module: AdversarialModule) -> None:
        row = {key: measurement.value for key, measurement in self._records.items()}
        row |= {"eval/seconds": self._time.last, "progress/images_seen": module.images_seen}
        protocol_logged = self._last >= 0
        for logger in trainer.loggers:
            if not (self._is_repeated and module.images_seen == self._first):
                logger.log_metrics(row, step=module.images_seen)
            # CSVLogger would write a third file with the same protocol.
            if not (protocol_logged or isinstance(logger, CSVLogger)):
                logger.log_hyperparams({"protocol": _protocols(self._records)})
            if isinstance(logger, ResumedRun):
                values = {key: measurement.value for key, measurement in self._records.items()}
                logger.log_best(values, self._directions(), module.images_seen)

    def _directions(self) -> dict[str, bool | None]:
        """Whether higher values are better, by log key; None if that is unknown."""
        names = {key: metric_of_key(key, self.metrics) for key in self._records}
        return {key: None if name is None else higher_is_better(key, self.metrics[name]) for key, name in names.items()}


class _TimeBudget:
    """Context manager around each evaluation that measures its duration and the fraction of the run's time."""

    def __init__(self, max_fraction: float) -> None:
        self.max_fraction = max_fraction
        self.last = 0.0  # seconds of the newest evaluation
        self._spent = 0.0
        self._begin = time.perf_counter()

    def start(self) -> None:
        self._begin = time.perf_counter()

    def allows_another(self) -> bool:
        """Whether another evaluation as long as the last stays within the largest fraction."""
        return self.max_fraction == 1 or self._spent + self.last <= self.max_fraction * (
            time.perf_counter() - self._begin
        )

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.last = time.perf_counter() - self._entered
        self._spent += self.last

    def explanation(self) -> str:
        """Why evaluations are skipped, and what would run them."""
        return (
            f"Evaluations are skipped from now on where they would take more than {100 * self.max_fraction:g} % of the "
            f"time (evaluation.max_time_fraction={self.max_fraction:g}); the last one took {self.last:.1f} s. "
            "evaluation.max_time_fraction=1 runs all of them, and fewer evaluation.samples make them faster."
        )

    def summary(self) -> str:
        fraction = self._spent / max(time.perf_counter() - self._begin, 1e-9)
        limit = f"evaluation.max_time_fraction={self.max_fraction:g}"
        return f"Evaluation took {self._spent:.1f} s, {100 * fraction:.1f} % of the training ({limit})."


class _Best:
    """Best value of a log key so far, the same in all processes; negated if lower is better."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.value: float | None = None

    def is_improved(self, trainer: Trainer, found: dict[str, Measurement], metrics: dict[str, Metric]) -> bool:
        """Whether the newest value is the best so far.

        Raises:
            ConfigError: No metric has this key.
        """
        newest = trainer.strategy.broadcast(self._newest(found, metrics) if trainer.is_global_zero else None)
        if newest is None or (self.value is not None and newest <= self.value):
            return False
        self.value = newest
        return True

    def _newest(self, found: dict[str, Measurement], metrics: dict[str, Metric]) -> float | None:
        """The newest value, negated if lower is better; None for NaN."""
        if self.key not in found:
            raise ConfigError(f"evaluation.best={self.key} is not measured: choose from {', '.join(found)}.")
        higher = higher_is_better(self.key, metrics[self._metric_name(metrics)])
        value = found[self.key].value
        return None if math.isnan(value) else value if higher else -value

    def check(self, metrics: dict[str, Metric], samples: int) -> None:
        """Check before the first evaluation that the key belongs to a metric and has the number of samples.

        Raises:
            ConfigError: It does not.
        """
        name = self._metric_name(metrics)
        count = count_suffix(metrics[name], samples) if name else ""
        if not (self.key.startswith("eval/") and name and self.key.endswith(count)):
            names = " or ".join(log_name(name, metric) for name, metric in metrics.items())
            counts = " or ".join(sorted({count_suffix(each, samples) for each in metrics.values()} - {""}))
            ending = f", and {counts} at the end" if counts else ""
            raise ConfigError(
                f"evaluation.best={self.key} is not measured: it must be eval/ or eval/raw/, then {names}, then the "
                f"name of the value if a metric has several{ending}."
            )

    @property
    def _value_name(self) -> str:
        """The key without its prefix."""
        return without_prefix(self.key)

    def _metric_name(self, metrics: dict[str, Metric]) -> str:
        """Name of the metric with this key; the longest that matches, as of `fd` and `fd_class`; empty without one."""
        matching = [
            name for name, metric in metrics.items() if f"{self._value_name}_".startswith(f"{log_name(name, metric)}_")
        ]
        return max(matching, key=lambda name: len(log_name(name, metrics[name])), default="")


def _protocols(found: dict[str, Measurement]) -> dict[str, dict[str, Any]]:
    """Protocols by log key, without the images seen, which alone differ between evaluations."""
    entries = {key: measurement.protocol.to_json() for key, measurement in found.items()}
    return {key: {name: v for name, v in each.items() if name != "images_seen"} for key, each in entries.items()}
