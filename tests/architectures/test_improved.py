"""Networks of the semi-supervised GAN: exact numbers of parameters, and where noise and dropout are."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from gan_lab.architectures.classes import ClassHead
from gan_lab.architectures.improved_cnn import ImprovedCNNDiscriminator, ImprovedCNNGenerator
from gan_lab.architectures.improved_mlp import ImprovedMLPDiscriminator, ImprovedMLPGenerator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_networks_for_mnist() -> None:
    """1000-500-250-250-250-10 and 100-500-500-784 of the authors' code: all weights and biases.

    The code also has ten learned lengths in the discriminator, and here the generator's batch norms have gains.
    """
    widths = [784, 1000, 500, 250, 250, 250, 10]
    layers = sum(i * o + o for i, o in pairwise(widths))
    assert count(ClassHead(10)(ImprovedMLPDiscriminator(1, 28))) == layers == 1_538_760
    hidden = 100 * 500 + 500 * 500 + 2 * 500
    gains, lengths = 2 * 500, 784
    assert count(ImprovedMLPGenerator(100, 1, 28)) == hidden + 500 * 784 + 784 + gains + lengths == 695_568


def test_parameters_of_the_networks_for_cifar10() -> None:
    """As above; 96-96-96-192-192-192-192-192-192-10, and 100-8192 with 512-256-128-3 channels."""
    channels = [3, 96, 96, 96, 192, 192, 192, 192, 192, 192]
    kernels = [9] * 7 + [1] * 2
    layers = sum(k * i * o + o for k, i, o in zip(kernels, channels[:-1], channels[1:], strict=True))
    assert count(ClassHead(10)(ImprovedCNNDiscriminator(3, 32))) == layers + 192 * 10 + 10 == 1_406_794
    dense, convs = 100 * 8192 + 8192, 25 * (512 * 256 + 256 * 128) + 256 + 128
    gains, output = 8192 + 256 + 128, 25 * 128 * 3 + 3
    assert count(ImprovedCNNGenerator(100, 3, 32)) == dense + convs + gains + output + 3 == 4_941_958


def test_noise_is_before_every_layer_and_none_in_evaluation_mode() -> None:
    network = ImprovedMLPDiscriminator(1, 8, width=16)
    x = torch.rand(4, 1, 8, 8)
    features = network.features(x)
    assert not torch.equal(network.head(features), network.head(features))
    assert not torch.equal(network.features(x), features)
    network.noise.std = 0.0
    assert torch.equal(network.head(features), network.head(features))
    assert not torch.equal(network.features(x), network.features(x))  # on the input
    network.eval()
    assert torch.equal(network.features(x), network.features(x))


def test_the_last_features_for_cifar10_are_means_over_pixels() -> None:
    network = ImprovedCNNDiscriminator(3, 32, width=8).eval()
    assert network.features(torch.rand(2, 3, 32, 32)).shape == (2, 16)
    assert len(network.layers_from_image()) == 9
    with pytest.raises(ValueError, match=r"improved_cnn needs dataset.resolution to be a power of two from 16 to 1024"):
        ImprovedCNNDiscriminator(3, 8)
