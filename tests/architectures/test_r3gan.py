"""R3GAN: published parameter counts, the linear networks of the initialization, and labels."""

from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.r3gan import Block, R3GANDiscriminator, R3GANGenerator
from gan_lab.config.build import build_network
from gan_lab.config.compose import compose

COUNTS = {
    "stacked_mnist": (32, None, 20_732_160, 20_683_776),
    "cifar10": (32, 10, 20_781_952, 21_280_512),
    "ffhq64": (64, None, 22_429_824, 22_381_440),
    "ffhq256": (256, None, 23_057_952, 23_009_568),
    "imagenet32": (32, 1000, 82_914_304, 86_548_992),
    "imagenet64": (64, 1000, 103_570_432, 107_205_120),
}


@pytest.mark.parametrize("preset", COUNTS)
def test_parameters_of_the_published_networks(preset: str) -> None:
    resolution, classes, *expected = COUNTS[preset]
    data = (f"dataset.resolution={resolution}", "dataset.channels=3", f"dataset.num_classes={classes or 'null'}")
    cfg = compose(f"preset=r3gan_{preset}", "dataset=noise", *data)
    with torch.device("meta"):
        networks = [build_network(cfg, name) for name in ("generator", "discriminator")]
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == expected


def generator(resolution: int = 16, **options) -> R3GANGenerator:
    torch.manual_seed(0)
    return R3GANGenerator(5, 3, resolution, 16, channel_base=128, **options).double()


def discriminator(resolution: int = 16, **options) -> R3GANDiscriminator:
    torch.manual_seed(0)
    return R3GANDiscriminator(3, resolution, 16, channel_base=128, **options).double()


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_at_the_start_the_networks_are_linear() -> None:
    """The blocks are the identity. Of the biases, which are 0, nothing is left."""
    first, second = numbers(2, 4, 5)
    network: nn.Module = generator()
    torch.testing.assert_close(network(2 * first - second), 2 * network(first) - network(second))
    first, second = numbers(2, 4, 3, 16, 16)
    network = discriminator()
    torch.testing.assert_close(network(2 * first - second), 2 * network(first) - network(second))


def test_only_the_last_convolutions_of_the_blocks_have_a_gradient_at_the_start() -> None:
    """Of all layers in a block: the others have one after the first update."""
    network = generator()
    network(numbers(4, 5)).square().sum().backward()
    inside = {name: p.grad.abs().max().item() for name, p in network.stages.named_parameters()}
    assert {name for name, gradient in inside.items() if gradient} == {n for n in inside if "reduce" in n}


def test_standard_deviations_of_the_initial_weights() -> None:
    """Gain over the root of the fan-in; that of the blocks for 8, 10 and 14 of them."""
    for resolution, gain in ((32, 0.824567), (64, 0.779827), (256, 0.716913)):
        torch.manual_seed(0)
        network = R3GANDiscriminator(3, resolution, 128, channel_base=32768, group_width=64)
        block = network.stages[0][0]
        assert block.expand.weight.std().item() == pytest.approx(gain / sqrt(128), rel=0.02)
        assert block.conv.weight.std().item() == pytest.approx(gain / sqrt(64 * 9), rel=0.02)
        assert not block.reduce.weight.any() and not block.expand.bias.any()
        assert network.conv.weight.std().item() == pytest.approx(1 / 4, rel=0.1)
        assert network.output.weight.std().item() == pytest.approx(1 / sqrt(128), rel=0.2)


def test_init_scale_and_schemes() -> None:
    for scheme in ("fixup", "uniform"):
        network = R3GANDiscriminator(3, 16, 16, init=scheme, init_scale=0.0)
        assert not any(p.any() for p in network.parameters())
    with pytest.raises(ValueError, match=r"init must be one of fixup, normal, .* not 'x'"):
        R3GANDiscriminator(3, 16, init="x")


