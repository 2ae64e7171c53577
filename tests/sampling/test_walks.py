"""Walks between two points."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from gan_lab.gans.latents import LatentPrior
from gan_lab.sampling.spaces import Space
from gan_lab.sampling.walks import walk_between

TIMES = torch.linspace(0, 1, 9)


def space(name: str = "z", distribution: str = "normal") -> Space:
    return Space(cast(Any, SimpleNamespace(latent=LatentPrior(4, distribution))), name)


def test_normal_latents_turn_at_a_constant_angle_and_keep_their_length() -> None:
    first, second = torch.tensor([2.0, 0, 0, 0]), torch.tensor([0, 4.0, 0, 0])
    walk = walk_between(space(), first, second, TIMES)
    angles = torch.atan2(walk[:, 1], walk[:, 0])
    torch.testing.assert_close(angles, TIMES * torch.pi / 2)
    torch.testing.assert_close(walk.norm(dim=1), 2 + 2 * TIMES)
    assert torch.equal(walk[0], first) and torch.equal(walk[-1], second)


def test_latents_in_many_dimensions_keep_the_length_of_samples() -> None:
    first, second = torch.randn(2, 512, generator=torch.Generator().manual_seed(0))
    assert walk_between(space(), first, second, TIMES).norm(dim=1).min() > 0.97 * first.norm()
    assert torch.lerp(first, second, 0.5).norm() < 0.75 * first.norm()


@pytest.mark.parametrize("place", [space("w"), space("z", "uniform")])
def test_styles_and_uniform_latents_are_on_a_line(place: Space) -> None:
    first, second = torch.rand(2, 3, 4)  # also a style for each of three layers
    walk = walk_between(place, first, second, TIMES)
    torch.testing.assert_close(walk[2], 0.75 * first + 0.25 * second)
    assert torch.equal(walk[0], first) and torch.equal(walk[-1], second)


@pytest.mark.parametrize("factor", [1.0, -2.0, 0.0])
def test_latents_without_an_arc_between_them_are_on_a_line(factor: float) -> None:
    first = torch.tensor([1.0, 1, 0, 0])
    walk = walk_between(space(), first, factor * first, TIMES)
    torch.testing.assert_close(walk[4], (0.5 + factor / 2) * first)
    assert walk_between(space(), first[:0], first[:0], TIMES).shape == (9, 0)
