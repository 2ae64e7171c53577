"""The metric of a log key, and whether a higher value is better."""

import pytest

from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.naming import higher_is_better, metric_of_key
from gan_lab.metrics.points import ModeCoverage
from tests.helpers.evaluation_runs import Lower, Scripted, Silent

NAMES = ("fd", "fd_class", "kl", "stacked")


@pytest.mark.parametrize(
    ("key", "metric"),
    [
        ("eval/fd_efflite0_10k", "fd"),
        ("eval/raw/fd_class_efflite0_10k", "fd_class"),
        ("eval/fid_50k", "fd"),
        ("eval/kl", "kl"),
        ("eval/kl_symmetric_700", "kl"),
        ("eval/klarity_10k", None),
        ("eval/seconds", None),
        ("train/kl", None),
    ],
)
def test_a_key_belongs_to_the_longest_matching_name(key: str, metric: str | None) -> None:
    assert metric_of_key(key, NAMES) == metric
    assert metric_of_key(key, reversed(NAMES)) == metric


def test_the_metric_declares_whether_higher_is_better() -> None:
    assert higher_is_better("eval/fid_50k", FrechetDistance) is False
    assert higher_is_better("eval/coverage_modes_10k", ModeCoverage) is True
    assert higher_is_better("eval/theirs_10k", Silent) is None and higher_is_better("eval/x", None) is None


@pytest.mark.parametrize("count", ["", "_10k"])
def test_one_of_several_values_may_be_better_if_lower(count: str) -> None:
    assert higher_is_better(f"eval/pair_up{count}", Scripted) is True
    assert higher_is_better(f"eval/raw/pair_down{count}", Scripted) is False
    assert higher_is_better(f"eval/pair_downward{count}", Scripted) is True
    assert higher_is_better(f"eval/pair_up{count}", Lower) is False
