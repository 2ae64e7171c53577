"""SN-GAN's and SAGAN's networks: the papers' sizes, layer by layer, and their formulas."""

from math import sqrt
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.resnet import DownBlock, ResNetDiscriminator, ResNetGenerator, UpBlock
from gan_lab.architectures.sngan import SNGANDiscriminator, SNGANGenerator
from gan_lab.layers.self_attention import SelfAttention, attention_maps


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def shapes(network: Any, layers: list[nn.Module], x: Tensor) -> list[tuple[int, int]]:
    """Channels and resolution of the output of each layer."""
    seen: list[tuple[int, int]] = []
    for layer in layers:
        layer.register_forward_hook(lambda module, args, output: seen.append((output.shape[1], output.shape[2])))
    with torch.no_grad():
        network(x)
    return seen


def test_parameter_counts_of_the_standard_cnn() -> None:
    assert count(SNGANGenerator(128, 3, 32)) == 3_812_355
    assert count(SNGANDiscriminator(3, 32)) == 2_935_873


def test_parameter_counts_of_the_residual_networks_at_32_pixels() -> None:
    assert count(ResNetGenerator(128, 3, 32, 64, widths="sngan")) == 4_276_739
    assert count(ResNetDiscriminator(3, 32, 64, pool="sum", head_bias=False, widths="sngan")) == 1_053_824


@pytest.mark.parametrize("resolution", [32, 48])
def test_layers_of_the_standard_cnn(resolution: int) -> None:
    first = {32: 4, 48: 6}[resolution]  # Table 3
    generator, discriminator = SNGANGenerator(128, 3, resolution), SNGANDiscriminator(3, resolution)
    assert generator.project.out_features == 512 * first**2
    ups = [(256, 2 * first), (128, 4 * first), (64, 8 * first), (3, 8 * first)]
    assert shapes(generator, [*generator.convs, generator.output], torch.randn(1, 128)) == ups
    downs = [(64, 8 * first), (64, 4 * first), (128, 4 * first), (128, 2 * first), (256, 2 * first), (256, first)]
    x = torch.randn(1, 3, resolution, resolution)
    layers = [discriminator.input, *discriminator.convs]
    assert shapes(discriminator, layers, x) == [*downs, (512, first)]
    assert [m.kernel_size[0] for m in layers if isinstance(m, nn.Conv2d)] == [3, 4, 3, 4, 3, 4, 3]
    assert discriminator.output.in_features == 512 * first**2


