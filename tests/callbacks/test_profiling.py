"""Shares of the time: of a clock that only this test turns."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lab
from gan_lab.callbacks.profiling import OTHER, PARTS, TimeShares, part_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def spend(shares: TimeShares, action: str, clock: list[float], seconds: float) -> None:
    with shares.profile(action):
        clock[0] += seconds


def test_shares_of_the_time(clock: list[float]) -> None:
    shares = TimeShares()
    for _ in range(2):
        spend(shares, "phase/discriminator", clock, 3)
        spend(shares, "phase/generator", clock, 1)
        spend(shares, "[_TrainingEpochLoop].train_dataloader_next", clock, 0.5)
        spend(shares, "[Strategy]SingleDeviceStrategy.batch_to_device", clock, 0.25)
        spend(shares, "[Callback]Budget.on_train_batch_end", clock, 0.25)
    assert shares.shares() == pytest.approx({"data": 0.15, "discriminator": 0.6, "generator": 0.2, OTHER: 0.05})
    spend(shares, "ema", clock, 5)
    assert shares.shares() == pytest.approx({"data": 0, "discriminator": 0, "ema": 1, "generator": 0, OTHER: 0})


def test_the_outer_of_two_blocks_counts(clock: list[float]) -> None:
    shares = TimeShares()
    with shares.profile("checkpoint"):
        clock[0] += 1
        spend(shares, "save_checkpoint", clock, 2)
        spend(shares, "evaluation", clock, 2)
        clock[0] += 1
    assert shares.shares() == pytest.approx({"checkpoints": 1, OTHER: 0})


def test_a_block_that_fails_is_closed(clock: list[float]) -> None:
    shares = TimeShares()
    with pytest.raises(ArithmeticError), shares.profile("phase/generator"):
        raise ArithmeticError
    spend(shares, "phase/generator", clock, 2)
    assert shares.shares()["generator"] == 1


def test_actions_without_a_part_share_one_block_that_does_nothing() -> None:
    shares = TimeShares()
    assert shares.profile("optimizer_step") is shares.profile("run_training_batch")
    assert part_of("phase/encoder") == "encoder" and part_of("[Callback]X.on_train_end") is None
    assert {part_of(action) for action in PARTS} == set(PARTS.values())


def test_every_block_that_our_code_names_has_a_part() -> None:
    package = Path(gan_lab.__file__).parent
    named = {name for file in package.rglob("*.py") for name in re.findall(r'\.profile\("(\w+)"\)', file.read_text())}
    assert len(named) > 5 and named <= set(PARTS)


@pytest.mark.gpu
def test_on_a_gpu_it_is_the_time_of_the_gpu() -> None:
    """Two products of which one is four times the work, asked for in no time by the host."""
    device = torch.device("cuda")
    small, large = torch.randn(4096, 4096, device=device), torch.randn(4096, 4 * 4096, device=device)
    small @ small, small @ large
    torch.cuda.synchronize()
    shares: Any = TimeShares()
    shares.begin(device)
    start = time.perf_counter()
    for _ in range(50):
        with shares.profile("phase/generator"):
            small @ small
        with shares.profile("phase/discriminator"):
            small @ large
    asked = time.perf_counter() - start
    found = shares.shares()
    assert found["discriminator"] / found["generator"] == pytest.approx(4, rel=0.25)
    assert found[OTHER] < 0.1 and time.perf_counter() - start > 2 * asked  # nothing waited in between
