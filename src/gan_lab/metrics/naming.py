"""Log keys of metrics, and whether higher values are better. Imports no torch."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import Metric

PREFIXES = {"ema": "eval/", "raw": "eval/raw/", "copy": "eval/copy/"}
"""Prefixes of log keys by what was measured: samples of the averaged or of the raw generator; or, as a baseline of
translations, the source images themselves."""

_OF_INCEPTION = {"fd": "fid", "kd": "kid"}


def log_name(name: str, metric: "Metric") -> str:
    """Name of a metric with its extractor, as `fd_efflite0`; `fd` and `kd` with `inception` are `fid` and `kid`."""
    extractor = getattr(metric, "extractor_name", None)
    if extractor is None:
        return name
    return _OF_INCEPTION.get(name, f"{name}_inception") if extractor == "inception" else f"{name}_{extractor}"


def values_by_log_key(
    name: str, metric: "Metric", values: "Tensor | Mapping[str, Tensor]", samples: int
) -> dict[str, float]:
    """Values of a metric by log key: its name, the name of the value if there are several, and `count_suffix`.

    Args:
        name: Name of the metric in a config.
        metric: The metric.
        values: In the form of its `compute`.
        samples: Number of generated samples.
    """
    several = values if isinstance(values, Mapping) else {"": values}
    start, end = log_name(name, metric), count_suffix(metric, samples)
    return {f"{start}_{key}{end}" if key else start + end: float(value) for key, value in several.items()}


def count_suffix(metric: "Metric", samples: int) -> str:
    """End of a metric's log keys, such as `_10k`; empty for a metric of a network, which uses no samples."""
    return "" if getattr(metric, "uses_classifier", False) else f"_{short_count(samples)}"


def short_count(samples: int) -> str:
    """Number of samples in a log key: `10k` for 10,000, but `25600` for 25,600."""
    return f"{samples // 1000}k" if samples % 1000 == 0 else str(samples)


def weights_of(key: str) -> str:
    """What a log key is a value of: a key of `PREFIXES`."""
    return next((name for name in ("raw", "copy") if key.startswith(PREFIXES[name])), "ema")


def without_prefix(key: str) -> str:
    """A log key without its prefix, one of `PREFIXES`."""
    return key.removeprefix(PREFIXES[weights_of(key)])


def metric_of_key(key: str, names: Iterable[str]) -> str | None:
    """Name of the metric that a log key belongs to, the longest match (`fd_class` before `fd`), or None.

    Args:
        key: A log key, with or without the number of samples at its end.
        names: Names of metrics in `evaluation.metrics`.
    """
    if not key.startswith("eval/"):
        return None
    bare = without_prefix(key)
    prefixes = {prefix: name for name in names for prefix in (name, _OF_INCEPTION.get(name, name))}
    fitting = [prefix for prefix in prefixes if f"{bare}_".startswith(f"{prefix}_")]
    return prefixes[max(fitting, key=len)] if fitting else None


def higher_is_better(key: str, metric: object) -> bool | None:
    """True if higher values of a log key are better, False if lower ones are; None if the metric does not declare it.

    Args:
        key: The log key. For the values listed in the metric's `lower_is_better`, lower is better.
        metric: The metric that the key belongs to, or its class.
    """
    higher = getattr(metric, "higher_is_better", None)
    if higher is None:
        return None
    return bool(higher) and not any(f"_{part}_" in f"{key}_" for part in getattr(metric, "lower_is_better", ()))