def test_formulas_of_the_standard_cnn() -> None:
    torch.manual_seed(0)
    generator, discriminator = SNGANGenerator(5, 3, 16, 2).double(), SNGANDiscriminator(3, 16, 2).double()
    with torch.no_grad():
        for network in (generator, discriminator):
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_()
    x = generator.project(torch.ones(4, 5, dtype=torch.float64) * torch.arange(1, 5)[:, None])
    x = x.view(4, 2, 2, 16).permute(0, 3, 1, 2)
    for conv, norm in zip(generator.convs, generator.norms, strict=True):
        h = F.conv_transpose2d(x, conv.get_parameter("weight"), conv.get_parameter("bias"), stride=2, padding=1)
        centered = h - h.mean((0, 2, 3), keepdim=True)
        h = centered / (h.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        x = (h + norm.get_parameter("bias")[:, None, None]).clamp(min=0)  # the gains are 1
    images = F.conv2d(x, generator.output.weight, generator.output.bias, padding=1).tanh()
    latents = torch.ones(4, 5, dtype=torch.float64) * torch.arange(1, 5)[:, None]
    torch.testing.assert_close(generator(latents), images)
    h = images
    for conv in (discriminator.input, *discriminator.convs):
        weight = conv.get_parameter("weight")
        stride = 2 if weight.shape[-1] == 4 else 1
        h = F.conv2d(h, weight, conv.get_parameter("bias"), stride=stride, padding=1)
        h = torch.maximum(h, 0.1 * h)
    torch.testing.assert_close(discriminator.features(images), h.flatten(1))
    torch.testing.assert_close(discriminator(images), discriminator.output(h.flatten(1))[:, 0])


def test_a_norm_follows_each_convolution_except_the_discriminators_first() -> None:
    for norm, kind in (("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm)):
        assert sum(isinstance(m, kind) for m in SNGANGenerator(5, 3, 16, 2, norm).modules()) == 3
        assert sum(isinstance(m, kind) for m in SNGANDiscriminator(3, 16, 2, norm).modules()) == 6


# Channels and resolution after each block (Miyato et al., 2018, Tables 4 to 6; 64 pixels: the authors' code).
GENERATORS = {
    32: [(256, 8), (256, 16), (256, 32)],
    48: [(256, 12), (128, 24), (64, 48)],
    64: [(512, 8), (256, 16), (128, 32), (64, 64)],
    128: [(1024, 8), (512, 16), (256, 32), (128, 64), (64, 128)],
}
STARTS = {32: (256, 4), 48: (512, 6), 64: (1024, 4), 128: (1024, 4)}
DISCRIMINATORS = {
    32: [(128, 16), (128, 8), (128, 8), (128, 8)],
    48: [(64, 24), (128, 12), (256, 6), (512, 3), (1024, 3)],
    64: [(64, 32), (128, 16), (256, 8), (512, 4), (1024, 2)],
    128: [(64, 64), (128, 32), (256, 16), (512, 8), (1024, 4), (1024, 4)],
}


@pytest.mark.parametrize("resolution", [32, 48, 64, 128])
def test_blocks_of_the_residual_networks(resolution: int) -> None:
    with torch.device("meta"):  # 60 million weights, but only shapes are needed
        generator = ResNetGenerator(128, 3, resolution, 64, init="default", widths="sngan")
        discriminator = ResNetDiscriminator(3, resolution, 64, init="default", widths="sngan")
        latents, images = torch.empty(2, 128), torch.empty(1, 3, resolution, resolution)
    channels, start = STARTS[resolution]
    assert (generator.start, generator.project.out_features) == (start, channels * start**2)
    assert shapes(generator, [*generator.blocks], latents) == GENERATORS[resolution]
    blocks = [discriminator.input, *discriminator.blocks]
    assert shapes(discriminator, blocks, images) == DISCRIMINATORS[resolution]
    assert discriminator.output.in_features == DISCRIMINATORS[resolution][-1][0]


def sizes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def test_widths_sngan_is_constant_or_doubling() -> None:
    def generator(resolution: int, width: int, widths: str) -> dict[str, torch.Size]:
        return sizes(ResNetGenerator(3, 1, resolution, width, widths=widths))

    def discriminator(resolution: int, width: int, widths: str) -> dict[str, torch.Size]:
        return sizes(ResNetDiscriminator(1, resolution, width, widths=widths))

    for resolution in (16, 24, 32):
        assert generator(resolution, 2, "sngan") == generator(resolution, 8, "constant")
        assert discriminator(resolution, 2, "sngan") == discriminator(resolution, 4, "constant")
    for resolution in (48, 64, 128):
        assert generator(resolution, 2, "sngan") == generator(resolution, 2, "doubling")
        assert discriminator(resolution, 2, "sngan") == discriminator(resolution, 2, "doubling")


@pytest.mark.parametrize(("hidden", "narrow"), [("input", 0), ("output", 1)])
def test_hidden_channels(hidden: str, narrow: int) -> None:
    network = ResNetDiscriminator(3, 48, 2, widths="doubling", hidden=hidden)
    assert network.input.conv1.out_channels == 2
    widths = [2, 4, 8, 16, 32]
    for i, block in enumerate(network.blocks):
        assert isinstance(block, DownBlock)
        assert (block.conv1.in_channels, block.conv2.out_channels) == (widths[i], widths[i + 1])
        assert block.conv1.out_channels == block.conv2.in_channels == widths[i + narrow]


def conv(x: Tensor, layer: nn.Module) -> Tensor:
    weight = layer.get_parameter("weight")
    return F.conv2d(x, weight, layer.get_parameter("bias"), padding=weight.shape[-1] // 2)


def test_blocks_of_two_widths_are_the_formula_of_the_code() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    up = UpBlock(4, "none", 2)
    assert up.conv1.out_channels == 2  # in SN-GAN's code the first convolution reduces the channels
    y = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = conv(conv(y.clamp(min=0), up.conv1).clamp(min=0), up.conv2) + conv(y, up.skip)
    torch.testing.assert_close(up(x), expected)
    for down in (True, False):
        block = DownBlock(4, "none", down, outputs=6, hidden=3)
        h = conv(conv(x.clamp(min=0), block.conv1).clamp(min=0), block.conv2) + conv(x, block.skip)
        torch.testing.assert_close(block(x), F.avg_pool2d(h, 2) if down else h)


def sagan(resolution: int, width: int, divisor: int = 4) -> tuple[ResNetGenerator, ResNetDiscriminator]:
    return (
        ResNetGenerator(8, 3, resolution, width, "none", "glorot", 1.0, 1.0, "doubling", divisor),
        ResNetDiscriminator(
            3, resolution, width, "none", "glorot", 1.0, 1.0, "sum", True, "doubling", "output", divisor
        ),
    )


def attention(network: nn.Module) -> SelfAttention:
    (layer,) = [layer for layer in network.modules() if isinstance(layer, SelfAttention)]
    return layer


def test_sagan_has_attention_at_32x32_of_128_pixels() -> None:
    generator, discriminator = sagan(128, 2)
    for network, x, channels in (
        (generator, torch.randn(1, 8), 4 * 2),
        (discriminator, torch.randn(1, 3, 128, 128), 2 * 2),
    ):
        assert shapes(network, [attention(network)], x) == [(channels, 32)]
    assert attention_maps(generator, (31, 0), torch.randn(2, 8)).shape == (2, 16, 16)


@pytest.mark.parametrize(("divisor", "resolution"), [(1, 32), (2, 16), (4, 8)])
def test_attention_follows_the_block_with_its_resolution(divisor: int, resolution: int) -> None:
    generator = ResNetGenerator(8, 3, 32, 4, "none", attention_divisor=divisor)
    assert attention_maps(generator, (resolution - 1, resolution - 1), torch.randn(1, 8)).shape == (
        1,
        resolution // 2,
        resolution // 2,
    )
    order: list[nn.Module] = []
    layers = [*generator.blocks, attention(generator)]
    for layer in layers:
        layer.register_forward_hook(lambda module, args, output: order.append(module))
    generator(torch.randn(1, 8))
    before = order[order.index(attention(generator)) - 1]
    assert before is generator.blocks[{8: 0, 16: 1, 32: 2}[resolution]]


def test_attention_follows_the_first_of_several_blocks_of_its_resolution() -> None:
    discriminator = ResNetDiscriminator(3, 32, 4, attention_divisor=4)  # maps of 16, 8, 8 and 8
    assert [isinstance(layer, SelfAttention) for layer in discriminator.attentions] == [False, True, False, False]


def test_attention_starts_as_the_identity_with_its_own_parameters() -> None:
    torch.manual_seed(0)
    plain = ResNetDiscriminator(3, 128, 16, widths="doubling")
    attentive = ResNetDiscriminator(3, 128, 16, widths="doubling", attention_divisor=4)
    assert count(attentive) - count(plain) == 2 * 32 * 4 + 2 * 32 * 16 + 1  # C = 32 channels at 32x32
    missing = attentive.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert {name.split(".")[0] for name in missing} == {"attentions"}
    x = torch.randn(2, 3, 128, 128)
    assert torch.equal(attentive(x), plain(x))


def test_attention_in_the_form_of_the_paper() -> None:
    for network in (
        ResNetGenerator(8, 3, 32, 16, attention_divisor=4, attention_form="paper"),
        ResNetDiscriminator(3, 32, 16, attention_divisor=4, attention_form="paper"),
    ):
        assert isinstance(attention(network).pool, nn.Identity)


def test_attention_has_plain_glorot_weights_beside_scaled_blocks() -> None:
    torch.manual_seed(0)
    network = ResNetDiscriminator(3, 16, 256, attention_divisor=2)
    layer = attention(network)
    for linear, fans in ((layer.query, 256 + 32), (layer.key, 256 + 32), (layer.value, 384), (layer.output, 384)):
        assert linear.weight.std().item() == pytest.approx(sqrt(2 / fans), rel=0.05)


def test_unknown_choices_are_refused() -> None:
    for make in (
        lambda **kwargs: ResNetGenerator(8, 3, 32, 4, **kwargs),
        lambda **kwargs: ResNetDiscriminator(3, 32, 4, **kwargs),
    ):
        with pytest.raises(ValueError, match=r"^widths must be one of constant, doubling, sngan, not 'wide'$"):
            make(widths="wide")
        with pytest.raises(ValueError, match=r"^attention_form must be one of paper, code, not 'both'$"):
            make(attention_form="both")
    with pytest.raises(ValueError, match=r"^hidden must be one of input, output, not 'both'$"):
        ResNetDiscriminator(3, 32, 4, hidden="both")


def test_attention_on_a_missing_map_is_refused() -> None:
    for divisor in (32, 8, 3, 0):
        sentence = "attention_divisor must be null or one of 1 (32x32), 2 (16x16), 4 (8x8) at 32 pixels, not "
        with pytest.raises(ValueError) as error:
            ResNetGenerator(8, 3, 32, 4, attention_divisor=divisor)
        assert str(error.value) == f"{sentence}{divisor}"
    with pytest.raises(ValueError) as error:
        ResNetDiscriminator(3, 48, 4, widths="doubling", attention_divisor=1)
    assert str(error.value) == (
        "attention_divisor must be null or one of 2 (24x24), 4 (12x12), 8 (6x6), 16 (3x3) at 48 pixels, not 1"
    )
