"""Fractions of the time, with a clock that the tests control."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lab
from gan_lab.callbacks.profiling import OTHER, PARTS, TimeFractions, part_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def spend(profiler: TimeFractions, action: str, clock: list[float], seconds: float) -> None:
    with profiler.profile(action):
        clock[0] += seconds


def test_fractions_of_the_time(clock: list[float]) -> None:
    profiler = TimeFractions()
    for _ in range(2):
        spend(profiler, "phase/discriminator", clock, 3)
        spend(profiler, "phase/generator", clock, 1)
        spend(profiler, "[_TrainingEpochLoop].train_dataloader_next", clock, 0.5)
        spend(profiler, "[Strategy]SingleDeviceStrategy.batch_to_device", clock, 0.25)
        spend(profiler, "[Callback]Budget.on_train_batch_end", clock, 0.25)
    assert profiler.fractions() == pytest.approx({"data": 0.15, "discriminator": 0.6, "generator": 0.2, OTHER: 0.05})
    spend(profiler, "ema", clock, 5)
    assert profiler.fractions() == pytest.approx({"data": 0, "discriminator": 0, "ema": 1, "generator": 0, OTHER: 0})


def test_the_outer_of_two_nested_blocks_is_measured(clock: list[float]) -> None:
    profiler = TimeFractions()
    with profiler.profile("checkpoint"):
        clock[0] += 1
        spend(profiler, "save_checkpoint", clock, 2)
        spend(profiler, "evaluation", clock, 2)
        clock[0] += 1
    assert profiler.fractions() == pytest.approx({"checkpoints": 1, OTHER: 0})


def test_a_block_around_the_call_is_divided(clock: list[float]) -> None:
    """As that of the log, which writes a row within its block."""
    profiler = TimeFractions()
    with profiler.profile("[Callback]TrainLog.on_train_batch_end"):
        clock[0] += 3
        profiler.fractions()
        clock[0] += 1
    spend(profiler, "phase/generator", clock, 3)
    found = profiler.fractions()
    assert found["generator"] == 0.75 and sum(found.values()) == pytest.approx(1)


def test_a_block_that_fails_is_closed(clock: list[float]) -> None:
    profiler = TimeFractions()
    with pytest.raises(ArithmeticError), profiler.profile("phase/generator"):
        raise ArithmeticError
    spend(profiler, "phase/generator", clock, 2)
    assert profiler.fractions()["generator"] == 1


def test_unmeasured_actions_use_one_null_context() -> None:
    profiler = TimeFractions()
    assert profiler.profile("optimizer_step") is profiler.profile("run_training_batch")
    assert part_of("phase/encoder") == "encoder" and part_of("[Callback]X.on_train_end") is None
    assert {part_of(action) for action in PARTS} == set(PARTS.values())


def test_every_named_block_has_a_part() -> None:
    package = Path(gan_lab.__file__).parent
    named = {name for file in package.rglob("*.py") for name in re.findall(r'\.profile\("(\w+)"\)', file.read_text())}
    assert len(named) > 5 and named <= set(PARTS)


@pytest.mark.gpu
def test_gpu_time_is_measured() -> None:
    """Two products, one with four times the work of the other, which the host launches without waiting."""
    device = torch.device("cuda")
    small, large = torch.randn(4096, 4096, device=device), torch.randn(4096, 4 * 4096, device=device)
    small @ small, small @ large
    torch.cuda.synchronize()
    profiler: Any = TimeFractions()
    profiler.begin(device)
    start = time.perf_counter()
    for _ in range(50):
        with profiler.profile("phase/generator"):
            small @ small
        with profiler.profile("phase/discriminator"):
            small @ large
    launched = time.perf_counter() - start
    found = profiler.fractions()
    assert found["discriminator"] / found["generator"] == pytest.approx(4, rel=0.25)
    assert found[OTHER] < 0.1 and time.perf_counter() - start > 2 * launched  # no synchronization in between
