"""Mixtures: exact densities compared with samples and sums."""

import math

import pytest
import torch

from gan_lab.data.mixtures import GaussianMixture, grid, ring, spiral
from gan_lab.errors import ConfigError
from gan_lab.noise import Noise, mix

MIXTURES = {
    "ring": ring(),
    "uneven": ring(7, first_twice=True),
    "grid": grid(),
    "spiral": spiral(),
    "wide": GaussianMixture(((0.0, 0.0), (1.0, 2.0)), 0.7),
}


def edges(mixture: GaussianMixture, cells: int) -> torch.Tensor:
    """Edges of a grid on a square with all but a negligible part of the mixture."""
    reach = max(abs(value) for center in mixture.centers for value in center) + 8 * mixture.std
    return torch.linspace(-reach, reach, cells + 1, dtype=torch.float64)


def test_default_ring_is_that_of_d2gan():
    mixture = ring()
    centers = torch.tensor(mixture.centers)
    assert mixture.modes == 8 and len(set(mixture.centers)) == 8
    assert mixture.std**2 == pytest.approx(0.02)
    torch.testing.assert_close(centers.norm(dim=1), torch.full((8,), 2.0))
    gaps = (centers - centers.roll(1, 0)).norm(dim=1)  # chords of 45 degrees, including the last to the first
    torch.testing.assert_close(gaps, torch.full((8,), 4 * math.sin(math.pi / 8)))
    assert mixture.centers[0] == (2.0, 0.0)


def test_default_grid_is_that_of_wgan_gp():
    mixture = grid()
    steps = [2 * step / 2.828 for step in range(-2, 3)]
    torch.testing.assert_close(
        torch.tensor(sorted(mixture.centers)), torch.tensor([(x, y) for x in steps for y in steps])
    )
    assert mixture.std == pytest.approx(0.05 / 2.828)
    assert sorted({x for x, _ in grid(divisor=1.0).centers}) == [-4, -2, 0, 2, 4]
    assert sorted({x for x, _ in grid(modes_per_axis=2, spacing=3.0, divisor=1.0).centers}) == [-1.5, 1.5]


def test_divisor_scales_centers_and_std():
    mixture = ring(std=0.02, divisor=1.414)
    assert mixture.centers[0][0] == pytest.approx(2 / 1.414) and mixture.std == pytest.approx(0.02 / 1.414)


def test_default_spiral_is_on_the_swiss_roll_of_wgan_gp():
    """The radius is angle / 7.5, from 0.75 to 2.25 turns, and std 0.25 / 7.5."""
    mixture = spiral()
    points = 7.5 * torch.tensor(mixture.centers, dtype=torch.float64)
    radii = points.norm(dim=1)
    assert (radii.diff() > 0).all() and mixture.std == pytest.approx(0.25 / 7.5)
    torch.testing.assert_close(points, torch.stack([radii * radii.cos(), radii * radii.sin()], dim=1))
    fine = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 1_000_001, dtype=torch.float64)
    curve = torch.stack([fine * fine.cos(), fine * fine.sin()], dim=1)
    lengths = torch.cat([torch.zeros(1), (curve[1:] - curve[:-1]).norm(dim=1).cumsum(0)])  # of a polygon
    wanted = (torch.arange(100) + 0.5) / 100 * lengths[-1]
    torch.testing.assert_close(radii, fine[torch.searchsorted(lengths, wanted)], rtol=0, atol=2e-5)


