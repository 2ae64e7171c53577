"""Numbers on how good the samples are, as the run goes and at its end."""

import json
import math
import time
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torchmetrics import Metric

from gan_lab import __version__
from gan_lab.callbacks.drawing import in_chunks
from gan_lab.callbacks.every import Every
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule

EVALUATED_LATENTS = 0x4556414C
"""Key of the latents that are evaluated; any number will do, so long as it stays the same."""

WEIGHTS = {"ema": "eval/", "raw": "eval/raw/"}
"""Which generator drew the samples, to the beginning of the log key."""


class Evaluation(Callback):
    """Every so many images and at the end, measures samples of the averaged and of the raw generator.

    The samples come from the same latents each time. The first process does all of it, so that the number of processes
    changes nothing; the random stream and the statistics of the training are left alone. The log has `eval/<name>` for a
    metric with one value and `eval/<name>_<value>` for one with several, the same under `eval/raw/` for the raw generator,
    and `eval/seconds`. `results.json` has the last numbers, each with the protocol it was made by.

    Args:
        metrics: torchmetrics by name, whose `update` takes samples (n, ...) and whose `compute` gives a scalar, or scalars by
            name. A metric may have a property `protocol`, the settings that its value depends on, and a method `floor`,
            which gives the value of a perfect sampler in the form of `compute`; `results.json` has both.
        folder: Where `results.json` goes.
        budget_images: Length of the run in real images.
        every_images: Images from one evaluation to the next; None for `times` evaluations.
        times: Evaluations in a run, evenly spaced, the last at its end.
        samples: Samples of each generator.
        batch_size: Samples made at a time.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        metrics: dict[str, Metric],
        folder: str,
        budget_images: int,
        every_images: int | None = None,
        times: int = 20,
        samples: int = 10_000,
        batch_size: int = 512,
    ) -> None:
        numbers = {"samples": samples, "batch_size": batch_size, "every_images": every_images, "times": times}
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ConfigError(f"callbacks.evaluation.{name}={value} is not allowed: it must be at least 1.")
        self.metrics = metrics
        self.folder = Path(folder)
        self.samples = samples
        self.batch_size = batch_size
        self._every = Every(every_images or budget_images // times)
        self._last = -1
        self._values: dict[str, dict[str, dict[str, float]]] = {}  # by weights, metric and key

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._every.start(module.images_seen)
        for metric in self.metrics.values():
            metric.to(module.device)
            for part in metric.modules():
                if isinstance(part, Metric):
                    part.distributed_available_fn = _alone

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if self._every.due(module.images_seen) and trainer.is_global_zero:
            self._evaluate(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            if module.images_seen != self._last:
                self._evaluate(trainer, module)
            self._write_results(module)

    def _evaluate(self, trainer: Trainer, module: AdversarialModule) -> None:
        start = time.perf_counter()
        with module.profile("evaluation"):
            self._values = {weights: self._measure(module, weights == "ema") for weights in WEIGHTS}
        self._last = module.images_seen
        record = {
            prefix + key: value
            for weights, prefix in WEIGHTS.items()
            for values in self._values[weights].values()
            for key, value in values.items()
        }
        record |= {"eval/seconds": time.perf_counter() - start, "progress/images_seen": module.images_seen}
        for logger in trainer.loggers:
            logger.log_metrics(record, step=module.images_seen)

    def _measure(self, module: AdversarialModule, average: bool) -> dict[str, dict[str, float]]:
        """The values of every metric for one of the two generators."""
        key = (module.seed, EVALUATED_LATENTS)
        latents, labels = module.sample_latents(self.samples, *key), module.sample_labels(self.samples, *key)
        for metric in self.metrics.values():
            metric.reset()
        for samples in in_chunks(module, latents, labels, average, self.batch_size):
            for metric in self.metrics.values():
                metric.update(samples)
        return {name: _by_key(name, metric.compute()) for name, metric in self.metrics.items()}

    def _write_results(self, module: AdversarialModule) -> None:
        run = {"samples": self.samples, "seed": module.seed, "images_seen": self._last, "version": __version__}
        results = {}
        for name, metric in self.metrics.items():
            floor = getattr(metric, "floor", dict)
            floors = _by_key(name, floor())
            protocol = getattr(metric, "protocol", {})
            for weights, prefix in WEIGHTS.items():
                for key, value in self._values[weights][name].items():
                    numbers = {"value": _finite(value), "floor": _finite(floors.get(key))}
                    results[prefix + key] = numbers | {"weights": weights} | run | protocol
        (self.folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")


def _alone() -> bool:
    """What a metric asks before it waits for other processes: there are none, as only the first process evaluates."""
    return False


def _by_key(name: str, values: Tensor | dict[str, Tensor]) -> dict[str, float]:
    """Values of a metric by the last part of their log keys."""
    if isinstance(values, dict):
        return {f"{name}_{key}": float(value) for key, value in values.items()}
    return {name: float(values)}


def _finite(value: float | None) -> float | None:
    """JSON has no word for infinity: null stands for it and for NaN."""
    return value if value is not None and math.isfinite(value) else None
