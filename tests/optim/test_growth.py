"""Growth schedules of Karras et al. (2018): boundaries of all stages, and the numbers of the presets."""

from pathlib import Path

import pytest
import yaml

from gan_lab.optim.growth import Growth, equal_stages
from gan_lab.optim.schedules import Product, Warmup
from gan_lab.types import Stage

CONF = Path(__file__).parents[2] / "conf" / "growth"


def preset(name: str, resolution: int) -> Growth:
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    node = node.get("growth", node)  # a file for the root
    assert node.pop("_target_") == "gan_lab.optim.growth.Growth"
    return Growth(**(node | {"resolution": resolution}))


def test_boundaries_of_all_stages() -> None:
    growth = Growth(32, hold_images=100, fade_images=40)
    expected = [
        (0, 4, 1.0), (1, 4, 1.0), (99, 4, 1.0),
        (100, 8, 0.0), (101, 8, 1 / 40), (120, 8, 0.5), (139, 8, 39 / 40), (140, 8, 1.0), (239, 8, 1.0),
        (240, 16, 0.0), (250, 16, 0.25), (280, 16, 1.0), (379, 16, 1.0),
        (380, 32, 0.0), (419, 32, 39 / 40), (420, 32, 1.0), (519, 32, 1.0), (520, 32, 1.0), (10**9, 32, 1.0),
    ]  # fmt: skip
    assert [(n, growth.stage(n)) for n, _, _ in expected] == [
        (n, Stage(resolution, a)) for n, resolution, a in expected
    ]
    assert (growth.grown_images, growth.total_images) == (420, 520)


def test_the_paper_at_1024_pixels() -> None:
    growth = Growth(1024)
    assert growth.doublings == 8
    assert (growth.grown_images, growth.total_images) == (12_800_000, 13_600_000)
    assert growth.stage(799_999) == Stage(4) and growth.stage(800_000) == Stage(8, 0.0)
    assert growth.stage(11_999_999) == Stage(512) and growth.stage(12_400_000) == Stage(1024, 0.5)
    assert growth.stage(12_800_000) == Stage(1024)


def test_resolutions_and_alphas_never_decrease() -> None:
    growth = Growth(64, hold_images=70, fade_images=30)
    stages = [growth.stage(n) for n in range(0, 700, 3)]
    levels = [(stage.resolution, stage.alpha) for stage in stages]
    assert levels == sorted(levels)
    assert {resolution for resolution, _ in levels} == {4, 8, 16, 32, 64}
    assert all(0 <= alpha <= 1 for _, alpha in levels)


def test_without_fades_and_without_holds() -> None:
    sudden = Growth(16, hold_images=10, fade_images=0)
    assert [sudden.stage(n) for n in (0, 9, 10, 19, 20, 30)] == [Stage(s) for s in (4, 4, 8, 8, 16, 16)]
    fading = Growth(16, hold_images=0, fade_images=10)
    assert [fading.stage(n) for n in (0, 5, 10, 15, 20)] == [
        Stage(8, 0.0), Stage(8, 0.5), Stage(16, 0.0), Stage(16, 0.5), Stage(16),
    ]  # fmt: skip


def test_larger_first_resolution() -> None:
    growth = Growth(64, first=32, hold_images=10, fade_images=10)
    assert [growth.stage(n) for n in (0, 15, 20)] == [Stage(32), Stage(64, 0.5), Stage(64)]


def test_batch_sizes_and_lr_factors_by_resolution() -> None:
    growth = Growth(16, hold_images=10, fade_images=10, batch_sizes={8: 3}, lr_factors={8: 1.5, 16: 2.0})
    images = (0, 9, 10, 29, 30, 500)
    assert [growth.batch_size(n, 7) for n in images] == [7, 7, 3, 3, 7, 7]
    assert [growth.lr_factor(n) for n in images] == [1, 1, 1.5, 1.5, 2, 2]


