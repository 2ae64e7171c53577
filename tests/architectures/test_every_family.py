"""Properties of all generators and discriminators, for every family."""

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.biggan import BigGANDiscriminator, BigGANGenerator
from gan_lab.architectures.biggan_deep import BigGANDeepDiscriminator, BigGANDeepGenerator
from gan_lab.architectures.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_lab.architectures.improved_cnn import ImprovedCNNDiscriminator, ImprovedCNNGenerator
from gan_lab.architectures.improved_mlp import ImprovedMLPDiscriminator, ImprovedMLPGenerator
from gan_lab.architectures.mgan import MGANDiscriminator, MGANGenerator
from gan_lab.architectures.mlp import MLPDiscriminator, MLPGenerator
from gan_lab.architectures.resnet import ResNetDiscriminator, ResNetGenerator
from gan_lab.architectures.sngan import SNGANDiscriminator, SNGANGenerator
from gan_lab.layers.maxout import Maxout
from gan_lab.layers.self_attention import SelfAttention

LATENT_DIM, CHANNELS, WIDTH = 7, 3, 8
NORMS = ["none", "batch", "layer"]


def maxout(channels: int, resolution: int | None, width: int, norm: str) -> nn.Module:
    return MLPDiscriminator(channels, resolution, width, norm, depth=2, activation="maxout")


def improved_mlp(channels: int, resolution: int | None, width: int = WIDTH, *options: Any, **more: Any) -> nn.Module:
    """Without noise, and with `width` units in the narrowest layers."""
    return ImprovedMLPDiscriminator(channels, resolution, 4 * width, *options, input_noise=0.0, noise=0.0, **more)


Pair = tuple[Callable[..., nn.Module], Callable[..., nn.Module]]
FAMILIES: dict[str, Pair] = {
    "mlp": (MLPGenerator, MLPDiscriminator),
    "maxout": (MLPGenerator, maxout),
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
    "improved_mlp": (ImprovedMLPGenerator, improved_mlp),
    "improved_cnn": (ImprovedCNNGenerator, partial(ImprovedCNNDiscriminator, input_dropout=0.0, dropout=0.0)),
    "mgan": (MGANGenerator, MGANDiscriminator),
    "resnet": (ResNetGenerator, ResNetDiscriminator),
    "sngan_cnn": (SNGANGenerator, SNGANDiscriminator),
    "sngan_resnet": (
        partial(ResNetGenerator, widths="doubling"),
        partial(ResNetDiscriminator, widths="doubling", pool="sum"),
    ),
    "sagan": (
        partial(ResNetGenerator, widths="doubling", attention_divisor=4),
        partial(ResNetDiscriminator, widths="doubling", pool="sum", hidden="output", attention_divisor=4),
    ),
    "biggan": (
        partial(BigGANGenerator, hierarchical=False, attention_resolution=16),
        partial(BigGANDiscriminator, attention_resolution=16),
    ),
    "biggan_deep": (
        partial(BigGANDeepGenerator, attention_resolution=16),
        partial(BigGANDeepDiscriminator, attention_resolution=16),
    ),
}
SIZES: dict[str, list[int | None]] = {
    "mlp": [None, 8, 28, 32],
    "maxout": [None, 28],
    "dcgan": [8, 16, 32, 64, 128],
    "improved_mlp": [None, 28],
    "improved_cnn": [16, 32],
    "mgan": [8, 32],
    "resnet": [16, 24, 32, 48, 64, 128],
    "sngan_cnn": [16, 32, 48],
    "sngan_resnet": [16, 48, 64, 96, 128],
    "sagan": [32, 48, 64],
    "biggan": [32, 64],
    "biggan_deep": [32, 64],
}
CASES = [
    pytest.param(family, size, norm, id=f"{family}-{size}-{norm}")
    for family, sizes in SIZES.items()
    for size in sizes
    for norm in NORMS
]
SMALLEST = [pytest.param(family, sizes[0], id=f"{family}-{sizes[0]}") for family, sizes in SIZES.items()] + [
    pytest.param("mlp", 8, id="mlp-8"),
    pytest.param("dcgan", 16, id="dcgan-16"),
]
CONVOLUTIONAL = [
    pytest.param("dcgan", 16, id="dcgan"),
    pytest.param("improved_cnn", 16, id="improved_cnn"),
    pytest.param("resnet", 32, id="resnet"),
    pytest.param("sngan_cnn", 16, id="sngan_cnn"),
    pytest.param("sagan", 32, id="sagan"),
    pytest.param("biggan", 32, id="biggan"),
    pytest.param("biggan_deep", 32, id="biggan_deep"),
]


def make_generator(family: str, size: int | None, norm: str) -> Any:
    torch.manual_seed(0)
    network = FAMILIES[family][0](LATENT_DIM, CHANNELS, size, WIDTH, norm)
    enable_attention(network)
    return network


