"""The augmentations as wholes: what they draw, how often, that they act alike on all images, and their gradients."""

import inspect
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gan_lab.augment import functional as F
from gan_lab.augment import pipelines
from gan_lab.augment.pipelines import Adaptive, DiffAugment, FlipAndShift, NoAugmentation
from gan_lab.noise import Noise

N, SIDE = 12, 16
CONF = Path(__file__).parents[2] / "conf" / "augment"


def adaptive(p: float, channels: int = 3) -> Adaptive:
    return Adaptive(channels, SIDE, batch_size=N, p_start=p)


PIPELINES: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: NoAugmentation(),
    "diffaugment": lambda channels: DiffAugment(channels, SIDE),
    "flip_and_shift": lambda channels: FlipAndShift(SIDE),
    "ada_0": lambda channels: adaptive(0.0, channels),
    "ada_3": lambda channels: adaptive(0.3, channels),
    "ada_10": lambda channels: adaptive(1.0, channels),
}


def pictures(channels: int = 3, n: int = N, side: int = SIDE, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", PIPELINES)
def test_shape_dtype_and_range(name: str, channels: int) -> None:
    for seed in range(5):
        result = PIPELINES[name](channels)(pictures(channels), Noise(seed, N))
        assert result.shape == (N, channels, SIDE, SIDE)
        assert result.dtype == torch.float32
        assert result.isfinite().all()
        assert result.abs().max() < 100
        if channels == 4:
            assert result[:, 3].abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("name", PIPELINES)
def test_a_seed_is_one_transform_whatever_the_images(name: str) -> None:
    """All are affine in the images, so the transform of a mean is the mean of transforms, if they are the same."""
    real, fake = pictures(seed=1), pictures(seed=2)
    first, second, middle = (
        PIPELINES[name](3)(images, Noise(7, N)) for images in (real, fake, (real + fake) / 2)
    )  # fmt: skip
    torch.testing.assert_close(middle, (first + second) / 2, atol=1e-4, rtol=1e-4)
    assert torch.equal(PIPELINES[name](3)(real, Noise(7, N)), first)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_number_of_processes_changes_nothing(name: str) -> None:
    images = pictures()
    whole = PIPELINES[name](3)(images, Noise(3, N))
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        assert torch.equal(PIPELINES[name](3)(images[rows], Noise(3, N, rows)), whole[rows])


@pytest.mark.parametrize("name", PIPELINES)
def test_autocast_changes_nothing(name: str) -> None:
    images = pictures()
    expected = PIPELINES[name](3)(images, Noise(3, N))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(PIPELINES[name](3)(images, Noise(3, N)), expected)
        half = PIPELINES[name](3)(images.bfloat16(), Noise(3, N))
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("name", PIPELINES)
def test_first_and_second_derivatives(name: str) -> None:
    images = pictures(n=3, side=4).double().requires_grad_()

    def augmented(images: Tensor) -> Tensor:
        return PIPELINES[name](3)(images, Noise(4, 3))

    assert torch.autograd.gradcheck(augmented, images)
    assert torch.autograd.gradgradcheck(lambda images: augmented(images).tanh(), images)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_gradient_penalty_through_the_augmentation(name: str) -> None:
    """Half of |gradient|^2 of a linear critic is half of |transpose of the augmentation times weights|^2."""
    weights = pictures(n=1, seed=9)[0].requires_grad_()
    images = pictures().requires_grad_()
    pipeline = PIPELINES[name](3)
    (gradient,) = torch.autograd.grad((pipeline(images, Noise(4, N)) * weights).sum(), images, create_graph=True)
    penalty = 0.5 * gradient.square().sum()
    (by_weights,) = torch.autograd.grad(penalty, weights)
    # The penalty is a quadratic form, so its gradient times the weights is twice its value.
    torch.testing.assert_close((by_weights * weights).sum(), 2 * penalty, rtol=1e-4, atol=1e-3)
    assert by_weights.abs().max() > 0


# --- DiffAugment and flips and shifts ---


def test_each_policy_alone() -> None:
    images = pictures() + 2  # nowhere 0
    assert (DiffAugment(3, SIDE, ["colour"])(images, Noise(0, N)) != images).flatten(1).any(1).all()
    moved = DiffAugment(3, SIDE, ["translation"])(images, Noise(0, N))
    assert ((moved == 0).all(1) | torch.isin(moved, images).all(1)).all()
    cut = DiffAugment(3, SIDE, ["cutout"])(images, Noise(0, N))
    assert torch.equal(cut, torch.where(cut == 0, 0, images))
    assert 0 < (cut == 0).float().mean() <= 0.25


def recorded(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple]:
    """The arguments of a formula at every call, which goes on."""
    calls: list[tuple] = []
    formula = getattr(F, name)
    monkeypatch.setattr(F, name, lambda *arguments, **named: (calls.append(arguments), formula(*arguments, **named))[1])
    return calls


@pytest.mark.parametrize(
    ("name", "low", "high"), [("brightness", -0.5, 0.5), ("saturation", 0.0, 2.0), ("contrast", 0.5, 1.5)]
)
def test_colours_are_drawn_uniformly(monkeypatch: pytest.MonkeyPatch, name: str, low: float, high: float) -> None:
    calls = recorded(monkeypatch, name)
    DiffAugment(3, 8)(pictures(n=20_000, side=8), Noise(0, 20_000))
    drawn = (calls[0][1].sort().values - low) / (high - low)
    steps = torch.linspace(0, 1, 20_000)
    assert (drawn - steps).abs().max() < 1.95 / sqrt(20_000)  # Kolmogorov-Smirnov at .001


@pytest.mark.parametrize(("side", "largest"), [(8, 1), (28, 4), (32, 4)])
def test_shifts_are_up_to_an_eighth_of_the_side(monkeypatch: pytest.MonkeyPatch, side: int, largest: int) -> None:
    calls = recorded(monkeypatch, "translate")
    for pipeline in (DiffAugment(1, side), FlipAndShift(side)):
        pipeline(torch.zeros(4000, 1, side, side), Noise(0, 4000))
        values, counts = calls[-1][1].unique(return_counts=True)
        assert values.tolist() == list(range(-largest, largest + 1))
        assert (counts / 8000 - 1 / len(values)).abs().max() < 5 * sqrt(0.25 / 8000)


@pytest.mark.parametrize(("side", "first", "last"), [(8, -2, 6), (32, -8, 24), (7, -2, 5), (6, -1, 4)])
def test_the_centre_of_a_cutout_lies_anywhere(
    monkeypatch: pytest.MonkeyPatch, side: int, first: int, last: int
) -> None:
    calls = recorded(monkeypatch, "cutout")
    DiffAugment(1, side)(torch.zeros(4000, 1, side, side), Noise(0, 4000))
    _, corner, size = calls[0]
    assert size == (side + 1) // 2
    assert corner.unique().tolist() == list(range(first, last + 1))


def test_every_second_image_is_flipped() -> None:
    images = pictures(1, n=4000, side=4)
    result = FlipAndShift(SIDE, 0.0)(images, Noise(0, 4000))
    flipped = (result == images.flip(3)).flatten(1).all(1)
    assert torch.equal(result[~flipped], images[~flipped])
    assert abs(flipped.float().mean().item() - 0.5) < 5 * sqrt(0.25 / 4000)


# --- ADA ---


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_without_a_probability_every_image_passes_to_the_last_bit(channels: int) -> None:
    images = pictures(channels)
    images[0, 0, 0, :2] = torch.tensor([-0.0, 0.0])
    for seed in range(20):
        result = adaptive(0.0, channels)(images, Noise(seed, N))
        assert torch.equal(result.view(torch.int32), images.view(torch.int32))


def test_a_draw_of_exactly_zero_is_not_below_a_probability_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "uniform", lambda noise, *shape: torch.zeros(noise.global_size, *shape))
    assert torch.equal(adaptive(0.0)(pictures(), Noise(0, N)), pictures())