def test_lr_factors_multiply_the_schedule_of_the_run() -> None:
    growth = Growth(8, hold_images=10, fade_images=10, lr_factors={8: 3.0})
    other = Warmup(100)
    grown = growth.with_growth({"lr": Warmup(20), "momentum": other})
    assert [grown["lr"](n) for n in (0, 5, 10, 30)] == [0, 0.25, 1.5, 3]
    assert grown["momentum"] is other
    assert growth.with_growth({})["lr"](10) == 3
    assert dict(Growth(8).with_growth({"lr": other})) == {"lr": other}
    assert Product(Warmup(10), Warmup(20))(5) == 0.125


@pytest.mark.parametrize("budget", [80, 1000, 999_983])
def test_equal_stages_end_with_a_long_hold(budget: int) -> None:
    growth = equal_stages(32, budget)
    length = growth.hold_images
    assert length == growth.fade_images == budget // 8  # a hold, three times fade and hold, and another hold
    assert 2 * length <= budget - (growth.total_images - length) < 2 * length + 8
    assert equal_stages(32, 1).hold_images == 1
    assert equal_stages(32, 80, 8, {16: 4}, {32: 2.0}, False) == Growth(32, 8, 13, 13, {16: 4}, {32: 2.0}, False)


def test_numbers_of_the_presets() -> None:
    resolutions = [4, 8, 16, 32, 64, 128, 256, 512, 1024]

    def columns(name: str) -> tuple[int, list[int], list[float]]:
        growth = preset(name, 1024)
        assert growth.hold_images == growth.fade_images and growth.first == 4 and growth.reset_optimizers
        starts = [0] + [growth.hold_images * (2 * k + 1) for k in range(8)]
        assert [growth.stage(n).resolution for n in starts] == resolutions
        return growth.hold_images, [growth.batch_size(n, 16) for n in starts], [growth.lr_factor(n) for n in starts]

    flat = [1.0] * 9
    theano = [16] * 6 + [14, 6, 3]
    assert columns("celebahq") == (800_000, theano, flat)
    assert columns("theano") == (600_000, theano, flat)
    assert columns("cifar10") == (400_000, [16] * 9, flat)
    assert columns("tf_1gpu") == (600_000, [128, 128, 128, 64, 32, 16, 8, 4, 4], [*flat[:8], 1.5])
    assert columns("tf_8gpu") == (600_000, [512, 256, 128, 64, 32, 32, 32, 32, 32], [*flat[:5], 1.5, 2.0, 3.0, 3.0])
    assert (preset("cifar10", 32).grown_images, preset("cifar10", 32).total_images) == (2_400_000, 2_800_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": None}, r"^growth needs images, but growth.resolution=null, as for points; set growth=none$"),
        (
            {"resolution": 48},
            r"^growth\.first=4 and dataset\.resolution=48 are not allowed: both must be powers of two",
        ),
        ({"resolution": 4}, r"^growth\.first=4 and dataset\.resolution=4 are not allowed"),
        ({"first": 3}, r"^growth\.first=3 and"),
        ({"first": 2}, r"^growth\.first=2 and"),
        ({"first": 64}, r"^growth\.first=64 and"),
        ({"hold_images": -1}, r"^growth\.hold_images=-1 and growth\.fade_images=800000 are not allowed"),
        ({"hold_images": 0, "fade_images": 0}, "must be at least 0, and not both 0$"),
        ({"batch_sizes": {8: 0}}, r"^growth\.batch_sizes\.8=0 is not allowed: it must be at least 1$"),
        ({"batch_sizes": {250: 4}}, r"^growth\.batch_sizes has 250=\.\.\. among its resolutions"),
        ({"lr_factors": {8: 0.0}}, r"^growth\.lr_factors\.8=0\.0 is not allowed: it must be greater than 0$"),
    ],
)
def test_invalid_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Growth(**({"resolution": 32} | options))
