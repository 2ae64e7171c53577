"""Samples at all scales as one tensor."""

import torch

from gan_lab.layers.multi_scale import MultiScale, apart, at_all_scales, in_a_row, multi_scale_parts

SIDES = [4, 8, 16]


def test_sides_are_the_doublings_of_four() -> None:
    assert MultiScale(4).sides == [4] and MultiScale(16).sides == SIDES and MultiScale(1024).sides[-1] == 1024


def test_a_row_comes_apart_again() -> None:
    images = [torch.randn(2, 3, side, side) for side in SIDES]
    row = in_a_row(images)
    assert row.shape == (2, 3, 16 + 64 + 256)
    assert all(torch.equal(a, b) for a, b in zip(apart(row, SIDES), images, strict=True))


def test_scales_are_means_of_squares() -> None:
    image = torch.arange(256.0).view(1, 1, 16, 16)
    small, middle, large = at_all_scales(image, SIDES)
    assert torch.equal(large, image)
    assert middle[0, 0, 0, 0] == (0 + 1 + 16 + 17) / 4
    assert small[0, 0, 1, 2] == image[0, 0, 4:8, 8:12].mean()
    assert all((scale == 0.25).all() for scale in at_all_scales(torch.full((1, 3, 16, 16), 0.25), SIDES))


def test_found_inside_other_networks() -> None:
    network = MultiScale(8)
    assert multi_scale_parts(network) == [network] == multi_scale_parts(torch.nn.Sequential(network))
    assert multi_scale_parts(torch.nn.Linear(1, 1)) == []
