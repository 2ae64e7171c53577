"""DCGAN's networks: parameter counts, widths, biases and formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_lab.architectures.dcgan import DCGANDiscriminator, DCGANGenerator


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_of_the_64_pixel_networks() -> None:
    assert count(DCGANGenerator(100, 3, 64)) == 3_576_704
    assert count(DCGANDiscriminator(3, 64)) == 2_765_568


def test_layers_have_biases_only_without_a_norm() -> None:
    for norm in ("batch", "layer", "none"):
        for network in (DCGANGenerator(5, 1, 16, 4, norm), DCGANDiscriminator(1, 16, 4, norm)):
            layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
            assert {layer.bias is not None for layer in layers} == {norm == "none"}


@pytest.mark.parametrize(("resolution", "width", "widest"), [(64, 64, 512), (64, 128, 1024), (128, 64, 1024)])
def test_widths_of_common_resolutions_are_not_limited(resolution: int, width: int, widest: int) -> None:
    with torch.device("meta"):
        discriminator = DCGANDiscriminator(3, resolution, width, init="default")
        generator = DCGANGenerator(100, 3, resolution, width, init="default")
    assert discriminator.output.in_features == generator.project.out_features == 16 * widest


def test_max_width_limits_every_layer() -> None:
    generator, discriminator = DCGANGenerator(5, 3, 64, 4, max_width=8), DCGANDiscriminator(3, 64, 4, max_width=8)
    downs = [m.out_channels for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    ups = [m.in_channels for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert downs == [4, 8, 8, 8]
    assert ups == [8, 8, 8, 4]
    assert discriminator(generator(torch.randn(2, 5))).shape == (2,)


@pytest.mark.parametrize("resolution", [8, 32, 64])
def test_no_norm_on_the_generators_output_and_the_discriminators_input(resolution: int) -> None:
    generator, discriminator = DCGANGenerator(5, 3, resolution, 4), DCGANDiscriminator(3, resolution, 4)
    levels = {8: 1, 32: 3, 64: 4}[resolution]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in generator.modules()) == levels
    assert sum(isinstance(m, nn.BatchNorm2d) for m in discriminator.modules()) == levels - 1


def test_initial_weights() -> None:
    torch.manual_seed(0)
    for network in (DCGANGenerator(100, 3, 32, 32), DCGANDiscriminator(3, 32, 32)):
        for name, parameter in network.named_parameters():
            if parameter.numel() > 4000:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name


def test_features_are_those_before_the_output() -> None:
    discriminator = DCGANDiscriminator(3, 32, 4)
    assert discriminator.features(torch.randn(2, 3, 32, 32)).shape == (2, 16 * 16)


def test_formulas_of_both_networks() -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(5, 3, 16, 4, "none", init="glorot", init_scale=1.0).double()
    discriminator = DCGANDiscriminator(3, 16, 4, "none", init="glorot", init_scale=1.0).double()
    z = torch.randn(2, 5, dtype=torch.float64)
    # The linear layer equals a transposed 4x4 convolution of a 1x1 map.
    kernel = generator.project.weight.T.unflatten(1, (4, 4, 8)).permute(0, 3, 1, 2)
    x = F.conv_transpose2d(z[:, :, None, None], kernel).clamp(min=0)
    x = F.conv_transpose2d(x, generator.convs[0].get_parameter("weight"), stride=2, padding=1).clamp(min=0)
    images = F.conv_transpose2d(x, generator.output.weight, stride=2, padding=1).tanh()
    torch.testing.assert_close(generator(z), images)
    h = F.conv2d(images, discriminator.input.weight, stride=2, padding=1)
    h = F.conv2d(torch.where(h > 0, h, 0.2 * h), discriminator.convs[0].get_parameter("weight"), stride=2, padding=1)
    # The last linear layer equals a 4x4 convolution without padding.
    logits = F.conv2d(torch.where(h > 0, h, 0.2 * h), discriminator.output.weight.view(1, 8, 4, 4))
    torch.testing.assert_close(discriminator(images), logits.view(2))


def test_two_convolutions_at_each_resolution() -> None:
    """The authors' ImageNet networks, whose arrays have these numbers of values."""
    with torch.device("meta"):
        options = {"kernel": 3, "convolutions": 2, "init": "default"}
        discriminator = DCGANDiscriminator(3, 32, 128, **options)
        generator = DCGANGenerator(256, 3, 32, 128, unit_norm=True, **options)
    assert (count(generator), count(discriminator)) == (6_690_688, 4_586_112)
    assert generator(torch.empty(2, 256, device="meta")).shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"architecture.generator.kernel=4 is not allowed: it must be 3 or 5 with 2"):
        DCGANGenerator(5, 3, 16, 4, convolutions=2)
    with pytest.raises(ValueError, match=r"architecture.discriminator.convolutions=3 is not allowed: it must be 1 or"):
        DCGANDiscriminator(3, 16, 4, convolutions=3)
