"""Controller of ADA's probability: closed forms, state, and independence of the number of processes."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_lab.augment.ada import Controller
from gan_lab.augment.pipelines import Adaptive
from tests.helpers.distributed import run_in_two_processes


def after(controller: Controller, value: float, adjustments: int) -> float:
    """p after a number of adjustments to constant logits."""
    margins = torch.full((64,), value)
    for _ in range(adjustments * 4):
        controller.adapt(margins, 64)
    return controller.p.item()


def test_p_rises_to_1_in_half_a_million_images() -> None:
    controller = Controller(batch_size=64)
    assert after(controller, 3.0, 1953) == pytest.approx(1953 * 256 / 500_000, abs=2e-5)  # .99994


def test_p_has_no_upper_bound_and_walks_back() -> None:
    """The published code has a lower one alone: 40 % above 1 take 40 % of the images of a rise from 0 to 1 to undo."""
    controller = Controller(batch_size=64, adapt_images=2560)  # steps of 0.1
    assert after(controller, 3.0, 14) == pytest.approx(1.4)
    assert after(controller, -3.0, 4) == pytest.approx(1.0)
    assert after(controller, -3.0, 1) == pytest.approx(0.9)


def test_transfer_learning_is_five_times_as_fast() -> None:
    assert after(Controller(batch_size=64, adapt_images=100_000), 3.0, 1) == pytest.approx(256 / 100_000)


def test_never_below_zero() -> None:
    assert after(Controller(batch_size=64), -3.0, 2) == 0.0
    assert after(Controller(batch_size=64, p=0.001), -3.0, 1) == pytest.approx(0.001 - 0.000512)
    assert after(Controller(batch_size=64, p=0.001), -3.0, 2) == 0.0


@pytest.mark.parametrize(("positive", "direction"), [(79, -1), (80, 0), (81, 1)])
def test_the_target_is_a_mean_sign(positive: int, direction: int) -> None:
    """80 positive ones of 100 logits give r = .6, where p stays; magnitudes have no effect."""
    margins = torch.full((100,), -1e-3)
    margins[:positive] = 1e3
    controller = Controller(batch_size=100, interval=1, p=0.5)
    values = controller.adapt(margins, 100)
    assert values["signal"].item() == pytest.approx(positive / 50 - 1)
    assert values["p"].item() == pytest.approx(0.5 + direction * 100 / 500_000)


def test_the_signal_is_over_all_batches_of_an_interval_with_sign_0_for_margins_of_zero() -> None:
    controller = Controller(batch_size=2)
    batches = ([1.0, 1.0], [1.0, -1.0], [0.0, 1.0], [1.0, 1.0])
    results = [controller.adapt(torch.tensor(batch), 2) for batch in batches]
    assert results[:3] == [{}, {}, {}]
    assert results[3]["signal"].item() == pytest.approx(5 / 8)
    results = [controller.adapt(-torch.ones(2), 2) for _ in batches]
    assert results[:3] == [{}, {}, {}]
    assert results[3]["signal"].item() == -1  # without the previous interval


def test_logged_values_do_not_change_afterwards() -> None:
    controller = Controller(batch_size=4, interval=1)
    values = controller.adapt(torch.ones(4, requires_grad=True), 4)
    assert not values["p"].requires_grad
    before = {name: value.item() for name, value in values.items()}
    controller.adapt(-torch.ones(4), 4)
    assert {name: value.item() for name, value in values.items()} == before


def test_fixed() -> None:
    controller = Controller(batch_size=64, p=0.25, fixed=True)
    assert after(controller, 3.0, 3) == 0.25
    assert controller.adapt(torch.ones(64), 64) == {}


def test_no_transfer_to_the_host() -> None:
    """Tensors on `meta` have no values, so a transfer would fail."""
    controller = Controller(batch_size=4, interval=1).to("meta")
    assert controller.adapt(torch.ones(4, device="meta"), 4).keys() == {"p", "signal"}


def margins_of(batch: int) -> Tensor:
    return torch.randn(12, generator=torch.Generator().manual_seed(batch)) + 1.0


def adapt(controller: Controller | Adaptive, batches: range, rows: slice = slice(None)) -> list[dict[str, Tensor]]:
    return [controller.adapt(margins_of(batch)[rows], 12) for batch in batches]


def same(first: dict, second: dict) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(torch.as_tensor(first[key]), torch.as_tensor(second[key])) for key in first)


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_run_stopped_anywhere_resumes_bit_identically(stop: int) -> None:
    uninterrupted, first, second = (Adaptive(3, 8, batch_size=12, adapt_images=1000) for _ in range(3))
    adapt(first, range(stop))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    expected = adapt(uninterrupted, range(20))[stop:]
    assert all(same(a, b) for a, b in zip(adapt(second, range(stop, 20)), expected, strict=True))
    assert uninterrupted.controller.p > 0
    assert same(dict(uninterrupted.named_buffers()), dict(second.named_buffers()))
    assert uninterrupted.controller.pending_images == second.controller.pending_images


RANGES = ((0, 8), (8, 10))  # the first ends at an adjustment, the second between two


def process(folder: Path) -> None:
    """One of two processes with half of each batch; saves its state after each range."""
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    controller = Controller(batch_size=12, adapt_images=1000)
    for start, stop in RANGES:
        adapt(controller, range(start, stop), slice(rank, None, 2))
        torch.save(controller.state_dict(), folder / f"{rank}_{stop}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_agree_with_one_between_adjustments_too(tmp_path: Path) -> None:
    run_in_two_processes(process, tmp_path)
    expected = Controller(batch_size=12, adapt_images=1000)
    for start, stop in RANGES:
        adapt(expected, range(start, stop))
        first, second = (torch.load(tmp_path / f"{rank}_{stop}.pt") for rank in (0, 1))
        assert first["_extra_state"] == second["_extra_state"] == expected.get_extra_state()
        buffers = dict(expected.named_buffers())
        assert all(torch.equal(first[name], second[name]) for name in buffers)
        assert torch.equal(first["p"], buffers["p"])
        assert torch.equal(first["signal"], buffers["signal"])
        torch.testing.assert_close(2 * first["sums"], buffers["sums"])  # means of two halves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.5}, r"augment\.p must be in \[0, 1\], not 1\.5"),
        ({"target": 1.0}, r"augment\.target must be between -1 and 1, not 1\.0"),
        ({"interval": 0}, r"augment\.interval must be at least 1, not 0"),
        ({"adapt_images": 0}, r"augment\.adapt_images must be at least 1, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Controller(batch_size=4, **options)