def test_block_against_its_formula() -> None:
    torch.manual_seed(0)
    block = Block(16, 8, "none").double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = numbers(2, 16, 5, 5)
    y = torch.einsum("oi,nihw->nohw", block.expand.weight[:, :, 0, 0], x) + block.expand.bias[:, None, None]
    y = torch.where(y > 0, y, 0.2 * y)
    groups = [
        nn.functional.conv2d(part, weight, padding=1)
        for part, weight in zip(y.split(8, 1), block.conv.weight.split(8), strict=True)
    ]
    y = torch.cat(groups, 1) + block.conv.bias[:, None, None]
    y = torch.where(y > 0, y, 0.2 * y)
    y = torch.einsum("oi,nihw->nohw", block.reduce.weight[:, :, 0, 0], y)
    torch.testing.assert_close(block(x), x + y)


def test_width_and_groups() -> None:
    network = R3GANGenerator(4, 1, 64, width=24, channel_base=1024)
    assert [stage[0].expand.in_channels for stage in network.stages] == [24, 24, 24, 24, 16]
    assert [stage[0].conv.groups for stage in network.stages] == [3, 3, 3, 3, 2]  # of 48 and 32 channels, 16 in each
    assert [isinstance(layer, nn.Conv2d) for layer in network.transitions] == [False, False, False, True]
    assert R3GANGenerator(4, 1, 8, width=6).stages[0][0].conv.groups == 3  # of 4 channels
    with pytest.raises(ValueError, match="without channels"):
        R3GANGenerator(4, 1, 64, channel_base=32)
    for option in ("group_width", "blocks", "num_classes"):
        with pytest.raises(ValueError, match=f"{option}=0"):
            R3GANGenerator(4, 1, 64, **{option: 0})


@pytest.mark.parametrize("wrong", [4, 24, 2048])
def test_wrong_resolutions_are_refused(wrong: int) -> None:
    for make in (lambda: R3GANGenerator(4, 1, wrong), lambda: R3GANDiscriminator(1, wrong)):
        with pytest.raises(ValueError, match=r"architecture=r3gan needs .* a power of two from 8 to 1024, not"):
            make()


def test_labels() -> None:
    """No term of the logit is independent of the label; the generator's latent is followed by the embedding."""
    labels = torch.tensor([0, 2, 1, 2])
    network = discriminator(num_classes=3)
    images = numbers(4, 3, 16, 16)
    projected = network.output(network.features(images))
    torch.testing.assert_close(network(images, labels), (projected * network.embedding[labels]).sum(1))
    nn.init.zeros_(network.embedding)
    assert not network(images, labels).any()

    conditional = generator(num_classes=3)
    assert conditional.embedding.shape == (3, 64)
    zeros = torch.zeros(4, 5, dtype=torch.float64)
    result = conditional(zeros, labels)
    assert torch.equal(result[1], result[3]) and not torch.equal(result[0], result[1])
    for network_ in (conditional, network):
        with pytest.raises(ValueError, match="call it with labels"):
            network_(images if network_ is network else zeros)


def test_images_are_clipped_in_evaluation_only() -> None:
    network = generator()
    latents = 50 * numbers(2, 5)
    assert network(latents).abs().max() > 1 == network.eval()(latents).abs().max()


def test_a_gradient_penalty_has_second_derivatives() -> None:
    network = discriminator(8)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.3)

    def penalty(*parameters: Tensor) -> Tensor:
        x = numbers(2, 3, 8, 8).requires_grad_()
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        return slope.square().sum()

    weights = tuple(p for name, p in network.named_parameters() if "stages.0.0" in name and "weight" in name)
    assert torch.autograd.gradcheck(penalty, weights, fast_mode=True)


def test_freezable_layers() -> None:
    """The layer that reads the image, 3 in each of 2 blocks at 3 resolutions, and a transition to other channels."""
    layers = discriminator().layers_from_image()
    assert layers is not None and len(layers) == 1 + 3 * 2 * 3 + 1
    network = discriminator()
    assert layers[0][0].weight.shape == network.from_image["16"].weight.shape == (8, 3, 1, 1)
    assert isinstance(layers[7][0], nn.Conv2d) and layers[7][0].weight.shape == (16, 8, 1, 1)
