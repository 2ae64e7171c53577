"""Laplacian pyramids: reconstruction, constant images, coarse versions; resolutions of the levels."""

import pytest
import torch
from torch import Tensor

from gan_lab.layers.laplacian import LaplacianPyramid
from gan_lab.layers.pyramid_resolutions import default_resolutions, latent_dim, require_resolutions


def images(resolution: int) -> Tensor:
    return (
        torch.rand(3, 2, resolution, resolution, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
        - 1
    )


@pytest.mark.parametrize("resolutions", [(28, 14, 8), (32, 16, 8, 4)])
@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_differences_add_up_to_the_image(resolutions: tuple[int, ...], upsampling: str) -> None:
    pyramid = LaplacianPyramid(resolutions, upsampling)
    *differences, rebuilt = pyramid.differences(images(resolutions[0]))
    for level in range(pyramid.coarsest - 1, -1, -1):
        assert differences[level].shape[-1] == resolutions[level]
        rebuilt = pyramid.enlarged(rebuilt, level) + differences[level]
    torch.testing.assert_close(rebuilt, images(resolutions[0]), atol=1e-15, rtol=0)


def test_a_constant_image_has_no_differences() -> None:
    *differences, coarsest = LaplacianPyramid((28, 14, 8)).differences(torch.full((1, 1, 28, 28), 0.3))
    assert all(difference.abs().max() < 1e-7 for difference in differences) and coarsest.allclose(torch.tensor(0.3))


def test_nearest_neighbor_coarse_versions_are_their_own() -> None:
    """d(u(x)) = x, so the mean of a difference over 2x2 pixels is 0; with bilinear interpolation neither holds."""
    nearest, bilinear = (LaplacianPyramid((16, 8), upsampling) for upsampling in ("nearest", "bilinear"))
    small = images(8)
    torch.testing.assert_close(nearest.images(nearest.enlarged(small, 0))[1], small)
    assert torch.nn.functional.avg_pool2d(nearest.differences(images(16))[0], 2).abs().max() < 1e-15
    assert not torch.allclose(bilinear.images(bilinear.enlarged(small, 0))[1], small, atol=0.01)


def test_the_coarse_version_of_an_image_is_that_of_its_pyramid() -> None:
    pyramid = LaplacianPyramid((28, 14, 8))
    levels = pyramid.images(images(28))
    assert torch.equal(pyramid.coarse(levels[1], 1), pyramid.enlarged(levels[2], 1))


@pytest.mark.parametrize(
    ("resolution", "resolutions"), [(28, [8, 14, 28]), (32, [8, 16, 32]), (16, [8, 16]), (8, [8]), (None, [])]
)
def test_default_resolutions(resolution: int | None, resolutions: list[int]) -> None:
    assert default_resolutions(resolution) == resolutions


def test_the_latent_has_a_number_for_each_pixel_above_the_coarsest_level() -> None:
    assert latent_dim(28, None, 100) == 1080 and latent_dim(32, [8, 16, 32], 100) == 1380
    assert latent_dim(None, None, 100) == latent_dim(28, 14, 100) == latent_dim(28, ["a"], 100) == 100


@pytest.mark.parametrize(
    ("resolutions", "resolution", "sentence"),
    [
        ([8, 14], 28, "must end at the resolution of the images; dataset.resolution=28"),
        ([28], 28, "no level between the coarsest and the image"),
        ([14, 8, 28], 28, "must increase"),
        ([8, 8.5, 28], 28, "whole numbers"),
        (28, 28, "whole numbers"),
        (None, 8, r"resolutions=\[4,8\]"),
        (None, None, "the data are points"),
    ],
)
def test_resolutions_that_are_refused(resolutions: object, resolution: int | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        require_resolutions(resolutions, resolution)  # type: ignore[arg-type]
