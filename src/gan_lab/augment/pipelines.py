"""Augmentations that configs choose by name; all are `augment.base.Augmentation`; formulas are in `functional`.

Images are (n, C, resolution, resolution) in [-1, 1]; results are float32 and may leave [-1, 1], as in the papers.
Geometric transforms apply to the alpha channel of RGBA images, color transforms do not.
"""

from collections.abc import Mapping, Sequence
from math import inf, pi
from types import MappingProxyType

import torch
from torch import Tensor, nn

from gan_lab.augment import functional as F
from gan_lab.augment.ada import Controller
from gan_lab.noise import Noise

POLICIES = ("color", "translation", "cutout")
MULTIPLIERS: Mapping[str, float] = MappingProxyType(
    dict.fromkeys(("blit", "geom", "color", "filter", "noise", "cutout"), 1.0)
)
"""Groups of ADA's transforms, in their order, with the factor on p."""
BAND_POWERS = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Fractions of the frequency bands in the power of photographs, from the lowest band: Karras et al. (2020b)."""


class NoAugmentation(nn.Module):
    """No augmentation, for images or points."""

    needs_boundary = False

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """The images, unchanged."""
        return images

    def adapt(self, margins: Tensor | None, images: int) -> dict[str, Tensor]:
        """Do nothing."""
        return {}


class DiffAugment(nn.Module):
    """Differentiable augmentation of every image: Zhao et al. (2020), section 3.2.

    Color: brightness + U(-.5, .5), saturation x U(0, 2), contrast x U(.5, 1.5). Translation: up to an eighth of the
    resolution in each direction, new pixels 0. Cutout: a square of half the resolution with a random center, set to 0.
    An eighth and a half are rounded to the nearest pixel, and upwards in the middle: the first version of the authors'
    code rounds down, later ones like this.

    Args:
        channels: Channels of the images: 1, 3 or 4.
        resolution: Resolution of the images in pixels; None (points) is refused.
        policy: Some of `color`, `translation`, `cutout`, in the order of application.

    Raises:
        ValueError: Points, other numbers of channels, or an unknown name in the policy.
    """

    needs_boundary = False
    single_images_only = True

    def __init__(self, channels: int, resolution: int | None, policy: Sequence[str] = POLICIES) -> None:
        super().__init__()
        _require_images("diffaugment", channels, resolution)
        unknown = [name for name in policy if name not in POLICIES]
        if unknown or not policy:
            raise ValueError(f"augment.policy must be a non-empty list from {', '.join(POLICIES)}, not {list(policy)}")
        self.policy = tuple(policy)

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """Augmented images; each uses its own row of the noise."""
        transforms = {"color": _change_colors, "translation": _translate, "cutout": _cut_out}
        for name in self.policy:
            images = transforms[name](images, noise)
        return images

    def adapt(self, margins: Tensor | None, images: int) -> dict[str, Tensor]:
        """Do nothing."""
        return {}


class FlipAndShift(nn.Module):
    """Random flip and shift of each image, the transform of consistency regularization.

    Zhang et al. (2020) flip and shift; the defaults of PyTorch-StudioGAN are flips with probability one half and shifts
    up to an eighth of the resolution, rounded down, mirrored at the border (there without repeating the outermost
    pixel).

    Args:
        resolution: Resolution of the images in pixels; None (points) is refused.
        shift: Largest shift in each direction, as a fraction of the resolution.

    Raises:
        ValueError: The data are points, or `shift` is not in [0, 1].
    """

    def __init__(self, resolution: int | None, shift: float = 0.125) -> None:
        super().__init__()
        if resolution is None:
            raise ValueError(
                "regularizer=consistency flips and shifts images, but its resolution=null, as for points; "
                "remove it, or set another regularizer.consistency.transform._target_"
            )
        if not 0 <= shift <= 1:
            raise ValueError(f"shift is a fraction of the resolution and must be in [0, 1], not {shift}")
        self.shift = shift

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """Flipped and shifted images; each uses its own row of the noise."""
        flipped = F.flip(images, noise.uniform() < 0.5)
        return F.translate(flipped, _offsets(noise, int(self.shift * images.shape[-1])), mirrored=True)


class Adaptive(nn.Module):
    """Adaptive discriminator augmentation: Karras et al. (2020b), sections 3 and B.

    Each transform is applied to each image independently with probability p times the multiplier of its group, in this
    order:

    | group   | transform              | parameter                     |
    |---------|------------------------|-------------------------------|
    | blit    | flip left to right     | one of {no, yes}              |
    |         | quarter turns          | one of {0, 1, 2, 3}           |
    |         | integer translation    | resolution * U(-.125, .125)   |
    | geom    | scale                  | 2^N(0, .2^2)                  |
    |         | rotate                 | U(-pi, pi)                    |
    |         | anisotropic scale      | 2^N(0, .2^2)                  |
    |         | rotate                 | U(-pi, pi)                    |
    |         | fractional translation | resolution * N(0, .125^2)     |
    | color   | brightness             | + N(0, .2^2)                  |
    |         | contrast               | x 2^N(0, .5^2)                |
    |         | luma flip              | one of {no, yes}              |
    |         | hue                    | U(-pi, pi)                    |
    |         | saturation             | x 2^N(0, 1)                   |
    | filter  | each of 4 octave bands | x 2^N(0, 1), then normalized  |
    | noise   | + sigma N(0, 1)        | sigma = abs(N(0, .1^2))       |
    | cutout  | a square is 0          | half the resolution           |

    Each rotation has probability 1 - sqrt(1 - p), so that at least one is applied with probability p. The controller
    can raise p above 1, which acts like 1. Images without any transform, and all images at p = 0, are bit-identical to
    the input.

    Flips, quarter turns and integer translations alone are exact; with a transform of `geom` all geometric ones are one
    `functional.warp`. Images are mirrored repeatedly beyond their border. Gains of the bands are normalized so that
    images with the power spectrum of photographs keep their variance.

    Each group has its own random stream, so that the numbers of a group do not depend on the policy.

    Args:
        channels: Channels of the images: 1, 3 or 4. Hue and saturation have no effect on gray images.
        resolution: Resolution of the images in pixels; None (points) is refused.
        batch_size: Images in a batch over all processes.
        policy: First letters of the groups, in their order: bgc, bgcfnc (all), or any part of bgcfnc. The first c is
            color unless an f or n precedes it, and the second one cutout.
        multipliers: Factor on p by group.
        target: Mean sign of real logits at which p does not change.
        adapt_images: Real images in which p can rise from 0 to 1; 100,000 in the paper's transfer learning.
        interval: Batches between adjustments of p.
        p: Probability before the first adjustment.
        fixed: Keep the probability at `p`; then the loss needs no boundary.

    Raises:
        ValueError: Points, other numbers of channels, or an option out of range.
    """

    single_images_only = True

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        batch_size: int,
        policy: str = "bgc",
        multipliers: Mapping[str, float] = MULTIPLIERS,
        target: float = 0.6,
        adapt_images: int = 500_000,
        interval: int = 4,
        p: float = 0.0,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        _require_images("ada", channels, resolution)
        groups = groups_of(policy)
        for name, value in multipliers.items():
            if name not in MULTIPLIERS:
                raise ValueError(
                    f"augment.multipliers.{name}={value} is not allowed: the groups are {', '.join(MULTIPLIERS)}"
                )
            if not isinstance(value, (int, float)) or not 0 <= value < inf:
                raise ValueError(
                    f"augment.multipliers.{name}={value} is not allowed: it must be a finite number of at least 0"
                )
        self.multipliers = {name: multipliers.get(name, 1.0) for name in groups}
        self.needs_boundary = not fixed
        self.p_factor = 1.0
        self.controller = Controller(batch_size, target, adapt_images, interval, p, fixed)

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """Augmented images; each uses its own row of the noise."""
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        images = self._change_geometry(images, noise)
        transforms = {
            "color": _recolor, "filter": _filter_bands, "noise": _add_noise, "cutout": _blank
        }  # fmt: skip
        for group, transform in transforms.items():
            if group in self.multipliers:
                images = transform(images, self._p(group), noise.child(group))
        return images

    def adapt(self, margins: Tensor | None, images: int) -> dict[str, Tensor]:
        """Adapt p, see `Controller.adapt`, unless it is fixed; returns p with its factor."""
        found = {} if margins is None else self.controller.adapt(margins, images)
        return {**found, "p": self.p} if found or self.controller.fixed else {}

    @property
    def p(self) -> Tensor:
        """Probability of transforms in groups whose multiplier is 1."""
        return self.controller.p * self.p_factor

    def scale_p(self, factor: float) -> None:
        """Set a factor on p."""
        self.p_factor = factor

    def _p(self, group: str) -> Tensor:
        return self.p * self.multipliers[group]

    def _change_geometry(self, images: Tensor, noise: Noise) -> Tensor:
        """Apply the groups blit and geom."""
        resolution, inverses = images.shape[-1], []
        result = images
        if "blit" in self.multipliers:
            inverses.append(_draw_rearrangement(self._p("blit"), noise.child("blit"), resolution))
            result = F.rearrange(images, inverses[0])
        if "geom" not in self.multipliers:
            return result
        affine = _draw_affine(self._p("geom"), noise.child("geom"), resolution)
        return torch.where(_is_not_identity(affine), F.warp(images, F.compose(*inverses, affine)), result)


def groups_of(policy: str) -> list[str]:
    """The groups of a policy of `Adaptive`, in order.

    Raises:
        ValueError: It is not a part of bgcfnc.
    """
    remaining, groups = iter(MULTIPLIERS), []
    for letter in policy:
        groups.append(next((name for name in remaining if name[0] == letter), ""))
    if not policy or "" in groups:
        raise ValueError(
            f"augment.policy={policy} is not allowed: it must be bgcfnc (blit, geom, color, filter, noise, cutout), "
            "or some of these letters in this order, as in bgc"
        )
    return groups


def _draw_rearrangement(p: Tensor, noise: Noise, resolution: int) -> Tensor:
    """Inverse transform of the group blit, from pixels of the result to pixels of the image, (n, 3, 3)."""
    flipped = _with_probability(p, noise, noise.integers(2, 1), 0)
    turns = _with_probability(p, noise, noise.integers(4, 1), 0)
    offset = _with_probability(p, noise, (0.125 * resolution * _symmetric(noise, 2)).round(), 0)
    # The inverse reverses the order of transforms, and `compose` applies the last matrix first.
    return F.compose(
        F.scaling(1.0 - 2.0 * flipped, torch.ones_like(flipped, dtype=offset.dtype)),
        F.quarter_turns(-turns),
        F.translation(-offset),
    )


def _draw_affine(p: Tensor, noise: Noise, resolution: int) -> Tensor:
    """Inverse transform of the group geom, from pixels of the result to positions in the image, (n, 3, 3)."""
    p_rotation = 1 - (1 - p).clamp(min=0).sqrt()
    scale = _with_probability(p, noise, 2 ** (0.2 * noise.normal(1)), 1)
    first_angle = _with_probability(p_rotation, noise, pi * _symmetric(noise, 1), 0)
    stretch = _with_probability(p, noise, 2 ** (0.2 * noise.normal(1)), 1)
    second_angle = _with_probability(p_rotation, noise, pi * _symmetric(noise, 1), 0)
    offset = _with_probability(p, noise, 0.125 * resolution * noise.normal(2), 0)
    return F.compose(
        F.scaling(1 / scale, 1 / scale),
        F.rotation(-first_angle),
        F.scaling(1 / stretch, stretch),
        F.rotation(-second_angle),
        F.translation(-offset),
    )


def _recolor(images: Tensor, p: Tensor, noise: Noise) -> Tensor:
    brightness = _with_probability(p, noise, 0.2 * noise.normal(1), 0)
    contrast = _with_probability(p, noise, 2 ** (0.5 * noise.normal(1)), 1)
    luma_flipped = _with_probability(p, noise, noise.integers(2, 1), 0)
    hue = _with_probability(p, noise, pi * _symmetric(noise, 1), 0)
    saturation = _with_probability(p, noise, 2 ** noise.normal(1), 1)
    matrix = F.color_matrix(contrast, luma_flipped, hue, saturation)
    changed = _is_not_identity(matrix) | (brightness != 0).view(-1, 1, 1, 1)
    return torch.where(changed, F.recolor(images, matrix, brightness), images)


def _filter_bands(images: Tensor, p: Tensor, noise: Noise) -> Tensor:
    gains = [torch.ones_like(p)] * len(BAND_POWERS)
    for band, power in enumerate(BAND_POWERS):
        drawn = _with_probability(p, noise, 2 ** noise.normal(1), 1)
        deviation = (1 + power * (drawn.square() - 1)).sqrt()  # of images of deviation 1, if this band is scaled
        gains = [(gain * drawn if other == band else gain) / deviation for other, gain in enumerate(gains)]
    each = torch.cat(gains, 1)
    changed = (each != 1).any(1).view(-1, 1, 1, 1)
    return torch.where(changed, F.filter_bands(images, each), images)


def _add_noise(images: Tensor, p: Tensor, noise: Noise) -> Tensor:
    deviation = _with_probability(p, noise, 0.1 * noise.normal(1).abs(), 0)
    noisy = F.add_noise(images, noise.normal(*images.shape[1:]), deviation)
    return torch.where((deviation != 0).view(-1, 1, 1, 1), noisy, images)


def _blank(images: Tensor, p: Tensor, noise: Noise) -> Tensor:
    size = _with_probability(p, noise, 0.5, 0)
    return F.blank(images, noise.uniform(2), size)


def _require_images(name: str, channels: int, resolution: int | None) -> None:
    if resolution is None:
        raise ValueError(f"augment={name} needs images, but augment.resolution=null, as for points; set augment=none")
    if channels not in (1, 3, 4):
        raise ValueError(f"augment={name} needs images of 1, 3 or 4 channels, but dataset.channels is {channels}")


def _change_colors(images: Tensor, noise: Noise) -> Tensor:
    images = F.brightness(images, noise.uniform() - 0.5)
    images = F.saturation(images, 2 * noise.uniform())
    return F.contrast(images, noise.uniform() + 0.5)


def _translate(images: Tensor, noise: Noise) -> Tensor:
    return F.translate(images, _offsets(noise, int(0.125 * images.shape[-1] + 0.5)))


def _cut_out(images: Tensor, noise: Noise) -> Tensor:
    resolution = images.shape[-1]
    size = int(0.5 * resolution + 0.5)
    # Centers are between pixels for an even size, including both borders, and on pixels for an odd size.
    return F.cutout(images, noise.integers(resolution + 1 - size % 2, 2) - size // 2, size)


def _offsets(noise: Noise, largest: int) -> Tensor:
    """Uniform integers (x, y), each from -largest to largest; int64 (n, 2)."""
    return noise.integers(2 * largest + 1, 2) - largest


def _symmetric(noise: Noise, columns: int) -> Tensor:
    """U(-1, 1), (n, columns)."""
    return 2 * noise.uniform(columns) - 1


def _with_probability(p: Tensor, noise: Noise, drawn: Tensor | float, neutral: float) -> Tensor:
    """Rows of `drawn` (n, k) with probability p, otherwise `neutral`."""
    return torch.where(noise.uniform(1) < p, drawn, neutral)


def _is_not_identity(matrices: Tensor) -> Tensor:
    """True for matrices (n, 3, 3) that are not the identity, bool (n, 1, 1, 1)."""
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    return (matrices != identity).flatten(1).any(1).view(-1, 1, 1, 1)
