"""Networks of BiGAN's MNIST code and of ALI's CIFAR-10 code: exact numbers of parameters, sizes, pairs, dropout."""

import pytest
import torch
from torch import nn

from gan_lab.architectures.ali import ALIDiscriminator, ALIEncoder, ALIGenerator
from gan_lab.architectures.bigan import BiGANDiscriminator, BiGANGenerator
from gan_lab.architectures.encoding import Encoding
from gan_lab.architectures.joint import WithLatents
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.config.build import build_network
from gan_lab.config.compose import compose

IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_numbers_of_parameters_of_ali() -> None:
    """Sums over the layers of the code: convolutions, biases, and two numbers for each channel of a batch norm."""
    cfg = compose("preset=ali", "dataset=cifar10")
    encoder = 2400 + 32_768 + 131_072 + 524_288 + 2_097_152 + 262_144 + (65_536 + 128) + 2 * 1504
    generator = 262_144 + 524_288 + 131_072 + 32_768 + 25_600 + 1024 + 96 + 3072 + 2 * 544
    of_samples = 2400 + 32 + 16_384 + 65_536 + 262_144 + 1_048_576
    discriminator = of_samples + 32_768 + 131_072 + 2 * (524_288 + 1024) + 513
    wanted = {"generator": generator, "encoder": encoder, "discriminator": discriminator}
    assert {name: count(build_network(cfg, name)) for name in wanted} == wanted


def test_numbers_of_parameters_of_bigan() -> None:
    cfg = compose("experiment=bigan_mnist")
    wanted = {
        "generator": 50 * 1024 + 1074 * 1024 + 1024 * 784,
        "encoder": 784 * 1024 + 1024 * 1024 + 1024 * 50,
        "discriminator": 784 * 1024 + 1074 * 1024 + 1024,
    }
    assert {name: count(build_network(cfg, name)) for name in wanted} == wanted


def test_sizes_of_alis_layers() -> None:
    sizes = []
    encoder, generator = ALIEncoder(3, 32, 4), ALIGenerator(6, 3, 32, 4)
    for conv in (*encoder.convs, *generator.convs):
        conv.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    assert encoder.features(IMAGES).shape == (2, 64)
    assert generator(torch.randn(2, 6)).shape == (2, 3, 32, 32)
    assert sizes == [28, 13, 10, 4, 1, 1, 4, 10, 13, 28, 32, 32]


def test_alis_output_is_a_sigmoid_with_a_bias_for_each_pixel() -> None:
    generator = ALIGenerator(6, 3, 32, 4)
    with torch.no_grad():
        generator.output.weight.zero_()
        generator.bias.copy_(torch.logit(IMAGES[0] * 0.49 + 0.5))
    torch.testing.assert_close((generator(torch.randn(1, 6))[0] + 1) / 2, IMAGES[0] * 0.49 + 0.5)


@pytest.mark.parametrize("family", [ALIDiscriminator, BiGANDiscriminator])
def test_latents_are_the_last_channels_of_a_pair(family: type[nn.Module]) -> None:
    """Constant maps of numbers are read as numbers, and enter the discriminator behind its first layer."""
    wrapper = WithLatents(5)
    kwargs = wrapper.network_kwargs({"channels": 3, "resolution": 32, "width": 8, "latent_dim": 5})
    network = wrapper(family(**kwargs)).eval()
    x, z = IMAGES.clone().requires_grad_(), torch.randn(2, 5, requires_grad=True)
    logits = network(network.join(x, z))
    assert logits.shape == (2,)
    slopes = torch.autograd.grad(logits.sum(), [x, z])
    assert all((slope.flatten(1) != 0).all(1).all() for slope in slopes[1:]) and slopes[0].abs().sum() > 0
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert (first.in_channels if isinstance(first, nn.Conv2d) else first.in_features) in (3, 3 * 32 * 32)


def test_bigans_range_is_that_of_the_code() -> None:
    """A sigmoid, and inputs in [0, 1]: black pixels, -1 here, give no gradient to the first layer."""
    torch.manual_seed(0)
    generator, discriminator = BiGANGenerator(5, 1, 8, 16).eval(), BiGANDiscriminator(1, 8, 16).eval()
    hidden: list[torch.Tensor] = []
    generator.output.register_forward_hook(lambda module, inputs, output: hidden.append(output))
    images = generator(torch.randn(4, 5))
    torch.testing.assert_close((images + 1) / 2, hidden[0].sigmoid().view(4, 1, 8, 8))
    images = -torch.ones(4, 1, 8, 8)
    images[:, :, 3] = 1.0
    discriminator(images).sum().backward()
    slope = discriminator.first.weight.grad
    assert slope is not None
    reached = (slope != 0).any(0).view(8, 8)
    assert reached[3].all() and not reached[:3].any() and not reached[4:].any()


def test_bigans_networks_of_points() -> None:
    network = BiGANDiscriminator(2 + 3, None, 8, latent_dim=3)
    assert network(torch.randn(4, 5)).shape == (4,)
    assert BiGANGenerator(3, 2, None, 8)(torch.randn(4, 3)).shape == (4, 2)


def test_only_hidden_dropout_depends_on_the_mode() -> None:
    network = ALIDiscriminator(3, 32, 8)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert not torch.equal(network(IMAGES), network(IMAGES))
    network.eval()
    assert torch.equal(network(IMAGES), network(IMAGES))


def test_a_stochastic_encoder_has_mean_and_standard_deviation() -> None:
    network = Encoding(7, noise="output")(ALIEncoder(3, 32, 4)).eval()
    assert network.network.output.out_features == 14
    mean, again = network(IMAGES), network.sample(IMAGES, None, torch.zeros(2, 7))
    torch.testing.assert_close(mean, again)
    std = network.sample(IMAGES, None, torch.ones(2, 7)) - mean
    torch.testing.assert_close(std, network.network.output(network.features(IMAGES))[:, 7:].exp())


def test_an_encoder_with_noise_in_its_input() -> None:
    encoding = Encoding(3, noise="input")
    channels = encoding.network_kwargs({"channels": 2})["channels"]
    torch.manual_seed(0)
    inside = MLPDiscriminator(channels, None, 8)
    network, points, noise = encoding(inside), torch.randn(5, 2), torch.randn(5, 3)
    torch.testing.assert_close(network.sample(points, None, noise), inside(torch.cat([points, noise], 1)))
    torch.testing.assert_close(network(points), inside(torch.cat([points, torch.zeros(5, 3)], 1)))
    assert inside(torch.cat([points, noise], 1)).shape == (5, 3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ALIGenerator(6, 3, 64), "resolution=64 is not allowed"),
        (lambda: ALIDiscriminator(3, 32, norm="batch"), "norm=batch is not allowed"),
        (lambda: Encoding(5, noise="both"), "noise must be one of none, output, input, not 'both'"),
        (lambda: BiGANDiscriminator(5, 28, latent_dim=5), "latent_dim=5 is not allowed"),
    ],
)
def test_wrong_options(make, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