def test_with_certainty_every_image_changes() -> None:
    images = pictures()
    for seed in range(20):
        assert (adaptive(1.0)(images, Noise(seed, N)) != images).flatten(1).any(1).all()


def test_an_image_for_which_nothing_is_drawn_passes_among_others() -> None:
    images = pictures(n=2000)
    unchanged = (adaptive(0.05)(images, Noise(0, 2000)) == images).flatten(1).all(1)
    # 13 transforms; two of the flips' halves and a quarter of the quarter turns do nothing; one chance in 4 x 4 of the
    # whole shifts (side 16: U(-2, 2) rounds to 0 in a quarter of cases).
    either_rotation = 0.05
    still = (1 - 0.025) ** 2 * (1 - 0.0375) * (1 - 0.05 * 15 / 16) * (1 - 0.05) ** 7 * (1 - either_rotation)
    assert abs(unchanged.float().mean().item() - still) < 5 * sqrt(still * (1 - still) / 2000)


def drawn_parameters(monkeypatch: pytest.MonkeyPatch, p: float, seeds: int, n: int = 1000) -> dict[str, Tensor]:
    """What each transform got over many batches, (seeds * n, k); the identity where it was not drawn."""
    motions, colours, shifts = (recorded(monkeypatch, name) for name in ("compose", "colour_matrix", "recolour"))
    for seed in range(seeds):
        adaptive(p)(torch.zeros(n, 3, SIDE, SIDE), Noise(seed, n))
    names = ("flip", "turns", "whole_shift", "scale", "first_angle", "stretch", "second_angle", "part_shift")
    drawn = {
        name: torch.cat([(call[k] - torch.eye(3))[:, :2].flatten(1) for call in motions])
        for k, name in enumerate(names)
    }
    for k, (name, rest) in enumerate({"contrast": 1, "luma_flip": 0, "hue": 0, "saturation": 1}.items()):
        drawn[name] = torch.cat([call[k].float() - rest for call in colours])
    return drawn | {"brightness": torch.cat([call[2] for call in shifts])}


