"""The formulas of the augmentations: images and parameters in, images out; nothing here draws a random number.

Images are (n, C, side, side) in [-1, 1], floating point; results may leave [-1, 1], as in the papers. Parameters have one
row for each image. Everything is differentiable by the images, to any order, so that a gradient penalty can look through.

Two conventions. What an image has no pixel for is either 0 (mid-grey; in an alpha channel half transparent) or mirrored
at the border with the outermost pixel repeated. Affine motions are 3 x 3 matrices of homogeneous pixel coordinates
(x, y, 1) whose origin is the centre of the image, x to the right and y downwards.

Small matrix products are written as sums: autocast and TF32 leave those alone, and half a pixel is soon lost in 10 bits.
"""

from collections.abc import Callable
from functools import reduce
from math import pi

import torch
from torch import Tensor


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Images mirrored left to right where `flipped`, bool (n,), says so."""
    return torch.where(_each(flipped), images.flip(3), images)


def translate(images: Tensor, offset: Tensor, mirrored: bool = False) -> Tensor:
    """Images moved by whole pixels (x, y), int64 (n, 2), to the right and downwards.

    `mirrored` fills what comes into view with the mirror image, and otherwise it is 0.
    """
    n, channels, side, _ = images.shape
    line = torch.arange(side, device=images.device)
    columns, rows = (line - offset.unsqueeze(2)).unbind(1)  # (n, side): where each pixel comes from
    moved = images.gather(2, _mirror(rows, side).view(n, 1, side, 1).expand(-1, channels, -1, side))
    moved = moved.gather(3, _mirror(columns, side).view(n, 1, 1, side).expand(-1, channels, side, -1))
    if mirrored:
        return moved
    return torch.where(_within(columns, side).view(n, 1, 1, side) & _within(rows, side).view(n, 1, side, 1), moved, 0)


def cutout(images: Tensor, corner: Tensor, size: int) -> Tensor:
    """Images with a square of `size` x `size` pixels set to 0: DeVries & Taylor (2017), §3.2.

    `corner`, int64 (n, 2), is its first column and row; what lies outside of the image has no effect.
    """
    line = torch.arange(images.shape[-1], device=images.device)
    columns, rows = _within(line - corner.unsqueeze(2), size).unbind(1)  # (n, side)
    return torch.where(columns[:, None, None, :] & rows[:, None, :, None], 0, images)


def brightness(images: Tensor, shift: Tensor) -> Tensor:
    """Colours plus `shift` (n,): Zhao et al. (2020), §3.2."""
    return _on_colours(images, lambda colours: colours + _each(shift))


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Distance of each pixel's colours from their mean, times `factor` (n,); grey images stay: Zhao et al. (2020), §3.2."""
    return _on_colours(images, lambda colours: _away_from(colours.mean(1, keepdim=True), colours, factor))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Distance of colours from the mean of the image, times `factor` (n,): Zhao et al. (2020), §3.2."""
    return _on_colours(images, lambda colours: _away_from(colours.mean((1, 2, 3), keepdim=True), colours, factor))


def colour_matrix(contrast: Tensor, luma_flipped: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """The linear map of RGB colours in section B of Karras et al. (2020b), (n, 3, 3), about mid-grey.

    All four keep the grey axis v = (1, 1, 1) / sqrt(3) and the plane of chroma across it, so their order has no effect:
    the axis is scaled by `contrast`, with its sign changed where `luma_flipped`; the plane is scaled by contrast times
    `saturation` and rotated by `hue`, in radians from red to green to blue. Parameters are (n, 1).

    The form below, Rodrigues' with an axis that is scaled too, is the identity to the last bit where nothing is changed.
    """
    luma = 1.0 - 2.0 * luma_flipped.to(contrast.dtype)
    real, imaginary = saturation * hue.cos(), saturation * hue.sin()
    identity = torch.eye(3, dtype=contrast.dtype, device=contrast.device)
    cross = (identity.roll(1, 0) - identity.roll(1, 1)) / 3**0.5  # v x
    rotated = real.unsqueeze(2) * identity + imaginary.unsqueeze(2) * cross
    # v v^T has 1/3 everywhere. Its factor becomes luma, as the rotation gives it `real` already.
    return contrast.unsqueeze(2) * (rotated + (luma - real).unsqueeze(2) / 3)


def recolour(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Colours plus `shift` (n,), then times `matrix` (n, 3, 3), which for a grey image is a factor: the sum of a row.

    The matrix must keep grey grey, as that of `colour_matrix` does.
    """
    if images.shape[1] == 1:
        return (images + _each(shift)) * _each(matrix[:, 0].sum(1))
    return _on_colours(images, lambda colours: _product(matrix, colours + _each(shift)))


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """The motion (x, y) -> (x * factor, y * factor) with one factor (n, 1) for each axis, (n, 3, 3)."""
    return _motion(x, torch.zeros_like(x), torch.zeros_like(x), y)


