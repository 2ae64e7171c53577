"""Wrappers of networks: formulas, and combinations with every family and with each other."""

import copy
import importlib
import inspect
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.conditioning import (
    AuxiliaryClassifier,
    ConcatLatents,
    ConcatMaps,
    ConditionalNorm,
    LabelMapping,
    Projection,
    SharedEmbedding,
)
from gan_lab.architectures.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_lab.architectures.minibatch import WithMinibatchDiscrimination, WithMinibatchStddev
from gan_lab.architectures.mlp import MLPDiscriminator, MLPGenerator
from gan_lab.architectures.packing import Packing
from gan_lab.architectures.resnet import ResNetDiscriminator, ResNetGenerator
from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.architectures.virtual_batch import VirtualBatch
from gan_lab.layers.conditional_batch_norm import ConditionalBatchNorm
from gan_lab.layers.spectral_norm import power_iterations
from gan_lab.layers.virtual_batch_norm import VirtualBatchNorm

LATENT_DIM, CHANNELS, WIDTH, CLASSES, COUNT = 7, 2, 8, 3, 8
FAMILIES: dict[str, tuple[type[nn.Module], type[nn.Module], int | None]] = {
    "points": (MLPGenerator, MLPDiscriminator, None),
    "mlp": (MLPGenerator, MLPDiscriminator, 8),
    "dcgan": (DCGANGenerator, DCGANDiscriminator, 16),
    "resnet": (ResNetGenerator, ResNetDiscriminator, 16),
}
SPECTRAL = SpectralNormalization()
ABOVE: dict[str, Sequence[Any]] = {
    "none": [],
    "packing": [Packing(2)],
    "discrimination": [WithMinibatchDiscrimination(4, 2)],
    "stddev": [WithMinibatchStddev(4)],
    "concat": [ConcatMaps(CLASSES)],
    "projection": [Projection(CLASSES)],
    "classifier": [AuxiliaryClassifier(CLASSES)],
    "spectral": [SPECTRAL],
    "packing-concat-spectral": [Packing(2), ConcatMaps(CLASSES), SPECTRAL],
    "discrimination-projection-spectral": [WithMinibatchDiscrimination(4, 2), Projection(CLASSES), SPECTRAL],
    "packing-stddev-concat-spectral": [Packing(2), WithMinibatchStddev(2), ConcatMaps(CLASSES), SPECTRAL],
    "stddev-classifier-spectral": [WithMinibatchStddev(None), AuxiliaryClassifier(CLASSES), SPECTRAL],
}
"""Wrappers of discriminators, innermost first."""

BELOW: dict[str, Sequence[Any]] = {
    "none": [],
    "concat": [ConcatLatents(CLASSES)],
    "norm": [ConditionalNorm(CLASSES)],
    "embedding": [SharedEmbedding(CLASSES, 5)],
    "virtual": [VirtualBatch(4, LATENT_DIM, "normal", 1.0, None)],
    "spectral": [SPECTRAL],
    "concat-virtual-spectral": [ConcatLatents(CLASSES), VirtualBatch(4, LATENT_DIM, "normal", 1.0, CLASSES), SPECTRAL],
    "embedding-virtual-spectral": [
        SharedEmbedding(CLASSES, 5),
        VirtualBatch(4, LATENT_DIM, "normal", 1.0, CLASSES),
        SPECTRAL,
    ],
    "norm-virtual-spectral": [ConditionalNorm(CLASSES), VirtualBatch(4, LATENT_DIM, "normal", 1.0, CLASSES), SPECTRAL],
}
"""Wrappers of generators, innermost first."""


def build(cls: type[nn.Module], kwargs: dict[str, Any], chain: Sequence[Any]) -> Any:
    """Build a network with its wrappers, like `gan_lab.config.build`."""
    torch.manual_seed(0)
    for wrapper in reversed(chain):
        kwargs = wrapper.network_kwargs(kwargs)
    network = cls(**kwargs)
    for wrapper in chain:
        network = wrapper(network)
    return network


