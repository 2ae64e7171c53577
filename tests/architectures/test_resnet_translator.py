"""CycleGAN's residual generator."""

import pytest
import torch
from torch import nn

from gan_lab.architectures.resnet_translator import ResNetTranslator


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("resolution", "parameters"), [(256, 11_378_179), (128, 7_837_699)])
def test_the_authors_number_of_parameters(resolution: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(ResNetTranslator(0, 3, resolution, source_channels=3)) == parameters


def test_shapes_and_ranges() -> None:
    torch.manual_seed(0)
    network = ResNetTranslator(2, 3, 16, width=4, init_scale=0.5, source_channels=1, blocks=1)
    latents, sources = torch.randn(2, 2), torch.rand(2, 1, 16, 16) * 2 - 1
    images = network(latents, sources)
    assert images.shape == (2, 3, 16, 16) and images.abs().max() <= 1
    assert network(latents, torch.rand(2, 1, 20, 12)).shape == (2, 3, 20, 12)  # any multiples of 4
    assert (network.source_channels, network.channels) == (1, 3)
    assert not torch.equal(network(latents.flip(0), sources), images)
    torch.testing.assert_close(network(latents[1:], sources[1:]), images[1:])  # samples are independent
    torch.testing.assert_close(network.eval()(latents, sources), images)  # and evaluation is training
    with pytest.raises(ValueError, match="call it with the source of each sample"):
        network(latents)


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "instance"])
def test_biases_where_the_norm_has_no_shift(norm: str) -> None:
    network = ResNetTranslator(0, 3, 16, width=4, norm=norm, source_channels=3, blocks=1)
    convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convs) == 8
    assert {layer.bias is None for layer in convs[:-1]} == {norm in ("batch", "layer")} and convs[-1].bias is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 30}, "needs dataset.resolution to be a multiple of 4 from 8 to 8192, not 30; set .*=32$"),
        ({"resolution": None}, "needs a resolution, which points do not have"),
        ({"source_channels": None}, "makes images from images; set dataset=unpaired"),
        ({"blocks": -1}, r"^architecture\.generator\.blocks=-1 is not allowed: it must be at least 0$"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNetTranslator(
            **{"latent_dim": 0, "channels": 3, "source_channels": 3, "resolution": 16, "width": 4, **options}
        )