P = 0.3
ROTATION = 1 - sqrt(1 - P)
RATES = {
    "flip": P / 2, "turns": P * 3 / 4, "whole_shift": P * 15 / 16, "scale": P, "first_angle": ROTATION, "stretch": P,
    "second_angle": ROTATION, "part_shift": P, "brightness": P, "contrast": P, "luma_flip": P / 2, "hue": P,
    "saturation": P,
}  # fmt: skip


def test_rate_and_independence_of_each_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = {name: (value != 0).any(1) for name, value in drawn_parameters(monkeypatch, P, seeds=20).items()}
    assert happened.keys() == RATES.keys()

    def check(happened: Tensor, rate: float) -> None:
        assert abs(happened.float().mean().item() - rate) < 4.5 * sqrt(rate * (1 - rate) / len(happened))

    for name, rate in RATES.items():
        check(happened[name], rate)
        for other, other_rate in RATES.items():
            if other != name:
                check(happened[name] & happened[other], rate * other_rate)
    check(happened["first_angle"] | happened["second_angle"], P)


def test_the_sizes_of_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard deviations against the paper's; of the inverse, whose logarithms have the same."""
    drawn = drawn_parameters(monkeypatch, 1.0, seeds=20)
    for name, expected in {"contrast": 0.5, "saturation": 1.0}.items():
        assert (drawn[name] + 1).log2().std().item() == pytest.approx(expected, rel=0.03)
    assert drawn["brightness"].std().item() == pytest.approx(0.2, rel=0.03)
    assert drawn["hue"].std().item() == pytest.approx(2 * torch.pi / sqrt(12), rel=0.03)
    assert drawn["flip"][:, 0].unique().tolist() == [-2, 0]  # beside the identity: left to right,
    assert (drawn["flip"][:, 1:] == 0).all()  # and nothing else
    for name in ("scale", "stretch"):
        across, down = (drawn[name][:, [0, 4]] + 1).log2().T
        assert across.std().item() == pytest.approx(0.2, rel=0.03)
        torch.testing.assert_close(down, across if name == "scale" else -across, atol=1e-4, rtol=1e-4)
    for name in ("first_angle", "second_angle"):
        angle = torch.atan2(drawn[name][:, 3], drawn[name][:, 0] + 1)
        assert angle.std().item() == pytest.approx(2 * torch.pi / sqrt(12), rel=0.03)
    assert drawn["part_shift"][:, [2, 5]].std(0).tolist() == pytest.approx([0.125 * SIDE] * 2, rel=0.03)
    whole = drawn["whole_shift"][:, [2, 5]]
    assert whole.unique().tolist() == [-2, -1, 0, 1, 2]
    assert [(whole == k).float().mean().item() for k in (0, 2)] == pytest.approx([1 / 4, 1 / 8], abs=0.01)


