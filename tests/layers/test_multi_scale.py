"""Samples at all scales as one tensor."""

import torch

from gan_lab.layers.multi_scale import MultiScale, image_pyramid, multi_scale_networks, pack_scales, unpack_scales

RESOLUTIONS = [4, 8, 16]


def test_resolutions_are_the_doublings_of_four() -> None:
    assert (
        MultiScale(4).resolutions == [4]
        and MultiScale(16).resolutions == RESOLUTIONS
        and MultiScale(1024).resolutions[-1] == 1024
    )


def test_unpack_scales_inverts_pack_scales() -> None:
    images = [torch.randn(2, 3, resolution, resolution) for resolution in RESOLUTIONS]
    packed = pack_scales(images)
    assert packed.shape == (2, 3, 16 + 64 + 256)
    assert all(torch.equal(a, b) for a, b in zip(unpack_scales(packed, RESOLUTIONS), images, strict=True))


def test_scales_are_average_pooled() -> None:
    image = torch.arange(256.0).view(1, 1, 16, 16)
    small, middle, large = image_pyramid(image, RESOLUTIONS)
    assert torch.equal(large, image)
    assert middle[0, 0, 0, 0] == (0 + 1 + 16 + 17) / 4
    assert small[0, 0, 1, 2] == image[0, 0, 4:8, 8:12].mean()
    assert all((scale == 0.25).all() for scale in image_pyramid(torch.full((1, 3, 16, 16), 0.25), RESOLUTIONS))


def test_multi_scale_networks_in_submodules_are_found() -> None:
    network = MultiScale(8)
    assert multi_scale_networks(network) == [network] == multi_scale_networks(torch.nn.Sequential(network))
    assert multi_scale_networks(torch.nn.Linear(1, 1)) == []
