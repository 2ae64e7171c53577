"""Augmentations: parameter distributions, equal treatment of real and generated images, and gradients."""

import inspect
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gan_lab.augment import functional as F
from gan_lab.augment import pipelines
from gan_lab.augment.pipelines import Adaptive, DiffAugment, FlipAndShift, NoAugmentation, groups_of
from gan_lab.noise import Noise

N, RESOLUTION = 12, 16
CONF = Path(__file__).parents[2] / "conf" / "augment"


def adaptive(p: float, channels: int = 3, policy: str = "bgcfnc") -> Adaptive:
    return Adaptive(channels, RESOLUTION, batch_size=N, policy=policy, p=p)


PIPELINES: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: NoAugmentation(),
    "diffaugment": lambda channels: DiffAugment(channels, RESOLUTION),
    "flip_and_shift": lambda channels: FlipAndShift(RESOLUTION),
    "ada_0": lambda channels: adaptive(0.0, channels),
    "ada_3": lambda channels: adaptive(0.3, channels),
    "ada_10": lambda channels: adaptive(1.0, channels),
}


def random_images(channels: int = 3, n: int = N, resolution: int = RESOLUTION, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, resolution, resolution, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", PIPELINES)
def test_shape_dtype_and_range(name: str, channels: int) -> None:
    for seed in range(5):
        result = PIPELINES[name](channels)(random_images(channels), Noise(seed, N))
        assert result.shape == (N, channels, RESOLUTION, RESOLUTION)
        assert result.dtype == torch.float32
        assert result.isfinite().all()
        assert result.abs().max() < 100
        if channels == 4:
            assert result[:, 3].abs().max() <= 2  # the wavelet overshoots at edges


@pytest.mark.parametrize("name", PIPELINES)
def test_a_seed_gives_the_same_transform_for_all_images(name: str) -> None:
    """All are affine in the images, so equal transforms map the mean of images to the mean of the results."""
    real, fake = random_images(seed=1), random_images(seed=2)
    first, second, middle = (
        PIPELINES[name](3)(images, Noise(7, N)) for images in (real, fake, (real + fake) / 2)
    )  # fmt: skip
    torch.testing.assert_close(middle, (first + second) / 2, atol=1e-4, rtol=1e-4)
    assert torch.equal(PIPELINES[name](3)(real, Noise(7, N)), first)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_number_of_processes_has_no_effect(name: str) -> None:
    images = random_images()
    expected = PIPELINES[name](3)(images, Noise(3, N))
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        assert torch.equal(PIPELINES[name](3)(images[rows], Noise(3, N, rows)), expected[rows])


@pytest.mark.parametrize("name", PIPELINES)
def test_autocast_has_no_effect(name: str) -> None:
    images = random_images()
    expected = PIPELINES[name](3)(images, Noise(3, N))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(PIPELINES[name](3)(images, Noise(3, N)), expected)
        half = PIPELINES[name](3)(images.bfloat16(), Noise(3, N))
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("name", PIPELINES)
def test_first_and_second_derivatives(name: str) -> None:
    images = random_images(n=3, resolution=4).double().requires_grad_()

    def augmented(images: Tensor) -> Tensor:
        return PIPELINES[name](3)(images, Noise(4, 3))

    assert torch.autograd.gradcheck(augmented, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda images: augmented(images).tanh(), images, fast_mode=True)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_gradient_penalty_through_the_augmentation(name: str) -> None:
    """Half of |gradient|^2 of a linear critic is half of |transpose of the augmentation times weights|^2."""
    weights = random_images(n=1, seed=9)[0].requires_grad_()
    images = random_images().requires_grad_()
    pipeline = PIPELINES[name](3)
    (gradient,) = torch.autograd.grad((pipeline(images, Noise(4, N)) * weights).sum(), images, create_graph=True)
    penalty = 0.5 * gradient.square().sum()
    (by_weights,) = torch.autograd.grad(penalty, weights)
    # The penalty is a quadratic form, so its gradient times the weights is twice its value.
    torch.testing.assert_close((by_weights * weights).sum(), 2 * penalty, rtol=1e-4, atol=1e-3)
    assert by_weights.abs().max() > 0


# --- DiffAugment and FlipAndShift ---


def test_each_policy_alone() -> None:
    images = random_images() + 2  # nowhere 0
    assert (DiffAugment(3, RESOLUTION, ["color"])(images, Noise(0, N)) != images).flatten(1).any(1).all()
    translated = DiffAugment(3, RESOLUTION, ["translation"])(images, Noise(0, N))
    assert ((translated == 0).all(1) | torch.isin(translated, images).all(1)).all()
    cut = DiffAugment(3, RESOLUTION, ["cutout"])(images, Noise(0, N))
    assert torch.equal(cut, torch.where(cut == 0, 0, images))
    assert 0 < (cut == 0).float().mean() <= 0.25


def record_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple]:
    """Record the arguments of a formula at every call, which still runs."""
    calls: list[tuple] = []
    formula = getattr(F, name)
    monkeypatch.setattr(F, name, lambda *arguments, **named: (calls.append(arguments), formula(*arguments, **named))[1])
    return calls


