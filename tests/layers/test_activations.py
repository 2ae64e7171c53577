"""Outputs of activation functions, whatever way a network calls them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_lab.architectures.resnet import ResNetDiscriminator
from gan_lab.architectures.stylegan2 import StyleGAN2Generator
from gan_lab.errors import ConfigError
from gan_lab.layers.activations import (
    activation_shapes,
    activations,
    dead_channels,
    output_and_activation,
    shape_numbered,
    with_changed_activation,
)


class Mixed(nn.Module):
    """Calls an activation as a function, a method and a module, then tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LeakyReLU(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(-F.relu(x - 1).relu()))


def test_every_way_of_calling_an_activation_is_seen_once() -> None:
    x = torch.tensor([[3.0, 0.0]])
    first, second, third = activations(Mixed(), x)
    assert first.tolist() == second.tolist() == [[2, 0]]
    assert third.tolist() == [[-1, 0]]
    assert activations(Mixed(), x, numbers=[3])[0].tolist() == [[-1, 0]]


def test_a_changed_activation_is_what_the_network_uses() -> None:
    x = torch.tensor([[3.0, 5.0]])
    dropped = with_changed_activation(Mixed(), 2, lambda maps: maps * torch.tensor([1.0, 0.0]))
    assert torch.equal(dropped(x), torch.tanh(torch.tensor([[-1.0, 0.0]])))
    assert torch.equal(with_changed_activation(Mixed(), 2, lambda maps: maps)(x), Mixed()(x))
    assert torch.equal(Mixed()(x), torch.tanh(torch.tensor([[-1.0, -2.0]])))  # nothing stays changed


def test_dead_channels_are_those_that_no_sample_changes() -> None:
    x = torch.randn(16, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    x[:, 0] = torch.arange(9.0).view(3, 3)  # differs between positions only
    x[:, 1] *= 1e-4
    assert dead_channels(x).tolist() == [True, True, False, False]
    assert dead_channels(x[:, :, 0, 0]).tolist() == [True, True, False, False]
    assert dead_channels(torch.zeros(16, 4)).all()


def test_an_output_with_one_of_its_activations_and_its_number() -> None:
    x = torch.tensor([[3.0, 5.0]])
    output, second = output_and_activation(Mixed(), 2, x)
    assert torch.equal(output, Mixed()(x)) and second.tolist() == [[2, 4]]
    shapes = activation_shapes(Mixed(), x)
    assert shape_numbered(shapes, 3) is shapes[2]
    with pytest.raises(ConfigError, match="layer=4 is not allowed: choose one of 1: 2 units; 2: 2 units; 3: 2 units"):
        shape_numbered(shapes, 4)


def test_sizes_of_the_layers_of_dcgan() -> None:
    discriminator = DCGANDiscriminator(3, 32, width=8).eval()
    before = copy.deepcopy(discriminator.state_dict())
    shapes = activation_shapes(discriminator, torch.zeros(2, 3, 32, 32))
    assert [str(shape) for shape in shapes] == [
        "1: 8 maps of 16x16 pixels", "2: 16 maps of 8x8 pixels", "3: 32 maps of 4x4 pixels",
    ]  # fmt: skip
    assert all(torch.equal(value, before[name]) for name, value in discriminator.state_dict().items())
    generator = DCGANGenerator(5, 3, 32, width=8).eval()
    assert [(s.channels, s.height) for s in activation_shapes(generator, torch.zeros(2, 5))] == [
        (32, 4),
        (16, 8),
        (8, 16),
    ]


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (ResNetDiscriminator(3, 16, width=4), torch.zeros(1, 3, 16, 16)),
        (StyleGAN2Generator(8, 3, 16, width=4, mapping_layers=2), torch.zeros(1, 8)),
    ],
)
def test_other_networks_have_layers_too(network: nn.Module, inputs: Tensor) -> None:
    shapes = activation_shapes(network.eval(), inputs)
    assert [shape.number for shape in shapes] == list(range(1, len(shapes) + 1))
    assert max(shape.height for shape in shapes) == 16


def test_dropping_a_map_is_zeroing_its_slice_of_the_next_layer() -> None:
    generator = DCGANGenerator(5, 3, 16, width=4).double().eval()
    latents = torch.randn(3, 5, dtype=torch.float64)
    mask = torch.ones(4, dtype=torch.float64)
    mask[1] = 0
    dropped = with_changed_activation(generator, 2, lambda maps: maps * mask[:, None, None])(latents)
    cut = copy.deepcopy(generator)
    with torch.no_grad():
        cut.output.weight[1] = 0  # (in, out, k, k)
    assert torch.equal(dropped, cut(latents))
    assert not torch.equal(dropped, generator(latents))
