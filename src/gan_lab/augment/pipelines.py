"""The augmentations a user picks by name; all are `gan_lab.types.Augmentation`. `functional` holds the formulas.

Images are (n, C, side, side) in [-1, 1]; results are float32 and may leave [-1, 1], as in the papers. The alpha channel
of RGBA images moves with the image, and keeps its value where colours change.
"""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn

from gan_lab.augment import functional as F
from gan_lab.augment.ada import Controller
from gan_lab.noise import Noise

POLICIES = ("colour", "translation", "cutout")


class NoAugmentation(nn.Module):
    """Shows the discriminator the samples themselves, images or points."""

    needs_boundary = False

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """The images."""
        return images

    def learn(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Nothing to adapt."""
        return {}


class DiffAugment(nn.Module):
    """Differentiable augmentation of every image: Zhao et al. (2020), section 3.2.

    Colour: brightness + U(-.5, .5), saturation x U(0, 2), contrast x U(.5, 1.5). Translation: up to an eighth of the
    side each way, 0 for what comes into view. Cutout: a square of half the side, centred anywhere, set to 0.

    Args:
        channels: Of the images: 1, 3 or 4.
        resolution: Side of the images in pixels, or None for points, which are refused.
        policy: Some of `colour`, `translation`, `cutout`, in the order in which they are done.

    Raises:
        ValueError: Another kind of data, or another word in the policy.
    """

    needs_boundary = False

    def __init__(self, channels: int, resolution: int | None, policy: Sequence[str] = POLICIES) -> None:
        super().__init__()
        _require_images("diffaugment", channels, resolution)
        unknown = [word for word in policy if word not in POLICIES]
        if unknown or not policy:
            raise ValueError(f"augment.policy must be a list of some of {', '.join(POLICIES)}, not {list(policy)}")
        self.policy = tuple(policy)

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """Augmented images, each by its own row of the noise."""
        change = {"colour": _change_colours, "translation": _move, "cutout": _cut_out}
        for word in self.policy:
            images = change[word](images, noise)
        return images

    def learn(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Nothing to adapt."""
        return {}


class FlipAndShift(nn.Module):
    """Mirrors every second image and shifts each by a few pixels: what consistency regularization compares an image with.

    Zhang et al. (2020) flip and shift; the numbers are those of PyTorch-StudioGAN: one half, and an eighth of the side,
    mirrored at the border. (There the outermost pixel is not repeated.)

    Args:
        resolution: Side of the images in pixels, or None for points, which are refused.
        shift: Largest shift each way, as a share of the side.

    Raises:
        ValueError: The data are points, or the shift is not a share.
    """

    def __init__(self, resolution: int | None, shift: float = 0.125) -> None:
        super().__init__()
        if resolution is None:
            raise ValueError(
                "regularizer=consistency flips and shifts images, and this data set holds points; "
                "leave it out, or give regularizer.consistency.transform another _target_"
            )
        if not 0 <= shift <= 1:
            raise ValueError(f"shift must be a share of the side of an image, from 0 to 1, not {shift}")
        self.shift = shift

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        """Flipped and shifted images, each by its own row of the noise."""
        flipped = F.flip(images, noise.uniform() < 0.5)
        return F.translate(flipped, _offsets(noise, self.shift, images.shape[-1]), mirrored=True)


class Adaptive(nn.Module):
    """Adaptive discriminator augmentation, pipeline `bgc`: Karras et al. (2020b), sections 3 and B.

    With probability p, for each image and each transform anew, in this order:

    | transform                | parameter                     | transform  | parameter        |
    |--------------------------|-------------------------------|------------|------------------|
    | flip left to right       | one of {no, yes}              | brightness | + N(0, .2^2)     |
    | quarter turns            | one of {0, 1, 2, 3}           | contrast   | x 2^N(0, .5^2)   |
    | shift by whole pixels    | side * U(-.125, .125)         | luma flip  | one of {no, yes} |
    | scale                    | 2^N(0, .2^2)                  | hue        | U(-pi, pi)       |
    | rotate                   | U(-pi, pi)                    | saturation | x 2^N(0, 1)      |
    | stretch across, flatten  | 2^N(0, .2^2)                  |            |                  |
    | rotate                   | U(-pi, pi)                    |            |                  |
    | shift by parts of pixels | side * N(0, .125^2)           |            |                  |

    Each rotation has probability 1 - sqrt(1 - p), so that there is one or the other with probability p. An image for
    which nothing is drawn passes unchanged to the last bit; so does every image where p is 0.

    The motions are composed to one, done with bilinear interpolation. The authors' code interpolates at twice the
    resolution between two passes of a sym6 wavelet filter, which keeps high frequencies that are lost here: an image moved
    by parts of pixels is a little softer, and one made smaller may alias. Real and generated images suffer alike, and
    flips, quarter turns and whole shifts alone are exact. Beyond the border the mirror image goes on without end.

    Args:
        channels: Of the images: 1, 3 or 4. Hue and saturation have no effect on grey images.
        resolution: Side of the images in pixels, or None for points, which are refused.
        batch_size: Images in a batch over all processes.
        target: Mean sign of real logits at which p rests.
        adapt_images: Real images in which p can rise from 0 to 1; the paper has 100 000 for transfer learning.
        interval: Batches from one adjustment of p to the next.
        p_start: p before the first adjustment.
        fixed: Keep p at `p_start`; any loss will do then.

    Raises:
        ValueError: Another kind of data, or an option out of its range.
    """

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
        """Augmented images, each by its own row of the noise."""
        inverse = self._draw_inverse_motion(noise, images.shape[-1])
        images = torch.where(_changes(inverse), F.warp(images, inverse), images)
        shift, matrix = self._draw_colours(noise)
        changed = _changes(matrix) | (shift != 0).view(-1, 1, 1, 1)
        return torch.where(changed, F.recolour(images, matrix, shift), images)

    def learn(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Adapt p; see `Controller.learn`."""
        return self.controller.learn(margins, images)

    def _draw_inverse_motion(self, noise: Noise, side: int) -> Tensor:
        """From a pixel of each result to its place in the image, (n, 3, 3)."""
        p = self.controller.p
        p_rotation = 1 - (1 - p).sqrt()

        flipped = _with_chance(p, noise, noise.integers(2, 1), 0)
        turns = _with_chance(p, noise, noise.integers(4, 1), 0)
        whole_shift = _with_chance(p, noise, (0.125 * side * _symmetric(noise, 2)).round(), 0)
        scale = _with_chance(p, noise, 2 ** (0.2 * noise.normal(1)), 1)
        first_angle = _with_chance(p_rotation, noise, pi * _symmetric(noise, 1), 0)
        stretch = _with_chance(p, noise, 2 ** (0.2 * noise.normal(1)), 1)
        second_angle = _with_chance(p_rotation, noise, pi * _symmetric(noise, 1), 0)
        part_shift = _with_chance(p, noise, 0.125 * side * noise.normal(2), 0)

        # The inverse undoes the last transform first, and the last matrix is the first to be applied.
        return F.compose(
            F.scaling(1.0 - 2.0 * flipped, torch.ones_like(scale)),
            F.quarter_turns(-turns),
            F.translation(-whole_shift),
            F.scaling(1 / scale, 1 / scale),
            F.rotation(-first_angle),
            F.scaling(1 / stretch, stretch),
            F.rotation(-second_angle),
            F.translation(-part_shift),
        )

    def _draw_colours(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """What is added to the colours, (n, 1), and then multiplied with them, (n, 3, 3)."""
        p = self.controller.p
        brightness = _with_chance(p, noise, 0.2 * noise.normal(1), 0)
        contrast = _with_chance(p, noise, 2 ** (0.5 * noise.normal(1)), 1)
        luma_flipped = _with_chance(p, noise, noise.integers(2, 1), 0)
        hue = _with_chance(p, noise, pi * _symmetric(noise, 1), 0)
        saturation = _with_chance(p, noise, 2 ** noise.normal(1), 1)
        return brightness, F.colour_matrix(contrast, luma_flipped, hue, saturation)


def _require_images(name: str, channels: int, resolution: int | None) -> None:
    if resolution is None:
        raise ValueError(f"augment={name} changes images, and this data set holds points; set augment=none")
    if channels not in (1, 3, 4):
        raise ValueError(f"augment={name} needs images of 1, 3 or 4 channels, and dataset.channels is {channels}")


def _change_colours(images: Tensor, noise: Noise) -> Tensor:
    images = F.brightness(images, noise.uniform() - 0.5)
    images = F.saturation(images, 2 * noise.uniform())
    return F.contrast(images, noise.uniform() + 0.5)


def _move(images: Tensor, noise: Noise) -> Tensor:
    return F.translate(images, _offsets(noise, 0.125, images.shape[-1]))


def _cut_out(images: Tensor, noise: Noise) -> Tensor:
    side = images.shape[-1]
    size = int(0.5 * side + 0.5)
    # Centres lie between pixels for an even size, both borders included, and on pixels for an odd one.
    return F.cutout(images, noise.integers(side + 1 - size % 2, 2) - size // 2, size)


def _offsets(noise: Noise, share: float, side: int) -> Tensor:
    """Whole numbers (x, y), each from -share * side to share * side, all as likely; int64 (n, 2)."""
    largest = int(share * side + 0.5)
    return noise.integers(2 * largest + 1, 2) - largest


def _symmetric(noise: Noise, columns: int) -> Tensor:
    """U(-1, 1), (n, columns)."""
    return 2 * noise.uniform(columns) - 1


def _with_chance(p: Tensor, noise: Noise, drawn: Tensor, otherwise: float) -> Tensor:
    """Rows of `drawn` (n, k) with probability p, and `otherwise` in the other rows."""
    return torch.where(noise.uniform(1) < p, drawn, otherwise)


def _changes(matrices: Tensor) -> Tensor:
    """Which of the matrices (n, 3, 3) are not the identity, bool (n, 1, 1, 1)."""
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    return (matrices != identity).flatten(1).any(1).view(-1, 1, 1, 1)
