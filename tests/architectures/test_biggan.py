"""Networks of BigGAN and BigGAN-deep: parameter counts, layer tables, formulas, inputs of blocks."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.biggan import BigGANDiscriminator, BigGANGenerator
from gan_lab.architectures.biggan import UpBlock as Block
from gan_lab.architectures.biggan_deep import (
    BigGANDeepDiscriminator,
    BigGANDeepGenerator,
    DeepDownBlock,
    DeepUpBlock,
)
from gan_lab.architectures.conditioning import ConcatLatents, ConditionalNorm, Projection, SharedEmbedding
from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.layers.modulated_norm import ModulatedNorm
from gan_lab.layers.self_attention import SelfAttention
from gan_lab.layers.spectral_norm import SpectralNorm


def build(cls: type[nn.Module], kwargs: dict[str, Any], *chain: Any) -> Any:
    """Build a network with its wrappers, like `gan_lab.config.build`."""
    for wrapper in reversed(chain):
        kwargs = wrapper.network_kwargs(kwargs)
    network: nn.Module = cls(**kwargs)
    for wrapper in chain:
        network = wrapper(network)
    return network


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def counts(pair: Sequence[type[nn.Module]], resolution: int, width: int, latent_dim: int) -> tuple[int, int]:
    """Parameter counts of both networks for the 1,000 classes of ImageNet, without allocating memory."""
    generator = {"latent_dim": latent_dim, "channels": 3, "resolution": resolution, "width": width, "init": "default"}
    if pair[0] is BigGANGenerator:
        generator["label_dim"] = 0
    discriminator = {"channels": 3, "resolution": resolution, "width": width, "init": "default"}
    with torch.device("meta"):
        return count(build(pair[0], generator, SharedEmbedding(1000))), count(
            build(pair[1], discriminator, Projection(1000))
        )


BIGGAN = (BigGANGenerator, BigGANDiscriminator)
DEEP = (BigGANDeepGenerator, BigGANDeepDiscriminator)


@pytest.mark.parametrize(
    ("pair", "resolution", "width", "latent_dim", "expected"),
    [
        (BIGGAN, 128, 96, 120, (70_433_988, 87_982_370)),
        (BIGGAN, 256, 96, 140, (82_235_844, 99_225_890)),
        # Another implementation has 98,801,378 parameters in the discriminator, without 1x1 convolutions in the skips
        # of the blocks with equal channels (768 and 96).
        (BIGGAN, 512, 96, 160, (82_468_068, 98_801_378 + 768 * 769 + 96 * 97)),
        (DEEP, 128, 128, 128, (50_244_484, 34_590_210)),
        (DEEP, 256, 128, 128, (55_736_708, 38_247_426)),
    ],
)
def test_parameter_counts(pair: Any, resolution: int, width: int, latent_dim: int, expected: tuple[int, int]) -> None:
    assert counts(pair, resolution, width, latent_dim) == expected


def test_parameter_counts_for_cifar() -> None:
    """The code's script has no shared embedding, but gains and shifts per class in the blocks.

    They are the tables of ConditionalNorm, or matrices on the one-hot label, which have as many entries.
    """
    kwargs = {"channels": 3, "resolution": 32, "width": 64, "init": "normal", "init_scale": 0.02}
    generator = kwargs | {"latent_dim": 128, "hierarchical": False, "label_dim": 0}
    assert count(build(BigGANGenerator, generator, ConcatLatents(10))) == 4_304_387
    assert count(build(BigGANDiscriminator, kwargs, Projection(10))) == 4_207_361
    assert count(build(BigGANGenerator, generator, ConditionalNorm(10))) == 4_304_387


def maps(network: nn.Module, x: Tensor, kinds: tuple[type[nn.Module], ...]) -> list[tuple[int, int]]:
    """Channels and resolution of the outputs of all layers of these kinds, in the order of the computation."""
    seen: list[tuple[int, int]] = []
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda module, args, output: seen.append((output.shape[1], output.shape[2])))
    with torch.no_grad():
        network(x)
    return seen


GENERATORS = {
    32: [(4, 8), (4, 16), (4, 32)],
    64: [(16, 8), (8, 16), (4, 32), (2, 64)],
    128: [(16, 8), (8, 16), (4, 32), (2, 64), (1, 128)],
}
DISCRIMINATORS = {
    32: [(4, 16), (4, 8), (4, 8), (4, 8)],
    64: [(1, 32), (2, 16), (4, 8), (8, 4), (16, 4)],
    128: [(1, 64), (2, 32), (4, 16), (8, 8), (16, 4), (16, 4)],
}


@pytest.mark.parametrize("resolution", GENERATORS)
def test_layers_of_biggan(resolution: int) -> None:
    """At width 4; attention at 16x16, so all resolutions have it."""
    chunks = len(GENERATORS[resolution]) + 1
    generator = BigGANGenerator(2 * chunks, 3, resolution, 4, attention_resolution=16)
    discriminator = BigGANDiscriminator(3, resolution, 4, attention_resolution=16)
    kinds = (nn.Linear, type(generator.blocks[0]), SelfAttention)
    assert generator.project.out_features == 16 * 4 * (4 if resolution == 32 else 16)
    found = maps(generator, torch.randn(2, 2 * chunks), kinds[1:])
    expected = [(4 * c, s) for c, s in GENERATORS[resolution]]
    at = expected.index(next(m for m in expected if m[1] == 16))
    assert found == expected[: at + 1] + expected[at:]  # attention keeps the shape of its map
    found = maps(
        discriminator,
        torch.randn(1, 3, resolution, resolution),
        (type(discriminator.input), type(discriminator.blocks[0]), SelfAttention),
    )
    expected = [(4 * c, s) for c, s in DISCRIMINATORS[resolution]]
    at = expected.index(next(m for m in expected if m[1] == 16))
    assert found == expected[: at + 1] + expected[at:]


@pytest.mark.parametrize(
    ("resolution", "down", "up"),
    [
        (128, [1, 2, 2, 4, 4, 8, 8, 16, 16, 16, 16], [16, 16, 16, 16, 8, 8, 4, 4, 2, 2, 1]),
        (256, [1, 2, 2, 4, 4, *[8] * 4, *[16] * 4], [*[16] * 4, *[8] * 4, 4, 4, 2, 2, 1]),
        (512, [1, 1, 1, 2, 2, 4, 4, *[8] * 4, *[16] * 4], [*[16] * 4, *[8] * 4, 4, 4, 2, 2, 1, 1, 1]),
    ],
)
def test_blocks_of_biggan_deep(resolution: int, down: list[int], up: list[int]) -> None:
    """The paper's lists: each pair of consecutive entries is a block; every second block changes the resolution."""
    with torch.device("meta"):
        generator, discriminator = BigGANDeepGenerator(8, 3, resolution, 4), BigGANDeepDiscriminator(3, resolution, 4)
    blocks = [b for pair in zip(generator.keeping, generator.doubling, strict=True) for b in pair]
    assert [(b.conv1.in_channels, b.conv4.out_channels) for b in blocks] == [(4 * a, 4 * b) for a, b in pairwise(up)]
    assert [b.up for b in blocks] == [False, True] * (len(blocks) // 2)
    assert 4 * 2 ** (len(blocks) // 2) == resolution
    blocks = [b for pair in zip(discriminator.widening, discriminator.keeping, strict=True) for b in pair]
    assert [(b.conv1.in_channels, b.conv4.out_channels) for b in blocks] == [(4 * a, 4 * b) for a, b in pairwise(down)]
    assert [isinstance(b.pool, nn.AvgPool2d) for b in blocks] == [True, False] * (len(blocks) // 2)
    assert resolution // 2 ** (len(blocks) // 2) == 4
    attention = [layer for layer in generator.attentions if isinstance(layer, SelfAttention)]
    assert [layer.query.in_channels for layer in attention] == [4 * {128: 2, 256: 4, 512: 4}[resolution]]


def batch_norm(x: Tensor) -> Tensor:
    centered = x - x.mean((0, 2, 3), keepdim=True)
    return centered / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()


def modulated(layer: ModulatedNorm, x: Tensor, c: Tensor) -> Tensor:
    """BN(x) (1 + A c) + B c, computed from the parameters."""
    assert layer.gain is not None and layer.shift is not None
    gain = torch.einsum("oi,ni->no", layer.gain.weight, c)
    shift = torch.einsum("oi,ni->no", layer.shift.weight, c)
    return (batch_norm(x) * (1 + gain[..., None, None]) + shift[..., None, None]).clamp(min=0)


def test_norm_of_a_zero_condition_is_the_plain_norm() -> None:
    layer, x = ModulatedNorm("batch", 4, 3), torch.randn(5, 4, 6, 6)
    torch.testing.assert_close(layer(x, torch.zeros(5, 3)), batch_norm(x))
    assert not torch.allclose(layer(x, torch.ones(5, 3)), batch_norm(x))
    assert {name for name, _ in layer.named_parameters()} == {"gain.weight", "shift.weight"}


def test_formulas_of_the_blocks() -> None:
    """Against functional code in the order of the paper's figure: the skip upsamples before its 1x1 convolution."""
    torch.manual_seed(0)
    x, c = torch.randn(3, 8, 4, 4, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)

    def conv(layer: nn.Conv2d, h: Tensor) -> Tensor:
        return F.conv2d(h, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2)

    def twice(h: Tensor) -> Tensor:
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3)

    block = Block(8, 6, "batch", 5).double()
    h = conv(block.conv1, twice(modulated(block.norm1, x, c)))
    h = conv(block.conv2, modulated(block.norm2, h, c))
    torch.testing.assert_close(block(x, c), h + conv(block.skip, twice(x)))
    for up in (True, False):
        deep = DeepUpBlock(8, 6, "batch", 5, up).double()
        h = modulated(deep.norm2, conv(deep.conv1, modulated(deep.norm1, x, c)), c)
        h = conv(deep.conv2, twice(h) if up else h)
        h = conv(deep.conv4, modulated(deep.norm4, conv(deep.conv3, modulated(deep.norm3, h, c)), c))
        torch.testing.assert_close(deep(x, c), h + (twice(x) if up else x)[:, :6])
    down = DeepDownBlock(8, 12, "none", True).double()
    h = conv(down.conv2, conv(down.conv1, x.clamp(min=0)).clamp(min=0))
    h = F.avg_pool2d(conv(down.conv3, h.clamp(min=0)).clamp(min=0), 2)
    pooled = F.avg_pool2d(x, 2)
    assert down.further is not None
    torch.testing.assert_close(down(x), conv(down.conv4, h) + torch.cat([pooled, conv(down.further, pooled)], 1))


def test_a_chunk_of_the_latent_affects_its_block_and_the_following_ones() -> None:
    """Four chunks at 32 pixels: the first is for the first layer, chunk k for block k; the label is for all blocks."""
    torch.manual_seed(0)
    network = BigGANGenerator(4 * 3 + 2, 3, 32, 8, label_dim=2).eval()
    seen: list[Tensor] = []
    for layer in (network.project, *network.blocks):
        layer.register_forward_hook(lambda module, args, output: seen.append(output))
    base = torch.randn(1, 14)

    def outputs(**changed: slice) -> list[Tensor]:
        latents = base.clone()
        for place in changed.values():
            latents[:, place] += 1
        seen.clear()
        with torch.no_grad():
            network(latents)
        return list(seen)

    plain = outputs()
    for chunk in range(4):
        changes = [
            not torch.equal(a, b) for a, b in zip(plain, outputs(chunk=slice(3 * chunk, 3 * chunk + 3)), strict=True)
        ]
        assert changes == [False] * chunk + [True] * (4 - chunk)
    changes = [not torch.equal(a, b) for a, b in zip(plain, outputs(label=slice(12, 14)), strict=True)]
    assert changes == [False, True, True, True]


def test_without_hierarchy_the_norms_depend_on_the_label_alone() -> None:
    network = BigGANGenerator(10 + 2, 3, 32, 8, hierarchical=False, label_dim=2)
    assert network.project.in_features == 10
    assert {layer.gain.in_features for layer in network.modules() if isinstance(layer, ModulatedNorm)} == {2}
    plain = BigGANGenerator(10, 3, 32, 8, hierarchical=False)
    assert sum(isinstance(layer, nn.BatchNorm2d) and layer.affine for layer in plain.modules()) == 7


@pytest.mark.parametrize("cls", [BigGANGenerator, BigGANDeepGenerator])
def test_the_shared_embedding_is_in_every_conditional_norm(cls: Any) -> None:
    kwargs = {"latent_dim": 8, "channels": 3, "resolution": 32, "width": 8}
    if cls is BigGANGenerator:
        kwargs["label_dim"] = 0
    network = build(cls, kwargs, SharedEmbedding(10, 6), SpectralNormalization())
    sizes = {layer.gain.in_features for layer in network.modules() if isinstance(layer, ModulatedNorm)}
    assert sizes == {6 + (2 if cls is BigGANGenerator else 8)}
    normalized = {name for name, layer in network.named_modules() if isinstance(layer, SpectralNorm)}
    gains = {name for name, layer in network.named_modules() if name.endswith((".gain", ".shift"))}
    assert gains and all(f"{name}.parametrizations.weight.0" in normalized for name in gains)
    # The embedding is a plain parameter: neither normalized nor regularized as a layer.
    assert dict(network.named_parameters())["vectors"].shape == (10, 6)
    torch.testing.assert_close(network.vectors.T @ network.vectors, torch.eye(6))
    latents = torch.randn(1, 8).expand(4, -1)
    images = network.eval()(latents, torch.tensor([1, 1, 2, 3]))
    assert torch.allclose(images[0], images[1], atol=1e-6) and not torch.allclose(images[0], images[2], atol=1e-3)


def test_the_discriminators_embedding_is_normalized_and_starts_orthogonal() -> None:
    kwargs = {"channels": 3, "resolution": 32, "width": 8}
    network = build(BigGANDiscriminator, kwargs, Projection(10, "orthogonal"))
    vectors = network.embedding.weight
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(10))
    network = SpectralNormalization()(network)
    assert isinstance(network.embedding.parametrizations.weight[0], SpectralNorm)
    with pytest.raises(ValueError, match=r"conditioning\.init=he is not known; choose glorot or orthogonal"):
        Projection(10, "he")


def test_every_weight_starts_orthogonal() -> None:
    for network in (
        BigGANGenerator(12, 3, 64, 8, hierarchical=False),
        *(cls(3, 32, 8) for cls in (BIGGAN[1], DEEP[1])),
    ):
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                weight = layer.weight.detach().flatten(1)
                gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
                torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)


