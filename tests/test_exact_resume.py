"""Exact resuming: an interrupted and resumed run equals an uninterrupted one bit for bit, for every model."""

import itertools
from pathlib import Path

import pytest
import torch

from gan_lab.gans.catalog import CATALOG
from gan_lab.training.fit import fit
from tests.helpers.distributed import run_in_two_processes
from tests.helpers.interrupted_runs import (
    STOPS,
    WORKERS,
    differences,
    run_cases,
    save_weights,
    settings,
    train_uninterrupted,
)
from tests.helpers.representatives import REPRESENTATIVES

MODELS = [entry.name for entry in CATALOG]
WAYS = list(itertools.product(STOPS, WORKERS))
CASES = [
    f"{model}/{stop}/{workers}" for model, (stop, workers) in zip(REPRESENTATIVES, itertools.cycle(WAYS), strict=False)
]
"""One way of stopping for some models; all ways of all models are slow."""
ALL_CASES = [f"{model}/{stop}/{workers}" for model in MODELS for stop, workers in WAYS]
JOINT_CASES = [case for case in ALL_CASES if "every_batch" not in case]  # which would take hours


def case_differences(folder: Path, case: str) -> list[str]:
    model, stop, workers = case.split("/")
    return differences(folder / model / "uninterrupted", folder / model / f"{stop}_{workers}")


@pytest.mark.parametrize("case", CASES)
def test_resumes_bit_for_bit(case: str, tmp_path: Path) -> None:
    run_cases(tmp_path, [case], "cpu")
    assert case_differences(tmp_path, case) == []


def test_two_processes_resume_bit_for_bit(tmp_path: Path) -> None:
    """One of them gets the signal; both stop after the same batch."""
    cases = [
        f"{model}/{stop}/{workers}" for model, (stop, workers) in zip(("sngan", "wgan_gp"), WAYS[2:], strict=False)
    ]
    run_in_two_processes(run_cases, tmp_path, cases, "ddp_cpu")
    for case in cases:
        assert case_differences(tmp_path, case) == []


def test_the_collapse_watch_resumes(tmp_path: Path) -> None:
    """A check between a resume and the next row of the log sees the gradients of the row before."""
    collapse = {
        "_target_": "gan_lab.callbacks.collapse.Collapse",
        "budget_images": 112,
        "every_images": 8,
        "samples": 4,
    }
    train_uninterrupted(tmp_path / "uninterrupted", "dcgan", "cpu", collapse=collapse)
    # Gradients are in the row at 96 images, and there is none until the end.
    part = fit(settings("dcgan", "cpu", tmp_path / "parts", workers=0, stop=104, collapse=collapse)).module
    assert (part.interrupted, part.images_seen) == ("SIGTERM", 104)
    save_weights(fit(settings("dcgan", "cpu", tmp_path / "parts", workers=0, collapse=collapse)), tmp_path / "parts")
    assert differences(tmp_path / "uninterrupted", tmp_path / "parts") == []
    state = torch.load(tmp_path / "parts/checkpoints/last.ckpt", weights_only=True)["callbacks"]
    history = next(value for key, value in state.items() if key.startswith("Collapse"))["history"]
    assert len(history) == 14 and all(check["gradients"] for check in history[-3:])


def test_the_gradient_scaler_resumes(tmp_path: Path) -> None:
    """With its scale and the number of steps since its last change."""
    interval = 5  # the run stops between two changes of the scale
    half = {
        "_target_": "tests.helpers.interrupted_runs.HalfPrecision",
        "init_scale": 2.0**10,
        "growth_interval": interval,
    }
    run_cases(tmp_path, ["dcgan/mid_epoch/0"], "cpu", half=half)
    assert case_differences(tmp_path, "dcgan/mid_epoch/0") == []
    state = torch.load(tmp_path / "dcgan/uninterrupted/checkpoints/last.ckpt", weights_only=True)["MixedPrecision"]
    assert state["scale"] == 2.0**15 and state["_growth_tracker"] == 3  # 14 batches with two updates each


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_way_of_stopping(model: str, tmp_path: Path) -> None:
    cases = [case for case in ALL_CASES if case.startswith(f"{model}/")]
    run_cases(tmp_path, cases, "cpu")
    for case in cases:
        assert case_differences(tmp_path, case) == []


@pytest.mark.slow
def test_every_way_of_stopping_in_two_processes(tmp_path: Path) -> None:
    run_in_two_processes(run_cases, tmp_path, JOINT_CASES, "ddp_cpu", seconds=3000)
    assert {case: found for case in JOINT_CASES if (found := case_differences(tmp_path, case))} == {}
