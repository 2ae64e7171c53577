"""Augmentation formulas against loops, PyTorch operations or closed forms; first and second derivatives."""

from collections.abc import Callable
from math import pi

import pytest
import torch
from scipy.ndimage import convolve1d
from torch import Tensor

from gan_lab.augment import functional as F
from gan_lab.augment import wavelets as W

N, RESOLUTION = 6, 7
DOUBLE = torch.float64


def random_images(channels: int = 3, resolution: int = RESOLUTION, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(resolution + channels)
    return torch.rand(N, channels, resolution, resolution, generator=generator, dtype=dtype) * 2 - 1


def column(*values: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(values, dtype=dtype).view(-1, 1)


IDENTITY = torch.eye(3).expand(N, 3, 3)
FLIPPED = torch.tensor([True, False, True, True, False, False])
OFFSETS = torch.tensor([[0, 0], [1, -2], [-3, 4], [RESOLUTION, 0], [2, -RESOLUTION], [-1, 1]])
ANGLES = column(0.3, -1.2, 2.0, 3.1, -0.01, 0.7)
FACTORS = column(1.3, 0.6, 2.0, 0.9, 1.01, 0.2)


def test_flip() -> None:
    images = random_images()
    for image, flipped, result in zip(images, FLIPPED, F.flip(images, FLIPPED), strict=True):
        assert torch.equal(result, image.flip(-1) if flipped else image)


@pytest.mark.parametrize("mirrored", [False, True])
def test_translation_against_a_loop(mirrored: bool) -> None:
    images = random_images()
    results = F.translate(images, OFFSETS, mirrored)
    mirror = [
        *range(RESOLUTION - 1, -1, -1),
        *range(RESOLUTION),
        *range(RESOLUTION - 1, -1, -1),
    ]  # index -RESOLUTION .. 2 RESOLUTION - 1
    for image, (x, y), result in zip(images, OFFSETS.tolist(), results, strict=True):
        for row in range(RESOLUTION):
            for place in range(RESOLUTION):
                inside = 0 <= row - y < RESOLUTION and 0 <= place - x < RESOLUTION
                source = image[:, mirror[row - y + RESOLUTION], mirror[place - x + RESOLUTION]]
                assert torch.equal(result[:, row, place], source if inside or mirrored else torch.zeros(3))


def test_translation_of_a_padded_image_is_a_roll() -> None:
    images = torch.nn.functional.pad(random_images(), [RESOLUTION] * 4)
    for image, (x, y), result in zip(images, OFFSETS.tolist(), F.translate(images, OFFSETS), strict=True):
        assert torch.equal(result, image.roll((y, x), (1, 2)))


def test_cutout_against_slices() -> None:
    corner = torch.tensor([[0, 0], [1, 2], [-2, 5], [5, -2], [-4, 0], [9, 9]])
    images = random_images()
    expected = images.clone()
    for image, (left, top) in zip(expected, corner.tolist(), strict=True):
        image[:, max(top, 0) : max(top + 4, 0), max(left, 0) : max(left + 4, 0)] = 0
    assert torch.equal(F.cutout(images, corner, 4), expected)


def test_simple_colors_against_a_loop() -> None:
    images = random_images()
    shift, factor = ANGLES.view(-1), FACTORS.view(-1)
    for i, image in enumerate(images):
        assert torch.equal(F.brightness(images, shift)[i], image + shift[i])
        gray = (image[0] + image[1] + image[2]) / 3
        saturated = torch.stack([gray + factor[i] * (image[c] - gray) for c in range(3)])
        torch.testing.assert_close(F.saturation(images, factor)[i], saturated)
        contrasted = factor[i] * image + (1 - factor[i]) * image.mean()
        torch.testing.assert_close(F.contrast(images, factor)[i], contrasted)


def neutral(**changed: Tensor) -> Tensor:
    """The color matrix with neutral values of all other parameters."""
    one, zero = torch.ones(N, 1), torch.zeros(N, 1)
    return F.color_matrix(**{"contrast": one, "luma_flipped": zero, "hue": zero, "saturation": one, **changed})


def test_neutral_colors_are_exactly_the_identity() -> None:
    assert torch.equal(neutral(), IDENTITY)


def test_contrast_scales_about_mid_gray_and_saturation_about_the_gray_axis() -> None:
    images = random_images()
    factors = FACTORS.view(-1, 1, 1, 1)
    torch.testing.assert_close(F.recolor(images, neutral(contrast=FACTORS), torch.zeros(N)), images * factors)
    torch.testing.assert_close(
        F.recolor(images, neutral(saturation=FACTORS), torch.zeros(N)), F.saturation(images, FACTORS.view(-1))
    )


def test_luma_flip_mirrors_the_mean_and_keeps_chroma() -> None:
    images = random_images()
    flipped = F.recolor(images, neutral(luma_flipped=FLIPPED.view(-1, 1)), torch.zeros(N))
    sign = 1 - 2.0 * FLIPPED.view(-1, 1, 1)
    torch.testing.assert_close(flipped.mean(1), sign * images.mean(1))
    torch.testing.assert_close(flipped[:, 0] - flipped[:, 2], images[:, 0] - images[:, 2])


def test_hue_is_the_exponential_of_a_rotation_about_gray() -> None:
    about_gray = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    torch.testing.assert_close(neutral(hue=ANGLES), torch.linalg.matrix_exp(ANGLES.unsqueeze(2) * about_gray))


def test_a_third_of_a_turn_makes_red_green_and_green_blue() -> None:
    images = random_images()
    turned = F.recolor(images, neutral(hue=torch.full((N, 1), 2 * pi / 3)), torch.zeros(N))
    torch.testing.assert_close(turned, images[:, [2, 0, 1]])


def test_the_color_matrix_is_the_product_of_its_parts_in_any_order() -> None:
    parts = {
        "contrast": FACTORS,
        "luma_flipped": FLIPPED.view(-1, 1),
        "hue": ANGLES,
        "saturation": FACTORS.flip(0),
    }
    combined = neutral(**parts)
    for names in (list(parts), list(parts)[::-1]):
        product = torch.eye(3).repeat(N, 1, 1)
        for name in names:
            product = product @ neutral(**{name: parts[name]})
        torch.testing.assert_close(combined, product)


def test_brightness_comes_before_contrast() -> None:
    images, shift = random_images(), ANGLES.view(-1)
    expected = (images + shift.view(-1, 1, 1, 1)) * FACTORS.view(-1, 1, 1, 1)
    torch.testing.assert_close(F.recolor(images, neutral(contrast=FACTORS), shift), expected)


def test_gray_images_change_like_gray_rgb_images() -> None:
    gray, shift = random_images(1), ANGLES.view(-1)
    matrix = F.color_matrix(FACTORS, FLIPPED.view(-1, 1), ANGLES, FACTORS.flip(0))
    result = F.recolor(gray, matrix, shift)
    torch.testing.assert_close(result.expand(-1, 3, -1, -1), F.recolor(gray.expand(-1, 3, -1, -1), matrix, shift))
    sign = 1 - 2.0 * FLIPPED
    torch.testing.assert_close(result, (sign * FACTORS.view(-1)).view(-1, 1, 1, 1) * (gray + shift.view(-1, 1, 1, 1)))


COLORS: dict[str, Callable[[Tensor], Tensor]] = {
    "brightness": lambda images: F.brightness(images, ANGLES.view(-1)),
    "saturation": lambda images: F.saturation(images, FACTORS.view(-1)),
    "contrast": lambda images: F.contrast(images, FACTORS.view(-1)),
    "recolor": lambda images: F.recolor(images, neutral(hue=ANGLES), ANGLES.view(-1)),
    "filter_bands": lambda images: F.filter_bands(images, FACTORS ** torch.arange(W.BANDS)),
    "add_noise": lambda images: F.add_noise(images, images[:, :3].sin(), FACTORS.view(-1)),
}


@pytest.mark.parametrize("name", COLORS)
def test_alpha_is_unchanged_and_does_not_affect_colors(name: str) -> None:
    images = random_images(4)
    result = COLORS[name](images)
    assert torch.equal(result[:, 3], images[:, 3])
    assert torch.equal(result[:, :3], COLORS[name](images[:, :3]))


@pytest.mark.parametrize("resolution", [7, 8])
def test_quarter_turns_and_flips_equal_those_of_torch(resolution: int) -> None:
    images = random_images(resolution=resolution)
    turns = torch.tensor([0, 1, 2, 3, -1, 5]).view(-1, 1)
    turned = F.rearrange(images, F.quarter_turns(-turns))
    for image, number, result in zip(images, turns.view(-1).tolist(), turned, strict=True):
        assert torch.equal(result, torch.rot90(image, -number, (1, 2)))  # torch rotates counterclockwise
    mirrored = F.rearrange(images, F.scaling(-torch.ones(N, 1), torch.ones(N, 1)))
    assert torch.equal(mirrored, images.flip(3))


def test_integer_translations_equal_translate() -> None:
    images = random_images()
    assert torch.equal(
        F.rearrange(images, F.translation(-OFFSETS.float())), F.translate(images, OFFSETS, mirrored=True)
    )  # with far translations


def random_affine(dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    matrices = torch.randn(N, 2, 3, generator=generator)
    return torch.cat((matrices, torch.tensor([0.0, 0, 1]).expand(N, 1, 3)), 1).to(dtype)


@pytest.mark.parametrize("resolution", [7, 8, 32])
def test_warp_by_the_identity_changes_nothing(resolution: int) -> None:
    images = random_images(resolution=resolution)
    torch.testing.assert_close(F.warp(images, IDENTITY), images, atol=3e-5, rtol=0)
    constant = torch.full((N, 1, resolution, resolution), 0.7)
    torch.testing.assert_close(F.warp(constant, random_affine()), constant, atol=1e-5, rtol=0)


@pytest.mark.parametrize("resolution", [7, 8])
def test_warp_is_grid_sampling_between_filters_at_twice_the_resolution(resolution: int) -> None:
    """Against zero-stuffing, convolutions and grid_sample on a plane that is large enough for this transform."""
    images, inverse = random_images(resolution=resolution, dtype=DOUBLE), random_affine(DOUBLE)
    inverse[:, :2] = 0.3 * inverse[:, :2] + torch.eye(3)[:2]
    row = torch.cat([images, images.flip(3)] * 4 + [images], 3)
    plane = torch.cat([row, row.flip(2)] * 4 + [row], 2)
    start, taps = 4 * resolution, torch.tensor(W.symlet(6), dtype=DOUBLE)
    kernel = torch.outer(taps, taps).expand(3, 1, 12, 12)
    # Sample j of the transposed convolution is at position j - 5 - 2 start.
    doubled = torch.nn.functional.conv_transpose2d(plane, 4 * kernel, stride=2, groups=3)
    middle = (resolution - 1) / 2
    positions = (torch.arange(-5, 2 * resolution + 5, dtype=DOUBLE) - W.delay()) / 2 - middle
    y, x = torch.meshgrid(positions, positions, indexing="ij")
    source = torch.einsum("nij,jhw->nhwi", inverse[:, :2], torch.stack((x, y, torch.ones_like(x)))) + middle
    places = 2 * source + W.delay() + 5 + 2 * start
    grid = 2 * places / (doubled.shape[-1] - 1) - 1
    sampled = torch.nn.functional.grid_sample(doubled, grid, align_corners=True)
    expected = torch.nn.functional.conv2d(sampled, kernel, stride=2, groups=3)
    torch.testing.assert_close(F.warp(images, inverse), expected)


def test_smooth_images_are_warped_exactly() -> None:
    """Cosines that are even at the borders, so that the mirrored plane is the same function of any position."""
    resolution = 32

    def waves(x: Tensor, y: Tensor) -> Tensor:
        return torch.cos(3 * pi * (x / resolution + 0.5)) * torch.cos(2 * pi * (y / resolution + 0.5))

    line = torch.arange(resolution) - (resolution - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    angle, scale = column(0.7, pi, 0, 0, -2.0, 0), column(1, 1, -1, 1, 1.2, 1)
    shift = torch.tensor([[0.0, 0], [0, 0], [0, 0], [0.5, -3.25], [70, 1], [-0.1, 0]])
    inverse = F.compose(F.rotation(angle), F.scaling(scale, torch.ones_like(scale)), F.translation(shift))
    u, v = torch.einsum("nij,jhw->inhw", inverse[:, :2], torch.stack((x, y, torch.ones_like(x))))
    warped = F.warp(waves(x, y).expand(N, 1, -1, -1), inverse)
    torch.testing.assert_close(warped, waves(u, v).unsqueeze(1), atol=0.015, rtol=0)


def test_fractional_translations_preserve_fine_detail() -> None:
    """Bilinear interpolation alone would halve the variance of white noise in each direction."""
    images = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    shifted = F.warp(images, F.translation(torch.tensor([[0.5, 0.5]]).expand(8, 2)))
    assert shifted.var() / images.var() > 0.6


@pytest.mark.parametrize("moments", [2, 4, 6])
def test_symlets_are_orthogonal_with_vanishing_moments(moments: int) -> None:
    taps = torch.tensor(W.symlet(moments), dtype=DOUBLE)
    for shift in range(moments):
        product = 2 * (taps[2 * shift :] * taps[: len(taps) - 2 * shift]).sum().item()
        assert product == pytest.approx(float(shift == 0), abs=1e-9)
    k = torch.arange(len(taps), dtype=DOUBLE)
    for power in range(moments):
        assert (taps * (-1) ** k * (k / len(taps)) ** power).sum().abs() < 1e-9
    assert taps.sum().item() == pytest.approx(1)


def test_symlets_are_those_of_the_tables() -> None:
    """Closed form of two moments; the first digits of sym6 in PyWavelets."""
    expected = [(1 + 3**0.5) / 8, (3 + 3**0.5) / 8, (3 - 3**0.5) / 8, (1 - 3**0.5) / 8]
    assert W.symlet(2) == pytest.approx(expected, abs=1e-12)
    table = [0.0154041, 0.0034907, -0.1179901, -0.0483117, 0.4910559, 0.7876411, 0.3379294, -0.0726375, -0.0210603]
    assert [tap * 2**0.5 for tap in W.symlet(6)[:9]] == pytest.approx(table, abs=1e-7)


def test_frequency_bands() -> None:
    taps = torch.from_numpy(W.band_taps())
    assert taps.shape == (4, 43)
    torch.testing.assert_close(taps.sum(0), torch.eye(43, dtype=DOUBLE)[21])
    torch.testing.assert_close(taps.sum(1), torch.tensor([1.0, 0, 0, 0], dtype=DOUBLE))
    torch.testing.assert_close(32 * taps[3, 18:25], torch.tensor([1.0, 0, -9, 16, -9, 0, 1], dtype=DOUBLE))
    # Each of the upper bands is an octave, with half of its amplitude at its ends: pi/8, pi/4, pi/2.
    response = torch.fft.rfft(taps, 4096).abs()
    for band in (1, 2, 3):
        assert response[band, 4096 >> (5 - band)].item() == pytest.approx(0.5, abs=0.04)
        assert response[band, 4096 * 3 >> (6 - band)].item() > 0.7


def test_filter_bands_against_a_convolution() -> None:
    images, generator = random_images(resolution=9), torch.Generator().manual_seed(2)
    gains = 2 ** torch.randn(N, W.BANDS, generator=generator)
    gains[0] = 1
    result = F.filter_bands(images, gains)
    torch.testing.assert_close(result[0], images[0])
    for image, gain, filtered in zip(images, gains, result, strict=True):
        taps = gain.double().numpy() @ W.band_taps()
        along = convolve1d(image.double().numpy(), taps, axis=2, mode="reflect")  # with the outermost pixel repeated
        expected = convolve1d(along, taps, axis=1, mode="reflect")
        torch.testing.assert_close(filtered.double(), torch.from_numpy(expected), atol=1e-4, rtol=1e-4)


def test_blank_square_against_a_loop() -> None:
    images, center = random_images(resolution=8), torch.tensor([[0.5, 0.5], [0, 1], [0.3, 0.9], [1, 1], [0, 0], [0, 0]])
    size = column(0.5, 0.5, 0.5, 0.25, 0, 1)
    for image, (x, y), fraction, result in zip(
        images, center.tolist(), size.view(-1).tolist(), F.blank(images, center, size), strict=True
    ):
        for row in range(8):
            for place in range(8):
                inside = max(abs((row + 0.5) / 8 - y), abs((place + 0.5) / 8 - x)) < fraction / 2
                assert torch.equal(result[:, row, place], torch.zeros(3) if inside else image[:, row, place])


def test_matrices_transform_points_as_documented() -> None:
    point = torch.tensor([2.0, 1.0, 1.0])
    angle, x, y = column(pi / 6), column(3.0), column(-0.5)
    clockwise = [2 * 3**0.5 / 2 - 0.5, 2 * 0.5 + 3**0.5 / 2, 1.0]
    torch.testing.assert_close(F.rotation(angle)[0] @ point, torch.tensor(clockwise))
    torch.testing.assert_close(F.scaling(x, y)[0] @ point, torch.tensor([6.0, -0.5, 1.0]))
    torch.testing.assert_close(F.translation(torch.cat((x, y), 1))[0] @ point, torch.tensor([5.0, 0.5, 1.0]))
    matrices = (F.rotation(angle), F.scaling(x, y), F.translation(torch.cat((x, y), 1)))
    torch.testing.assert_close(F.compose(*matrices), matrices[0] @ matrices[1] @ matrices[2])


def test_rotation_is_clockwise() -> None:
    """A pixel on the right ends at the bottom: clockwise because y points down."""
    images = torch.zeros(1, 1, 7, 7)
    images[0, 0, 3, 6] = 1
    turned = F.warp(images, F.rotation(column(-pi / 2)))
    assert turned[0, 0, 6, 3] == pytest.approx(1, abs=0.2)
    assert (turned > 0.5).sum() == 1


MATRIX = random_affine(DOUBLE)
DIFFERENTIABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda images: F.flip(images, FLIPPED),
    "translate": lambda images: F.translate(images, OFFSETS),
    "translate_mirrored": lambda images: F.translate(images, OFFSETS, mirrored=True),
    "cutout": lambda images: F.cutout(images, OFFSETS, 2),
    "rearrange": lambda images: F.rearrange(images, F.quarter_turns(OFFSETS[:, :1])),
    "warp": lambda images: F.warp(images, MATRIX),
    "blank": lambda images: F.blank(images, ANGLES.expand(-1, 2), FACTORS),
    **COLORS,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_first_and_second_derivatives(name: str) -> None:
    """The tanh gives linear formulas a second derivative."""
    images = random_images(resolution=3, dtype=DOUBLE).requires_grad_()
    assert torch.autograd.gradcheck(DIFFERENTIABLE[name], images)
    assert torch.autograd.gradgradcheck(lambda images: DIFFERENTIABLE[name](images).tanh(), images)
