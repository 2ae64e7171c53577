"""Residual networks: the papers' sizes, initial weights and formulas."""

from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.resnet import DownBlock, InputBlock, ResNetDiscriminator, ResNetGenerator, UpBlock


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_of_sn_gan() -> None:
    assert count(ResNetGenerator(128, 3, 32, 256)) == 4_276_739
    assert count(ResNetDiscriminator(3, 32, 128, pool="sum", head_bias=False)) == 1_053_824


def test_the_head_bias_is_one_parameter() -> None:
    assert count(ResNetDiscriminator(3, 32)) == 1_053_825


@pytest.mark.parametrize(
    ("resolution", "sides"),
    [(16, [8, 8, 8]), (32, [16, 8, 8, 8]), (64, [32, 16, 8, 8, 8]), (128, [64, 32, 16, 8, 8, 8])],
)
def test_discriminator_halves_down_to_8(resolution: int, sides: list[int]) -> None:
    network = ResNetDiscriminator(1, resolution, 4)
    seen: list[int] = []
    for block in (network.input, *network.blocks):
        block.register_forward_hook(lambda module, args, output: seen.append(output.shape[-1]))
    network(torch.randn(1, 1, resolution, resolution))
    assert seen == sides


def test_sum_is_64_times_mean() -> None:
    torch.manual_seed(0)
    mean, total = ResNetDiscriminator(1, 16, 4), ResNetDiscriminator(1, 16, 4, pool="sum")
    total.load_state_dict(mean.state_dict())
    x = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(total.features(x), 64 * mean.features(x))


def test_unknown_pool_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^pool must be one of mean, sum, not 'max'$"):
        ResNetDiscriminator(3, 32, pool="max")


def test_initial_weights_of_the_papers() -> None:
    torch.manual_seed(0)
    generator, discriminator = ResNetGenerator(128, 3, 32), ResNetDiscriminator(3, 32)

    def std(layer: nn.Module) -> float:
        return layer.get_parameter("weight").std().item()

    def glorot(fan_in: int, fan_out: int) -> float:
        return sqrt(2 / (fan_in + fan_out))

    for block in generator.blocks:
        assert isinstance(block, UpBlock)
        for conv in (block.conv1, block.conv2):
            assert std(conv) == pytest.approx(sqrt(4 / (2 * 9 * 128)), rel=0.05)
        assert std(block.skip) == pytest.approx(glorot(128, 128), rel=0.05)
    assert std(generator.project) == pytest.approx(glorot(128, 2048), rel=0.05)
    assert std(generator.output) == pytest.approx(glorot(9 * 128, 9 * 3), rel=0.05)
    assert std(discriminator.input.conv1) == pytest.approx(sqrt(4 / (9 * 3 + 9 * 128)), rel=0.05)
    for block in discriminator.blocks:
        assert isinstance(block, DownBlock)
        for conv in (block.conv1, block.conv2):
            assert std(conv) == pytest.approx(sqrt(4 / (2 * 9 * 128)), rel=0.05)
    assert std(discriminator.blocks[0].get_submodule("skip")) == pytest.approx(glorot(128, 128), rel=0.05)
    # 384 and 128 numbers do not settle 5 %; their bound does.
    for layer, fans in ((discriminator.input.skip, (3, 128)), (discriminator.output, (128, 1))):
        largest = layer.get_parameter("weight").abs().max().item()
        assert 0.95 < largest / (sqrt(3) * glorot(*fans)) <= 1


def conv(x: Tensor, layer: nn.Module) -> Tensor:
    weight = layer.get_parameter("weight")
    return F.conv2d(x, weight, layer.get_parameter("bias"), padding=weight.shape[-1] // 2)


def test_up_block_is_the_code_s_formula() -> None:
    torch.manual_seed(0)
    block = UpBlock(4, "none")
    x = torch.randn(2, 4, 5, 5)
    up = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = conv(conv(up.clamp(min=0), block.conv1).clamp(min=0), block.conv2) + conv(up, block.skip)
    torch.testing.assert_close(block(x), expected)


def test_down_blocks_are_the_code_s_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    down, flat = DownBlock(4, "none", down=True), DownBlock(4, "none", down=False)
    h = conv(conv(x.clamp(min=0), down.conv1).clamp(min=0), down.conv2) + conv(x, down.skip)
    torch.testing.assert_close(down(x), F.avg_pool2d(h, 2))
    torch.testing.assert_close(flat(x), conv(conv(x.clamp(min=0), flat.conv1).clamp(min=0), flat.conv2) + x)


def test_input_block_is_the_code_s_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 6)
    block = InputBlock(3, 4)
    h = conv(conv(x, block.conv1).clamp(min=0), block.conv2)
    torch.testing.assert_close(block(x), F.avg_pool2d(h + conv(x, block.skip), 2))


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_blocks_leave_their_input_alone(norm: str) -> None:
    for block in (UpBlock(4, norm), DownBlock(4, norm, down=True), DownBlock(4, norm, down=False), InputBlock(4, 4)):
        x = torch.randn(2, 4, 6, 6)
        before = x.clone()
        block(x)
        assert torch.equal(x, before)
