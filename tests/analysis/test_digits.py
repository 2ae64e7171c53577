"""Classifiers of digits for metrics: training and test data, and a run that is evaluated with one."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from gan_lab.analysis import digits
from gan_lab.analysis.digits import digit_classifier, label_fractions
from gan_lab.config.compose import compose
from gan_lab.data.digits import read_digits
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError
from gan_lab.metrics.classifier import DigitClassifier, Digits, Training
from gan_lab.training.fit import fit
from tests.conftest import TINY


def some(source: str, first: int, last: int) -> RawImages:
    return read_digits().at(torch.arange(first, last))


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Digits, Digits, Training, str]]:
    """Records the requests to the cache; nothing is trained."""
    calls: list[tuple[Digits, Digits, Training, str]] = []

    def record(key: str, digits: Callable[[], tuple[Digits, Digits]], training: Training) -> DigitClassifier:
        calls.append((*digits(), training, key))
        return DigitClassifier()

    monkeypatch.setattr(digits, "cached_classifier", record)
    return calls


def test_the_error_is_measured_on_the_test_digits(requests: list) -> None:
    digit_classifier(
        "x", partial(some, first=0, last=40), partial(some, first=40, last=50), fit="stretch", epochs=3, seed=5
    )
    ((train, test, training, _),) = requests
    labels = read_digits().labels
    assert labels is not None and torch.equal(train.labels, labels[:40]) and torch.equal(test.labels, labels[40:50])
    assert train.images.shape == (40, 1, 32, 32) and test.images.shape == (10, 1, 32, 32)
    assert (training.epochs, training.seed) == (3, 5)


def test_without_test_digits_a_fifth_is_held_out(requests: list) -> None:
    digit_classifier("x", partial(some, first=0, last=50), fit="stretch")
    ((train, test, *_),) = requests
    assert (len(train.images), len(test.images)) == (40, 10)


def test_label_fractions() -> None:
    labels = read_digits().labels
    assert labels is not None
    expected = [float((labels[:100] == digit).sum()) / 100 for digit in range(10)]
    assert label_fractions("x", partial(some, first=0, last=100)) == pytest.approx(expected)


def without_labels(source: str) -> RawImages:
    raw = read_digits()
    return RawImages(raw.items, raw.names)


@pytest.mark.parametrize("function", [digit_classifier, label_fractions])
def test_images_without_labels_are_an_error(function) -> None:
    with pytest.raises(
        DataError, match=r"^dataset.source=x has no labels from 0 to 9, which metrics of digits require\.$"
    ):
        function("x", without_labels)


@pytest.mark.parametrize(
    ("metrics", "keys"),
    [
        ("digits", {"score_mode", "score_inception", "score_penalized"}),
        ("stacked_digits", {"stacked_modes", "stacked_reverse_kl"}),
    ],
)
def test_a_run_is_evaluated(metrics: str, keys: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a classifier of one epoch, which is trained for the first run and read from the cache for the second."""
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path / "cache"))
    node = "evaluation.metrics." + ("score" if metrics == "digits" else "stacked")
    overrides = [
        *TINY,
        f"dataset={metrics}",
        f"metrics={metrics}",
        f"{node}.classifier.epochs=1",
        "architecture.generator.norm=none",
    ]
    overrides += ["evaluation.samples=60", "budget.images=16", f"run.dir={tmp_path}/run"]
    fit(compose(*overrides))
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert set(results) == {f"eval/{prefix}{key}_60" for key in keys for prefix in ("", "raw/")}
    for record in results.values():
        assert 0 < record["classifier_error"] < 0.5 and record["samples"] == 60
    (file,) = (tmp_path / "cache").iterdir()
    before = file.stat().st_mtime_ns
    fit(compose(*overrides))
    assert file.stat().st_mtime_ns == before


def test_metrics_reuse_the_classifier(requests: list) -> None:
    """It is reused without decoding as long as it is referenced; other digits need another one."""
    part = lambda last: partial(some, first=0, last=last)  # noqa: E731
    first, same = (digit_classifier("x", part(50), fit="stretch") for _ in range(2))
    other = digit_classifier("x", part(40), fit="stretch")
    assert same is first and other is not first and len(requests) == 2
    del first, same
    digit_classifier("x", part(50), fit="stretch")
    assert len(requests) == 3


def relabeled(source: str) -> RawImages:
    raw = some(source, 0, 50)
    assert raw.labels is not None
    return RawImages(raw.items, raw.names, raw.labels.roll(1))


def test_the_key_of_the_cache_depends_on_images_labels_and_decoder(requests: list) -> None:
    part = lambda first, last: partial(some, first=first, last=last)  # noqa: E731
    given = [
        (part(0, 50), None, "stretch"), (part(1, 51), None, "stretch"), (relabeled, None, "stretch"),
        (part(0, 50), part(50, 60), "stretch"), (part(0, 50), part(51, 61), "stretch"), (part(0, 50), None, "pad"),
    ]  # fmt: skip
    for reader, test_reader, fit_method in given:
        digit_classifier("x", reader, test_reader, fit_method)
    keys = [key for *_, key in requests]
    assert len(set(keys)) == len(given)
    digit_classifier("elsewhere", part(0, 50), fit="stretch")
    assert requests[-1][-1] == keys[0]  # the place of the digits is not part of it


def test_a_cached_classifier_is_read_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path))
    settings = {"reader": partial(some, first=0, last=50), "fit": "stretch", "epochs": 1}
    first = digit_classifier("here", **settings)
    monkeypatch.setattr(digits, "decode_all", None)
    second = digit_classifier("there", **settings)  # not the one in use
    assert second is not first and (second.test_error, second.trained_on) == (first.test_error, first.trained_on)