def rotation(angle: Tensor) -> Tensor:
    """The rotation by an angle (n, 1) in radians, clockwise as y points down, (n, 3, 3)."""
    return _motion(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def quarter_turns(number: Tensor) -> Tensor:
    """The rotation by a whole number of right angles, int64 (n, 1), clockwise; (n, 3, 3), float32 without rounding."""
    angle = number * (pi / 2)
    cosine, sine = angle.cos().round(), angle.sin().round()
    return _motion(cosine, -sine, sine, cosine)


def translation(offset: Tensor) -> Tensor:
    """The motion by an offset (x, y) in pixels, (n, 2) to (n, 3, 3)."""
    one, zero = torch.ones_like(offset[:, :1]), torch.zeros_like(offset[:, :1])
    return _motion(one, zero, zero, one, offset)


def compose(*motions: Tensor) -> Tensor:
    """The product of matrices (n, 3, 3): of motions the last is the first to be done."""
    return reduce(_product, motions)


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Images moved by an affine motion, bilinear between pixels and mirrored at the border.

    Where the motion takes pixels to pixels (whole translations, quarter turns, flips) no value is rounded.
    This stands in for `grid_sample`, whose double backward not every supported PyTorch has.

    Args:
        images: (n, C, side, side).
        inverse: From a pixel of the result to its place in the image, (n, 3, 3).
    """
    n, channels, side, _ = images.shape
    centre = (side - 1) / 2
    line = torch.arange(side, device=images.device, dtype=inverse.dtype) - centre
    y, x = (axis.flatten() for axis in torch.meshgrid(line, line, indexing="ij"))  # (side * side,)
    column, row = _product(inverse[:, :2], torch.stack((x, y, torch.ones_like(x)))[None]).add(centre).unbind(1)
    left, top = column.floor(), row.floor()  # (n, side * side)

    def pixels(down: int, right: int) -> Tensor:
        place = _mirror(top.long() + down, side) * side + _mirror(left.long() + right, side)
        return images.flatten(2).gather(2, place.unsqueeze(1).expand(-1, channels, -1))  # (n, C, side * side)

    across, along = (column - left).unsqueeze(1), (row - top).unsqueeze(1)
    upper, lower = (_between(pixels(down, 0), pixels(down, 1), across) for down in (0, 1))
    return _between(upper, lower, along).view(n, channels, side, side)


def _each(parameters: Tensor) -> Tensor:
    """One parameter for each image, (n,) or (n, 1), in a shape that images (n, C, H, W) broadcast with."""
    return parameters.view(-1, 1, 1, 1)


def _on_colours(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` applied to what is not an alpha channel."""
    return torch.cat((change(images[:, :3]), images[:, 3:]), 1) if images.shape[1] == 4 else change(images)


def _away_from(mean: Tensor, colours: Tensor, factor: Tensor) -> Tensor:
    return mean + (colours - mean) * _each(factor)


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return first + share * (second - first)


def _mirror(index: Tensor, size: int) -> Tensor:
    """Any whole index to one in [0, size): ... 1 0 | 0 1 ... size-1 | size-1 ..."""
    index = index % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)


def _within(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)


def _motion(xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor, offset: Tensor | None = None) -> Tensor:
    """Rows (xx, xy), (yx, yy), each (n, 1), and an offset (n, 2) to homogeneous matrices (n, 3, 3)."""
    offset = torch.zeros_like(xx).expand(-1, 2) if offset is None else offset
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    return torch.cat((xx, xy, offset[:, :1], yx, yy, offset[:, 1:], zero, zero, one), 1).view(-1, 3, 3)


def _product(matrices: Tensor, others: Tensor) -> Tensor:
    """Matrices (n, i, j) times (n, j, ...), summed in the precision of the arguments: (n, i, ...)."""
    matrices = matrices.view(*matrices.shape, *[1] * (others.dim() - 2))
    return (matrices * others.unsqueeze(1)).sum(2)
