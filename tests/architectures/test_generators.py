"""Mixtures of generators: parameter counts of MGAN's code, common and own layers, classifier and softmax."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_lab.architectures.dcgan import DCGANGenerator
from gan_lab.architectures.generators import GeneratorClassifier, GeneratorSoftmax, OwnLayers
from gan_lab.architectures.mgan import MGANDiscriminator, MGANGenerator
from gan_lab.architectures.mlp import MLPDiscriminator, MLPGenerator
from gan_lab.architectures.packing import Packing
from gan_lab.architectures.pggan import ProGANGenerator
from gan_lab.layers.own_layers import OwnBatchNorm, OwnLayer

NUMBERS = torch.tensor([1, 0, 2, 1])


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("generators", "generator", "discriminator"), [(1, 4_950_147, 4_124_674), (10, 12_544_131, 4_198_411)]
)
def test_parameters_of_the_authors_networks(generators: int, generator: int, discriminator: int) -> None:
    """Each generator after the first adds 843,776: its linear layer to 4x4x512 and a gain and shift for each unit."""
    assert parameters(OwnLayers(generators)(MGANGenerator(100, 3, 32, 128))) == generator
    assert parameters(GeneratorClassifier(generators)(MGANDiscriminator(3, 32, 128))) == discriminator
    assert generator == 4_950_147 + 843_776 * (generators - 1)


def mlp() -> MLPGenerator:
    torch.manual_seed(0)
    return MLPGenerator(3, 2, None, 8, norm="batch", init="default")


@pytest.mark.parametrize(("own", "layers"), [("first", [OwnLayer, OwnBatchNorm]), ("last", [OwnLayer])])
def test_first_or_last_layers_are_own_and_all_others_common(own: str, layers: list[type]) -> None:
    network = OwnLayers(3, own)(mlp())
    found = [layer for layer in network.modules() if isinstance(layer, OwnLayer | OwnBatchNorm)]
    assert [type(layer) for layer in found] == layers
    plain, latents = mlp(), torch.randn(4, 3)
    network.eval(), plain.eval()
    samples = network(latents, NUMBERS)
    torch.testing.assert_close(samples[NUMBERS == 0], plain(latents)[NUMBERS == 0])
    assert not torch.isclose(samples[NUMBERS != 0], plain(latents)[NUMBERS != 0]).any()
    torch.testing.assert_close(network(latents, torch.zeros_like(NUMBERS)), plain(latents))


def test_images_have_own_layers_too() -> None:
    for own in ("first", "last"):
        images = OwnLayers(3, own)(DCGANGenerator(5, 1, 8, 4))(torch.randn(4, 5), NUMBERS)
        assert images.shape == (4, 1, 8, 8)


def test_one_generator_is_the_plain_network() -> None:
    plain, latents = mlp(), torch.randn(6, 3)
    torch.testing.assert_close(OwnLayers(1)(mlp())(latents, torch.zeros(6, dtype=torch.int64)), plain(latents))


def test_the_softmax_over_data_and_generators() -> None:
    """Cross entropies of MAD-GAN's K + 1 classes, from the logit and the classifier."""
    torch.manual_seed(0)
    inside = MLPDiscriminator(2, None, 8, init="default")
    network = GeneratorSoftmax(3)(inside)
    features = network.features(torch.randn(4, 2), NUMBERS)
    of_generators, logits = network.auxiliary(features), network.head(features, NUMBERS)
    outputs = torch.cat([inside.head(features)[:, None], of_generators], 1)  # (n, 1 + K), class 0 is the data
    zeros = torch.zeros_like(NUMBERS)
    torch.testing.assert_close(F.softplus(-logits), F.cross_entropy(outputs, zeros, reduction="none"))
    fake = F.softplus(logits) + F.cross_entropy(of_generators, NUMBERS, reduction="none")
    torch.testing.assert_close(fake, F.cross_entropy(outputs, NUMBERS + 1, reduction="none"))


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^wrapper\.generator\.conditioning\.own=middle is not known"):
        OwnLayers(3, "middle")
    with pytest.raises(ValueError, match=r"^ProGANGenerator does not name its first layers.*; set architecture=mlp,"):
        OwnLayers(3)(ProGANGenerator(4, 1, 8))
    with pytest.raises(ValueError, match="call it with the number of one for each latent"):
        OwnLayers(3)(mlp())(torch.randn(4, 3))
    for wrapper in (GeneratorClassifier(3), GeneratorSoftmax(3)):
        with pytest.raises(ValueError, match=r"^packing scores several samples at once"):
            wrapper(Packing(2)(MLPDiscriminator(4, None, 8)))
