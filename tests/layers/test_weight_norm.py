"""Weight normalization: lengths of rows, gradients, and Gaussian noise, which it keeps relevant."""

import copy

import pytest
import torch
from torch import nn

from gan_lab.layers.gaussian_noise import GaussianNoise
from gan_lab.layers.weight_norm import normalize_weight

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (1,)),
    "conv": (lambda: nn.Conv2d(3, 4, 3), (1, 2, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3), (0, 2, 3)),
}


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_rows_have_the_length(kind: str, learned: bool) -> None:
    make, others = LAYERS[kind]
    layer = make()
    before = layer.weight.detach().clone()
    normalize_weight(layer, 1.5, learned)
    lengths = layer.weight.square().sum(others).sqrt()
    torch.testing.assert_close(lengths, torch.full((4,), 1.5), rtol=1e-4, atol=0)
    ratio = layer.weight / before
    torch.testing.assert_close(ratio.amax(others), ratio.amin(others))  # the directions stay
    assert layer.parametrizations.weight.original.numel() == before.numel()
    assert sum(p.numel() for p in layer.parameters()) == before.numel() + 4 + 4 * learned


def test_constant_lengths_have_no_gradient_along_a_row() -> None:
    layer = normalize_weight(nn.Linear(6, 4), 2.0)
    layer(torch.randn(5, 6)).square().sum().backward()
    original = layer.parametrizations.weight.original
    assert ((original * original.grad).sum(1).abs() < 1e-4 * original.grad.norm()).all()
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.parametrizations.weight.original.mul_(3)
    torch.testing.assert_close(twin.weight, layer.weight)


def test_learned_lengths_scale_their_rows() -> None:
    layer = normalize_weight(nn.Linear(6, 4), 1.0, learned=True)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.parametrizations.weight[0].length[2] = 5.0
    torch.testing.assert_close(layer.weight, before * torch.tensor([[1.0], [1.0], [5.0], [1.0]]))


def test_rows_of_zeros_stay_zeros() -> None:
    layer = nn.Linear(6, 4)
    nn.init.zeros_(layer.weight)
    assert torch.count_nonzero(normalize_weight(layer, 1.0).weight) == 0


def test_noise_is_added_in_training_only() -> None:
    noise = GaussianNoise(0.5)
    x = torch.ones(200, 50)
    torch.manual_seed(0)
    assert (noise(x) - x).std().item() == pytest.approx(0.5, rel=0.05)
    assert noise.eval()(x) is x and GaussianNoise(0.0)(x) is x
    with pytest.raises(ValueError, match="at least 0, not -1"):
        GaussianNoise(-1)