@pytest.mark.parametrize(
    ("name", "low", "high"), [("brightness", -0.5, 0.5), ("saturation", 0.0, 2.0), ("contrast", 0.5, 1.5)]
)
def test_colors_are_drawn_uniformly(monkeypatch: pytest.MonkeyPatch, name: str, low: float, high: float) -> None:
    calls = record_calls(monkeypatch, name)
    DiffAugment(3, 8)(random_images(n=20_000, resolution=8), Noise(0, 20_000))
    drawn = (calls[0][1].sort().values - low) / (high - low)
    steps = torch.linspace(0, 1, 20_000)
    assert (drawn - steps).abs().max() < 1.95 / sqrt(20_000)  # Kolmogorov-Smirnov at .001


@pytest.mark.parametrize(("resolution", "nearest", "below"), [(8, 1, 1), (28, 4, 3), (32, 4, 4), (39, 5, 4)])
def test_shifts_are_up_to_an_eighth_of_the_resolution(
    monkeypatch: pytest.MonkeyPatch, resolution: int, nearest: int, below: int
) -> None:
    """DiffAugment's code rounds to the nearest pixel, that of consistency regularization down."""
    calls = record_calls(monkeypatch, "translate")
    for pipeline, largest in ((DiffAugment(1, resolution), nearest), (FlipAndShift(resolution), below)):
        pipeline(torch.zeros(4000, 1, resolution, resolution), Noise(0, 4000))
        values, counts = calls[-1][1].unique(return_counts=True)
        assert values.tolist() == list(range(-largest, largest + 1))
        assert (counts / 8000 - 1 / len(values)).abs().max() < 5 * sqrt(0.25 / 8000)


@pytest.mark.parametrize(("resolution", "first", "last"), [(8, -2, 6), (32, -8, 24), (7, -2, 5), (6, -1, 4)])
def test_the_center_of_a_cutout_is_anywhere(
    monkeypatch: pytest.MonkeyPatch, resolution: int, first: int, last: int
) -> None:
    calls = record_calls(monkeypatch, "cutout")
    DiffAugment(1, resolution)(torch.zeros(4000, 1, resolution, resolution), Noise(0, 4000))
    _, corner, size = calls[0]
    assert size == (resolution + 1) // 2
    assert corner.unique().tolist() == list(range(first, last + 1))


def test_every_second_image_is_flipped() -> None:
    images = random_images(1, n=4000, resolution=4)
    result = FlipAndShift(RESOLUTION, 0.0)(images, Noise(0, 4000))
    flipped = (result == images.flip(3)).flatten(1).all(1)
    assert torch.equal(result[~flipped], images[~flipped])
    assert abs(flipped.float().mean().item() - 0.5) < 5 * sqrt(0.25 / 4000)


# --- ADA ---


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_at_probability_0_every_image_is_bit_identical(channels: int) -> None:
    images = random_images(channels)
    images[0, 0, 0, :2] = torch.tensor([-0.0, 0.0])
    for seed in range(20):
        result = adaptive(0.0, channels)(images, Noise(seed, N))
        assert torch.equal(result.view(torch.int32), images.view(torch.int32))


def test_a_draw_of_exactly_zero_is_not_below_a_probability_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "uniform", lambda noise, *shape: torch.zeros(noise.global_size, *shape))
    assert torch.equal(adaptive(0.0)(random_images(), Noise(0, N)), random_images())


def test_at_probability_1_every_image_changes() -> None:
    images = random_images()
    for seed in range(20):
        assert (adaptive(1.0)(images, Noise(seed, N)) != images).flatten(1).any(1).all()


def test_a_probability_above_1_acts_like_1() -> None:
    images, above = random_images(), adaptive(1.0)
    above.controller.p.fill_(1.3)
    assert torch.equal(above(images, Noise(0, N)), adaptive(1.0)(images, Noise(0, N)))


