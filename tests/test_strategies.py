"""Gradients of the updated player alone give the weights of PyTorch's wrapper and of one process, with less to send."""

from pathlib import Path

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.strategies import PlayerDDP
from gan_lab.training.fit import fit
from tests.helpers import strategies_in_two_processes
from tests.helpers.distributed import run_in_two_processes
from tests.helpers.strategies_in_two_processes import CASES, case_overrides

EXACT = [case for case in CASES if case not in ("batch_norm", "unrolled", "bfloat16")]
"""Cases in which the samples of a batch know nothing of each other, in float32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote."""
    folder = tmp_path_factory.mktemp("strategies")
    run_in_two_processes(strategies_in_two_processes.main, folder)
    return folder


def tensors(folder: Path, name: str, rank: int = 0) -> dict[str, torch.Tensor]:
    state = torch.load(folder / f"{name}_{rank}.pt", weights_only=True)
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], within: float) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.allclose(value.double(), other[key].double(), atol=within, rtol=0), key


@pytest.mark.parametrize("case", CASES)
def test_both_processes_have_the_same(case: str, folder: Path) -> None:
    assert_same(tensors(folder, f"{case}_by_player", 0), tensors(folder, f"{case}_by_player", 1), 0)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_those_of_the_wrapper(case: str, folder: Path) -> None:
    ours, stock = (tensors(folder, f"{case}_{name}") for name in ("by_player", "stock"))
    if case == "batch_norm":  # whose statistics the wrapper takes from one process
        ours, stock = ({k: v for k, v in each.items() if "running" not in k} for each in (ours, stock))
    assert_same(ours, stock, 2e-6)


@pytest.mark.parametrize("case", EXACT)
def test_two_processes_equal_one(case: str, folder: Path, tmp_path: Path) -> None:
    module = fit(compose(*case_overrides(case, tmp_path, "auto"), "hardware=cpu")).module
    alone = {key: value for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    assert_same(tensors(folder, f"{case}_by_player"), alone, 5e-5)  # Adam makes much of the rounding of small gradients


def test_statistics_of_batch_norm_are_those_of_all_processes(folder: Path) -> None:
    """The wrapper has the first process's; the mean of both is something else."""
    ours, stock = (tensors(folder, f"batch_norm_{name}") for name in ("by_player", "stock"))
    running = [key for key in ours if "running" in key and key.startswith(("generator.", "discriminator."))]
    assert running
    assert all(not torch.allclose(ours[key], stock[key], atol=1e-7) for key in running)


def test_all_processes_leave_out_a_step_that_is_infinite_in_one(folder: Path) -> None:
    first, second = tensors(folder, "scaled", 0), tensors(folder, "scaled", 1)
    assert_same(first, second, 0)
    assert all(torch.isfinite(value).all() for value in first.values())
    # The scale was halved, once, by both.
    assert [(folder / f"scale_{rank}.txt").read_text() for rank in range(2)] == ["512.0", "512.0"]


def test_an_update_sends_the_gradients_of_its_player_once(folder: Path, tmp_path: Path) -> None:
    module = build(compose(*case_overrides("accumulate", tmp_path, "auto"), "hardware=cpu")).module
    critic, generator = (
        sum(p.numel() for p in network.parameters()) for network in (module.discriminator, module.generator)
    )
    sizes = list(map(int, (folder / "sizes_0.txt").read_text().split()))
    assert [size for size in sizes if size > 1] == [critic, critic, generator] * 2  # Lightning compares single numbers


def test_the_first_process_has_the_initial_weights(folder: Path) -> None:
    first, second = tensors(folder, "unequal", 0), tensors(folder, "unequal", 1)
    assert_same(first, second, 0)
    assert_same(first, tensors(folder, "batch_norm_by_player", 0), 0)


@pytest.mark.parametrize(("typed", "by_player"), [("hardware.devices=1", False), ("hardware.devices=2", True)])
def test_several_processes_average_by_player_by_default(typed: str, by_player: bool, tiny) -> None:
    """PyTorch's wrapper, which Lightning would choose, fails in the first step of a GAN."""
    strategy = build(tiny("hardware=cpu", typed)).trainer.strategy
    assert isinstance(strategy, PlayerDDP) == by_player


def test_a_run_reports_for_which_machines_it_waits(tiny, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """Lightning does not report it; here its `fit` is skipped."""
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", lambda *arguments, **settings: None)
    for name, value in {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO"):
        fit(tiny("hardware=ddp_cpu", "hardware.devices=1", "hardware.num_nodes=2"))
    assert "Waiting for the processes of 2 machines (hardware.num_nodes) at 10.0.0.1:29500: start" in caplog.text
