"""Objective of a search: one number of a run, and whether it is minimized."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.config.targets import allowing, find_target
from gan_lab.errors import ConfigError
from gan_lab.metrics.naming import higher_is_better, metric_of_key
from gan_lab.runs.folder import RunFolder

MODES = ("min", "max")


def objective_value(cfg: DictConfig) -> float | None:
    """The last number of `objective.metric` in the folder of a run; by default the first metric of its last evaluation.

    The number of samples at the end of a key may be left out. None if no key is configured and nothing was measured.

    Raises:
        ConfigError: The key was never logged, or its last number is not finite.
    """
    finals = RunFolder(Path(cfg.run.dir)).finals
    found = objective_key(finals, cfg.objective.metric)
    if found is None and cfg.objective.metric is not None:
        known = ", ".join(sorted(finals)) or "nothing, since the run has no log"
        raise ConfigError(f"objective.metric={cfg.objective.metric} was never logged: choose from {known}.")
    if found is None:
        return None
    if not math.isfinite(finals[found]):
        raise ConfigError(
            f"objective.metric={found} is {finals[found]} at the end of the run, which cannot guide a search."
        )
    return finals[found]


def objective_key(finals: Mapping[str, float], metric: str | None) -> str | None:
    """The log key that matches `metric`, or for None the first key of the last evaluation; None if there is none."""
    if metric is None:
        return next((key for key in finals if key.startswith("eval/") and key != "eval/seconds"), None)
    return next((key for key in finals if re.fullmatch(rf"{re.escape(metric)}(_\d+k?)?", key)), None)


def objective_mode(cfg: DictConfig) -> str:
    """`min` or `max`: `objective.mode`, or else the direction that the metric declares.

    Raises:
        ConfigError: The mode is unknown, nothing is measured, or the metric has no known direction.
    """
    metric, mode = cfg.objective.metric, cfg.objective.mode
    if mode not in (None, *MODES):
        raise ConfigError(
            f"objective.mode={mode} is not allowed: it must be min, max, or null for the metric's own direction."
        )
    measured = {name: node for name, node in cfg.evaluation.metrics.items() if node is not None}
    if metric is None and not measured:
        raise ConfigError(
            "objective.metric=null leaves a search without an objective, since nothing is measured: choose "
            "metrics=[...], or a log key, as in objective.metric=train/generator/adversarial."
        )
    if mode is not None:
        return mode
    name = next(iter(measured)) if metric is None else metric_of_key(metric, measured)
    with allowing(cfg.get("allow_targets", ())):
        found = None if name is None else find_target(measured[name]._target_, f"evaluation.metrics.{name}")
    higher = higher_is_better(metric or "", found)
    if higher is None:
        raise ConfigError(f"objective.metric={metric} has no known direction: set objective.mode to min or max.")
    return "max" if higher else "min"
