"""Fully connected networks."""

import pytest
import torch
from torch import nn

from gan_lab.architectures.mlp import MLPDiscriminator, MLPGenerator
from gan_lab.layers.maxout import Maxout


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_of_the_ring() -> None:
    assert count(MLPGenerator(256, 2, None)) == 257 * 128 + 129 * 128 + 129 * 2
    assert count(MLPDiscriminator(2, None)) == 3 * 128 + 129


def test_parameter_counts_of_2014() -> None:
    assert count(MLPGenerator(100, 1, 28, 1200)) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    discriminator = MLPDiscriminator(1, 28, 240, depth=2, activation="maxout", pieces=5)
    assert count(discriminator) == 785 * 1200 + 241 * 1200 + 241
    assert [type(layer[0]) for layer in discriminator.hidden if isinstance(layer, nn.Sequential)] == [Maxout, Maxout]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_depth_is_the_number_of_hidden_layers(depth: int) -> None:
    generator = MLPGenerator(3, 2, None, 8, depth=depth)
    discriminator = MLPDiscriminator(2, None, 8, depth=depth)
    for network in (generator, discriminator):
        assert sum(isinstance(m, nn.Linear) for m in network.modules()) == depth + 1
    assert count(generator) == 4 * 8 + (depth - 1) * 9 * 8 + 9 * 2
    assert count(discriminator) == 3 * 8 + (depth - 1) * 9 * 8 + 9


@pytest.mark.parametrize(
    ("activation", "reference"),
    [
        ("relu", lambda t: t.clamp(min=0)),
        ("leaky_relu", lambda t: torch.where(t > 0, t, 0.2 * t)),
        ("tanh", torch.tanh),
    ],
)
def test_activation(activation: str, reference: type[torch.Tensor]) -> None:
    torch.manual_seed(0)
    discriminator = MLPDiscriminator(2, None, 8, activation=activation)
    generator = MLPGenerator(3, 2, None, 8, depth=1, activation=activation)
    x, z = torch.randn(5, 2), torch.randn(5, 3)
    first = discriminator.hidden[0].get_parameter("0.weight")
    torch.testing.assert_close(discriminator.features(x), reference(x @ first.T))
    first = generator.hidden[0].get_parameter("0.weight")
    torch.testing.assert_close(generator(z), reference(z @ first.T) @ generator.output.weight.T)


def test_dropout_of_inputs_and_hidden_units() -> None:
    torch.manual_seed(0)
    discriminator = MLPDiscriminator(100, None, 1000, init="uniform", activation="tanh", dropout=0.5, input_dropout=0.2)
    seen: list[torch.Tensor] = []
    discriminator.hidden[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    features = discriminator.features(torch.ones(100, 100))
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (features == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    discriminator.eval()
    assert (discriminator.features(torch.ones(1, 100)) != 0).all()


def test_unknown_activations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^activation must be one of relu, leaky_relu, tanh, not 'maxout'$"):
        MLPGenerator(3, 2, None, activation="maxout")
    with pytest.raises(ValueError, match=r"^activation must be one of relu, leaky_relu, tanh, maxout, not 'elu'$"):
        MLPDiscriminator(2, None, activation="elu")


def test_no_hidden_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^depth must be at least 1 hidden layer, not 0$"):
        MLPGenerator(3, 2, None, depth=0)
    with pytest.raises(ValueError, match=r"^depth must be at least 1 hidden layer, not 0$"):
        MLPDiscriminator(2, None, depth=0)