def make_discriminator(family: str, size: int | None, norm: str) -> Any:
    torch.manual_seed(1)
    network = FAMILIES[family][1](CHANNELS, size, WIDTH, norm)
    if family == "dcgan":
        # N(0, 0.02^2) weights in such a narrow network give logits of 1e-6, too small for comparisons.
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight, 2.0)
    enable_attention(network)
    return network


def enable_attention(network: nn.Module) -> None:
    """Set the scale of attention, which starts as the identity: its matrices then have no gradient."""
    for layer in network.modules():
        if isinstance(layer, SelfAttention):
            nn.init.constant_(layer.gamma, 0.5)


def samples(size: int | None, count: int = 4) -> Tensor:
    shape = (count, CHANNELS) if size is None else (count, CHANNELS, size, size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


def latents(count: int = 4) -> Tensor:
    return torch.randn(count, LATENT_DIM, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("family", "size", "norm"), CASES)
def test_generator_output(family: str, size: int | None, norm: str) -> None:
    network = make_generator(family, size, norm)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # beyond [-1, 1], unless tanh comes last
        output = network(latents())
    assert output.dtype == torch.float32
    if size is None:
        assert output.shape == (4, CHANNELS)
        assert output.abs().max() > 1
    else:
        assert output.shape == (4, CHANNELS, size, size)
        assert output.abs().max() <= 1
        assert output.std() > 0


@pytest.mark.parametrize(("family", "size", "norm"), CASES)
def test_discriminator_output(family: str, size: int | None, norm: str) -> None:
    network = make_discriminator(family, size, norm)
    with torch.no_grad():
        logits = network(samples(size))
        features = network.features(samples(size))
        assert logits.shape == (4,)
        assert logits.dtype == torch.float32
        assert features.dim() == 2
        assert len(features) == 4
        # Logits are a linear function of the features, so the network has no sigmoid.
        torch.testing.assert_close(network.output(features).squeeze(1), logits)
    assert logits.std() > 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("family", "size"), SMALLEST)
def test_every_parameter_gets_a_gradient(family: str, size: int | None, norm: str) -> None:
    generator, discriminator = make_generator(family, size, norm), make_discriminator(family, size, norm)
    discriminator(generator(latents(8))).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            # A bias before batch norm has the gradient 0 in exact arithmetic.
            if norm == "none" or parameter.dim() > 1:
                assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("family", "size"), SMALLEST)
def test_only_batch_norm_mixes_samples(family: str, size: int | None, norm: str) -> None:
    network = make_discriminator(family, size, norm)
    x = samples(size).requires_grad_()
    rows = [torch.autograd.grad(logit, x, retain_graph=True)[0].flatten(1).abs().amax(1) for logit in network(x)]
    jacobian = torch.stack(rows)  # (n, n): the largest derivative of logit i by sample j
    assert (jacobian.diagonal() > 0).all()
    others = jacobian[~torch.eye(4, dtype=torch.bool)]
    # DCGAN at 8 pixels has a single block and no norm.
    if norm == "batch" and (family, size) != ("dcgan", 8):
        assert (others > 0).all()
    else:
        assert (others == 0).all()
        torch.testing.assert_close(network(x)[:2], network(x[:2]))


