"""The probability of adaptive augmentation: closed forms, its state, and the same for any number of processes."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_lab.augment.ada import Controller
from gan_lab.augment.pipelines import Adaptive


def after(controller: Controller, value: float, adjustments: int) -> float:
    """p after as many adjustments to logits that all have one value."""
    margins = torch.full((64,), value)
    for _ in range(adjustments * 4):
        controller.learn(margins, 64)
    return controller.p.item()


def test_half_a_million_images_bring_certainty() -> None:
    controller = Controller(batch_size=64)
    assert after(controller, 3.0, 1953) == pytest.approx(1953 * 256 / 500_000, abs=2e-5)  # .99994
    assert after(controller, 3.0, 2) == 1.0
    assert after(controller, 3.0, 1) == 1.0


def test_transfer_learning_is_five_times_as_quick() -> None:
    assert after(Controller(batch_size=64, adapt_images=100_000), 3.0, 1) == pytest.approx(256 / 100_000)


def test_never_below_zero() -> None:
    assert after(Controller(batch_size=64), -3.0, 2) == 0.0
    assert after(Controller(batch_size=64, p_start=0.001), -3.0, 1) == pytest.approx(0.001 - 0.000512)
    assert after(Controller(batch_size=64, p_start=0.001), -3.0, 2) == 0.0


@pytest.mark.parametrize(("positive", "direction"), [(79, -1), (80, 0), (81, 1)])
def test_the_target_is_a_mean_sign(positive: int, direction: int) -> None:
    """Of 100 logits 80 positive ones give r = .6, where p rests; their sizes have no effect."""
    margins = torch.full((100,), -1e-3)
    margins[:positive] = 1e3
    controller = Controller(batch_size=100, interval=1, p_start=0.5)
    values = controller.learn(margins, 100)
    assert values["signal"].item() == pytest.approx(positive / 50 - 1)
    assert values["p"].item() == pytest.approx(0.5 + direction * 100 / 500_000)


def test_the_signal_is_over_all_batches_of_an_interval_and_margins_of_zero_count_half() -> None:
    controller = Controller(batch_size=2)
    batches = ([1.0, 1.0], [1.0, -1.0], [0.0, 1.0], [1.0, 1.0])
    results = [controller.learn(torch.tensor(batch), 2) for batch in batches]
    assert results[:3] == [{}, {}, {}]
    assert results[3]["signal"].item() == pytest.approx(5 / 8)
    results = [controller.learn(-torch.ones(2), 2) for _ in batches]
    assert results[:3] == [{}, {}, {}]
    assert results[3]["signal"].item() == -1  # nothing of the interval before


def test_what_is_logged_does_not_change_afterwards() -> None:
    controller = Controller(batch_size=4, interval=1)
    values = controller.learn(torch.ones(4, requires_grad=True), 4)
    assert not values["p"].requires_grad
    before = {name: value.item() for name, value in values.items()}
    controller.learn(-torch.ones(4), 4)
    assert {name: value.item() for name, value in values.items()} == before


def test_fixed() -> None:
    controller = Controller(batch_size=64, p_start=0.25, fixed=True)
    assert after(controller, 3.0, 3) == 0.25
    assert controller.learn(torch.ones(64), 64) == {}


def test_nothing_is_read_back_from_the_device() -> None:
    """A tensor on `meta` has no value, so that whoever asks for one fails."""
    controller = Controller(batch_size=4, interval=1).to("meta")
    assert controller.learn(torch.ones(4, device="meta"), 4).keys() == {"p", "signal"}


def margins_of(batch: int) -> Tensor:
    return torch.randn(12, generator=torch.Generator().manual_seed(batch)) + 1.0


def adapt(controller: Controller | Adaptive, batches: range, rows: slice = slice(None)) -> list[dict[str, Tensor]]:
    return [controller.learn(margins_of(batch)[rows], 12) for batch in batches]


def same(first: dict, second: dict) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(torch.as_tensor(first[key]), torch.as_tensor(second[key])) for key in first)


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_run_stopped_anywhere_goes_on_to_the_last_bit(stop: int) -> None:
    whole, first, second = (Adaptive(3, 8, batch_size=12, adapt_images=1000) for _ in range(3))
    adapt(first, range(stop))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    expected = adapt(whole, range(20))[stop:]
    assert all(same(a, b) for a, b in zip(adapt(second, range(stop, 20)), expected, strict=True))
    assert whole.controller.p > 0
    assert same(dict(whole.named_buffers()), dict(second.named_buffers()))
    assert whole.controller.pending_images == second.controller.pending_images


STRETCHES = ((0, 8), (8, 10))  # the first ends with an adjustment, the second between two


def process(rank: int, folder: str) -> None:
    """One of two that share each batch; keeps its state after each stretch."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    controller = Controller(batch_size=12, adapt_images=1000)
    for start, stop in STRETCHES:
        adapt(controller, range(start, stop), slice(rank, None, 2))
        torch.save(controller.state_dict(), f"{folder}/{rank}_{stop}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_agree_with_one_between_adjustments_too(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    alone = Controller(batch_size=12, adapt_images=1000)
    for start, stop in STRETCHES:
        adapt(alone, range(start, stop))
        first, second = (torch.load(tmp_path / f"{rank}_{stop}.pt") for rank in (0, 1))
        assert first["_extra_state"] == second["_extra_state"] == alone.get_extra_state()
        buffers = dict(alone.named_buffers())
        assert all(torch.equal(first[name], second[name]) for name in buffers)
        assert torch.equal(first["p"], buffers["p"])
        assert torch.equal(first["signal"], buffers["signal"])
        torch.testing.assert_close(2 * first["sums"], buffers["sums"])  # means of two halves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_start": 1.5}, r"augment\.p_start must be a probability, from 0 to 1, not 1\.5"),
        ({"target": 1.0}, r"augment\.target must lie between -1 and 1, not 1\.0"),
        ({"interval": 0}, r"augment\.interval must be at least 1, not 0"),
        ({"adapt_images": 0}, r"augment\.adapt_images must be at least 1, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Controller(batch_size=4, **options)
