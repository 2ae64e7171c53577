"""EMA, schedules and lazy regularization."""

import math

import pytest
import torch
from torch import nn

from gan_lab.config.compose import compose
from gan_lab.optim.ema import Averaging, MovingAverage
from gan_lab.optim.lazy import compensate, lazy_factor
from gan_lab.optim.schedules import Cosine, Exponential, Linear, Warmup


def test_average_of_a_constant_after_n_steps_is_one_minus_b_to_the_n() -> None:
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(average.weight)
    nn.init.ones_(network.weight)
    ema = MovingAverage(average, network, Averaging(half_life_images=10, rampup=None))
    for n in range(1, 8):
        ema.update(2, images_seen=2 * n)
    assert average.weight.item() == pytest.approx(1 - 0.5 ** (7 * 2 / 10), rel=1e-5)


@pytest.mark.parametrize(("half_life", "decay"), [(10_000, 0.997784), (20_000, 0.998892)])
def test_half_life_and_decay(half_life: int, decay: float) -> None:
    assert Averaging(half_life, rampup=None).decay(32, 10**9) == pytest.approx(decay, abs=1e-6)


def test_rampup_limits_the_half_life_to_a_fraction_of_the_images_seen() -> None:
    averaging = Averaging(10_000, rampup=0.05)
    assert averaging.decay(32, 2_000) == pytest.approx(0.5 ** (32 / 100))
    assert averaging.decay(32, 10**9) == Averaging(10_000, rampup=None).decay(32, 10**9)
    assert averaging.decay(32, 0) == 0 == Averaging(0).decay(32, 10**9)


def test_the_average_is_the_network_until_it_starts() -> None:
    averaging = Averaging(10, rampup=None, start_images=100)
    assert averaging.decay(5, 99) == 0 and averaging.decay(5, 100) == pytest.approx(0.5**0.5)
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    ema = MovingAverage(average, network, averaging)
    for images_seen, weight, expected in ((50, 3.0, 3.0), (90, 7.0, 7.0), (100, 1.0, 4.0)):
        nn.init.constant_(network.weight, weight)
        ema.update(10, images_seen)
        assert average.weight.item() == expected


def test_ema_of_biggan() -> None:
    """.9999 for each update of the generator: two batches of 2,048 real images; it starts after 20,000 updates."""
    for model in ("biggan", "biggan_deep"):
        cfg = compose(f"model={model}")
        averaging = Averaging(**cfg.averaging)
        images = cfg.batch_size * cfg.n_critic
        assert averaging.decay(images, 10**9) == pytest.approx(0.9999, abs=1e-9)
        assert averaging.start_images == 20_000 * images


def test_buffers_are_copied() -> None:
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    network(torch.randn(8, 2))
    MovingAverage(average, network, Averaging()).update(1, images_seen=1)
    assert torch.equal(average.running_mean, network.running_mean)
    assert average.num_batches_tracked == 1


def test_linear_schedule() -> None:
    decay = Linear(end_images=200, end_factor=0.5, begin_images=100)
    assert [decay(n) for n in (0, 100, 150, 200, 10**6)] == [1, 1, 0.75, 0.5, 0.5]


def test_cosine_schedule() -> None:
    burn_in = Cosine(end_images=100, end_factor=0.25)
    assert [burn_in(n) for n in (0, 50, 100, 10**9)] == pytest.approx([1, 0.625, 0.25, 0.25])
    assert burn_in(25) == pytest.approx(0.25 + 0.75 * (1 + 0.5**0.5) / 2)
    assert [Cosine(100, 1.0, 0.0)(n) for n in (0, 50, 100)] == pytest.approx([0, 0.5, 1])


def test_a_scheduled_half_life() -> None:
    averaging = Averaging(100, rampup=None, schedule=Cosine(100, 1.0, 0.0))
    assert averaging.decay(10, 0) == 0
    assert averaging.decay(10, 50) == pytest.approx(0.5 ** (10 / 50))
    assert averaging.decay(10, 1000) == pytest.approx(0.5 ** (10 / 100))


def test_exponential_and_warmup() -> None:
    assert Exponential(half_life_images=10)(20) == pytest.approx(0.25)
    assert Exponential(half_life_images=10, min_factor=0.5)(20) == 0.5
    assert [Warmup(100)(n) for n in (0, 50, 1000)] == [0, 0.5, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(0), lambda: Linear(10, begin_images=10), lambda: Linear(10, end_factor=-1),
        lambda: Linear(10, end_factor=math.inf), lambda: Exponential(0), lambda: Exponential(math.nan),
        lambda: Exponential(1, min_factor=-1), lambda: Warmup(0),
        lambda: Cosine(0), lambda: Cosine(1, end_factor=-1), lambda: Cosine(1, start_factor=math.nan),
    ],
)  # fmt: skip
def test_schedules_refuse_empty_ranges_and_negative_factors(make) -> None:
    with pytest.raises(ValueError, match="needs"):
        make()


def test_lazy_constants() -> None:
    """k = 16 changes learning rate .002 and beta .99 to .00188235 and .9905855."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.002, betas=(0.0, 0.99))
    compensate(optimizer, lazy_factor([16]))
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(0.00188235, abs=1e-8)
    assert group["betas"] == (0.0, pytest.approx(0.9905855, abs=1e-7))


def test_lazy_factor_of_several_intervals() -> None:
    assert lazy_factor([4, 4]) == pytest.approx(1 / 1.5)
    assert lazy_factor([]) == 1