def discriminator(family: str, chain: Sequence[Any], norm: str = "none") -> Any:
    _, cls, size = FAMILIES[family]
    kwargs = {"channels": CHANNELS, "resolution": size, "width": WIDTH, "norm": norm, "init": "he", "init_scale": 1.0}
    return build(cls, kwargs, chain)


def generator(family: str, chain: Sequence[Any], norm: str = "batch") -> Any:
    cls, _, size = FAMILIES[family]
    kwargs = {"latent_dim": LATENT_DIM, "channels": CHANNELS, "resolution": size, "width": WIDTH, "norm": norm}
    return build(cls, kwargs, chain)


def samples(family: str, count: int = COUNT) -> Tensor:
    size = FAMILIES[family][2]
    shape = (count, CHANNELS) if size is None else (count, CHANNELS, size, size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


def latents(count: int = COUNT) -> Tensor:
    return torch.randn(count, LATENT_DIM, generator=torch.Generator().manual_seed(3))


LABELS = torch.tensor([0, 1, 2, 2, 1, 1, 0, 2])
EVERY_DISCRIMINATOR = [pytest.param(f, c, id=f"{f}-{name}") for f in FAMILIES for name, c in ABOVE.items()]
EVERY_GENERATOR = [pytest.param(f, c, id=f"{f}-{name}") for f in FAMILIES for name, c in BELOW.items()]


# Every wrapper around every family ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "chain"), EVERY_DISCRIMINATOR)
def test_discriminator(family: str, chain: Sequence[Any]) -> None:
    network = discriminator(family, chain)
    assert isinstance(network, Discriminator)
    x = samples(family)
    rows = COUNT // 2 if any(isinstance(part, Packing) for part in chain) else COUNT
    features = network.features(x, LABELS)
    logits = network.head(features, LABELS)
    assert features.dim() == 2
    assert logits.shape == (rows,) == features.shape[:1]
    assert logits.std() > 0
    torch.testing.assert_close(network(x, LABELS), logits)
    if not any("Labeled" in type(m).__name__ or "Projected" in type(m).__name__ for m in network.modules()):
        torch.testing.assert_close(network(x), logits)
    loss = logits.square().sum()
    if hasattr(network, "auxiliary"):
        classes = network.auxiliary(features)
        assert classes.shape == (rows, CLASSES)
        loss = loss + F.cross_entropy(classes, LABELS)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name  # no replaced output layer is left
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(("family", "chain"), EVERY_GENERATOR)
def test_generator(family: str, chain: Sequence[Any]) -> None:
    network = generator(family, chain)
    output = network(latents(), LABELS)
    assert output.shape == samples(family).shape
    output.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(
    ("network", "x"),
    [pytest.param(lambda f=f, c=c: discriminator(f, c, "batch"), samples(f), id=f"{f}-{n}")
     for f in FAMILIES for n, c in ABOVE.items()]
    + [pytest.param(lambda f=f, c=c: generator(f, c), latents(), id=f"{f}-generator-{n}")
       for f in FAMILIES for n, c in BELOW.items()],
)  # fmt: skip
def test_copies_and_state(network: Any, x: Tensor) -> None:
    network = network()
    network(x, LABELS).sum().backward()  # after a forward pass, like the copy of the averaged generator
    for iterate in power_iterations(network):
        iterate()
    network.eval()
    expected = network(x, LABELS)
    twin = copy.deepcopy(network)
    assert torch.equal(twin(x, LABELS), expected)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.zero_()
    assert torch.equal(network(x, LABELS), expected)
    file.seek(0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(x, LABELS), expected)


@pytest.mark.parametrize(("family", "chain"), EVERY_DISCRIMINATOR)
def test_double_backward(family: str, chain: Sequence[Any]) -> None:
    network = discriminator(family, chain)
    x = samples(family).requires_grad_()
    (slope,) = torch.autograd.grad(network(x, LABELS).sum(), x, create_graph=True)
    gradients = torch.autograd.grad(slope.square().sum(), list(network.parameters()), allow_unused=True)
    assert any(g is not None and g.abs().max() > 0 for g in gradients)
    assert all(g is None or torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize(("family", "chain"), EVERY_DISCRIMINATOR)
def test_discriminator_in_bfloat16(family: str, chain: Sequence[Any]) -> None:
    network = discriminator(family, chain)
    expected = network(samples(family), LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        features = network.features(samples(family), LABELS).float()
        logits = network.head(features, LABELS)
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1)
    # Penalties turn autocast off between features and head.
    network.head(features, LABELS).sum().backward()


@pytest.mark.parametrize(("family", "chain"), EVERY_GENERATOR)
def test_generator_in_bfloat16(family: str, chain: Sequence[Any]) -> None:
    network = generator(family, chain)
    expected = network(latents(), LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(latents(), LABELS)
    assert output.dtype == torch.bfloat16
    assert (output.float() - expected).square().mean().sqrt() < 0.1 * expected.std() + 0.01
    output.float().sum().backward()


class Spy(Discriminator):
    """A linear discriminator that records its labels."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(8, 1)
        self.seen: list[Tensor | None] = []

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        self.seen.append(labels)
        return x.new_ones(len(x), 8)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        self.seen.append(labels)
        return super().head(features)


@pytest.mark.parametrize("name", ABOVE)
def test_labels_reach_the_wrapped_network(name: str) -> None:
    spy = Spy()
    network: Any = spy
    for wrapper in ABOVE[name]:
        network = wrapper(network)
    network(samples("points"), LABELS)
    assert spy.seen == ([None, None] if "packing" in name else [LABELS, LABELS])  # packs have no labels


# Conditioning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_concat_maps_are_constant_maps_beside_the_sample(family: str) -> None:
    network = discriminator(family, [ConcatMaps(CLASSES)])
    x = samples(family)
    maps = torch.zeros(COUNT, CLASSES, *x.shape[2:])
    for row, label in enumerate(LABELS):
        maps[row, label] = 1
    torch.testing.assert_close(network(x, LABELS), network.network(torch.cat([x, maps], 1)))
    assert (network(x, (LABELS + 1) % CLASSES) != network(x, LABELS)).all()


def test_concat_latents_append_the_one_hot_label() -> None:
    network = generator("points", [ConcatLatents(CLASSES)], "none")
    one_hot = torch.eye(CLASSES)[LABELS]
    torch.testing.assert_close(network(latents(), LABELS), network.network(torch.cat([latents(), one_hot], 1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_zero_weights_of_labels_give_the_unconditional_network(family: str) -> None:
    network = discriminator(family, [ConcatMaps(CLASSES)])
    plain = discriminator(family, [])
    first = next(m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    weights = {name: p for name, p in network.network.named_parameters()}
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            given = weights[name]
            if given is first.weight:
                pixels = given.shape[1] // (CHANNELS + CLASSES) if given.dim() == 2 else 1
                given[:, CHANNELS * pixels :] = 0
            elif family == "resnet" and name == "input.skip.weight":
                given[:, CHANNELS:] = 0
            parameter.copy_(given[:, : parameter.shape[1]] if given.shape != parameter.shape else given)
    torch.testing.assert_close(network(samples(family), LABELS), plain(samples(family)))


@pytest.mark.parametrize("chain", [[], [WithMinibatchDiscrimination(4, 2)], [WithMinibatchStddev(4)]])
@pytest.mark.parametrize("family", FAMILIES)
def test_projection(family: str, chain: Sequence[Any]) -> None:
    network = discriminator(family, [*chain, Projection(CLASSES)])
    x = samples(family)
    phi = network.features(x, LABELS)
    v = network.embedding.weight
    other = (LABELS + 1) % CLASSES
    difference = ((v[LABELS] - v[other]) * phi).sum(1)
    torch.testing.assert_close(network(x, LABELS) - network(x, other), difference)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(4))
    if not chain:
        torch.testing.assert_close(network(x[order], LABELS[order]), network(x, LABELS)[order])
    nn.init.zeros_(network.embedding.weight)
    assert torch.equal(network(x, LABELS), network.network(x))


def test_projection_starts_as_glorot() -> None:
    network = discriminator("dcgan", [Projection(CLASSES)])
    bound = math.sqrt(6 / (CLASSES + network.embedding.embedding_dim))
    assert 0.9 * bound < network.embedding.weight.abs().max() <= bound


@pytest.mark.parametrize("family", FAMILIES)
def test_auxiliary_classifier(family: str) -> None:
    network = discriminator(family, [AuxiliaryClassifier(CLASSES)])
    x = samples(family)
    assert torch.equal(network(x, LABELS), network.network(x))
    assert torch.equal(network(x), network.network(x))
    features = network.features(x)
    expected = features @ network.classifier.weight.T
    if network.classifier.bias is not None:
        expected = expected + network.classifier.bias
    torch.testing.assert_close(network.auxiliary(features), expected)
    nn.init.zeros_(network.classifier.weight)
    assert F.cross_entropy(network.auxiliary(features), LABELS).item() == pytest.approx(math.log(CLASSES))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_conditional_norm_starts_as_the_plain_generator(family: str, training: bool) -> None:
    plain = generator(family, []).train(training)
    network = generator(family, [ConditionalNorm(CLASSES)]).train(training)
    torch.testing.assert_close(network(latents(), LABELS), plain(latents()))
    layers = [m for m in network.modules() if isinstance(m, ConditionalBatchNorm)]
    unconditional = 1 if family == "resnet" else 0  # the last norm of residual generators
    assert len(layers) == sum(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in plain.modules()) - unconditional
    plain.eval(), network.eval()  # in training, a later norm changes with the batch
    with torch.no_grad():
        layers[-1].shift[1] += 1
    changed = (network(latents(), LABELS) - plain(latents())).flatten(1).abs().amax(1) > 1e-4
    assert torch.equal(changed, LABELS == 1)


@pytest.mark.parametrize(
    ("wrapper", "choices"),
    [
        (ConcatLatents, "concat or auxiliary_classifier"),
        (ConcatMaps, "concat"),
        (ConditionalNorm, "projection"),
        (SharedEmbedding, "shared_embedding"),
        (LabelMapping, "mapping"),
        (Projection, "projection or shared_embedding"),
        (AuxiliaryClassifier, "auxiliary_classifier"),
    ],
)
def test_data_without_labels_are_refused(wrapper: Any, choices: str) -> None:
    with pytest.raises(ValueError) as error:
        wrapper(None)
    assert str(error.value) == (
        f"conditioning={choices} needs labels; give dataset.num_classes, if the data set has classes, "
        "or conditioning=none"
    )


def test_networks_without_a_mapping_network_are_refused() -> None:
    sentence = r"^conditioning=mapping needs networks that take labels; set architecture=stylegan2, r3gan or lapgan, or"
    with pytest.raises(ValueError, match=sentence):
        LabelMapping(CLASSES).network_kwargs({"latent_dim": 3})
    assert LabelMapping(CLASSES).network_kwargs({"num_classes": None}) == {"num_classes": CLASSES}


@pytest.mark.parametrize("chain", [[ConcatLatents(CLASSES)], [ConditionalNorm(CLASSES)], [SharedEmbedding(CLASSES)]])
def test_generators_need_their_labels(chain: Sequence[Any]) -> None:
    with pytest.raises(ValueError, match=r"^this network is conditioned on labels: call it with labels"):
        generator("points", chain)(latents())


@pytest.mark.parametrize("chain", [[ConcatMaps(CLASSES)], [Projection(CLASSES)]])
def test_discriminators_need_their_labels(chain: Sequence[Any]) -> None:
    with pytest.raises(ValueError, match=r"^this network is conditioned on labels: call it with labels"):
        discriminator("points", chain)(samples("points"))


def test_conditional_norm_needs_batch_norm() -> None:
    with pytest.raises(ValueError) as error:
        generator("dcgan", [ConditionalNorm(CLASSES)], "layer")
    assert str(error.value) == (
        "conditioning=projection needs batch norm in the generator; set architecture.generator.norm=batch"
    )


# Packing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_packs_concatenate_the_channels_of_consecutive_samples(family: str, size: int) -> None:
    network = discriminator(family, [Packing(size)])
    x = samples(family)
    packs = torch.stack([torch.cat(list(x[k : k + size]), 0) for k in range(0, COUNT, size)])
    torch.testing.assert_close(network(x), network.network(packs))
    with torch.no_grad():
        before = network(x)
        x[0] += 1
        assert torch.equal(network(x)[1:], before[1:])
        assert network(x)[0] != before[0]


def test_packs_of_one_change_nothing() -> None:
    network = discriminator("dcgan", [])
    assert Packing(1)(network) is network
    kwargs = {"channels": 3, "resolution": 8}
    assert Packing(1).network_kwargs(kwargs) == kwargs
    assert Packing(3).network_kwargs(kwargs) == {"channels": 9, "resolution": 8}
    assert discriminator("points", [Packing(1), Projection(CLASSES)])(samples("points"), LABELS).shape == (COUNT,)


def test_labels_are_in_the_channels_of_a_pack() -> None:
    network = discriminator("points", [Packing(2), ConcatMaps(CLASSES)])
    x, one_hot = samples("points"), torch.eye(CLASSES)[LABELS]
    packs = torch.cat([x[0::2], one_hot[0::2], x[1::2], one_hot[1::2]], 1)
    torch.testing.assert_close(network(x, LABELS), network.network.network(packs))


@pytest.mark.parametrize("wrapper", [Projection(CLASSES), AuxiliaryClassifier(CLASSES)])
@pytest.mark.parametrize("between", [[], [WithMinibatchStddev(4)]])
def test_a_pack_has_no_single_label(wrapper: Any, between: Sequence[Any]) -> None:
    with pytest.raises(ValueError) as error:
        discriminator("points", [Packing(2), *between, wrapper])
    assert str(error.value) == (
        "packing scores several samples at once, but each has its own label; set conditioning=concat or none"
    )


def test_the_pack_size_must_divide_the_batch() -> None:
    with pytest.raises(ValueError) as error:
        discriminator("points", [Packing(3)])(samples("points"))
    assert str(error.value) == (
        "wrapper.discriminator.packing.size=3 must divide the 8 samples that one process scores at a time; "
        "change it or batch_size"
    )
    with pytest.raises(ValueError, match=r"^wrapper\.discriminator\.packing\.size must be at least 1, not 0$"):
        Packing(0)


# Statistics of the batch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrapper", "extra"), [(WithMinibatchDiscrimination(4, 2), 4), (WithMinibatchStddev(4), 1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_features_of_the_batch_are_appended(family: str, wrapper: Any, extra: int) -> None:
    x = samples(family)
    plain, network = discriminator(family, []), discriminator(family, [wrapper])
    phi, wide = plain.features(x), network.features(x)
    old, new = plain.output, network.network.output
    assert wide.shape == (COUNT, phi.shape[1] + extra)
    assert torch.equal(wide[:, : phi.shape[1]], phi)
    assert torch.equal(new.weight[:, : old.in_features], old.weight)
    assert new.weight[:, old.in_features :].abs().min() > 0
    assert (new.bias is None) == (old.bias is None)
    with torch.no_grad():
        new.weight[:, old.in_features :] = 0
    torch.testing.assert_close(network(x), plain(x))
    sizes = [sum(p.numel() for p in net.parameters()) for net in (plain, network)]
    layer = 0 if extra == 1 else old.in_features * 4 * 2
    assert sizes[1] - sizes[0] == extra + layer


def test_new_weights_have_the_scale_of_the_old_ones() -> None:
    network = discriminator("dcgan", [WithMinibatchDiscrimination(1000, 1)])
    weight = network.network.output.weight.detach()[0]
    assert weight[-1000:].std().item() == pytest.approx(weight[:-1000].square().mean().sqrt().item(), rel=0.1)


def test_the_bias_of_the_output_is_kept() -> None:
    plain = discriminator("points", [])
    nn.init.constant_(plain.output.bias, 0.7)
    assert WithMinibatchStddev(4)(plain).network.output.bias.item() == pytest.approx(0.7)


def test_only_minibatch_discrimination_refuses_per_sample_penalties() -> None:
    def mixes(chain: Sequence[Any]) -> bool:
        return any(getattr(m, "mixes_samples", False) for m in discriminator("points", chain).modules())

    assert mixes([WithMinibatchDiscrimination(4, 2), SPECTRAL])
    assert not mixes([WithMinibatchStddev(4), Packing(1), SPECTRAL])


# Norms --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_is_spectrally_normalized(family: str) -> None:
    chain = [WithMinibatchDiscrimination(4, 2), Projection(CLASSES), SPECTRAL]
    network = discriminator(family, chain)
    for _ in range(300):
        for iterate in power_iterations(network):
            iterate()
    weights = [
        m.weight for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding)
    ]
    assert len(weights) == len(power_iterations(network))
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    nn.init.zeros_(network.embedding.parametrizations.weight.original)
    torch.testing.assert_close(network(samples(family), LABELS), network.network(samples(family)))


@pytest.mark.parametrize("chain", [BELOW["virtual"], BELOW["concat-virtual-spectral"], BELOW["norm-virtual-spectral"]])
@pytest.mark.parametrize("family", FAMILIES)
def test_virtual_batch_norm_does_not_mix_the_batch(family: str, chain: Sequence[Any]) -> None:
    network = generator(family, chain)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in network.modules())
    both = network(latents(), LABELS)
    torch.testing.assert_close(network(latents()[:1], LABELS[:1]), both[:1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.eval()(latents(), LABELS), both)
    network.latents.mul_(2)
    assert (network(latents(), LABELS) != both).flatten(1).any(1).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_batch_itself_is_normalized_as_by_batch_norm(family: str) -> None:
    plain, network = generator(family, []), generator(family, BELOW["virtual"])
    seen: list[Tensor] = []
    network.network.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    assert torch.equal(network(latents()), seen[0][4:])
    torch.testing.assert_close(seen[0][:4], plain(network.latents))


def test_reference_batches() -> None:
    plain = generator("points", [VirtualBatch(512, LATENT_DIM, "normal", 5.0, None)])
    assert plain.latents.shape == (512, LATENT_DIM)
    assert plain.latents.std().item() == pytest.approx(1, abs=0.05)
    assert plain.labels is None
    assert plain(latents(), LABELS).shape == (COUNT, CHANNELS)  # the network ignores the labels
    chain = [ConcatLatents(CLASSES), VirtualBatch(512, LATENT_DIM, "uniform", 0.5, CLASSES)]
    labeled = generator("points", chain)
    assert 0.45 < labeled.latents.max() <= 0.5
    assert -0.5 <= labeled.latents.min() < -0.45
    assert labeled.labels.dtype == torch.int64
    assert labeled.labels.bincount(minlength=CLASSES).min() > 512 / CLASSES - 50
    assert {"latents", "labels"} <= set(labeled.state_dict())
    with pytest.raises(ValueError, match=r"^this network is conditioned on labels"):
        labeled(latents())


def test_virtual_batch_norm_inside_conditional_batch_norm() -> None:
    network = generator("resnet", BELOW["norm-virtual-spectral"])
    layers = [m for m in network.modules() if isinstance(m, ConditionalBatchNorm)]
    assert layers
    assert all(isinstance(layer.norm, VirtualBatchNorm) for layer in layers)


def test_wrong_virtual_batches() -> None:
    with pytest.raises(ValueError) as error:
        generator("dcgan", BELOW["virtual"], "none")
    assert str(error.value) == (
        "wrapper/generator=[virtual_batch_norm] replaces batch norm, and this generator has none; "
        "set architecture.generator.norm=batch"
    )
    with pytest.raises(ValueError, match=r"^wrapper\.generator\.virtual_batch_norm\.size must be at least 1, not 0$"):
        VirtualBatch(0, LATENT_DIM, "normal", 1.0, None)
    with pytest.raises(ValueError, match=r"^latent\.distribution=cauchy is not known; choose normal or uniform$"):
        VirtualBatch(4, LATENT_DIM, "cauchy", 1.0, None)


# Configs ------------------------------------------------------------------------------------------------------------

CONF = Path(__file__).parents[2] / "conf"
WRAPPERS = sorted((CONF / "wrapper").glob("*/*.yaml"))
CONDITIONINGS = [file for file in sorted((CONF / "conditioning").glob("*.yaml")) if file.stem != "if_labeled"]
"""Configs with settings of their own; `if_labeled` chooses one of them by the data set."""
SLOTS = {
    f"wrapper.{player}.{slot}"
    for player, slots in {
        "discriminator": ("class_head", "packing", "minibatch", "synchronized_batch_norm", "spectral_norm"),
        "generator": ("synchronized_batch_norm", "virtual_batch_norm", "spectral_norm"),
    }.items()
    for slot in slots
}


def check_node(node: dict[str, Any]) -> None:
    """Check that the options of a node are exactly the arguments of its class, so all of them are visible."""
    module, _, name = node["_target_"].rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    assert set(node) - {"_target_"} == set(inspect.signature(cls).parameters)
    values = {"${latent.dim}": 7, "${latent.distribution}": "normal", "${latent.bound}": 1.0}
    of_classes = ("${conditioning.num_classes}", "${oc.select:conditioning.num_classes,null}")
    values |= dict.fromkeys((*of_classes, "${oc.select:dataset.num_classes,null}"), 3)
    values["${conditioning.generators}"] = values["${oc.select:dataset.source_channels,null}"] = 3
    values["${conditioning._target_}"] = "gan_lab.gans.conditions.Labels"
    cls(**{key: values.get(value, value) for key, value in node.items() if key != "_target_"})


@pytest.mark.parametrize("file", WRAPPERS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_wrapper_configs(file: Path) -> None:
    package, comment, *_ = file.read_text().splitlines()
    slot = package.removeprefix("# @package ")
    assert slot in SLOTS and slot.split(".")[1] == file.parent.name
    assert comment.startswith("# ")
    check_node(yaml.safe_load(file.read_text()))


WITHOUT_LABELS = {"codes", "multi_generator", "multi_agent", "source_image"}


@pytest.mark.parametrize("file", CONDITIONINGS, ids=lambda file: file.stem)
def test_conditioning_configs(file: Path) -> None:
    package, comment, *_ = file.read_text().splitlines()
    assert package == "# @package _global_"
    assert comment.startswith("# ")
    config = yaml.safe_load(file.read_text())
    nodes = [config["wrapper"][player]["conditioning"] for player in ("generator", "discriminator")]
    if file.stem == "none":
        assert nodes == [None, None]
        assert config["conditioning"]["num_classes"] is None
    else:
        if file.stem not in WITHOUT_LABELS:
            assert config["conditioning"]["num_classes"] == "${dataset.num_classes}"
        for node in [*nodes, *config.get("regularizer", {}).values()]:
            check_node(node)


def test_there_are_configs() -> None:
    assert len(WRAPPERS) == 9
    names = {"none", "concat", "projection", "shared_embedding", "mapping", "auxiliary_classifier", *WITHOUT_LABELS}
    assert {file.stem for file in CONDITIONINGS} == names