def test_the_fraction_of_unchanged_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "warp", lambda images, inverse: images + 1)  # slow, and not of interest here
    images = random_images(n=2000)
    # Half of the two flips and a quarter of the quarter turns have no effect, nor has 1 in 4 x 4 of the integer
    # translations (at resolution 16, U(-2, 2) rounds to 0 in a quarter of cases).
    either_rotation = 0.05
    expected = {"bgc": (1 - 0.025) ** 2 * (1 - 0.0375) * (1 - 0.05 * 15 / 16) * (1 - 0.05) ** 7 * (1 - either_rotation)}
    expected["bgcfnc"] = expected["bgc"] * (1 - 0.05) ** 6  # 4 bands, noise, cutout
    for policy, fraction in expected.items():
        unchanged = (adaptive(0.05, policy=policy)(images, Noise(0, 2000)) == images).flatten(1).all(1)
        assert abs(unchanged.float().mean().item() - fraction) < 5 * sqrt(fraction * (1 - fraction) / 2000)


def drawn_parameters(monkeypatch: pytest.MonkeyPatch, p: float, seeds: int, n: int = 1000) -> dict[str, Tensor]:
    """Parameters of each transform minus their neutral values over many batches, (seeds * n, k)."""
    formulas = ("compose", "color_matrix", "recolor", "filter_bands", "add_noise", "blank")
    matrices, colors, shifts, bands, deviations, squares = (record_calls(monkeypatch, name) for name in formulas)
    monkeypatch.setattr(F, "warp", lambda images, inverse: images)  # slow, and not of interest here
    for seed in range(seeds):
        adaptive(p)(torch.zeros(n, 3, RESOLUTION, RESOLUTION), Noise(seed, n))
    names = ("flip", "turns", "integer_offset", "scale", "first_angle", "stretch", "second_angle", "fractional_offset")
    pixels, affines = matrices[0::3], matrices[1::3]  # the third product is that of both
    drawn = {
        name: torch.cat(
            [
                ((first + second)[k] - torch.eye(3))[:, :2].flatten(1)
                for first, second in zip(pixels, affines, strict=True)
            ]
        )
        for k, name in enumerate(names)
    }
    for k, (name, neutral) in enumerate({"contrast": 1, "luma_flip": 0, "hue": 0, "saturation": 1}.items()):
        drawn[name] = torch.cat([call[k].float() - neutral for call in colors])
    drawn |= {
        "brightness": torch.cat([call[2] for call in shifts]),
        "bands": torch.cat([call[1] - 1 for call in bands]),
    }
    return drawn | {
        "noise": torch.cat([call[2] for call in deviations]), "cutout": torch.cat([call[2] for call in squares])
    }  # fmt: skip


P = 0.3
ROTATION = 1 - sqrt(1 - P)
PROBABILITIES = {
    "flip": P / 2, "turns": P * 3 / 4, "integer_offset": P * 15 / 16, "scale": P, "first_angle": ROTATION, "stretch": P,
    "second_angle": ROTATION, "fractional_offset": P, "brightness": P, "contrast": P, "luma_flip": P / 2, "hue": P,
    "saturation": P, "bands": 1 - (1 - P) ** 4, "noise": P, "cutout": P,
}  # fmt: skip


def test_probability_and_independence_of_each_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = {name: (value != 0).any(1) for name, value in drawn_parameters(monkeypatch, P, seeds=20).items()}
    assert applied.keys() == PROBABILITIES.keys()

    def check(applied: Tensor, probability: float) -> None:
        assert abs(applied.float().mean().item() - probability) < 4.5 * sqrt(
            probability * (1 - probability) / len(applied)
        )

    for name, probability in PROBABILITIES.items():
        check(applied[name], probability)
        for other, other_probability in PROBABILITIES.items():
            if other != name:
                check(applied[name] & applied[other], probability * other_probability)
    check(applied["first_angle"] | applied["second_angle"], P)


