"""Random streams that do not depend on the number of processes and micro-batches."""

import pytest
import torch

from gan_lab.noise import Noise, mix, name_hash

HASH_OF_LATENTS = 583978030758916771
"""If this number changes, every seed changes."""


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_rows_of_all_processes_joined_are_the_global_stream(world: int, draw: str) -> None:
    expected = getattr(Noise(5, 8), draw)(3)
    parts = [getattr(Noise(5, 8, slice(rank, None, world)), draw)(3) for rank in range(world)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), expected)


def test_draws_continue_the_stream_and_seeds_differ() -> None:
    noise = Noise(5, 4)
    first, second = noise.normal(2), noise.normal(2)
    assert not torch.equal(first, second)
    assert torch.equal(first, Noise(5, 4).normal(2))
    assert not torch.equal(first, Noise(6, 4).normal(2))


def test_mix_has_no_collisions_of_small_integers_and_depends_on_their_order() -> None:
    seeds = {mix(a, b, c) for a in range(20) for b in range(50) for c in range(5)}
    assert len(seeds) == 20 * 50 * 5
    assert mix(1, 2) != mix(2, 1) and mix(0) != mix(0, 0)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_moments() -> None:
    normal, uniform = Noise(1, 20_000).normal(), Noise(1, 20_000).uniform()
    assert normal.mean().abs() < 5 / 20_000**0.5 and abs(normal.std() - 1) < 0.03
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 5 * 0.29 / 20_000**0.5


def test_children_depend_on_seed_and_name_only() -> None:
    """Not on earlier draws, on other children or on their order; different names give different streams."""
    expected = Noise(5, 8).child("latents").normal(3)
    noise = Noise(5, 8)
    noise.normal(7)
    noise.child("augment/real").uniform()
    child = noise.child("latents")
    noise.uniform()
    assert torch.equal(child.normal(3), expected)
    assert torch.equal(noise.child("latents").normal(3), expected)  # each call starts from the beginning
    others = [noise.child(name).normal(3) for name in ("latent", "condition", "augment/real", "penalty/latents")]
    assert not any(torch.equal(other, expected) for other in others)
    assert not torch.equal(Noise(5, 8).normal(3), expected) and not torch.equal(
        Noise(6, 8).child("latents").normal(3), expected
    )
    nested = noise.child("batch/1").child("latents").normal(3)
    assert not torch.equal(nested, expected) and torch.equal(
        nested, Noise(5, 8).child("batch/1").child("latents").normal(3)
    )


@pytest.mark.parametrize("parts", [2, 4])
def test_children_of_processes_and_micro_batches_joined_are_the_global_child(parts: int) -> None:
    global_stream = Noise(5, 8).child("latents")
    interleaved = [Noise(5, 8, slice(rank, None, parts)).child("latents") for rank in range(parts)]
    consecutive = [Noise(5, 8, slice(8 // parts * k, 8 // parts * (k + 1))).child("latents") for k in range(parts)]
    rows = global_stream.normal(3)
    assert torch.equal(torch.stack([part.normal(3) for part in interleaved], 1).flatten(0, 1), rows)
    assert torch.equal(torch.cat([part.normal(3) for part in consecutive]), rows)
    assert all(part.count == 8 // parts for part in (*interleaved, *consecutive))


def test_name_hash_is_the_same_in_every_process_and_version() -> None:
    """Python's own hash of a string differs from process to process."""
    assert name_hash("latents") == HASH_OF_LATENTS and 0 <= name_hash("generator") < 2**63
    assert len({name_hash(f"penalty/{number}") for number in range(5000)}) == 5000
