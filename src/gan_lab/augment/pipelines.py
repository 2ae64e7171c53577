"""Augmentations that configs choose by name; all are `augment.base.Augmentation`; formulas are in `functional`.

Images are (n, C, resolution, resolution) in [-1, 1]; results are float32 and may leave [-1, 1], as in the papers.
Geometric transforms apply to the alpha channel of RGBA images, color transforms do not.
"""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn

from gan_lab.augment import functional as F
from gan_lab.augment.ada import Controller
from gan_lab.noise import Noise

POLICIES = ("color", "translation", "cutout")


class NoAugmentation(nn.Module):
    """No augmentation, for images or points."""

    needs_boundary = False

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """The images, unchanged."""
        return images

    def adapt(self, margins: Tensor, images: int) -> dict[str, Tensor]:
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

    def adapt(self, margins: Tensor, images: int) -> dict[str, Tensor]:
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
    """Adaptive discriminator augmentation, pipeline `bgc`: Karras et al. (2020b), sections 3 and B.

    Each transform is applied to each image independently with probability p, in this order:

    | transform                | parameter                     | transform  | parameter        |
    |--------------------------|-------------------------------|------------|------------------|
    | flip left to right       | one of {no, yes}              | brightness | + N(0, .2^2)     |
    | quarter turns            | one of {0, 1, 2, 3}           | contrast   | x 2^N(0, .5^2)   |
    | integer translation      | resolution * U(-.125, .125)   | luma flip  | one of {no, yes} |
    | scale                    | 2^N(0, .2^2)                  | hue        | U(-pi, pi)       |
    | rotate                   | U(-pi, pi)                    | saturation | x 2^N(0, 1)      |
    | anisotropic scale        | 2^N(0, .2^2)                  |            |                  |
    | rotate                   | U(-pi, pi)                    |            |                  |
    | fractional translation   | resolution * N(0, .125^2)     |            |                  |

    Each rotation has probability 1 - sqrt(1 - p), so that at least one is applied with probability p. The controller
    can raise p above 1, which acts like 1. Images without any transform, and all images at p = 0, are bit-identical to
    the input.

    The geometric transforms are composed, and applied with bilinear interpolation. The authors' code interpolates at
    twice the resolution between two sym6 wavelet filters, which preserves high frequencies that are lost here:
    fractional translation blurs slightly, and shrinking may alias, equally for real and generated images. Flips,
    quarter turns and integer translations alone are exact. Images are mirrored repeatedly beyond their border.

    Args:
        channels: Channels of the images: 1, 3 or 4. Hue and saturation have no effect on gray images.
        resolution: Resolution of the images in pixels; None (points) is refused.
        batch_size: Images in a batch over all processes.
        target: Mean sign of real logits at which p does not change.
        adapt_images: Real images in which p can rise from 0 to 1; 100,000 in the paper's transfer learning.
        interval: Batches between adjustments of p.
        p_start: p before the first adjustment.
        fixed: Keep p at `p_start`; then the loss needs no boundary.

    Raises:
        ValueError: Points, other numbers of channels, or an option out of range.
    """

    single_images_only = True

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        batch_size: int,
        target: float = 0.6,
        adapt_images: int = 500_000,
        interval: int = 4,
        p_start: float = 0.0,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        _require_images("ada", channels, resolution)
        self.needs_boundary = not fixed
        self.controller = Controller(batch_size, target, adapt_images, interval, p_start, fixed)

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """Augmented images; each uses its own row of the noise."""
        inverse = self._draw_inverse_transform(noise, images.shape[-1])
        images = torch.where(_is_not_identity(inverse), F.warp(images, inverse), images)
        shift, matrix = self._draw_colors(noise)
        changed = _is_not_identity(matrix) | (shift != 0).view(-1, 1, 1, 1)
        return torch.where(changed, F.recolor(images, matrix, shift), images)

    def adapt(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Adapt p; see `Controller.adapt`."""
        return self.controller.adapt(margins, images)

    def _draw_inverse_transform(self, noise: Noise, resolution: int) -> Tensor:
        """Inverse affine transform, from pixels of the result to positions in the image, (n, 3, 3)."""
        p = self.controller.p
        p_rotation = 1 - (1 - p).clamp(min=0).sqrt()

        flipped = _with_probability(p, noise, noise.integers(2, 1), 0)
        turns = _with_probability(p, noise, noise.integers(4, 1), 0)
        integer_offset = _with_probability(p, noise, (0.125 * resolution * _symmetric(noise, 2)).round(), 0)
        scale = _with_probability(p, noise, 2 ** (0.2 * noise.normal(1)), 1)
        first_angle = _with_probability(p_rotation, noise, pi * _symmetric(noise, 1), 0)
        stretch = _with_probability(p, noise, 2 ** (0.2 * noise.normal(1)), 1)
        second_angle = _with_probability(p_rotation, noise, pi * _symmetric(noise, 1), 0)
        fractional_offset = _with_probability(p, noise, 0.125 * resolution * noise.normal(2), 0)

        # The inverse reverses the order of transforms, and `compose` applies the last matrix first.
        return F.compose(
            F.scaling(1.0 - 2.0 * flipped, torch.ones_like(scale)),
            F.quarter_turns(-turns),
            F.translation(-integer_offset),
            F.scaling(1 / scale, 1 / scale),
            F.rotation(-first_angle),
            F.scaling(1 / stretch, stretch),
            F.rotation(-second_angle),
            F.translation(-fractional_offset),
        )

    def _draw_colors(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Color shift, (n, 1), and color matrix applied after it, (n, 3, 3)."""
        p = self.controller.p
        brightness = _with_probability(p, noise, 0.2 * noise.normal(1), 0)
        contrast = _with_probability(p, noise, 2 ** (0.5 * noise.normal(1)), 1)
        luma_flipped = _with_probability(p, noise, noise.integers(2, 1), 0)
        hue = _with_probability(p, noise, pi * _symmetric(noise, 1), 0)
        saturation = _with_probability(p, noise, 2 ** noise.normal(1), 1)
        return brightness, F.color_matrix(contrast, luma_flipped, hue, saturation)


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


def _with_probability(p: Tensor, noise: Noise, drawn: Tensor, neutral: float) -> Tensor:
    """Rows of `drawn` (n, k) with probability p, otherwise `neutral`."""
    return torch.where(noise.uniform(1) < p, drawn, neutral)


def _is_not_identity(matrices: Tensor) -> Tensor:
    """True for matrices (n, 3, 3) that are not the identity, bool (n, 1, 1, 1)."""
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    return (matrices != identity).flatten(1).any(1).view(-1, 1, 1, 1)
