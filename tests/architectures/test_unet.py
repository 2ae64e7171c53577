"""U-Net: sizes, skip connections, noise and statistics against the paper and the authors' codes."""

import pytest
import torch
from torch import nn

from gan_lab.architectures.unet import UNetGenerator
from gan_lab.layers.evaluation_noise import with_random_noise

NO_LATENTS = torch.zeros(4, 0)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture
def sources() -> torch.Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1


def make(**options) -> UNetGenerator:
    torch.manual_seed(0)
    return UNetGenerator(0, 1, 32, 4, init_scale=0.2, source_channels=3, **options)


@pytest.mark.parametrize(
    ("resolution", "bias", "count"),
    [
        (256, False, 54_413_955),
        (128, False, 41_828_995),
        (64, False, 29_244_035),
        (32, False, 16_659_075),
        (256, True, 54_419_459),
    ],
)
def test_parameters(resolution: int, bias: bool, count: int) -> None:
    with torch.device("meta"):
        assert parameters(UNetGenerator(0, 3, resolution, init="default", source_channels=3, bias=bias)) == count


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = UNetGenerator(0, 3, 32, 16, source_channels=3)
    assert network.down[3].weight.std().item() == pytest.approx(0.02, rel=0.02)
    gains = torch.cat([norm.weight.detach() for norm in (*network.down_norms, *network.up_norms)])
    assert gains.mean().item() == pytest.approx(1, abs=0.003) and gains.std().item() == pytest.approx(0.02, rel=0.15)
    assert not network.output.bias.any() and not any(norm.bias.any() for norm in network.up_norms)


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer"])
def test_images_from_images(norm: str, sources: torch.Tensor) -> None:
    network = make(norm=norm)
    for size in (32, 64):  # any multiple of 2^n
        x = sources.repeat(1, 1, size // 32, size // 32)
        images = network(NO_LATENTS, x)
        assert images.shape == (4, 1, size, size) and images.abs().max() <= 1
    assert network.multiple == 32
    assert all(bool(conv.bias is not None) == (norm in ("none", "instance")) for conv in (*network.down, *network.up))


def test_every_layer_of_the_decoder_also_gets_the_map_of_the_encoder(sources: torch.Tensor) -> None:
    """Cut off from the layers inside, it still makes an image that depends on the source."""
    for level in range(1, 5):
        network = make(norm="none", dropout=0.0)
        layer = [*network.up, network.output][level]
        with torch.no_grad():
            layer.weight[: layer.in_channels // 2] = 0
            images = network(NO_LATENTS, sources)
            network.up[level - 1].weight.add_(1)  # inside
            assert torch.equal(network(NO_LATENTS, sources), images)
        assert not torch.allclose(images, network(NO_LATENTS, sources.flip(0)), atol=1e-3)


@pytest.mark.parametrize(
    ("resolution", "rule", "expected"),
    [
        (256, "lua", [0, 1, 2]),
        (256, "pytorch", [1, 2, 3]),
        (64, "lua", [0, 1, 2]),
        (64, "pytorch", [1]),
        (32, "pytorch", []),
    ],
)
def test_layers_with_dropout(resolution: int, rule: str, expected: list[int]) -> None:
    with torch.device("meta"):
        network = UNetGenerator(0, 3, resolution, 1, init="default", source_channels=3, dropout_layers=rule)
    assert [k for k, layer in enumerate(network.dropouts) if layer.p] == expected


def test_dropout_is_the_noise(sources: torch.Tensor) -> None:
    """New in each pass of training; in evaluation the same for all images, or new for each; none with p = 0."""
    network = make()
    assert not torch.equal(network(NO_LATENTS, sources), network(NO_LATENTS, sources))
    still = make(dropout=0.0)
    assert torch.equal(still(NO_LATENTS, sources), still(NO_LATENTS, sources))

    network.eval()
    same = sources[:1].expand(4, -1, -1, -1)
    images = network(NO_LATENTS, same)
    assert torch.equal(images, network(NO_LATENTS, same)) and torch.allclose(images, images[:1], atol=1e-6)
    torch.testing.assert_close(network(NO_LATENTS[:1], same[:1]), images[:1])
    assert not torch.allclose(images, make(dropout=0.0).eval()(NO_LATENTS, same), atol=1e-3)

    random = with_random_noise(network, 0)
    first, second = random(NO_LATENTS, same), random(NO_LATENTS, same)
    assert not torch.allclose(first, second, atol=1e-3) and not torch.allclose(first[0], first[1], atol=1e-3)
    assert torch.equal(with_random_noise(network, 0)(NO_LATENTS, same), first)
    with pytest.raises(ValueError, match="no noise layers"):
        with_random_noise(still, 0)


def test_batch_norm_in_evaluation_has_the_statistics_of_each_image(sources: torch.Tensor) -> None:
    """As in training with batches of one, where nothing else is in the batch."""
    network = make(dropout=0.0)
    alone = torch.cat([network(NO_LATENTS[:1], each[None]) for each in sources])
    together = network(NO_LATENTS, sources)
    torch.testing.assert_close(network.eval()(NO_LATENTS, sources), alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together, alone, atol=1e-3)


def test_latents_are_constant_maps_beside_the_source(sources: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = UNetGenerator(2, 1, 32, 4, init_scale=0.2, source_channels=3, dropout=0.0)
    latents = torch.randn(4, 2)
    maps = latents[:, :, None, None].expand(-1, -1, 32, 32)
    plain = UNetGenerator(0, 1, 32, 4, source_channels=5, dropout=0.0)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(latents, sources), plain(NO_LATENTS, torch.cat([sources, maps], 1)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"resolution": 48}, "needs dataset.resolution to be a power of two from 32 to 512, not 48"),
        ({"resolution": None}, "needs a resolution, which points do not have"),
        ({"source_channels": None}, "architecture=unet makes images from images; set dataset=paired"),
        ({"dropout": 1.0}, r"architecture.generator.dropout=1.0 is not allowed: it must be in \[0, 1\)"),
        ({"dropout_layers": "all"}, "architecture.generator.dropout_layers=all is not known; choose lua or pytorch"),
        ({"norm": "group"}, "norm must be one of"),
    ],
)
def test_refusals(options: dict, sentence: str) -> None:
    kwargs = {"latent_dim": 0, "channels": 3, "resolution": 32, "width": 4, "source_channels": 3} | options
    with pytest.raises(ValueError, match=sentence):
        UNetGenerator(**kwargs)
    with pytest.raises(ValueError, match="call it with the source of each sample"):
        make()(NO_LATENTS)
