"""When a run is evaluated, and which checkpoint is kept as the best."""

import itertools
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor
from torchmetrics import Metric

from gan_lab.callbacks.evaluation import Evaluation
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.evaluation_runs import Lower, Scripted, Silent, evaluated, seen_by

pytestmark = pytest.mark.filterwarnings("ignore:Found .* in eval mode", "ignore:Experiment logs directory")


class Clock(Callback):
    """Simulated time: a second for each batch, and another for each value that `Costly` computes."""

    def __init__(self) -> None:
        self.now = 0.0

    def on_train_batch_start(self, *_: object) -> None:
        self.now += 1


class Costly(Scripted):
    def __init__(self, clock: Clock) -> None:
        super().__init__([0.0] * 50)
        object.__setattr__(self, "clock", clock)

    def compute(self) -> Tensor | dict[str, Tensor]:
        self.clock.now += 1
        return super().compute()


@pytest.mark.parametrize(
    ("every", "fraction", "expected", "duration"),
    [
        (8, 1, list(range(8, 97, 8)), "24.0 s, 66.7 %"),
        (8, 0.5, [8, 48, 64, 80, 96], "10.0 s, 45.5 %"),  # 2 s each: the second one after 8 s
        (8, 0.25, [8, 96], "4.0 s, 25.0 %"),
        (32, 0.35, [32, 96], "4.0 s, 25.0 %"),
        (96, 0.01, [96], "2.0 s, 14.3 %"),
    ],
)
def test_evaluations_that_exceed_the_time_fraction_are_skipped(
    every: int, fraction: float, expected: list[int], duration: str, tmp_path: Path, monkeypatch, caplog
) -> None:
    clock = Clock()
    monkeypatch.setattr("gan_lab.callbacks.evaluation.time", SimpleNamespace(perf_counter=lambda: clock.now))
    with caplog.at_level(logging.INFO, "gan_lab"):
        evaluated(tmp_path, {"x": Costly(clock)}, more=[clock], every_images=every, max_time_fraction=fraction)
    assert seen_by(tmp_path) == expected
    assert f"Evaluation took {duration} of the training (evaluation.max_time_fraction={fraction:g})." in caplog.text
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4
    skipped = 96 // every - len(expected)
    assert caplog.text.count("evaluation.max_time_fraction=1 runs all of them") == bool(skipped)
    assert (f" {skipped} evaluations were skipped for this limit." in caplog.text) == bool(skipped)


def test_the_end_of_the_budget_is_always_evaluated(tmp_path: Path) -> None:
    evaluated(tmp_path, {"x": Scripted([1, 2, 3])}, every_images=40)
    assert seen_by(tmp_path) == [40, 80, 96]


@pytest.mark.parametrize("fraction", [0, -1, 1.5])
def test_invalid_time_fraction(fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"^evaluation.max_time_fraction=.* not allowed: it must be in \(0, 1\]\.$"):
        Evaluation({}, ".", 100, max_time_fraction=fraction)


# --- the best checkpoint


def best_at(folder: Path) -> int:
    """Images seen by the best checkpoint."""
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    return checkpoint["state_dict"]["_extra_state"]["images_seen"]


NAN = float("nan")


@pytest.mark.parametrize(
    ("key", "metrics", "at"),
    [
        ("x_16", {"x": Scripted([1, 3, 2], single=True)}, 64),
        ("x_16", {"x": Lower([2, 1, 3], single=True)}, 64),
        ("x_16", {"x": Silent([3, 2, 1], single=True)}, 96),
        ("x_up_16", {"x": Scripted([1, 3, 2])}, 64),
        ("x_down_16", {"x": Scripted([3, 1, 2])}, 64),
        ("x_down_16", {"x": Lower([3, 1, 2])}, 64),
        ("raw/x_down_16", {"x": Scripted([1, 3, 2])}, 32),
        ("x_up_16", {"x": Scripted([NAN, 1, NAN])}, 64),
        ("x_up_16", {"x": Scripted([2, 2, 2])}, 32),
        ("x_more_16", {"x": Scripted([5, 5, 5]), "x_more": Lower([3, 1, 2], single=True)}, 64),
    ],
)
def test_the_best_checkpoint_is_kept(key: str, metrics: dict[str, Metric], at: int, tmp_path: Path) -> None:
    evaluated(tmp_path, metrics, best=f"eval/{key}")
    assert best_at(tmp_path) == at
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["best.ckpt"]


def trained(folder: Path, *more: str) -> Any:
    """A run with checkpoints that is evaluated at its end, and each time with a better value."""
    settings = [each for each in TINY if each != "~callbacks.checkpoints"]
    node = "{_target_: tests.callbacks.test_evaluation_times.Growing}"
    return fit(
        compose(
            *settings, "dataset.resolution=8", f"+evaluation.metrics.x={node}", "evaluation.samples=16",
            "evaluation.best=eval/x_16", "evaluation.max_time_fraction=1", "evaluation.every_images=100000",
            "callbacks.checkpoints.every_images=16", "callbacks.checkpoints.keep=9", "allow_targets=[tests]",
            f"run.dir={folder}", *more,
        )
    )  # fmt: skip