def test_the_order_of_the_motions() -> None:
    """The composed inverse, applied once, is the transforms done one after the other, to rounding and interpolation."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 1, 5, 5, generator=generator), 64, mode="bicubic", align_corners=True
    )
    seen: list[tuple[Tensor, ...]] = []
    compose = F.compose
    pipeline = Adaptive(1, 64, batch_size=4, p_start=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "compose", lambda *motions: (seen.append(motions), compose(*motions))[1])
        inverse = pipeline._draw_inverse_motion(Noise(1, 4), 64)
    flip, turns, *later = seen[0]
    # Interpolation and the border differ where the later motions are large, so they are made small.
    small = [torch.eye(3) + 0.02 * (motion - torch.eye(3)) for motion in later]
    images = step = smooth.expand(4, -1, -1, -1)
    for motion in (flip, turns, *small):
        step = F.warp(step, motion)
    middle = slice(12, 52)
    at_once = F.warp(images, compose(flip, turns, *small))
    torch.testing.assert_close(at_once[..., middle, middle], step[..., middle, middle], atol=0.01, rtol=0)
    assert torch.equal(inverse, compose(flip, turns, *later))


# --- configuration ---


@pytest.mark.parametrize("make", [DiffAugment, lambda c, r: Adaptive(c, r, batch_size=4)], ids=["diffaugment", "ada"])
def test_what_is_no_image_is_refused(make: Callable[[int, int | None], nn.Module]) -> None:
    with pytest.raises(
        ValueError, match=r"augment=\w+ changes images, and this data set holds points; set augment=none"
    ):
        make(2, None)
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels, and dataset\.channels is 2"):
        make(2, 8)


@pytest.mark.parametrize("policy", [[], ["color"], "colour"])
def test_unknown_policies_are_refused(policy: list[str]) -> None:
    with pytest.raises(ValueError, match=r"augment\.policy must be a list of some of colour, translation, cutout, not"):
        DiffAugment(3, 8, policy)


def test_shifts_of_points_are_refused() -> None:
    with pytest.raises(ValueError, match="this data set holds points"):
        FlipAndShift(None)
    with pytest.raises(ValueError, match="share of the side"):
        FlipAndShift(8, 4)


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_configs_write_out_every_option_with_its_default(file: Path) -> None:
    root = {"dataset": {"channels": 3, "resolution": SIDE}, "batch_size": 8, "augment": OmegaConf.load(file)}
    options = OmegaConf.to_container(OmegaConf.create(root).augment, resolve=True)
    target = getattr(pipelines, options.pop("_target_").removeprefix("gan_lab.augment.pipelines."))
    named = [p for p in inspect.signature(target).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert options.keys() == {parameter.name for parameter in named}
    target(**options)
    for parameter in named:
        if parameter.default is not parameter.empty:
            default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            assert options[parameter.name] == default


def test_only_a_probability_that_moves_needs_a_boundary() -> None:
    assert adaptive(0.0).needs_boundary
    assert not Adaptive(3, SIDE, batch_size=4, p_start=0.5, fixed=True).needs_boundary
    assert not NoAugmentation().needs_boundary
    assert not DiffAugment(3, SIDE).needs_boundary
    for still in (NoAugmentation(), DiffAugment(3, SIDE)):
        assert still.learn(torch.ones(4), 4) == {}
