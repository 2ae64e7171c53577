"""The machine notices a collapse: the rule on made-up signals, and runs that are made to collapse."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.conftest import TINY

from gan_lab.callbacks.collapse import Collapse, Look, Rule, spread
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.errors import CollapseError, ConfigError
from gan_lab.gans.catalogue import CATALOGUE

RULE = Rule(diversity=0.25, explosion=50.0, looks=3, grace_images=100)
WORDS = [word for word in TINY if word != "~callbacks.collapse"]


def history(diversity: list[float], gradients: list[float] | None = None) -> list[Look]:
    """Looks at 100, 200, ... images."""
    norms = gradients or [1.0] * len(diversity)
    return [Look(100 * (k + 1), d, {"generator": g}) for k, (d, g) in enumerate(zip(diversity, norms, strict=True))]


def test_spread_is_the_mean_distance() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    assert spread(points) == pytest.approx((5 + 8 + 5) / 3)
    assert spread(torch.ones(4, 3, 32, 32)) == 0
    noise = torch.randn(8, 3, 128, 128)
    assert spread(noise) == pytest.approx(spread(torch.nn.functional.avg_pool2d(noise, 16)), rel=1e-5)


def test_samples_that_are_all_alike_at_three_looks_in_a_row() -> None:
    assert RULE.broken_by(history([1.0, 0.9, 0.2, 0.2])) is None  # two
    found = RULE.broken_by(history([1.0, 0.9, 0.2, 0.2, 0.24]))
    assert found == ("two samples differ 0.24 times as much as two real ones do", 300)
    assert RULE.broken_by(history([1.0, 0.9, 0.2, 0.3, 0.2])) is None  # not in a row


def test_nothing_is_a_collapse_in_the_beginning() -> None:
    rule = replace(RULE, grace_images=1000)
    assert rule.broken_by(history([0.0] * 11)) is None  # the first of the three is at 900
    assert rule.broken_by(history([0.0] * 12)) is not None


def test_a_gradient_that_explodes() -> None:
    calm = [1.0] * 10
    assert RULE.broken_by(history([1.0] * 13, [*calm, 51, 52, 53])) == (
        "the norm of the generator's gradient has exploded, to 53",
        1100,
    )
    assert RULE.broken_by(history([1.0] * 13, [*calm, 51, 49, 53])) is None
    steady = [1.5**k for k in range(30)]  # compared with half as many images, this explodes in time
    assert RULE.broken_by(history([1.0] * 8, steady[:8])) is None
    assert RULE.broken_by(history([1.0] * 30, steady)) is not None


def collapsing(folder: Path, action: str):
    """A run whose generator forgets its latents after 80 images."""
    settings = (
        "dataset.resolution=8",
        "budget.images=400",
        "callbacks.collapse.every_images=16",
        "callbacks.collapse.grace_images=40",
        f"on_collapse={action}",
    )
    experiment = build(
        compose(*WORDS, *settings, f"run.dir={folder}", "callbacks.collapse.diversity=0.005", f"on_collapse={action}")
    )
    module, step = experiment.module, experiment.module.training_step

    def training_step(batch, batch_idx):
        step(batch, batch_idx)
        if module.images_seen >= 80:
            with torch.no_grad():
                next(module.generator.parameters()).zero_()

    module.training_step = training_step
    return experiment


def test_a_run_that_collapses_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    experiment = collapsing(tmp_path, "warn")
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert experiment.module.images_seen == 400
    warnings = [record.message for record in caplog.records if "signs of a collapse" in record.message]
    assert len(warnings) == 1 and "After 112 images" in warnings[0] and "since 80" in warnings[0]


@pytest.mark.parametrize("action", ["stop", "rollback"])
def test_a_run_that_collapses_ends_where_it_is_asked_to(action: str, tmp_path: Path) -> None:
    experiment = collapsing(tmp_path, action)
    with pytest.raises(CollapseError, match="signs of a collapse") as stopped:
        experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert stopped.value.healthy_at == 64 and experiment.module.images_seen == 112


def test_a_healthy_run_is_silent_and_its_signals_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = [word for word in WORDS if word != "logger=[]"]
    settings = (
        "dataset.resolution=8",
        "budget.images=400",
        "callbacks.collapse.diversity=0.001",
        "callbacks.collapse.every_images=8",
        "callbacks.collapse.grace_images=0",
        "callbacks.train_log.every_batches=1",
    )
    fit(compose(*words, *settings, f"run.dir={tmp_path}"))
    assert not any("collapse" in record.message for record in caplog.records)
    with open(tmp_path / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["collapse/diversity"]]
    assert len(rows) == 50 and all(float(row["collapse/diversity"]) > 0 and row["collapse/logit_gap"] for row in rows)


@pytest.mark.parametrize("model", [entry.name for entry in CATALOGUE])
def test_every_model_is_looked_at(model: str, tmp_path: Path) -> None:
    side = 32 if model in ("biggan", "biggan_deep", "sagan") else 16
    words = (
        f"model={model}",
        f"dataset.resolution={side}",
        "dataset.max_images=32",
        "budget.images=16",
        f"run.dir={tmp_path}",
    )
    experiment = fit(compose(*WORDS, *words, "callbacks.collapse.every_images=8", "callbacks.collapse.samples=4"))
    (watch,) = (callback for callback in experiment.trainer.callbacks if isinstance(callback, Collapse))
    looks = watch.state_dict()["history"]
    assert [look["images_seen"] for look in looks] == [8, 16] and all(look["diversity"] > 0 for look in looks)


def test_no_run_is_judged_before_it_can_have_learned() -> None:
    """The default run has drawn nothing but grey after 20,000 images, and digits after 45,000."""
    short, long = (Collapse(budget).rule.grace_images for budget in (20_000, 1_000_000))
    assert (short, long) == (30_000, 100_000)


def test_looking_changes_nothing_and_is_remembered(tmp_path: Path) -> None:
    settings = ("dataset.resolution=8", "budget.images=160", "callbacks.collapse.every_images=8")
    looked = fit(compose(*WORDS, *settings, f"run.dir={tmp_path}/a"))
    alone = fit(compose(*WORDS, *settings, f"run.dir={tmp_path}/b", "~callbacks.collapse"))
    for (key, a), (_, b) in zip(looked.module.named_parameters(), alone.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key
    watch = next(c for c in looked.trainer.callbacks if type(c).__name__ == "Collapse")
    other = type(watch)(160)
    other.load_state_dict(watch.state_dict())
    assert other._history == watch._history and len(other._history) == 20


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("on_collapse=explode", "on_collapse=explode is not allowed: it must be warn, stop or rollback"),
        ("callbacks.collapse.diversity=2.0", "must be between 0 and 1"),
        ("callbacks.collapse.looks=0", "at least 1"),
        ("callbacks.collapse.samples=1", "at least 2"),
    ],
)
def test_what_is_refused(word: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(compose(*WORDS, f"run.dir={tmp_path}", word))
