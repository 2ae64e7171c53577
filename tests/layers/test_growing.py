"""Growing networks: the stage in checkpoints and copies, and images at each stage."""

import copy
import io

import pytest
import torch
from torch import nn

from gan_lab.layers.growing import (
    Growing,
    at_stage,
    downsample_2x,
    enlarge,
    fade,
    growing_networks,
    lower_resolutions,
    shrunk_to,
    upsample_2x,
)
from gan_lab.types import Stage


def test_a_new_network_is_at_its_full_resolution() -> None:
    network = Growing(32)
    assert network.resolutions == [4, 8, 16, 32]
    assert network.stage == Stage(32, 1.0) and network.level == 3


@pytest.mark.parametrize("stage", [Stage(64), Stage(2), Stage(12), Stage(8, 1.01), Stage(8, -0.01), Stage(4, 0.5)])
def test_invalid_stages_are_refused(stage: Stage) -> None:
    network = Growing(32)
    with pytest.raises(ValueError, match=str(stage.resolution)):
        network.grow(stage)
    assert network.stage == Stage(32)


def test_copies_and_state_dicts_keep_the_stage() -> None:
    network = Growing(32)
    network.grow(Stage(16, 0.375))
    assert copy.deepcopy(network).stage == Stage(16, 0.375)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = Growing(32)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.stage == Stage(16, 0.375)


def test_growing_networks_in_submodules_are_found() -> None:
    inside = [Growing(8), Growing(16)]
    assert growing_networks(torch.nn.Sequential(torch.nn.Sequential(inside[0]), torch.nn.ReLU(), inside[1])) == inside


def test_fade_is_exact_at_both_ends() -> None:
    torch.manual_seed(0)
    old, new = torch.randn(1000), 1e3 * torch.randn(1000)
    assert torch.equal(fade(old, new, 0.0), old)
    assert torch.equal(fade(old, new, 1.0), new)
    torch.testing.assert_close(fade(old, new, 0.25), 0.75 * old + 0.25 * new)


def test_upsampling_and_downsampling_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert downsample_2x(x).tolist() == [[[[3.0]]]]
    assert upsample_2x(x).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6], [3, 3, 6, 6]]]]
    assert torch.equal(enlarge(x, 8), upsample_2x(upsample_2x(x))) and torch.equal(enlarge(x, 2), x)


def test_real_images_at_every_stage() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 2, 16, 16, dtype=torch.float64) * 2 - 1
    assert torch.equal(at_stage(images, Stage(16)), images)
    for resolution in (4, 8):
        cells = images.unflatten(3, (resolution, -1)).unflatten(
            2, (resolution, -1)
        )  # (n, C, resolution, k, resolution, k)
        torch.testing.assert_close(at_stage(images, Stage(resolution)), cells.mean((3, 5)))
    assert torch.equal(at_stage(images, Stage(16, 0.0)), upsample_2x(downsample_2x(images)))
    assert torch.equal(at_stage(images, Stage(8, 0.0)), upsample_2x(downsample_2x(downsample_2x(images))))
    expected = 0.75 * upsample_2x(downsample_2x(images)) + 0.25 * images
    torch.testing.assert_close(at_stage(images, Stage(16, 0.25)), expected)


def test_networks_are_shrunk_inside_a_block_only() -> None:
    network = nn.Sequential(Growing(32), nn.Linear(1, 1))
    growing = growing_networks(network)[0]
    growing.grow(Stage(16, 0.5))
    assert lower_resolutions(network) == [4, 8]
    with shrunk_to(network, 8):
        assert growing.stage == Stage(8)
    with shrunk_to(network, None):
        assert growing.stage == Stage(16, 0.5)
    assert growing.stage == Stage(16, 0.5)
    assert lower_resolutions(nn.Linear(1, 1)) == []