class Growing(Metric):
    """Higher at each evaluation than at all earlier ones of this process."""

    higher_is_better = True
    numbers = itertools.count()

    def update(self, samples: Tensor) -> None: ...

    def compute(self) -> Tensor:
        return torch.tensor(float(next(self.numbers)))


def test_the_best_value_at_the_end_is_in_the_last_checkpoint(tmp_path: Path) -> None:
    """So a run that is continued does not replace best.ckpt by a worse one; and both resume in the same place."""
    trained(tmp_path, "budget.images=32")
    last, best = (torch.load(tmp_path / f"checkpoints/{name}.ckpt", weights_only=True) for name in ("last", "best"))
    value = json.loads((tmp_path / "results.json").read_text())["eval/x_16"]["value"]
    states = [state for name, state in last["callbacks"].items() if name.startswith("Evaluation")]
    assert states == [{"evaluated_at": 32, "eval/x_16": pytest.approx(value)}]
    assert best["loops"] == last["loops"]
    shutil.copytree(tmp_path / "checkpoints", tmp_path / "copy" / "checkpoints")
    for name in ("last", "best"):
        more = ("budget.images=64", f"resume={tmp_path}/copy/checkpoints/{name}.ckpt", f"run.dir={tmp_path}/{name}")
        trained(tmp_path / name, *more)
    a, b = (torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("last", "best"))
    assert all(
        torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"] if key != "_extra_state"
    )


class Failing(Growing):
    """Cannot be computed."""

    def compute(self) -> Tensor:
        raise ValueError("nothing to measure")


def test_an_error_of_the_last_evaluation_loses_no_training(tmp_path: Path) -> None:
    node = "{_target_: tests.callbacks.test_evaluation_times.Failing}"
    with pytest.raises(ConfigError, match="nothing to measure"):
        trained(tmp_path, "budget.images=40", f"evaluation.metrics.x={node}", "evaluation.best=null")
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["state_dict"]["_extra_state"]["images_seen"] == 40


def test_the_best_of_dropped_weights_is_set_aside(tmp_path: Path) -> None:
    trained(tmp_path, "budget.images=64", "evaluation.every_images=16")
    assert best_at(tmp_path) == 64
    first = tmp_path / "checkpoints" / "images_0000000016.ckpt"
    trained(tmp_path, "budget.images=32", "evaluation.every_images=16", f"resume={first}")
    assert best_at(tmp_path) == 32 and (tmp_path / "checkpoints/best.ckpt.aside").is_file()


def test_no_best_checkpoint_if_all_values_are_nan(tmp_path: Path) -> None:
    evaluated(tmp_path, {"x": Scripted([NAN] * 3)}, best="eval/x_up_16")
    assert not (tmp_path / "checkpoints").exists()


def test_a_resumed_run_restores_the_best_value(tmp_path: Path) -> None:
    evaluated(tmp_path / "run", {"x": Scripted([1, 3, 2])}, best="eval/x_up_16")
    best = tmp_path / "run/checkpoints/best.ckpt"
    evaluated(tmp_path / "run", {"x": Scripted([2])}, best="eval/x_up_16", resume=best)
    assert best_at(tmp_path / "run") == 64
    evaluated(tmp_path / "other", {"x": Scripted([2])}, best="eval/x_up_16", resume=best)
    assert best_at(tmp_path / "other") == 96  # this folder has no better checkpoint
    evaluated(tmp_path / "run", {"x": Scripted([2])}, best="eval/x_down_16", resume=best)
    assert best_at(tmp_path / "run") == 96  # another key
    evaluated(tmp_path / "run", {"x": Scripted([2])}, resume=tmp_path / "run/checkpoints/best.ckpt")  # no key


@pytest.mark.parametrize("key", ["eval/y_16", "x_up_16", "eval/x_up_32"])
def test_an_impossible_best_key_is_an_error_at_the_start(key: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"^evaluation.best={key} is not measured: .* then x, .* and _16 at the end\.$"
    ):
        evaluated(tmp_path, {"x": Scripted([])}, best=key)


def test_a_best_key_that_is_not_measured_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^evaluation.best=eval/x_y_16 is not measured: choose from eval/x_up_16, eval/x_down_"
    ):
        evaluated(tmp_path, {"x": Scripted([1])}, best="eval/x_y_16")
    with pytest.raises(
        ConfigError, match=r"^evaluation.best=eval/y needs a metric: choose one with metrics=\[\.\.\.\]\.$"
    ):
        Evaluation({}, ".", 100, best="eval/y")
