"""PatchGAN and PixelGAN: parameters, maps and receptive fields."""

import pytest
import torch

from gan_lab.architectures.patch import PatchDiscriminator

COUNTS = {0: 9_024, 1: 139_585, 2: 666_433, 3: 2_768_705, 4: 6_964_033, 5: 11_159_361}
PIXELS = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}


@pytest.mark.parametrize(("layers", "count"), COUNTS.items())
def test_parameters(layers: int, count: int) -> None:
    with torch.device("meta"):
        network = PatchDiscriminator(6, 256, init="default", layers=layers)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("resolution", "layers", "rows"), [(256, 3, 30), (128, 3, 14), (64, 3, 6), (32, 2, 6)])
def test_size_of_the_map(resolution: int, layers: int, rows: int) -> None:
    network = PatchDiscriminator(2, resolution, 1, layers=layers)
    assert network(torch.zeros(2, 2, resolution, resolution)).shape == (2, rows, rows)


@pytest.mark.parametrize(("layers", "pixels"), PIXELS.items())
def test_pixels_that_a_logit_sees(layers: int, pixels: int) -> None:
    """The extent of the gradient of a logit in the middle of the map."""
    resolution = max(3 * 2**layers, 2 * pixels) if layers else 8
    torch.manual_seed(0)
    network = PatchDiscriminator(1, resolution, 2, norm="none", init_scale=0.5, layers=layers).double()
    image = torch.randn(1, 1, resolution, resolution, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    middle = logits.shape[1] // 2
    logits[0, middle, middle].backward()
    rows = image.grad[0, 0].any(1).nonzero()
    assert rows.max() - rows.min() + 1 == pixels
    if layers == 0:
        assert logits.shape == (1, 8, 8)


def test_biases_as_in_the_authors_code() -> None:
    def biases(**options) -> list[bool]:
        network = PatchDiscriminator(3, 32, 4, **options)
        return [layer.bias is not None for layer in (network.input, *network.convs, network.output)]

    assert biases(layers=2) == [True, False, False, True] and biases(layers=0) == [True, False, False]
    assert all(biases(layers=2, norm="instance")) and all(biases(layers=0, norm="none"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": 6}, "architecture.discriminator.layers=6 is not allowed: it must be from 0 to 5"),
        ({"layers": 4}, "layers=4 leaves no logits of 32 pixels; set architecture.discriminator.layers=3"),
        ({"resolution": None}, "points have no pixels; set architecture=mlp"),
    ],
)
def test_refusals(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PatchDiscriminator(**{"channels": 3, "resolution": 32, "width": 4} | options)
