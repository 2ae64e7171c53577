"""Encoders, joint discriminators and denoisers with networks of every family."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.conditioning import AuxiliaryClassifier, ConcatMaps, Projection
from gan_lab.architectures.denoiser import Denoiser
from gan_lab.architectures.encoding import Encoding
from gan_lab.architectures.joint import WithLatents
from gan_lab.architectures.minibatch import WithMinibatchDiscrimination, WithMinibatchStddev
from gan_lab.architectures.packing import Packing
from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.architectures.wrapped import innermost
from tests.architectures.test_wrappers import CHANNELS, CLASSES, COUNT, FAMILIES, LABELS, discriminator, samples

DIM = 5
CHAINS: dict[str, Sequence[Any]] = {
    "none": [],
    "discrimination": [WithMinibatchDiscrimination(4, 2)],
    "stddev": [WithMinibatchStddev(4)],
    "concat": [ConcatMaps(CLASSES)],
}
EVERY = [pytest.param(f, c, id=f"{f}-{name}") for f in FAMILIES for name, c in CHAINS.items()]


def latents(count: int = COUNT) -> Tensor:
    return torch.randn(count, DIM, generator=torch.Generator().manual_seed(3))


# Encoding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, DIM])
@pytest.mark.parametrize(("family", "chain"), EVERY)
def test_an_encoder_is_a_linear_map_of_a_discriminators_features(family: str, chain: Sequence[Any], dim: int) -> None:
    inside = discriminator(family, chain)
    size, biased = innermost(inside).output.in_features, innermost(inside).output.bias is not None
    network: Any = Encoding(dim)(inside)
    x = samples(family)
    output = network(x, LABELS)
    assert output.shape == (COUNT, dim)
    layer = innermost(inside).output
    assert layer.weight.shape == (dim, size) and (layer.bias is not None) == biased
    torch.testing.assert_close(output, inside.features(x, LABELS) @ layer.weight.T + (layer.bias if biased else 0))
    output.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    network.eval()
    twin = copy.deepcopy(network)
    assert torch.equal(twin(x, LABELS), network(x, LABELS))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(network(x, LABELS).float(), network.float()(x, LABELS).float(), rtol=0.1, atol=0.1)


def test_an_encoder_starts_at_the_scale_of_the_output_layer() -> None:
    inside = discriminator("dcgan", [])
    scale = inside.output.weight.square().mean().sqrt().item()
    network: Any = Encoding(200)(inside)
    assert network.network.output.weight.std().item() == pytest.approx(scale, rel=0.05)
    kwargs = {"channels": 3, "resolution": 8}
    assert Encoding(7).network_kwargs(kwargs) == kwargs


def test_an_encoder_can_be_spectrally_normalized() -> None:
    network: Any = SpectralNormalization()(Encoding(DIM)(discriminator("dcgan", [])))
    assert network(samples("dcgan")).shape == (COUNT, DIM)
    assert hasattr(network.network.output, "parametrizations")


# Joint --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_latents_are_constant_maps_beside_the_sample(family: str) -> None:
    network = discriminator(family, [WithLatents(DIM)])
    x, z = samples(family), latents()
    pairs = network.join(x, z)
    assert pairs.shape == (COUNT, CHANNELS + DIM, *x.shape[2:])
    assert torch.equal(pairs[:, :CHANNELS], x)
    for row in range(COUNT):
        for k in range(DIM):
            assert (pairs[row, CHANNELS + k] == z[row, k]).all()
    assert torch.equal(network(pairs), network.network(pairs))
    assert (network(network.join(x, -z)) != network(pairs)).all()


@pytest.mark.parametrize(
    "chain",
    [
        [Packing(2)],
        [WithMinibatchStddev(4)],
        [ConcatMaps(CLASSES)],
        [Projection(CLASSES)],
        [Packing(2), ConcatMaps(CLASSES), SpectralNormalization()],
    ],
    ids=["packing", "stddev", "concat", "projection", "packing-concat-spectral"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_joint_discriminator_around_every_other_wrapper(family: str, chain: Sequence[Any]) -> None:
    network = discriminator(family, [*chain, WithLatents(DIM)])
    x = samples(family).requires_grad_()
    logits = network(network.join(x, latents()), LABELS)
    assert logits.shape == (COUNT // 2 if isinstance(chain[0], Packing) else COUNT,)
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    assert slope.flatten(1).abs().sum(1).min() > 0
    assert any(g is not None for g in torch.autograd.grad(slope.sum(), list(network.parameters()), allow_unused=True))


def test_packs_of_pairs() -> None:
    network = discriminator("points", [Packing(2), WithLatents(DIM)])
    x, z = samples("points"), latents()
    packs = torch.cat([x[0::2], z[0::2], x[1::2], z[1::2]], 1)
    torch.testing.assert_close(network(network.join(x, z)), network.network.network(packs))


def test_the_wrapped_classifier_is_used() -> None:
    network = discriminator("points", [AuxiliaryClassifier(CLASSES), WithLatents(DIM)])
    features = network.features(network.join(samples("points"), latents()))
    assert torch.equal(network.auxiliary(features), network.network.classifier(features))


# Denoiser -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [*CHAINS.values(), [Packing(2)], [SpectralNormalization()]])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_denoiser_fits_the_features_of_every_discriminator(family: str, chain: Sequence[Any]) -> None:
    network = discriminator(family, chain)
    features = network.features(samples(family), LABELS).detach()
    denoiser = Denoiser(network, 6, depth=3)
    again = denoiser(features)
    assert again.shape == features.shape
    again.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in denoiser.parameters())
    assert all(p.grad is None for p in network.parameters())
    assert not {id(p) for p in denoiser.parameters()} & {id(p) for p in network.parameters()}


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_layers_of_a_denoiser(norm: str) -> None:
    """A norm and no bias in every layer except the output."""
    denoiser = Denoiser(discriminator("points", []), 6, norm, depth=3)
    sizes = [
        (m.in_features, m.out_features, m.bias is not None) for m in denoiser.modules() if isinstance(m, nn.Linear)
    ]
    plain = norm == "none"
    assert sizes == [(8, 6, plain), (6, 6, plain), (6, 6, plain), (6, 8, True)]
    norms = [m for m in denoiser.modules() if isinstance(m, nn.BatchNorm1d | nn.LayerNorm)]
    assert len(norms) == (0 if plain else 3)
    with torch.no_grad():
        denoiser.output.weight.zero_()
        denoiser.output.bias.fill_(0.5)
    assert (denoiser(torch.randn(4, 8)) == 0.5).all()


def test_without_hidden_layers_it_is_affine() -> None:
    denoiser = Denoiser(discriminator("points", []), depth=0)
    h = torch.randn(4, 8)
    torch.testing.assert_close(denoiser(h), h @ denoiser.output.weight.T + denoiser.output.bias)


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"depth": -1}, r"^architecture\.denoiser\.depth=-1 is not allowed: it must be at least 0$"),
        ({"norm": "group"}, r"norm must be one of"),
        ({"init": "ones"}, r"init must be one of"),
    ],
)
def test_wrong_denoisers(kwargs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Denoiser(discriminator("points", []), **kwargs)