def test_features_are_sums_over_the_pixels() -> None:
    for cls in (BigGANDiscriminator, BigGANDeepDiscriminator):
        network = cls(3, 32, 8)
        seen: list[Tensor] = []
        last = network.blocks[-1] if cls is BigGANDiscriminator else network.keeping[-1]
        last.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output))
        features = network.features(torch.randn(2, 3, 32, 32))
        torch.testing.assert_close(features, seen[0].clamp(min=0).sum((2, 3)))


def test_no_relu_works_in_place_before_a_skip() -> None:
    x = torch.linspace(-1, 2, 128).view(2, 4, 4, 4)
    for block in (Block(4, 4, "none", 0), DeepUpBlock(4, 4, "none", 0, True), DeepDownBlock(4, 4, "none", True)):
        before = x.clone()
        block(x, torch.zeros(2, 0)) if not isinstance(block, DeepDownBlock) else block(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"latent_dim": 121},
            r"latent\.dim=121 cannot be split into 4 equal chunks.*set latent\.dim=80, or architecture\.gen",
        ),
        ({"latent_dim": 0}, r"latent\.dim=0 cannot be split"),
        ({"attention_resolution": 48}, r"attention_resolution must be null or one of 4, 8, 16, .*512, not 48"),
        ({"attention_form": "nonsense"}, "attention_form must be one of paper, code"),
    ],
)
def test_wrong_options_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        BigGANGenerator(**{"latent_dim": 120, "channels": 3, "resolution": 32, **settings})


def test_no_attention_if_no_map_has_its_resolution() -> None:
    assert not any(isinstance(m, SelfAttention) for m in BigGANGenerator(12, 3, 32, 8).modules())
    assert not any(isinstance(m, SelfAttention) for m in BigGANDiscriminator(3, 64, 8).modules())
    assert sum(isinstance(m, SelfAttention) for m in BigGANGenerator(15, 3, 64, 8).modules()) == 1
