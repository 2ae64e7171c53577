"""Augmentation formulas: images and parameters in, images out. No random numbers are drawn here.

Images are (n, C, resolution, resolution) in [-1, 1], floating point; results may leave [-1, 1], as in the papers.
Parameters have one row for each image. Everything is differentiable with respect to the images, to any order, as
gradient penalties need.

Two conventions. Pixels outside an image are either 0 (mid-gray; half transparent in an alpha channel) or mirrored at
the border with the outermost pixel repeated. Affine transforms are 3 x 3 matrices of homogeneous pixel coordinates (x,
y, 1) whose origin is the center of the image, x to the right and y downwards.

Small matrix products are written as sums, because autocast and TF32 would round them to 10 bits, an error of up to half
a pixel.
"""

from collections.abc import Callable
from functools import reduce
from math import pi

import torch
from torch import Tensor

from gan_lab.augment import wavelets as W


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror images left to right where `flipped`, bool (n,), is true."""
    return torch.where(_per_image(flipped), images.flip(3), images)


def translate(images: Tensor, offset: Tensor, mirrored: bool = False) -> Tensor:
    """Translate images by integer pixels (x, y), int64 (n, 2), to the right and downwards.

    New pixels are those of the mirror image if `mirrored`, otherwise 0.
    """
    n, channels, resolution, _ = images.shape
    line = torch.arange(resolution, device=images.device)
    columns, rows = (line - offset.unsqueeze(2)).unbind(1)  # (n, resolution): source of each pixel
    translated = images.gather(
        2, _mirror(rows, resolution).view(n, 1, resolution, 1).expand(-1, channels, -1, resolution)
    )
    translated = translated.gather(
        3, _mirror(columns, resolution).view(n, 1, 1, resolution).expand(-1, channels, resolution, -1)
    )
    if mirrored:
        return translated
    return torch.where(
        _within(columns, resolution).view(n, 1, 1, resolution) & _within(rows, resolution).view(n, 1, resolution, 1),
        translated,
        0,
    )


def cutout(images: Tensor, corner: Tensor, size: int) -> Tensor:
    """Set a square of `size` x `size` pixels to 0: DeVries & Taylor (2017), §3.2.

    `corner`, int64 (n, 2), is its first column and row; parts outside the image have no effect.
    """
    line = torch.arange(images.shape[-1], device=images.device)
    columns, rows = _within(line - corner.unsqueeze(2), size).unbind(1)  # (n, resolution)
    return torch.where(columns[:, None, None, :] & rows[:, None, :, None], 0, images)


def brightness(images: Tensor, shift: Tensor) -> Tensor:
    """Add `shift` (n,) to colors: Zhao et al. (2020), §3.2."""
    return _on_colors(images, lambda colors: colors + _per_image(shift))


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each pixel's colors around their mean by `factor` (n,); gray images stay: Zhao et al. (2020), §3.2."""
    return _on_colors(images, lambda colors: _scale_around(colors.mean(1, keepdim=True), colors, factor))


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale colors around the mean of the image by `factor` (n,): Zhao et al. (2020), §3.2."""
    return _on_colors(images, lambda colors: _scale_around(colors.mean((1, 2, 3), keepdim=True), colors, factor))


def color_matrix(contrast: Tensor, luma_flipped: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Linear map of RGB colors, relative to mid-gray, in section B of Karras et al. (2020b), (n, 3, 3).

    All four preserve the gray axis v = (1, 1, 1) / sqrt(3) and the chroma plane orthogonal to it, so their order has no
    effect: the axis is scaled by `contrast`, with opposite sign if `luma_flipped`; the plane is scaled by contrast
    times `saturation` and rotated by `hue`, in radians from red to green to blue. Parameters are (n, 1).

    This is Rodrigues' formula with a scaled axis; it is exactly the identity for neutral parameters.
    """
    luma = 1.0 - 2.0 * luma_flipped.to(contrast.dtype)
    real, imaginary = saturation * hue.cos(), saturation * hue.sin()
    identity = torch.eye(3, dtype=contrast.dtype, device=contrast.device)
    cross = (identity.roll(1, 0) - identity.roll(1, 1)) / 3**0.5  # v x
    rotated = real.unsqueeze(2) * identity + imaginary.unsqueeze(2) * cross
    # v v^T has 1/3 everywhere. Its factor becomes luma, as the rotation gives it `real` already.
    return contrast.unsqueeze(2) * (rotated + (luma - real).unsqueeze(2) / 3)


