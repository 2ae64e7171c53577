"""A run that was stopped goes on as if nothing had happened, for every model, to the last bit."""

import itertools
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from gan_lab.config import fit as fitting
from gan_lab.gans.catalogue import CATALOGUE
from tests.exact_resume import STOPS, WORKERS, differences, run_cases
from tests.jointly import in_two_processes

MODELS = [entry.name for entry in CATALOGUE]
WAYS = list(itertools.product(STOPS, WORKERS))
CASES = [f"{model}/{stop}/{workers}" for model, (stop, workers) in zip(MODELS, itertools.cycle(WAYS), strict=False)]
"""One way of stopping for each model, so that each way is taken several times."""
ALL_CASES = [f"{model}/{stop}/{workers}" for model in MODELS for stop, workers in WAYS]
JOINT_CASES = [case for case in ALL_CASES if "every_batch" not in case]  # which would take hours


def compared(folder: Path, case: str) -> list[str]:
    model, stop, workers = case.split("/")
    return differences(folder / model / "whole", folder / model / f"{stop}_{workers}")


@pytest.mark.parametrize("case", CASES)
def test_goes_on_to_the_last_bit(case: str, tmp_path: Path) -> None:
    run_cases(tmp_path, [case], "cpu")
    assert compared(tmp_path, case) == []


def test_two_processes_go_on_to_the_last_bit(tmp_path: Path) -> None:
    """The signal comes to one of them; both stop after the same batch."""
    cases = [
        f"{model}/{stop}/{workers}" for model, (stop, workers) in zip(("sngan", "wgan_gp"), WAYS[2:], strict=False)
    ]
    in_two_processes("tests.exact_resume", str(tmp_path), *cases)
    for case in cases:
        assert compared(tmp_path, case) == []


def test_the_scaler_of_half_precision_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scale and the count of steps to the next one; only a GPU has one by default."""
    begin = fitting._begin

    def scaled(*args):
        experiment = begin(*args)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)  # which stops come between
        experiment.trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        return experiment

    monkeypatch.setattr(fitting, "_begin", scaled)
    run_cases(tmp_path, ["dcgan/mid_epoch/0"], "cpu")
    assert compared(tmp_path, "dcgan/mid_epoch/0") == []
    state = torch.load(tmp_path / "dcgan/whole/checkpoints/last.ckpt", weights_only=True)["MixedPrecision"]
    assert state["scale"] == 2.0**15 and state["_growth_tracker"] == 3  # of 14 batches with two moves each


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_way_of_stopping(model: str, tmp_path: Path) -> None:
    cases = [case for case in ALL_CASES if case.startswith(f"{model}/")]
    run_cases(tmp_path, cases, "cpu")
    for case in cases:
        assert compared(tmp_path, case) == []


@pytest.mark.slow
def test_every_way_of_stopping_in_two_processes(tmp_path: Path) -> None:
    in_two_processes("tests.exact_resume", str(tmp_path), *JOINT_CASES, seconds=3000)
    assert {case: found for case in JOINT_CASES if (found := compared(tmp_path, case))} == {}
