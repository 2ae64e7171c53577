"""Inversion of linear generators, where the answer is known."""

import pytest
import torch
from torch import Tensor

from gan_lab.analysis.inversion import invert, noise_ramp, ramp

A = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


def squared(wanted: Tensor):
    return lambda samples: (samples - wanted).square().sum(1)


def test_a_linear_generator_has_the_least_squares_solution() -> None:
    wanted = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    found = invert(lambda z: z @ A.T, squared(wanted), torch.zeros(1, 4, 3), steps=600, lr=0.1)
    solution = torch.linalg.lstsq(A, wanted.T).solution.T
    torch.testing.assert_close(found.points, solution, atol=1e-3, rtol=0)
    residual = (wanted - wanted @ torch.linalg.pinv(A).T @ A.T).square().sum(1)
    torch.testing.assert_close(found.errors, residual, atol=1e-3, rtol=0)
    assert found.curve[-1] == pytest.approx(residual.mean().item(), abs=1e-3)
    assert found.frames.shape == (8, 4, 3)


def test_the_best_start_of_each_image_is_kept() -> None:
    starts = torch.tensor([[[1.0], [-1.0]], [[-1.0], [1.0]]])  # (z^2 - 1)^2 - z / 10 is lower at 1 than at -1

    def loss(samples: Tensor) -> Tensor:
        return ((samples.square() - 1).square() - samples / 10).squeeze(1)

    found = invert(lambda z: z, loss, starts, steps=200, lr=0.01)
    torch.testing.assert_close(found.points, torch.full((2, 1), 1.0), atol=0.05, rtol=0)
    assert found.curve[-1] == pytest.approx(min(found.curve), abs=1e-6)


def test_points_stay_in_a_bounded_prior_and_near_the_origin_of_a_normal_one() -> None:
    far = torch.full((1, 2), 5.0)
    inside = invert(lambda z: z, squared(far), torch.zeros(1, 1, 2), steps=100, lr=0.5, bound=1.0)
    assert inside.points.abs().max() <= 1
    free = invert(lambda z: z, squared(far), torch.zeros(1, 1, 2), steps=400, lr=0.1)
    held = invert(lambda z: z, squared(far), torch.zeros(1, 1, 2), steps=400, lr=0.1, prior_weight=2.0)
    torch.testing.assert_close(free.points, far, atol=1e-2, rtol=0)
    torch.testing.assert_close(held.points, far / 2, atol=1e-2, rtol=0)  # |z - 5|^2 per coordinate and z^2


def test_the_learning_rate_rises_and_falls() -> None:
    assert ramp(0.0) < 0.1 and ramp(0.5) == 1 and ramp(0.74) == 1 and ramp(0.99) < 0.01


def test_the_noise_falls_to_zero_in_three_quarters_of_the_steps() -> None:
    assert [noise_ramp(progress) for progress in (0, 0.25, 0.375, 0.75, 0.9)] == pytest.approx([1, 4 / 9, 1 / 4, 0, 0])
    seen: list[Tensor] = []  # points plus noise, of each step and of the end

    def generate(points: Tensor) -> Tensor:
        seen.append(points.detach().clone())
        return 0 * points

    for seed in (3, 3, 4):
        invert(generate, squared(torch.zeros(1)), torch.zeros(1, 2000, 5), steps=8, lr=0.1, noise=0.5, seed=seed)
    first, again, other = torch.stack(seen).unflatten(0, (3, 9))
    assert torch.equal(first, again)  # the same seed
    assert all(not torch.equal(first[step], other[step]) for step in range(6))
    expected = [0.5 * (1 - step / 6) ** 2 for step in range(6)]  # the points stay at zero: their gradient is zero
    torch.testing.assert_close(first[:6].std((1, 2)), torch.tensor(expected), rtol=0.03, atol=0)
    assert torch.corrcoef(first[:2].flatten(1))[0, 1].abs() < 0.05  # drawn for each step
    assert first[6:].count_nonzero() == 0
