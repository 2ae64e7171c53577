"""Largest singular values by decomposition and by iteration against PyTorch's."""

import pytest
import torch
from torch import nn

from gan_lab.layers import singular_values
from gan_lab.layers.singular_values import iterated_singular_values, top_singular_values, weight_matrices
from gan_lab.layers.spectral_norm import spectrally_normalize


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (64, 64)])
def test_iteration_gives_the_top_three(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(iterated_singular_values(matrix, 3), torch.linalg.svdvals(matrix)[:3], rtol=1e-4)


def test_iteration_with_equal_and_with_far_values() -> None:
    """Equal values have no unique directions; a large value must not hide the next."""
    left, right = (torch.linalg.qr(torch.randn(60, 60, generator=torch.Generator().manual_seed(k))).Q for k in (2, 3))
    for top in ([5.0, 5.0, 5.0], [1000.0, 1.5, 1.2]):
        values = torch.cat([torch.tensor(top), torch.linspace(1, 0, 57)])
        found = iterated_singular_values(left @ values.diag() @ right, 3)
        assert torch.allclose(found, torch.tensor(top), rtol=1e-3)


def test_both_methods_agree_and_do_not_use_the_random_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = torch.randn(50, 80, generator=torch.Generator().manual_seed(4))
    exact = top_singular_values(matrix, 3)
    assert torch.equal(exact, torch.linalg.svdvals(matrix)[:3])
    monkeypatch.setattr(singular_values, "EXACT", 10)
    state = torch.get_rng_state()
    assert torch.allclose(top_singular_values(matrix, 3), exact, rtol=1e-4)
    assert torch.equal(torch.get_rng_state(), state)


def test_missing_values_are_zeros() -> None:
    assert torch.allclose(top_singular_values(torch.tensor([[3.0, 4.0]]), 3), torch.tensor([5.0, 0.0, 0.0]))
    assert torch.equal(top_singular_values(torch.zeros(4, 4), 2), torch.zeros(2))


def test_weight_matrices_are_the_stored_weights() -> None:
    network = nn.Sequential(
        nn.Linear(3, 4), nn.Conv2d(2, 5, 3), nn.ConvTranspose2d(2, 6, 3), nn.Embedding(7, 3), nn.BatchNorm2d(2)
    )
    plain = {name: weight.clone() for name, weight in weight_matrices(network).items()}
    assert {name: tuple(w.shape) for name, w in plain.items()} == {"0": (4, 3), "1": (5, 18), "2": (6, 18), "3": (7, 3)}
    spectrally_normalize(network)
    normalized = weight_matrices(network)
    assert normalized.keys() == plain.keys() and all(torch.equal(normalized[name], plain[name]) for name in plain)
