"""Spectral normalization: closed forms of Miyato et al. (2018), and updates of u and v."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.layers.conditional_batch_norm import ConditionalBatchNorm
from gan_lab.layers.spectral_norm import SpectralNorm, power_iterations, spectrally_normalize

LAYERS = {
    "linear": lambda: nn.Linear(9, 6),
    "conv": lambda: nn.Conv2d(3, 6, (2, 3)),
    "transposed": lambda: nn.ConvTranspose2d(3, 6, (2, 3)),
    "embedding": lambda: nn.Embedding(7, 6),
}


def normalized(kind: str) -> Any:
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    spectrally_normalize(layer)
    return layer


def matrix(kind: str, weight: Tensor) -> Tensor:
    """Weight matrix with outputs as rows, written by hand."""
    if kind == "transposed":
        return torch.stack([weight[:, k].reshape(-1) for k in range(weight.shape[1])])
    return torch.stack([row.reshape(-1) for row in weight])


def vectors(layer: Any) -> tuple[Tensor, Tensor, Tensor]:
    weights = layer.parametrizations.weight
    return weights.original, weights[0].u, weights[0].v


@pytest.mark.parametrize("kind", LAYERS)
def test_sigma_is_the_largest_singular_value(kind: str) -> None:
    layer = normalized(kind)
    for _ in range(200):
        for iterate in power_iterations(layer):
            iterate()
    original, u, v = vectors(layer)
    largest = torch.linalg.svdvals(matrix(kind, original))[0]
    assert abs(u @ matrix(kind, original) @ v - largest) < 1e-12
    torch.testing.assert_close(layer.weight, original / largest, atol=1e-12, rtol=0)
    assert abs(torch.linalg.svdvals(matrix(kind, layer.weight))[0] - 1) < 1e-12


def test_six_by_nine() -> None:
    torch.manual_seed(1)
    weight = torch.randn(6, 9, dtype=torch.float64)
    norm = SpectralNorm(weight)
    for _ in range(200):
        norm.update(weight)
    u, s, vh = torch.linalg.svd(weight)
    assert abs(norm.u @ weight @ norm.v - s[0]) < 1e-12
    assert abs(abs(norm.u @ u[:, 0]) - 1) < 1e-12
    assert abs(abs(norm.v @ vh[0]) - 1) < 1e-12


def test_close_from_the_start() -> None:
    torch.manual_seed(2)
    for _ in range(20):
        weight = torch.randn(64, 128)
        sigma = weight[0, 0] / SpectralNorm(weight)(weight)[0, 0]
        assert 0.9 < sigma / torch.linalg.matrix_norm(weight, 2) < 1.00001


@pytest.mark.parametrize("kind", LAYERS)
def test_gradient_formula(kind: str) -> None:
    layer = normalized(kind)
    original, u, v = vectors(layer)
    weight = layer.weight
    g = torch.randn_like(weight)
    (actual,) = torch.autograd.grad((weight * g).sum(), original)
    sigma = u @ matrix(kind, original) @ v
    flat = matrix(kind, g)
    expected = (flat - (flat * matrix(kind, original)).sum() / sigma * torch.outer(u, v)) / sigma
    assert (matrix(kind, actual) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("training", [True, False])
def test_a_forward_pass_does_not_update_the_vectors(training: bool) -> None:
    layer = normalized("conv").train(training)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    outputs = [layer(x) for _ in range(3)]
    outputs[0].sum().backward()
    assert all(torch.equal(output, outputs[0]) for output in outputs)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.equal(layer.train(not training)(x), outputs[0])


@pytest.mark.parametrize("kind", LAYERS)
def test_an_update_is_one_iteration(kind: str) -> None:
    layer = normalized(kind)
    with torch.no_grad():
        vectors(layer)[0].add_(torch.randn_like(vectors(layer)[0]))  # otherwise they have converged already
    original, u, v = (tensor.detach().clone() for tensor in vectors(layer))
    (iterate,) = power_iterations(layer)
    iterate()
    w = matrix(kind, original)
    v_by_hand = w.T @ u / (w.T @ u).norm()
    u_by_hand = w @ v_by_hand / (w @ v_by_hand).norm()
    _, new_u, new_v = vectors(layer)
    assert (v_by_hand - v).abs().max() > 1e-3
    torch.testing.assert_close(new_v, v_by_hand, atol=1e-14, rtol=0)
    torch.testing.assert_close(new_u, u_by_hand, atol=1e-14, rtol=0)


def test_an_update_between_forward_and_backward_is_refused() -> None:
    layer = normalized("linear")
    loss = layer(torch.randn(2, 9, dtype=torch.float64)).sum()
    power_iterations(layer)[0]()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_iterations_converge_after_a_weight_update() -> None:
    layer = normalized("linear")
    (iterate,) = power_iterations(layer)
    layer.float()
    iterate()
    assert vectors(layer)[1].dtype == torch.float32
    twin = copy.deepcopy(layer)
    iterate()
    torch.testing.assert_close(vectors(twin)[1], vectors(layer)[1], atol=0.1, rtol=0)


def test_only_layers_with_weight_matrices_are_normalized() -> None:
    network = nn.ModuleDict({kind: make() for kind, make in LAYERS.items()})
    network["norm"] = ConditionalBatchNorm(nn.BatchNorm2d(6), 4)
    spectrally_normalize(network)
    names = {name for name, _ in network.named_buffers() if name.endswith((".u", ".v"))}
    assert names == {f"{kind}.parametrizations.weight.0.{vector}" for kind in LAYERS for vector in "uv"}
    assert len(power_iterations(network)) == 4
    assert torch.equal(network["norm"].gain, torch.ones(4, 6))


def test_memory_format_is_kept() -> None:
    layer = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    reference = nn.Conv2d(4, 6, 3)
    reference.load_state_dict(layer.state_dict())
    for conv in (layer, reference):
        torch.manual_seed(3)
        spectrally_normalize(conv)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert not layer.weight.is_contiguous()
    # The vectors do not depend on the memory format, so a checkpoint fits both.
    torch.testing.assert_close(vectors(layer)[2], vectors(reference)[2])
    torch.testing.assert_close(layer.weight, reference.weight)


def test_copies_and_state() -> None:
    layer = normalized("conv")
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    expected = layer(x)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), expected)
    power_iterations(twin)[0]()
    with torch.no_grad():
        vectors(twin)[0].add_(1)
    assert torch.equal(layer(x), expected)
    assert not torch.equal(twin(x), expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(x), expected)


def test_double_backward() -> None:
    layer = normalized("conv")
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    original = vectors(layer)[0]

    def penalty() -> Tensor:
        (slope,) = torch.autograd.grad(layer(x).tanh().sum(), x, create_graph=True)
        return slope.square().sum()

    (gradient,) = torch.autograd.grad(penalty(), original)
    assert torch.isfinite(gradient).all()
    direction, values = torch.randn_like(original), []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            original.add_(step * direction)
        values.append(penalty().detach())
    torch.testing.assert_close((values[0] - values[1]) / 2e-5, (gradient * direction).sum(), rtol=1e-6, atol=1e-8)


def test_bfloat16_does_not_reach_sigma() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(300, 200)
    spectrally_normalize(layer)
    twin = copy.deepcopy(layer)
    for network, enabled in ((layer, False), (twin, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            power_iterations(network)[0]()  # the loop is inside autocast too
            weight = network.weight
            assert network(torch.randn(2, 300)).dtype == (torch.bfloat16 if enabled else torch.float32)
        assert torch.equal(vectors(network)[1], vectors(layer)[1])
        assert torch.equal(weight, layer.weight)


def test_a_zero_weight_is_a_valid_start() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    spectrally_normalize(layer)
    power_iterations(layer)[0]()
    assert torch.equal(layer.weight, torch.zeros(2, 3))
    nn.init.normal_(vectors(layer)[0])
    for _ in range(200):
        power_iterations(layer)[0]()
    torch.testing.assert_close(torch.linalg.matrix_norm(layer.weight, 2), torch.tensor(1.0))