def recolor(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Add `shift` (n,) to colors, then multiply by `matrix` (n, 3, 3); for gray images by the sum of one of its rows.

    The matrix must map gray to gray, as `color_matrix` does.
    """
    if images.shape[1] == 1:
        return (images + _per_image(shift)) * _per_image(matrix[:, 0].sum(1))
    return _on_colors(images, lambda colors: _product(matrix, colors + _per_image(shift)))


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Matrix (n, 3, 3) that scales x and y by one factor (n, 1) each."""
    return _affine(x, torch.zeros_like(x), torch.zeros_like(x), y)


def rotation(angle: Tensor) -> Tensor:
    """Matrix (n, 3, 3) of the rotation by an angle (n, 1) in radians, clockwise because y points down."""
    return _affine(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def quarter_turns(number: Tensor) -> Tensor:
    """Matrix (n, 3, 3) of the clockwise rotation by a number of right angles, int64 (n, 1); exact in float32."""
    angle = number * (pi / 2)
    cosine, sine = angle.cos().round(), angle.sin().round()
    return _affine(cosine, -sine, sine, cosine)


def translation(offset: Tensor) -> Tensor:
    """Matrix (n, 3, 3) of the translation by an offset (x, y) in pixels, (n, 2)."""
    one, zero = torch.ones_like(offset[:, :1]), torch.zeros_like(offset[:, :1])
    return _affine(one, zero, zero, one, offset)


def compose(*transforms: Tensor) -> Tensor:
    """Product of matrices (n, 3, 3); the last transform is applied first."""
    return reduce(_product, transforms)


def rearrange(images: Tensor, inverse: Tensor) -> Tensor:
    """Apply an affine transform that maps pixels to pixels: integer translations, quarter turns, flips; exact.

    Args:
        images: (n, C, resolution, resolution).
        inverse: Inverse transform, from pixels of the result to pixels of the image, (n, 3, 3).
    """
    resolution = images.shape[-1]
    line = torch.arange(resolution, device=images.device, dtype=inverse.dtype)
    column, row = _positions(inverse, line, (resolution - 1) / 2).round().long().unbind(1)
    return _pixels(images, _mirror(row, resolution) * resolution + _mirror(column, resolution)).view(images.shape)


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """Apply an affine transform to images, with bilinear interpolation at twice the resolution.

    Karras et al. (2020b), section B: the resolution is doubled with the low-pass of the wavelet sym6 and halved with
    the same filter afterwards, so that the identity changes nothing, and fractional translations do not blur. Two
    details differ from the authors' code: images are mirrored endlessly at their border, where that has zeros at a
    distance, and the delay of the filter, which is not symmetric, is taken into account, so that turned and flipped
    images are not shifted by 0.4 pixels.

    Unlike `grid_sample` in some supported versions of PyTorch, this has a double backward.

    Args:
        images: (n, C, resolution, resolution).
        inverse: Inverse transform, from pixels of the result to positions in the image, (n, 3, 3).
    """
    n, channels, resolution, _ = images.shape
    doubling, halving = (make(resolution, images.device, images.dtype) for make in (W.doubling, W.halving))
    with torch.autocast(images.device.type, enabled=False):
        plane = doubling @ images @ doubling.T
        size = halving.shape[1]
        line = torch.arange(-5, size - 5, device=images.device, dtype=inverse.dtype)
        # Positions at the doubled resolution to pixels and back.
        column, row = (2 * _positions(inverse, (line - W.delay()) / 2, (resolution - 1) / 2) + W.delay()).unbind(1)
        sampled = _bilinear(plane, column, row).view(n, channels, size, size)
        return halving @ sampled @ halving.T


def filter_bands(images: Tensor, gains: Tensor) -> Tensor:
    """Scale the frequency bands of images by `gains` (n, 4), along x and along y: Karras et al. (2020b), section B.

    The first band is the lowest. Images are mirrored at their border.
    """
    bands = W.bands(images.shape[-1], images.device, images.dtype)
    matrices = (gains.view(-1, W.BANDS, 1, 1).to(images.dtype) * bands).sum(1, keepdim=True)
    with torch.autocast(images.device.type, enabled=False):
        return _on_colors(images, lambda colors: matrices @ colors @ matrices.mT)


def add_noise(images: Tensor, noise: Tensor, deviation: Tensor) -> Tensor:
    """Add `noise`, (n, C, H, W), times `deviation` (n,) to colors: Karras et al. (2020b), section B."""
    return _on_colors(images, lambda colors: colors + _per_image(deviation) * noise[:, : colors.shape[1]])


def blank(images: Tensor, center: Tensor, size: Tensor) -> Tensor:
    """Set a square to 0: Karras et al. (2020b), section B.

    Args:
        images: (n, C, resolution, resolution).
        center: (x, y) as fractions of the resolution, (n, 2).
        size: Fraction of the resolution, (n, 1); 0 for no square. Parts outside the image have no effect.
    """
    resolution = images.shape[-1]
    line = (torch.arange(resolution, device=images.device, dtype=center.dtype) + 0.5) / resolution
    columns, rows = ((line - center.unsqueeze(2)).abs() < size.unsqueeze(2) / 2).unbind(1)  # (n, resolution)
    return torch.where(columns[:, None, None, :] & rows[:, None, :, None], 0, images)


def _per_image(parameters: Tensor) -> Tensor:
    """Reshape one parameter for each image, (n,) or (n, 1), to broadcast with images (n, C, H, W)."""
    return parameters.view(-1, 1, 1, 1)


def _on_colors(images: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply `change` to all channels except alpha."""
    return torch.cat((change(images[:, :3]), images[:, 3:]), 1) if images.shape[1] == 4 else change(images)


def _scale_around(mean: Tensor, colors: Tensor, factor: Tensor) -> Tensor:
    return mean + (colors - mean) * _per_image(factor)


def _positions(inverse: Tensor, line: Tensor, center: float) -> Tensor:
    """Positions (x, y) in the image for all pairs of positions `line` (k,) in the result, (n, 2, k^2).

    Args:
        inverse: Relative to the center of the image, (n, 3, 3).
        line: Positions along an axis, in pixels.
        center: Position of the center.
    """
    y, x = (axis.flatten() for axis in torch.meshgrid(line - center, line - center, indexing="ij"))
    return _product(inverse[:, :2], torch.stack((x, y, torch.ones_like(x)))[None]) + center


def _bilinear(plane: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Values (n, C, k) at positions (n, k) of a plane (n, C, size, size) whose last pixels repeat the first ones."""
    size = plane.shape[-1]
    column, row = column % (size - 1), row % (size - 1)
    left, top = (start.floor().clamp(max=size - 2) for start in (column, row))
    right, bottom = (column - left).to(plane.dtype), (row - top).to(plane.dtype)  # weights
    weights = torch.stack(((1 - bottom) * (1 - right), (1 - bottom) * right, bottom * (1 - right), bottom * right), 1)
    corner = top.long() * size + left.long()
    places = torch.stack((corner, corner + 1, corner + size, corner + size + 1), 1)  # (n, 4, k)
    # One gather for all, as the backward pass of each one fills a plane with zeros.
    return (_pixels(plane, places).view(*plane.shape[:2], 4, -1) * weights.unsqueeze(1)).sum(2)


def _pixels(images: Tensor, places: Tensor) -> Tensor:
    """Pixels (n, C, k) of images (n, C, H, W) at `places`, row * W + column, int64 of k elements in n rows."""
    return images.flatten(2).gather(2, places.flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1))


def _mirror(index: Tensor, size: int) -> Tensor:
    """Map any integer index to [0, size) by mirroring: ... 1 0 | 0 1 ... size-1 | size-1 ..."""
    index = index % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)


def _within(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)


def _affine(xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor, offset: Tensor | None = None) -> Tensor:
    """Homogeneous matrices (n, 3, 3) from entries xx, xy, yx, yy, each (n, 1), and an offset (n, 2)."""
    offset = torch.zeros_like(xx).expand(-1, 2) if offset is None else offset
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    return torch.cat((xx, xy, offset[:, :1], yx, yy, offset[:, 1:], zero, zero, one), 1).view(-1, 3, 3)


def _product(matrices: Tensor, others: Tensor) -> Tensor:
    """Matrices (n, i, j) times (n, j, ...), in the precision of the arguments: (n, i, ...)."""
    matrices = matrices.view(*matrices.shape, *[1] * (others.dim() - 2))
    return (matrices * others.unsqueeze(1)).sum(2)
