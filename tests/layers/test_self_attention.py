"""Self-attention: closed forms, a reference implementation with loops, and attention maps."""

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.layers.self_attention import FORMS, SelfAttention, attention_maps

both = pytest.mark.parametrize("form", FORMS)


def make(channels: int, form: str, gamma: float = 0.7) -> SelfAttention:
    torch.manual_seed(0)
    layer = SelfAttention(channels, form).double()
    nn.init.constant_(layer.gamma, gamma)
    return layer


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def matrix(conv: nn.Conv2d) -> Tensor:
    return conv.weight.detach()[:, :, 0, 0]  # (out, in)


def vectors(layer: SelfAttention, features: Tensor) -> list[Tensor]:
    """Vectors (c,) of a sample's features (c, h, w): pixels, or maxima of 2x2 pixels."""
    _, h, w = features.shape
    if isinstance(layer.pool, nn.Identity):
        return [features[:, r, c] for r in range(h) for c in range(w)]
    return [
        torch.stack([features[:, 2 * r + i, 2 * c + j] for i in (0, 1) for j in (0, 1)]).amax(0)
        for r in range(h // 2)
        for c in range(w // 2)
    ]


def reference(layer: SelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Output (n, C, h, w) and weights (n, queries, keys), pixel by pixel."""
    out, weights = x.clone(), []
    for sample, image in enumerate(x):
        keys = vectors(layer, torch.einsum("ki,ihw->khw", matrix(layer.key), image))
        values = vectors(layer, torch.einsum("ki,ihw->khw", matrix(layer.value), image))
        for row, column in itertools.product(range(x.shape[2]), range(x.shape[3])):
            query = matrix(layer.query) @ image[:, row, column]
            scores = torch.stack([torch.exp(query @ key) for key in keys])
            beta = scores / scores.sum()
            attended = torch.zeros_like(values[0])
            for weight, value in zip(beta, values, strict=True):
                attended = attended + weight * value
            out[sample, :, row, column] += layer.gamma.item() * matrix(layer.output) @ attended
            weights.append(beta)
    return out, torch.stack(weights).view(len(x), x.shape[2] * x.shape[3], -1)


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
@both
def test_is_the_formula(form: str, size: tuple[int, int]) -> None:
    layer, x = make(16, form), noise(2, 16, *size)
    out, weights = reference(layer, x)
    torch.testing.assert_close(layer(x), out)
    torch.testing.assert_close(layer.weights(x), weights)


@both
def test_is_the_identity_at_first(form: str) -> None:
    layer, x = SelfAttention(16, form), torch.randn(2, 16, 4, 4)
    assert layer.gamma.shape == ()
    assert torch.equal(layer(x), x)


@both
def test_gamma_has_a_gradient_at_first(form: str) -> None:
    layer, x = make(16, form, gamma=0.0), noise(2, 16, 4, 4)
    layer(x).sum().backward()
    attended = reference(make(16, form, gamma=1.0), x)[0] - x
    assert layer.gamma.grad is not None
    assert layer.gamma.grad != 0
    torch.testing.assert_close(layer.gamma.grad, attended.sum())


def test_without_keys_attention_gives_the_mean() -> None:
    # One channel has no bottleneck, so both value matrices can be the identity.
    layer, x = make(1, "paper", gamma=1.0), noise(2, 1, 3, 5)
    nn.init.zeros_(layer.key.weight)
    nn.init.ones_(layer.value.weight)
    nn.init.ones_(layer.output.weight)
    torch.testing.assert_close(layer(x), x + x.mean((2, 3), keepdim=True))


def test_without_keys_the_values_are_a_projection() -> None:
    # 16 channels have values of size 2: project to the first two channels and back.
    layer, x = make(16, "paper", gamma=1.0), noise(2, 16, 3, 5)
    nn.init.zeros_(layer.key.weight)
    with torch.no_grad():
        layer.value.weight.copy_(torch.eye(2, 16)[:, :, None, None])
        layer.output.weight.copy_(torch.eye(16, 2)[:, :, None, None])
    out = layer(x)
    torch.testing.assert_close(out[:, :2], x[:, :2] + x[:, :2].mean((2, 3), keepdim=True))
    assert torch.equal(out[:, 2:], x[:, 2:])


def test_without_keys_the_code_form_gives_the_mean_of_maxima() -> None:
    layer, x = make(2, "code", gamma=1.0), noise(2, 2, 4, 6)
    nn.init.zeros_(layer.key.weight)
    with torch.no_grad():
        layer.value.weight.copy_(torch.tensor([[1.0, 0.0]])[:, :, None, None])
        layer.output.weight.copy_(torch.tensor([[0.0], [1.0]])[:, :, None, None])
    maxima = x[:, 0].unflatten(2, (3, 2)).unflatten(1, (2, 2)).amax((2, 4))  # (n, 2, 3)
    out = layer(x)
    assert torch.equal(out[:, 0], x[:, 0])
    torch.testing.assert_close(out[:, 1], x[:, 1] + maxima.mean((1, 2))[:, None, None])


@pytest.mark.parametrize(("form", "keys"), [("paper", 24), ("code", 6)])
def test_rows_of_weights_sum_to_one(form: str, keys: int) -> None:
    weights = make(16, form).weights(10 * noise(2, 16, 4, 6))
    assert weights.shape == (2, 24, keys)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 24, dtype=torch.float64))
    assert (weights.sum(1) - 24 / keys).abs().max() > 0.1  # columns do not


def test_permuting_pixels_permutes_the_output() -> None:
    layer, x = make(16, "paper"), noise(2, 16, 4, 6)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(layer(shuffled).flatten(2), layer(x).flatten(2)[:, :, order])


def test_permuting_2x2_blocks_permutes_the_output_of_the_code_form() -> None:
    layer, x = make(16, "code"), noise(2, 16, 4, 6)
    torch.testing.assert_close(layer(x.roll((2, 2), (2, 3))), layer(x).roll((2, 2), (2, 3)))
    assert (layer(x.roll(1, 3)) - layer(x).roll(1, 3)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("channels", "form", "count"),
    [
        (192, "code", 46_081),
        (192, "paper", 4 * 192 * 24 + 1),
        (8, "code", 2 * 8 * 1 + 2 * 8 * 4 + 1),
        (3, "code", 2 * 3 + 2 * 3 + 1),
        (12, "paper", 4 * 12 + 1),
    ],
)
def test_parameter_counts(channels: int, form: str, count: int) -> None:
    layer = SelfAttention(channels, form)
    assert sum(p.numel() for p in layer.parameters()) == count
    assert layer(torch.randn(1, channels, 4, 4)).shape == (1, channels, 4, 4)


@both
def test_double_backward(form: str) -> None:
    layer, x = make(8, form), noise(2, 8, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
    (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    parameters = dict(layer.named_parameters())
    gradients = torch.autograd.grad(slope.flatten(1).norm(dim=1).sum(), list(parameters.values()))
    for name, gradient in zip(parameters, gradients, strict=True):
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().max() > 0, name
    assert torch.autograd.gradgradcheck(layer, (x,))


@both
def test_deep_copies_are_independent(form: str) -> None:
    layer, x = make(16, form), noise(2, 16, 4, 4)
    before = layer(x)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), before)
    nn.init.zeros_(twin.gamma)
    assert torch.equal(twin(x), x)
    assert torch.equal(layer(x), before)


@both
def test_bf16_autocast(form: str) -> None:
    layer, x = make(16, form).float(), noise(2, 16, 4, 4).float()
    with torch.autocast("cpu", torch.bfloat16):
        out, half = layer(x), layer(x.bfloat16())
        first = SelfAttention(16, form)(x)
    assert (out.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(out, layer(x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(half.float(), layer(x), rtol=0.02, atol=0.04)
    assert torch.equal(first, x)
    out.sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@both
def test_output_keeps_the_channels_innermost(form: str) -> None:
    x = noise(2, 16, 4, 4).to(memory_format=torch.channels_last)
    layer = make(16, form)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(x), layer(x.contiguous()))


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^form must be one of paper, code, not 'both'$"):
        SelfAttention(8, "both")
    with pytest.raises(ValueError, match=r"^channels must be at least 1, not 0$"):
        SelfAttention(0, "code")


class Labeled(nn.Module):
    """A network with two inputs and an attention layer."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, 1, 1).double()
        self.attention = make(16, form)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = self.attention(self.first(x) * labels[:, None, None, None]).sum((1, 2, 3))
        return out


@pytest.mark.parametrize(("form", "keys"), [("paper", (4, 6)), ("code", (2, 3))])
def test_maps_are_rows_of_the_weights(form: str, keys: tuple[int, int]) -> None:
    network, x, labels = Labeled(form), noise(3, 3, 4, 6), torch.tensor([1, 2, 3])
    maps = attention_maps(network, (2, 5), x, labels)
    assert maps.shape == (3, *keys)
    assert not maps.requires_grad
    assert maps.min() >= 0
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(3, dtype=torch.float64))
    seen = network.first(x) * labels[:, None, None, None]
    _, weights = reference(network.attention, seen)
    torch.testing.assert_close(maps, weights[:, 2 * 6 + 5].detach().unflatten(1, keys))
    assert not network.attention._forward_hooks


def test_a_map_shows_the_pixel_with_the_matching_key() -> None:
    layer = make(1, "paper")
    for conv in (layer.query, layer.key):
        nn.init.constant_(conv.weight, 10.0)
    x = torch.zeros(1, 1, 4, 6, dtype=torch.float64)
    x[0, 0, 1, 2] = x[0, 0, 3, 4] = 1
    maps = attention_maps(layer, (3, 4), x)
    expected = torch.zeros(4, 6, dtype=torch.float64)
    expected[1, 2] = expected[3, 4] = 0.5
    torch.testing.assert_close(maps[0], expected)
    torch.testing.assert_close(attention_maps(layer, (0, 0), x)[0], torch.full((4, 6), 1 / 24, dtype=torch.float64))


@pytest.mark.parametrize("pixel", [(4, 0), (0, 6), (-1, 0), (0, -1)])
def test_pixels_outside_are_refused(pixel: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"^pixel must be a row below 4 and a column below 6, not \("):
        attention_maps(make(8, "code"), pixel, noise(1, 8, 4, 6))


@pytest.mark.parametrize("count", [0, 2])
def test_maps_need_one_attention_layer(count: int) -> None:
    network: Any = nn.Sequential(nn.Identity(), *(make(8, "code") for _ in range(count)))
    with pytest.raises(ValueError, match=rf"runs exactly one SelfAttention layer; this one ran {count}$"):
        attention_maps(network, (0, 0), noise(1, 8, 4, 4))
    assert not any(layer._forward_hooks for layer in network)