def test_the_distributions_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard deviations against the paper's, of the inverse transform, whose logarithms have the same ones."""
    drawn = drawn_parameters(monkeypatch, 1.0, seeds=20)
    for name, expected in {"contrast": 0.5, "saturation": 1.0}.items():
        assert (drawn[name] + 1).log2().std().item() == pytest.approx(expected, rel=0.03)
    assert drawn["brightness"].std().item() == pytest.approx(0.2, rel=0.03)
    assert drawn["hue"].std().item() == pytest.approx(2 * torch.pi / sqrt(12), rel=0.03)
    assert drawn["noise"].square().mean().sqrt().item() == pytest.approx(0.1, rel=0.03)
    assert (drawn["noise"] >= 0).all() and (drawn["cutout"] == 0.5).all()
    assert drawn["flip"][:, 0].unique().tolist() == [-2, 0]  # minus the identity: left to right
    assert (drawn["flip"][:, 1:] == 0).all()  # only
    for name in ("scale", "stretch"):
        across, down = (drawn[name][:, [0, 4]] + 1).log2().T
        assert across.std().item() == pytest.approx(0.2, rel=0.03)
        torch.testing.assert_close(down, across if name == "scale" else -across, atol=1e-4, rtol=1e-4)
    for name in ("first_angle", "second_angle"):
        angle = torch.atan2(drawn[name][:, 3], drawn[name][:, 0] + 1)
        assert angle.std().item() == pytest.approx(2 * torch.pi / sqrt(12), rel=0.03)
    assert drawn["fractional_offset"][:, [2, 5]].std(0).tolist() == pytest.approx([0.125 * RESOLUTION] * 2, rel=0.03)
    offset = drawn["integer_offset"][:, [2, 5]]
    assert offset.unique().tolist() == [-2, -1, 0, 1, 2]
    assert [(offset == k).float().mean().item() for k in (0, 2)] == pytest.approx([1 / 4, 1 / 8], abs=0.01)


def test_the_order_of_geometric_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The composed transform equals the transforms one after the other, up to rounding and interpolation."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 1, 5, 5, generator=generator), 64, mode="bicubic", align_corners=True
    )
    images = smooth.expand(4, -1, -1, -1)
    seen, warps = record_calls(monkeypatch, "compose"), record_calls(monkeypatch, "warp")
    Adaptive(1, 64, batch_size=4, p=1.0)(images, Noise(1, 4))
    (flip, turns, offset), affines, both = seen
    inverse = warps[0][1]
    assert torch.equal(inverse, F.compose(*both))
    torch.testing.assert_close(inverse, F.compose(flip, turns, offset, *affines))
    # Interpolation and the border differ where the later transforms are large, so they are made small.
    small = [torch.eye(3) + 0.02 * (matrix - torch.eye(3)) for matrix in (offset, *affines)]
    step = F.rearrange(F.rearrange(images, flip), turns)
    for matrix in small:
        step = F.warp(step, matrix)
    middle = slice(12, 52)
    at_once = F.warp(images, F.compose(flip, turns, *small))
    torch.testing.assert_close(at_once[..., middle, middle], step[..., middle, middle], atol=0.01, rtol=0)


def test_pixels_without_a_geometric_transform_are_only_rearranged() -> None:
    """All colors of the results are those of a pixel: at p = 1 without geom, and wherever geom has no effect."""
    images = random_images(1)
    for policy, multipliers in (("b", {}), ("bg", {"geom": 0.0})):
        pipeline = Adaptive(1, RESOLUTION, batch_size=N, policy=policy, p=1.0, multipliers=multipliers)
        for image, result in zip(images, pipeline(images, Noise(0, N)), strict=True):
            assert torch.isin(result, image).all() and not torch.equal(result, image)


def test_the_gains_of_bands_keep_the_power_of_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_calls(monkeypatch, "filter_bands")
    adaptive(1.0)(random_images(n=4000, resolution=4), Noise(0, 4000))
    gains = calls[0][1]
    power = gains.square() @ (torch.tensor([10.0, 1, 1, 1]) / 13)
    # Each band is normalized for an image whose other bands are unchanged, so the product varies a little.
    assert 0.7 < power.median() < 1.3
    # Bands are scaled by 2^N(0, 1) relative to each other: the variance of a difference of two logarithms is 2.
    ratio = (gains[:, 1] / gains[:, 2]).log2()
    assert (ratio.mean().item(), ratio.std().item()) == pytest.approx((0, sqrt(2)), abs=0.08)


def test_the_numbers_of_a_group_do_not_depend_on_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    colors, squares = (record_calls(monkeypatch, name) for name in ("recolor", "blank"))
    for policy in ("cc", "nc", "bgc", "bgcfnc"):
        adaptive(1.0, policy=policy)(random_images(), Noise(0, N))
    assert len(colors) == len(squares) == 3
    for calls in (colors, squares):
        for _, *drawn in calls[1:]:
            assert all(torch.equal(number, first) for number, first in zip(drawn, calls[0][1:], strict=True))


