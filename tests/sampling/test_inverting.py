"""Searches in a space of points with known statistics."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_lab.sampling.inverting import search
from gan_lab.sampling.spaces import Space

LAYERS, DIM, DEVIATION = 2, 4, 3.0


class NormalSpace(Space):
    """Points with N(1, DEVIATION^2) coordinates, which are samples, too, and are kept in `loaded.seen`."""

    def draw(self, count: int, seed: int = 0, condition: Any = None) -> tuple[Tensor, None]:
        shape = (count, LAYERS, DIM) if self.name == "w+" else (count, DIM)
        return 1 + DEVIATION * torch.randn(shape, generator=torch.Generator().manual_seed(seed)), None

    def with_graph(self, points: Tensor, condition: Tensor | None = None) -> Tensor:
        self.loaded.seen.append(points.detach().clone())
        return points


def first_points(name: str, **settings: float) -> Tensor:
    """What the generator gets at the first step, for 5,000 images."""
    space = NormalSpace(SimpleNamespace(device="cpu", latent=None, seen=[]), name)  # type: ignore[arg-type]
    search(space, lambda points: points.flatten(1).square().mean(1), 5000, None, steps=1, starts=1, **settings)  # type: ignore[arg-type]
    found: Tensor = space.loaded.seen[0]
    return found


@pytest.mark.parametrize("name", ["w", "w+"])
def test_noise_on_styles_is_a_fraction_of_their_deviation_from_their_mean(name: str) -> None:
    """Karras et al. (2020) take the distance from the mean over all coordinates: 3 sqrt(4) here."""
    noisy = first_points(name)
    assert noisy.std().item() == pytest.approx(0.05 * DEVIATION * DIM**0.5, rel=0.02)
    assert noisy.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(first_points(name, style_noise=0.0).std(0), torch.zeros(noisy.shape[1:]))  # the mean style
    torch.testing.assert_close(first_points(name, style_noise=0.5).std(), 10 * noisy.std(), rtol=0.02, atol=0)


def test_latents_have_no_noise() -> None:
    assert torch.equal(first_points("z"), first_points("z", style_noise=9.0))