def penalty_gradients(network: Any, x: Tensor) -> dict[str, Tensor]:
    """Gradients of a gradient penalty by the parameters; 0 for parameters without a gradient."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, gradients, strict=True)}


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(("family", "size"), SMALLEST)
def test_double_backward(family: str, size: int | None, norm: str) -> None:
    network = make_discriminator(family, size, norm).double()
    x = samples(size).double()
    gradients = penalty_gradients(network, x)
    assert all(torch.isfinite(g).all() for g in gradients.values())
    assert all(g.abs().max() > 0 for n, g in gradients.items() if n.endswith("weight") and "norm" not in n)
    # Central difference in the direction of the gradient of the output layer, which the penalty depends on smoothly.
    weight = network.get_parameter("output.weight")
    direction = gradients["output.weight"] / gradients["output.weight"].norm()

    def penalty(step: float) -> Tensor:
        y = x.clone().requires_grad_()
        with torch.no_grad():
            weight.add_(step * direction)
        (slope,) = torch.autograd.grad(network(y).sum(), y)
        with torch.no_grad():
            weight.sub_(step * direction)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    difference = (penalty(1e-5) - penalty(-1e-5)) / 2e-5
    torch.testing.assert_close(difference, gradients["output.weight"].norm(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(("family", "size"), CONVOLUTIONAL)
def test_double_backward_in_both_memory_formats(family: str, size: int, norm: str) -> None:
    network = make_discriminator(family, size, norm)
    reference = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    x = samples(size)
    expected = penalty_gradients(reference, x)
    for given in (x, x.to(memory_format=torch.channels_last)):
        for name, gradient in penalty_gradients(network, given).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("family", "size"), CONVOLUTIONAL)
def test_memory_format_of_the_input_does_not_matter(family: str, size: int, norm: str) -> None:
    network = make_discriminator(family, size, norm)
    x = samples(size)
    torch.testing.assert_close(network(x), network(x.to(memory_format=torch.channels_last)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("family", "size"), CONVOLUTIONAL)
def test_convolutional_networks_are_channels_last(family: str, size: int) -> None:
    for network in (make_generator(family, size, "batch"), make_discriminator(family, size, "batch")):
        weights = [p for p in network.parameters() if p.dim() == 4]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    images = make_generator(family, size, "batch")(latents())
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("family", "size"), SMALLEST)
def test_deep_copies_are_equal_and_independent(family: str, size: int | None) -> None:
    for network, x in (
        (make_generator(family, size, "batch"), latents()),
        (make_discriminator(family, size, "batch"), samples(size)),
    ):
        network(x)
        network.eval()
        twin = copy.deepcopy(network)
        assert torch.equal(twin(x), network(x))
        before = network(x)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.add_(1)
        assert torch.equal(network(x), before)


@pytest.mark.parametrize(("family", "size"), SMALLEST)
def test_state_dict_round_trip(family: str, size: int | None) -> None:
    for make, x in ((make_generator, latents()), (make_discriminator, samples(size))):
        network = make(family, size, "batch")
        network(x)  # changes the running statistics
        file = io.BytesIO()
        torch.save(network.state_dict(), file)
        file.seek(0)
        other = make(family, size, "batch")
        with torch.no_grad():
            for tensor in other.state_dict().values():
                tensor.zero_()
        other.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(other.eval()(x), network.eval()(x))


@pytest.mark.parametrize(("family", "size"), SMALLEST)
def test_init_and_its_scale_reach_every_layer(family: str, size: int | None) -> None:
    generator, discriminator = FAMILIES[family]
    if family == "maxout":
        discriminator = MLPDiscriminator
    for network in (
        generator(LATENT_DIM, CHANNELS, size, WIDTH, "batch", "uniform", 0.0),
        discriminator(CHANNELS, size, WIDTH, "batch", "uniform", 0.0),
    ):
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | Maxout)]
        assert layers
        named = (each for layer in layers for each in layer.named_parameters())
        assert all(torch.count_nonzero(p) == 0 for name, p in named if not name.endswith(".length"))  # of weight norm


@pytest.mark.parametrize(("family", "size"), SMALLEST)
@pytest.mark.parametrize(("key", "message"), [("norm", "norm must be one of"), ("init", "init must be one of")])
def test_unknown_choices_are_refused(family: str, size: int | None, key: str, message: str) -> None:
    generator, discriminator = FAMILIES[family]
    if family == "maxout":
        discriminator = MLPDiscriminator
    with pytest.raises(ValueError, match=message):
        generator(LATENT_DIM, CHANNELS, size, **{key: "nonsense"})
    with pytest.raises(ValueError, match=message):
        discriminator(CHANNELS, size, **{key: "nonsense"})


@pytest.mark.parametrize(
    ("family", "wrong", "choice"),
    [
        ("dcgan", 28, 32),
        ("dcgan", 4, 8),
        ("dcgan", 0, 8),
        ("dcgan", -8, 8),
        ("dcgan", 96, 128),
        ("dcgan", 2048, 1024),
        ("resnet", 8, 16),
        ("resnet", 28, 32),
        ("resnet", 40, 48),
        ("resnet", 2048, 1024),
        ("sngan_cnn", 8, 16),
        ("sngan_cnn", 28, 32),
        ("sngan_cnn", 44, 48),
        ("sngan_cnn", 256, 128),
        ("biggan", 16, 32),
        ("biggan", 96, 128),
        ("biggan_deep", 1024, 512),
    ],
)
def test_wrong_resolutions_are_refused(family: str, wrong: int, choice: int) -> None:
    allowed = {
        "dcgan": "architecture=dcgan needs dataset.resolution to be a power of two from 8 to 1024",
        "resnet": "residual networks need dataset.resolution to be one of 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, "
        "512, 768, 1024",
        "sngan_cnn": "architecture=sngan_cnn needs dataset.resolution to be a multiple of 8 from 16 to 128",
        "biggan": "architecture=biggan needs dataset.resolution to be one of 32, 64, 128, 256, 512",
        "biggan_deep": "architecture=biggan_deep needs dataset.resolution to be one of 32, 64, 128, 256, 512",
    }
    sentence = f"{allowed[family]}, not {wrong}; set dataset.resolution={choice}"
    for make in (lambda: make_generator(family, wrong, "none"), lambda: make_discriminator(family, wrong, "none")):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("family", "network_and_verb"),
    [
        ("dcgan", "architecture=dcgan generates"),
        ("resnet", "residual networks generate"),
        ("sngan_cnn", "architecture=sngan_cnn generates"),
        ("biggan", "architecture=biggan generates"),
        ("biggan_deep", "architecture=biggan_deep generates"),
    ],
)
def test_points_are_refused_by_image_networks(family: str, network_and_verb: str) -> None:
    need = "need" if family == "resnet" else "needs"
    sentence = f"{network_and_verb} images and {need} a resolution, which points do not have; set architecture=mlp"
    for make in (lambda: make_generator(family, None, "none"), lambda: make_discriminator(family, None, "none")):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == sentence
