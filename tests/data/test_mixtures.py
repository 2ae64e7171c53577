"""Densities in closed form against samples and sums."""

import math

import pytest
import torch

from gan_lab.data.mixtures import GaussianMixture, grid, ring
from gan_lab.noise import Noise, mix

MIXTURES = {"ring": ring(), "grid": grid(), "wide": GaussianMixture(((0.0, 0.0), (1.0, 2.0)), 0.7)}


def edges(mixture: GaussianMixture, cells: int) -> torch.Tensor:
    """Edges of a square that holds all but a negligible part of the mixture."""
    reach = max(abs(value) for centre in mixture.centres for value in centre) + 8 * mixture.std
    return torch.linspace(-reach, reach, cells + 1, dtype=torch.float64)


def test_ring_is_that_of_d2gan():
    mixture = ring()
    centres = torch.tensor(mixture.centres)
    assert mixture.modes == 8 and len(set(mixture.centres)) == 8
    assert mixture.std**2 == pytest.approx(0.02)
    torch.testing.assert_close(centres.norm(dim=1), torch.full((8,), 2.0))
    gaps = (centres - centres.roll(1, 0)).norm(dim=1)  # chords of 45 degrees, the last to the first included
    torch.testing.assert_close(gaps, torch.full((8,), 4 * math.sin(math.pi / 8)))
    assert mixture.centres[0] == (2.0, 0.0)


def test_grid_is_that_of_wgan_gp():
    mixture = grid()
    steps = [2 * step / 2.828 for step in range(-2, 3)]
    torch.testing.assert_close(
        torch.tensor(sorted(mixture.centres)), torch.tensor([(x, y) for x in steps for y in steps])
    )
    assert mixture.std == pytest.approx(0.05 / 2.828)
    assert sorted({x for x, _ in grid(divisor=1.0).centres}) == [-4, -2, 0, 2, 4]
    assert sorted({x for x, _ in grid(side=2, spacing=3.0, divisor=1.0).centres}) == [-1.5, 1.5]


def test_ring_with_divisor_scales_centres_and_spread():
    mixture = ring(std=0.02, divisor=1.414)
    assert mixture.centres[0][0] == pytest.approx(2 / 1.414) and mixture.std == pytest.approx(0.02 / 1.414)


@pytest.mark.parametrize("name", MIXTURES)
def test_cell_probabilities_sum_to_one_and_agree_with_samples(name):
    mixture, count = MIXTURES[name], 200_000
    axis = edges(mixture, 40)
    cells = mixture.cell_probabilities(axis, axis)
    assert cells.shape == (40, 40) and float(cells.sum()) == pytest.approx(1, abs=1e-9)
    points, _ = mixture.sample(Noise(mix(1, 2), count))
    found = torch.histogramdd(points.double(), [axis, axis]).hist
    sigma = (count * cells * (1 - cells)).sqrt()
    likely = cells * count > 20  # where a count is nearly Gaussian
    assert likely.sum() > 20
    assert ((found - count * cells).abs()[likely] < 5 * sigma[likely]).all()
    assert found[~likely].sum() <= count * cells[~likely].sum() + 5 * (count * cells[~likely].sum()).sqrt() + 5


def test_cells_are_indexed_by_x_and_then_y():
    mixture = GaussianMixture(((0.0, 10.0),), 0.1)
    cells = mixture.cell_probabilities(torch.tensor([-1.0, 1.0, 3.0]), torch.tensor([8.0, 9.0, 11.0, 12.0]))
    assert cells.shape == (2, 3) and float(cells[0, 1]) == pytest.approx(1)


@pytest.mark.parametrize("name", MIXTURES)
def test_density_integrates_to_the_cell_probabilities(name):
    mixture = MIXTURES[name]
    axis = edges(mixture, 800 if name == "grid" else 400)
    width = float(axis[1] - axis[0])
    middle = (axis[1:] + axis[:-1]) / 2
    points = torch.cartesian_prod(middle, middle)
    density = mixture.log_prob(points).exp()
    assert float(density.sum()) * width**2 == pytest.approx(1, abs=1e-3)
    cells = mixture.cell_probabilities(axis, axis).flatten()
    torch.testing.assert_close(density * width**2, cells, rtol=0.2, atol=1e-7)


def test_log_density_at_a_lonely_centre_and_far_away():
    mixture = ring(modes=8, radius=100.0, std=0.5)
    at_centre = mixture.log_prob(torch.tensor([[100.0, 0.0]], dtype=torch.float64))
    assert float(at_centre) == pytest.approx(-math.log(2 * math.pi * 0.25 * 8))
    assert torch.isfinite(mixture.log_prob(torch.tensor([[1e4, 1e4]]))).all()


def test_samples_belong_to_their_modes_in_equal_parts():
    mixture, count = ring(), 80_000
    points, labels = mixture.sample(Noise(mix(3), count))
    assert points.dtype == torch.float32 and points.shape == (count, 2) and labels.dtype == torch.int64
    expected = count / mixture.modes
    assert (torch.bincount(labels, minlength=8) - expected).abs().max() < 5 * expected**0.5
    offsets = points - torch.tensor(mixture.centres)[labels]
    assert float(offsets.var()) == pytest.approx(0.02, rel=5 * (2 / (2 * count)) ** 0.5)
    assert float(offsets.mean(dim=0).abs().max()) < 5 * mixture.std / count**0.5


def test_a_uniform_number_next_to_one_stays_inside():
    class Edge(Noise):
        def uniform(self, *shape: int) -> torch.Tensor:
            return torch.full((self.global_size, *shape), 1 - 2**-24)

    assert grid().sample(Edge(0, 3))[1].tolist() == [24, 24, 24]
