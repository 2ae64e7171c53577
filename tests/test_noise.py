"""The random stream does not depend on how a batch is shared out."""

import pytest
import torch

from gan_lab.noise import Noise, mix


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_rows_of_all_processes_joined_are_the_whole_stream(world: int, draw: str) -> None:
    whole = getattr(Noise(5, 8), draw)(3)
    parts = [getattr(Noise(5, 8, slice(rank, None, world)), draw)(3) for rank in range(world)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)


def test_draws_go_on_and_seeds_differ() -> None:
    noise = Noise(5, 4)
    first, second = noise.normal(2), noise.normal(2)
    assert not torch.equal(first, second)
    assert torch.equal(first, Noise(5, 4).normal(2))
    assert not torch.equal(first, Noise(6, 4).normal(2))


def test_mixing_has_no_collisions_among_neighbours_and_keeps_the_order() -> None:
    seeds = {mix(a, b, c) for a in range(20) for b in range(50) for c in range(5)}
    assert len(seeds) == 20 * 50 * 5
    assert mix(1, 2) != mix(2, 1) and mix(0) != mix(0, 0)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_moments() -> None:
    normal, uniform = Noise(1, 20_000).normal(), Noise(1, 20_000).uniform()
    assert normal.mean().abs() < 5 / 20_000**0.5 and abs(normal.std() - 1) < 0.03
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 5 * 0.29 / 20_000**0.5