def test_multipliers_are_factors_on_the_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_calls(monkeypatch, "recolor")
    Adaptive(1, 4, batch_size=1, p=0.8, policy="c", multipliers={"color": 0.5})(
        random_images(1, n=4000, resolution=4), Noise(0, 4000)
    )
    assert (calls[0][2] != 0).float().mean().item() == pytest.approx(0.4, abs=0.04)


def test_a_factor_on_p_and_what_is_logged_of_a_fixed_one() -> None:
    pipeline = Adaptive(3, RESOLUTION, batch_size=N, policy="bgcfnc", p=0.6, fixed=True)
    assert pipeline.adapt(None, N)["p"].item() == pytest.approx(0.6)
    pipeline.scale_p(0.5)
    assert pipeline.adapt(torch.ones(N), N)["p"].item() == pytest.approx(0.3)
    images = random_images()
    assert torch.equal(pipeline(images, Noise(0, N)), adaptive(0.3)(images, Noise(0, N)))
    assert adaptive(0.3).adapt(None, N) == {}


@pytest.mark.parametrize(
    ("policy", "groups"),
    {
        "bgc": "blit geom color", "bgcfnc": "blit geom color filter noise cutout", "b": "blit", "c": "color",
        "bgcc": "blit geom color cutout", "fc": "filter cutout", "gn": "geom noise",
    }.items(),
)  # fmt: skip
def test_policies(policy: str, groups: str) -> None:
    assert groups_of(policy) == groups.split()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "cb"}, r"augment\.policy=cb is not allowed: it must be bgcfnc .* in this order, as in bgc"),
        ({"policy": ""}, r"augment\.policy= is not allowed"),
        ({"policy": "bgx"}, r"augment\.policy=bgx is not allowed"),
        ({"multipliers": {"colors": 1}}, r"augment\.multipliers\.colors=1 is not allowed: the groups are blit, geom"),
        ({"multipliers": {"color": -1}}, r"augment\.multipliers\.color=-1 is not allowed: it must be a finite number"),
        ({"multipliers": {"color": "x"}}, r"augment\.multipliers\.color=x is not allowed: it must be a finite number"),
    ],
)
def test_unknown_groups_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adaptive(3, RESOLUTION, batch_size=4, **options)


# --- configuration ---


@pytest.mark.parametrize("make", [DiffAugment, lambda c, r: Adaptive(c, r, batch_size=4)], ids=["diffaugment", "ada"])
def test_points_and_other_channels_are_refused(make: Callable[[int, int | None], nn.Module]) -> None:
    with pytest.raises(
        ValueError, match=r"augment=\w+ needs images, but augment\.resolution=null, as for points; set augment=none"
    ):
        make(2, None)
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels, but dataset\.channels is 2"):
        make(2, 8)


@pytest.mark.parametrize("policy", [[], ["colors"], "colors"])
def test_unknown_policies_are_refused(policy: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^augment\.policy must be a non-empty list from color, translation, cutout"):
        DiffAugment(3, 8, policy)


def test_shifts_of_points_are_refused() -> None:
    with pytest.raises(ValueError, match="its resolution=null, as for points"):
        FlipAndShift(None)
    with pytest.raises(ValueError, match="fraction of the resolution"):
        FlipAndShift(8, 4)


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_configs_have_every_option_with_its_default(file: Path) -> None:
    root = {"dataset": {"channels": 3, "resolution": RESOLUTION}, "batch_size": 8, "augment": OmegaConf.load(file)}
    options = OmegaConf.to_container(OmegaConf.create(root).augment, resolve=True)
    target = getattr(pipelines, options.pop("_target_").removeprefix("gan_lab.augment.pipelines."))
    named = [p for p in inspect.signature(target).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert options.keys() == {parameter.name for parameter in named}
    target(**options)
    for parameter in named:
        if parameter.default is not parameter.empty:
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert options[parameter.name] == default


def test_only_an_adaptive_probability_needs_a_boundary() -> None:
    assert adaptive(0.0).needs_boundary
    assert not Adaptive(3, RESOLUTION, batch_size=4, p=0.5, fixed=True).needs_boundary
    assert not NoAugmentation().needs_boundary
    assert not DiffAugment(3, RESOLUTION).needs_boundary
    for augmentation in (NoAugmentation(), DiffAugment(3, RESOLUTION)):
        assert augmentation.adapt(torch.ones(4), 4) == {}
