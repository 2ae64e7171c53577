"""Mixtures of labels: weights in the place of labels."""

import pytest
import torch
from torch import nn

from gan_lab.architectures.conditioning import ConcatLatents, ConditionalNorm, SharedEmbedding
from gan_lab.architectures.dcgan import DCGANGenerator
from gan_lab.architectures.lapgan import LaplacianGenerator
from gan_lab.architectures.r3gan import R3GANGenerator
from gan_lab.architectures.stylegan2 import StyleGAN2Generator
from gan_lab.layers.labeled import averaged_in_mixtures, one_hot, rows_of_labels

LABELS = torch.tensor([2, 0, 1])
MIXED = torch.tensor([[0.25, 0.0, 0.75], [1.0, 0.0, 0.0]])


def wrapped(wrapper: ConcatLatents | ConditionalNorm | SharedEmbedding) -> nn.Module:
    kwargs = {"latent_dim": 4, "channels": 1, "resolution": 16, "width": 4}
    return wrapper(DCGANGenerator(**wrapper.network_kwargs(kwargs)))


GENERATORS = {
    "concat": (lambda: wrapped(ConcatLatents(3)), "one-hot vectors"),
    "shared_embedding": (lambda: wrapped(SharedEmbedding(3, 5)), "embeddings"),
    "projection": (lambda: wrapped(ConditionalNorm(3)), "gains and shifts of the batch norms"),
    "stylegan2": (lambda: StyleGAN2Generator(4, 1, 8, 4, mapping_layers=2, num_classes=3), "embeddings"),
    "r3gan": (lambda: R3GANGenerator(4, 1, 8, 16, num_classes=3), "embeddings"),
    "lapgan": (lambda: LaplacianGenerator(260, 1, 16, 4, num_classes=3), "one-hot vectors"),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_all_weight_on_one_label_is_that_label_and_mixtures_differ_from_it(name: str) -> None:
    torch.manual_seed(0)
    make, averaged = GENERATORS[name]
    network = make().double().eval()
    for parameter in network.parameters():  # with the initial weights all labels may be the same
        parameter.data += 0.1 * torch.randn_like(parameter)
    latents = torch.randn(3, 260 if name == "lapgan" else 4, dtype=torch.float64)
    plain = network(latents, LABELS)
    torch.testing.assert_close(network(latents, nn.functional.one_hot(LABELS, 3).float()), plain)
    mixed = network(latents[:2], MIXED)
    assert (mixed[0] - plain[0]).abs().max() > 1e-6
    torch.testing.assert_close(mixed[1], network(latents[1:2], torch.tensor([0]))[0])
    assert averaged_in_mixtures(network) == [averaged]


def test_means_of_rows_and_of_one_hot_vectors() -> None:
    table = torch.tensor([[0.0, 4.0], [9.0, 9.0], [8.0, 0.0]])
    assert rows_of_labels(table, LABELS).tolist() == [[8, 0], [0, 4], [9, 9]]
    assert rows_of_labels(table, MIXED).tolist() == [[6, 1], [0, 4]]
    assert torch.equal(one_hot(MIXED, 3, table), MIXED)


def test_networks_without_labels_take_no_mixtures() -> None:
    assert averaged_in_mixtures(DCGANGenerator(4, 1, 16, 4)) == []
