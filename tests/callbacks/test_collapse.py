"""Detection of a collapse: the rule on synthetic signals, and runs that are made to collapse."""

import csv
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gan_lab.callbacks.collapse import Collapse, mean_pairwise_distance
from gan_lab.callbacks.collapse_rule import Rule, Signals
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.errors import CollapseError, ConfigError
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.model_data import small_data
from tests.helpers.representatives import MODELS

RULE = Rule(diversity=0.25, in_class=0.5, explosion=50.0, patience=3, warmup_images=100)
OVERRIDES = [override for override in TINY if override != "~callbacks.collapse"]


def history(diversity: list[float], gradients: list[float] | None = None) -> list[Signals]:
    """Checks at 100, 200, ... images."""
    norms = gradients or [1.0] * len(diversity)
    return [Signals(100 * (k + 1), d, {"generator": g}) for k, (d, g) in enumerate(zip(diversity, norms, strict=True))]


def test_mean_pairwise_distance() -> None:
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 8.0]])
    assert mean_pairwise_distance(points) == pytest.approx((5 + 8 + 5) / 3)
    assert mean_pairwise_distance(torch.ones(4, 3, 32, 32)) == 0
    noise = torch.randn(8, 3, 128, 128)
    at_8x8 = torch.nn.functional.avg_pool2d(noise, 16)
    assert mean_pairwise_distance(noise) == pytest.approx(mean_pairwise_distance(at_8x8), rel=1e-5)


def test_similar_samples_in_three_consecutive_checks() -> None:
    assert RULE.find_collapse(history([1.0, 0.9, 0.2, 0.2])) is None  # two checks
    found = RULE.find_collapse(history([1.0, 0.9, 0.2, 0.2, 0.24]))
    assert found == ("two samples differ 0.24 times as much as two real ones do", 300)
    assert RULE.find_collapse(history([1.0, 0.9, 0.2, 0.3, 0.2])) is None  # not consecutive


@pytest.mark.parametrize("in_class", [None, 0.4])
def test_a_resumed_run_has_every_signal(in_class: float | None) -> None:
    """Also the diversity within classes, without which the rule would miss the checks before the resume."""
    state = {"history": [asdict(Signals(100, 0.5, {"generator": 2.0}, in_class))], "warned": True}
    callback = Collapse(1000)
    callback.load_state_dict(state)
    assert callback.state_dict() == state


def test_similar_samples_within_classes() -> None:
    checks = [replace(signals, in_class=0.9) for signals in history([1.0] * 5)]
    assert RULE.find_collapse(checks) is None
    checks[2:] = [replace(signals, in_class=0.43) for signals in checks[2:]]
    sentence = "two samples of one class differ 0.43 times as much as two real ones of one class do"
    assert RULE.find_collapse(checks) == (sentence, 300)
    assert RULE.find_collapse([*checks[:3], replace(checks[3], in_class=0.51), checks[4]]) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kinds", "ratio"), [(1, 0.0), (50, 1.0)])
