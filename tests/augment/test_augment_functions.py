"""Augmentation formulas against loops, PyTorch operations or closed forms; first and second derivatives."""

from collections.abc import Callable
from math import pi

import pytest
import torch
from torch import Tensor

from gan_lab.augment import functional as F

N, RESOLUTION = 6, 7


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
    turned = F.warp(images, F.quarter_turns(-turns))
    for image, number, result in zip(images, turns.view(-1).tolist(), turned, strict=True):
        assert torch.equal(result, torch.rot90(image, -number, (1, 2)))  # torch rotates counterclockwise
    mirrored = F.warp(images, F.scaling(-torch.ones(N, 1), torch.ones(N, 1)))
    assert torch.equal(mirrored, images.flip(3))


def test_integer_translations_equal_translate() -> None:
    images = random_images()
    assert torch.equal(
        F.warp(images, F.translation(-OFFSETS.float())), F.translate(images, OFFSETS, mirrored=True)
    )  # with far translations


def random_affine() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.cat((torch.randn(N, 2, 3, generator=generator), torch.tensor([0.0, 0, 1]).expand(N, 1, 3)), 1)


@pytest.mark.parametrize("resolution", [7, 8])
def test_warp_is_bilinear_grid_sampling_with_reflection(resolution: int) -> None:
    images, inverse = random_images(resolution=resolution), random_affine()
    normalized = inverse[:, :2].clone()
    normalized[:, :, 2] *= 2 / resolution  # grid_sample's coordinates span -1 .. 1
    grid = torch.nn.functional.affine_grid(normalized, list(images.shape), align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(F.warp(images, inverse), expected, atol=1e-5, rtol=1e-5)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    images = random_images()
    shifted = F.warp(images, F.translation(torch.tensor([[0.5, 0.0]]).expand(N, 2)))
    torch.testing.assert_close(shifted[..., :-1], (images[..., :-1] + images[..., 1:]) / 2)
    torch.testing.assert_close(shifted[..., -1], images[..., -1])  # mirrored at the border


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
    assert turned[0, 0, 6, 3] == pytest.approx(1, abs=1e-5)


DOUBLE = torch.float64
MATRIX = random_affine().to(DOUBLE)
DIFFERENTIABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda images: F.flip(images, FLIPPED),
    "translate": lambda images: F.translate(images, OFFSETS),
    "translate_mirrored": lambda images: F.translate(images, OFFSETS, mirrored=True),
    "cutout": lambda images: F.cutout(images, OFFSETS, 2),
    "warp": lambda images: F.warp(images, MATRIX),
    **COLORS,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_first_and_second_derivatives(name: str) -> None:
    """The tanh gives linear formulas a second derivative."""
    images = random_images(resolution=3, dtype=DOUBLE).requires_grad_()
    assert torch.autograd.gradcheck(DIFFERENTIABLE[name], images)
    assert torch.autograd.gradgradcheck(lambda images: DIFFERENTIABLE[name](images).tanh(), images)