def test_spiral_with_other_arguments():
    mixture = spiral(modes=400, turns=3, inner_radius=0.0, radius=6.0, std=0.1, divisor=2.0)
    points = torch.tensor(mixture.centers, dtype=torch.float64)
    gaps = (points[1:] - points[:-1]).norm(dim=1)
    assert mixture.modes == 400 and mixture.std == 0.05
    assert float(gaps[0]) < float(gaps.median()) and gaps.max() / gaps.median() < 1.01  # chords of the sharp middle
    assert float(points[-1].norm()) == pytest.approx(3, rel=0.01) and points[-1, 0] > 2.9  # ends at angle 0
    crossings = ((points[1:, 1] > 0) & (points[:-1, 1] < 0)).sum()  # through angle 0 from below
    assert crossings == 2  # after one turn and after two; the third ends there
    assert spiral(modes=1).modes == 1 and spiral(modes=0).modes == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turns": 0.0}, r"^dataset.mixture.turns=0.0 is not possible; give a number above 0\.$"),
        ({"inner_radius": -1.0}, r"^dataset.mixture.inner_radius=-1.0 is not possible"),
        ({"inner_radius": 2.0, "radius": 2.0}, r"give a number from 0 to below radius=2.0\.$"),
        ({"divisor": 0.0}, r"^dataset.mixture.divisor=0.0 is not possible"),
    ],
)
def test_invalid_arguments_of_spiral(options, message):
    with pytest.raises(ConfigError, match=message):
        spiral(**options)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_modes_that_would_coincide_or_be_mirrored(value):
    with pytest.raises(ConfigError, match=f"^dataset.mixture.radius={value} is not possible"):
        ring(radius=value)
    with pytest.raises(ConfigError, match=f"^dataset.mixture.spacing={value} is not possible"):
        grid(spacing=value)


@pytest.mark.parametrize("name", MIXTURES)
def test_cell_probabilities_sum_to_one_and_agree_with_samples(name):
    mixture, count = MIXTURES[name], 200_000
    axis = edges(mixture, 40)
    cells = mixture.cell_probabilities(axis, axis)
    assert cells.shape == (40, 40) and float(cells.sum()) == pytest.approx(1, abs=1e-9)
    points, _ = mixture.sample(Noise(mix(1, 2), count))
    found = torch.histogramdd(points.double(), [axis, axis]).hist
    sigma = (count * cells * (1 - cells)).sqrt()
    likely = cells * count > 20  # where counts are approximately Gaussian
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


def test_log_density_at_an_isolated_center_and_far_away():
    mixture = ring(modes=8, radius=100.0, std=0.5)
    at_center = mixture.log_prob(torch.tensor([[100.0, 0.0]], dtype=torch.float64))
    assert float(at_center) == pytest.approx(-math.log(2 * math.pi * 0.25 * 8))
    assert torch.isfinite(mixture.log_prob(torch.tensor([[1e4, 1e4]]))).all()


def test_samples_are_distributed_equally_over_their_modes():
    mixture, count = ring(), 80_000
    points, labels = mixture.sample(Noise(mix(3), count))
    assert points.dtype == torch.float32 and points.shape == (count, 2) and labels.dtype == torch.int64
    expected = count / mixture.modes
    assert (torch.bincount(labels, minlength=8) - expected).abs().max() < 5 * expected**0.5
    offsets = points - torch.tensor(mixture.centers)[labels]
    assert float(offsets.var()) == pytest.approx(0.02, rel=5 * (2 / (2 * count)) ** 0.5)
    assert float(offsets.mean(dim=0).abs().max()) < 5 * mixture.std / count**0.5


@pytest.mark.parametrize("count", [8, 9])
def test_the_first_mode_twice_is_a_circle_with_both_ends(count):
    """Unrolled GAN's and LSGAN's codes have 8 and 9 equally weighted Gaussians at np.linspace(0, 2 pi, count)."""
    angles = torch.linspace(0, 2 * math.pi, count, dtype=torch.float64).tolist()
    codes = GaussianMixture(tuple((math.cos(angle), math.sin(angle)) for angle in angles), 0.1)
    mixture = ring(count - 1, radius=1.0, std=0.1, first_twice=True)
    assert mixture.modes == count - 1
    assert mixture.weights.tolist() == pytest.approx([2 / count] + [1 / count] * (count - 2))
    axis = edges(mixture, 30)
    torch.testing.assert_close(mixture.cell_probabilities(axis, axis), codes.cell_probabilities(axis, axis))
    points, labels = mixture.sample(Noise(mix(4), 60_000))
    torch.testing.assert_close(mixture.log_prob(points.double()), codes.log_prob(points.double()))
    expected = 60_000 * mixture.weights
    assert ((torch.bincount(labels) - expected).abs() < 5 * expected.sqrt()).all()


def test_a_uniform_number_close_to_one_gives_a_valid_mode():
    class Edge(Noise):
        def uniform(self, *shape: int) -> torch.Tensor:
            return torch.full((self.global_size, *shape), 1 - 2**-24)

    assert grid().sample(Edge(0, 3))[1].tolist() == [24, 24, 24]
