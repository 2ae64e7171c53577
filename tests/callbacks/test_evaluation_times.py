"""When a run is evaluated, and which of its checkpoints is kept as the best."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from tests.evaluating import Lower, Scripted, Silent, evaluated, seen_by
from torch import Tensor
from torchmetrics import Metric

from gan_lab.callbacks.evaluation import Evaluation
from gan_lab.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:Found .* in eval mode", "ignore:Experiment logs directory")


class Clock(Callback):
    """Time goes by: a second for each batch, and another for each value that `Costly` computes."""

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
    ("every", "share", "when", "told"),
    [
        (8, 1, list(range(8, 97, 8)), "24.0 s, 66.7 %"),
        (8, 0.5, [8, 48, 64, 80, 96], "10.0 s, 45.5 %"),  # 2 s each: the second when 8 s have gone by
        (8, 0.25, [8, 96], "4.0 s, 25.0 %"),
        (32, 0.35, [32, 96], "4.0 s, 25.0 %"),
        (96, 0.01, [96], "2.0 s, 14.3 %"),
    ],
)
def test_an_evaluation_is_left_out_while_its_share_does_not_allow_it(
    every: int, share: float, when: list[int], told: str, tmp_path: Path, monkeypatch, caplog
) -> None:
    clock = Clock()
    monkeypatch.setattr("gan_lab.callbacks.evaluation.time", SimpleNamespace(perf_counter=lambda: clock.now))
    with caplog.at_level(logging.INFO, "gan_lab"):
        evaluated(tmp_path, {"x": Costly(clock)}, more=[clock], every_images=every, max_share=share)
    assert seen_by(tmp_path) == when
    assert f"Evaluation took {told} of the training (evaluation.max_share={share:g})." in caplog.text
    assert len(json.loads((tmp_path / "results.json").read_text())) == 4


def test_a_budget_that_is_no_multiple_ends_in_an_evaluation(tmp_path: Path) -> None:
    evaluated(tmp_path, {"x": Scripted([1, 2, 3])}, every_images=40)
    assert seen_by(tmp_path) == [40, 80, 96]


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_no_such_share(share: float) -> None:
    with pytest.raises(ConfigError, match=r"^evaluation.max_share=.* not allowed: it must be in \(0, 1\]\.$"):
        Evaluation({}, ".", 100, max_share=share)


# --- the best checkpoint


def best_at(folder: Path) -> int:
    """Images seen by the checkpoint of the best value."""
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


def test_no_number_is_the_best_of_none(tmp_path: Path) -> None:
    evaluated(tmp_path, {"x": Scripted([NAN] * 3)}, best="eval/x_up_16")
    assert not (tmp_path / "checkpoints").exists()


def test_a_resumed_run_knows_the_best(tmp_path: Path) -> None:
    evaluated(tmp_path / "run", {"x": Scripted([1, 3, 2])}, best="eval/x_up_16")
    best = tmp_path / "run/checkpoints/best.ckpt"
    evaluated(tmp_path / "run", {"x": Scripted([2])}, best="eval/x_up_16", resume=best)
    assert best_at(tmp_path / "run") == 64
    evaluated(tmp_path / "other", {"x": Scripted([2])}, best="eval/x_up_16", resume=best)
    assert best_at(tmp_path / "other") == 96  # a folder without the better one
    evaluated(tmp_path / "run", {"x": Scripted([2])}, best="eval/x_down_16", resume=best)
    assert best_at(tmp_path / "run") == 96  # by another key
    evaluated(tmp_path / "run", {"x": Scripted([2])}, resume=tmp_path / "run/checkpoints/best.ckpt")  # by none


@pytest.mark.parametrize("key", ["eval/y_16", "x_up_16", "eval/x_up_32"])
def test_a_best_that_cannot_be_is_refused_at_the_start(key: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"^evaluation.best={key} is not measured: .* then x, .* and _16 at the end\.$"
    ):
        evaluated(tmp_path, {"x": Scripted([])}, best=key)


def test_a_best_that_is_not_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^evaluation.best=eval/x_y_16 is not measured: choose from eval/x_up_16, eval/x_down_"
    ):
        evaluated(tmp_path, {"x": Scripted([1])}, best="eval/x_y_16")
    with pytest.raises(
        ConfigError, match=r"^evaluation.best=eval/y needs a metric: choose one with metrics=\[\.\.\.\]\.$"
    ):
        Evaluation({}, ".", 100, best="eval/y")