def test_one_image_for_each_class_is_a_collapse(
    kinds: int, ratio: float, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples are real images of the label, of which the generator knows `kinds`; over all classes they are diverse."""
    settings = ("dataset.resolution=8", "conditioning=concat", f"seed={seed}", "~callbacks.evaluation")
    experiment = build(compose(*OVERRIDES, *settings, f"run.dir={tmp_path}"))
    module, data = experiment.module, experiment.data
    images = data.reals_by_class(range(10), kinds)

    def generate(latents: torch.Tensor, labels: torch.Tensor, average: bool = True) -> torch.Tensor:
        places = (latents[:, 0].abs() * 1e6).long()
        return torch.stack([images[k][n % len(images[k])] for k, n in zip(labels.tolist(), places, strict=True)])

    monkeypatch.setattr(module, "generate", generate)
    monkeypatch.setattr(module, "profile", lambda action: nullcontext())
    strategy = SimpleNamespace(broadcast=lambda value: value)
    trainer = SimpleNamespace(is_global_zero=True, datamodule=data, loggers=[], strategy=strategy)
    callback = Collapse(budget_images=100, every_images=8, warmup_images=0, action="stop")
    callback.on_train_start(trainer, module)
    stops = pytest.raises(CollapseError, match="two samples of one class differ 0 times")
    with stops if kinds == 1 else nullcontext():
        for _ in range(3):
            module.images_seen += 8
            callback.on_train_batch_end(trainer, module)
    for signals in callback.state_dict()["history"]:
        assert signals["in_class"] == pytest.approx(ratio, abs=0.15) and signals["diversity"] > 0.8


def test_no_collapse_during_warmup() -> None:
    rule = replace(RULE, warmup_images=1000)
    assert rule.find_collapse(history([0.0] * 11)) is None  # the first of the three checks is at 900
    assert rule.find_collapse(history([0.0] * 12)) is not None


def test_exploding_gradient() -> None:
    stable = [1.0] * 10
    assert RULE.find_collapse(history([1.0] * 13, [*stable, 51, 52, 53])) == (
        "the norm of the generator's gradient has exploded, to 53",
        1100,
    )
    assert RULE.find_collapse(history([1.0] * 13, [*stable, 51, 49, 53])) is None
    growing = [1.5**k for k in range(30)]  # compared with half as many images, this explodes in time
    assert RULE.find_collapse(history([1.0] * 8, growing[:8])) is None
    assert RULE.find_collapse(history([1.0] * 30, growing)) is not None


def collapsing(folder: Path, action: str):
    """A run whose generator forgets its latents after 80 images."""
    settings = (
        "dataset.resolution=8",
        "budget.images=400",
        "callbacks.collapse.every_images=16",
        "callbacks.collapse.warmup_images=40",
        f"trouble.on_collapse={action}",
    )
    experiment = build(
        compose(
            *OVERRIDES,
            *settings,
            f"run.dir={folder}",
            "callbacks.collapse.diversity=0.005",
            f"trouble.on_collapse={action}",
        )
    )
    module, step = experiment.module, experiment.module.training_step

    def training_step(batch, batch_idx):
        step(batch, batch_idx)
        if module.images_seen >= 80:
            with torch.no_grad():
                next(module.generator.parameters()).zero_()

    module.training_step = training_step
    return experiment


def test_one_warning_for_a_lasting_collapse(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    experiment = collapsing(tmp_path, "warn")
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert experiment.module.images_seen == 400
    warnings = [record.message for record in caplog.records if "signs of a collapse" in record.message]
    assert len(warnings) == 1 and "After 112 images" in warnings[0] and "since 80" in warnings[0]


@pytest.mark.parametrize("action", ["stop", "rollback"])
def test_a_collapse_ends_the_run_on_request(action: str, tmp_path: Path) -> None:
    experiment = collapsing(tmp_path, action)
    with pytest.raises(CollapseError, match="signs of a collapse") as stopped:
        experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert stopped.value.healthy_at == 64 and experiment.module.images_seen == 112


def test_signals_of_a_healthy_run_are_logged_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = [override for override in OVERRIDES if override != "logger=[]"]
    settings = (
        "dataset.resolution=8",
        "budget.images=400",
        "callbacks.collapse.diversity=0.001",
        "callbacks.collapse.every_images=8",
        "callbacks.collapse.warmup_images=0",
        "callbacks.train_log.every_batches=1",
    )
    fit(compose(*overrides, *settings, f"run.dir={tmp_path}"))
    assert not any("collapse" in record.message for record in caplog.records)
    with open(tmp_path / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["collapse/diversity"]]
    assert len(rows) == 50 and all(float(row["collapse/diversity"]) > 0 and row["collapse/logit_gap"] for row in rows)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_checked(model: str, tmp_path: Path) -> None:
    settings = (
        f"model={model}",
        *small_data(model),
        "dataset.max_images=400",
        "budget.images=16",
        f"run.dir={tmp_path}",
    )
    experiment = fit(
        compose(*OVERRIDES, *settings, "callbacks.collapse.every_images=8", "callbacks.collapse.samples=4")
    )
    (collapse,) = (callback for callback in experiment.trainer.callbacks if isinstance(callback, Collapse))
    history = collapse.state_dict()["history"]
    assert [signals["images_seen"] for signals in history] == [8, 16]
    assert all(signals["diversity"] > 0 for signals in history)


def test_default_warmup() -> None:
    """DCGAN on digits generates gray images after 20,000 images, and digits after 45,000."""
    short, long = (Collapse(budget).rule.warmup_images for budget in (20_000, 1_000_000))
    assert (short, long) == (30_000, 100_000)


def test_checks_leave_the_training_alone_and_their_history_is_saved(tmp_path: Path) -> None:
    settings = ("dataset.resolution=8", "budget.images=160", "callbacks.collapse.every_images=8")
    checked = fit(compose(*OVERRIDES, *settings, f"run.dir={tmp_path}/a"))
    unchecked = fit(compose(*OVERRIDES, *settings, f"run.dir={tmp_path}/b", "~callbacks.collapse"))
    for (key, a), (_, b) in zip(checked.module.named_parameters(), unchecked.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key
    collapse = next(c for c in checked.trainer.callbacks if type(c).__name__ == "Collapse")
    restored = type(collapse)(160)
    restored.load_state_dict(collapse.state_dict())
    assert restored.state_dict() == collapse.state_dict() and len(restored.state_dict()["history"]) == 20


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trouble.on_collapse=explode",
            "trouble.on_collapse=explode is not allowed: it must be warn, stop or rollback",
        ),
        ("callbacks.collapse.diversity=2.0", "must be between 0 and 1"),
        ("callbacks.collapse.patience=0", "at least 1"),
        ("callbacks.collapse.samples=1", "at least 2"),
    ],
)
def test_invalid_settings(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build(compose(*OVERRIDES, f"run.dir={tmp_path}", override))
