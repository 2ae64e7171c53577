"""The one number of a run that a search goes by."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.config.run_folders import read_numbers
from gan_lab.config.targets import allowing, find_target
from gan_lab.errors import ConfigError

MODES = ("min", "max")


def objective_value(cfg: DictConfig) -> float | None:
    """The last number of `objective.metric` in the folder of a run; by default the first one that was measured at its end.

    The number of samples at the end of a key may be left out. None where no key was asked for and nothing was measured.

    Raises:
        ConfigError: The key was never logged, or its last number is not finite.
    """
    finals = read_numbers(Path(cfg.run.dir)).finals
    found = objective_key(finals, cfg.objective.metric)
    if found is None and cfg.objective.metric is not None:
        known = ", ".join(sorted(finals)) or "nothing, for no log is kept"
        raise ConfigError(f"objective.metric={cfg.objective.metric} was never logged: choose from {known}.")
    if found is None:
        return None
    if not math.isfinite(finals[found]):
        raise ConfigError(
            f"objective.metric={found} is {finals[found]} at the end of the run, which no search can go by."
        )
    return finals[found]


def objective_key(finals: Mapping[str, float], metric: str | None) -> str | None:
    """The log key among those of a run that `metric` means, or for None the first of the last evaluation; None if there is none."""
    if metric is None:
        return next((key for key in finals if key.startswith("eval/") and key != "eval/seconds"), None)
    return next((key for key in finals if re.fullmatch(rf"{re.escape(metric)}(_\d+k?)?", key)), None)


def objective_mode(cfg: DictConfig) -> str:
    """`min` or `max`: `objective.mode`, or else what the metric itself says is better.

    Raises:
        ConfigError: The mode is another word, nothing is measured, or nobody says which is better.
    """
    metric, mode = cfg.objective.metric, cfg.objective.mode
    if mode not in (None, *MODES):
        raise ConfigError(
            f"objective.mode={mode} is not allowed: it must be min, max, or null for what the metric says."
        )
    measured = {name: node for name, node in cfg.evaluation.metrics.items() if node is not None}
    if metric is None and not measured:
        raise ConfigError(
            "objective.metric=null leaves a search without a number to go by, as nothing is measured: choose metrics=[...], or "
            "a log key, as in objective.metric=train/generator/adversarial."
        )
    if mode is not None:
        return mode
    owners = [name for name in measured if metric is None or re.match(rf"eval/(raw/)?{re.escape(name)}", metric)]
    owner = owners[0] if metric is None else max(owners, key=len, default=None)
    with allowing(cfg.get("allow_targets", ())):
        better = None if owner is None else find_target(measured[owner]._target_, f"evaluation.metrics.{owner}")
    higher = getattr(better, "higher_is_better", None)
    if higher is None:
        raise ConfigError(f"objective.metric={metric} does not say what is better: set objective.mode to min or max.")
    lower_parts = getattr(better, "lower_is_better", ())
    return "max" if higher and not any(f"_{part}" in (metric or "") for part in lower_parts) else "min"
