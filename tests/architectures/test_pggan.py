"""ProGAN's networks: the paper's sizes, and continuous growing."""

import copy
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.pggan import ProGANDiscriminator, ProGANGenerator, fmaps
from gan_lab.layers.growing import downsample_2x, upsample_2x
from gan_lab.layers.pixel_norm import PixelNorm
from gan_lab.types import Stage

RESOLUTIONS = [8, 16, 32, 64, 128, 256, 512, 1024]


def count(network: nn.Module, *without: nn.Module) -> int:
    left_out = {id(p) for part in without for p in part.parameters()}
    return sum(p.numel() for p in network.parameters() if id(p) not in left_out)


def make(resolution: int = 16, **options) -> tuple[ProGANGenerator, ProGANDiscriminator]:
    torch.manual_seed(0)
    return ProGANGenerator(5, 3, resolution, 8, **options), ProGANDiscriminator(
        3, resolution, 8, minibatch_group=2, **options
    )


def latents(count: int = 4) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(1))


def images(resolution: int, count: int = 4) -> Tensor:
    return torch.rand(count, 3, resolution, resolution, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_channels_of_the_paper() -> None:
    assert [fmaps(s, 8192, 1.0, 512) for s in [4, *RESOLUTIONS]] == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert [fmaps(s, 4096, 1.0, 128) for s in (4, 8, 16, 32)] == [128] * 4  # the authors' CIFAR networks
    assert [fmaps(s, 2048, 1.0, 512) for s in (4, 32, 64, 128)] == [512, 128, 64, 32]  # those of Table 1
    assert fmaps(16, 100, 0.5, 512) == 35  # 100 / sqrt(8)


def test_parameter_counts_of_the_paper() -> None:
    with torch.device("meta"):
        generator, discriminator = ProGANGenerator(512, 3, 1024), ProGANDiscriminator(3, 1024)
    assert count(generator) == 23_079_115
    assert count(generator, *generator.to_image[:-1]) == 23_071_507
    assert count(discriminator) == 23_087_249
    assert count(discriminator, *discriminator.from_image[:-1]) == 23_077_137


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_stage_of_every_resolution(resolution: int) -> None:
    generator, discriminator = ProGANGenerator(5, 3, resolution, 4), ProGANDiscriminator(3, resolution, 4)
    z = latents(2)
    for size in generator.resolutions:
        for alpha in (1.0,) if size == 4 else (0.5, 1.0):
            for network in (generator, discriminator):
                network.grow(Stage(size, alpha))
            with torch.no_grad():
                drawn = generator.train()(z)
                assert drawn.shape == (2, 3, size, size) and drawn.std() > 0
                assert discriminator(drawn).shape == (2,)
    assert size == resolution


@pytest.mark.parametrize("norm", ["pixel", "none", "batch", "layer"])
@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_a_new_resolution_starts_as_the_old_one_bit_for_bit(resolution: int, norm: str) -> None:
    generator = ProGANGenerator(5, 3, 32, 8, norm)
    discriminator = ProGANDiscriminator(3, 32, 8, "none" if norm == "pixel" else norm)
    z, x = latents(), images(resolution)
    for network in (generator, discriminator):
        network.grow(Stage(resolution // 2))
    old_images, old_logits = generator(z), discriminator(downsample_2x(x))
    for network in (generator, discriminator):
        network.grow(Stage(resolution, 0.0))
    assert torch.equal(generator(z), upsample_2x(old_images))
    assert torch.equal(discriminator(x), old_logits)


@pytest.mark.parametrize("resolution", [8, 16])
def test_a_faded_in_resolution_does_not_depend_on_the_old_one(resolution: int) -> None:
    """At alpha 1 the image layers of the previous resolution have no effect and get no gradient."""
    generator, discriminator = make()
    z, x = latents(), images(resolution)
    for network in (generator, discriminator):
        network.grow(Stage(resolution, 1.0))
    before = generator(z), discriminator(x)
    old = [generator.to_image[generator.level - 1], discriminator.from_image[generator.level - 1]]
    with torch.no_grad():
        for layer in old:
            for parameter in layer.parameters():
                parameter.add_(7)
    drawn, logits = generator(z), discriminator(x)
    assert torch.equal(drawn, before[0]) and torch.equal(logits, before[1])
    (drawn.sum() + logits.sum()).backward()
    assert all(p.grad is None for layer in old for p in layer.parameters())


def test_the_fade_is_linear() -> None:
    generator, discriminator = make()
    z, x = latents(), images(16)
    # The discriminator blends the maps that its last block reads.
    maps: list[Tensor] = []
    discriminator.blocks[0].register_forward_pre_hook(lambda _, args: maps.append(args[0]))
    drawn = []
    for alpha in (0.0, 0.25, 1.0):
        for network in (generator, discriminator):
            network.grow(Stage(16, alpha))
        drawn.append(generator(z))
        discriminator(x)
    for begin, between, end in (drawn, maps):
        torch.testing.assert_close(between, 0.75 * begin + 0.25 * end)
        assert (end - begin).abs().max() > 1e-3


def test_only_layers_of_the_stage_get_a_gradient() -> None:
    generator, discriminator = make(32)
    for network in (generator, discriminator):
        network.grow(Stage(16, 0.5))
    discriminator(generator(latents())).sum().backward()
    trained = {
        name for network in (generator, discriminator) for name, p in network.named_parameters() if p.grad is not None
    }
    assert not any(name.startswith(("to_image.3", "from_image.3", "to_image.0", "from_image.0")) for name in trained)
    assert not any(name.startswith("blocks.3") for name, p in generator.named_parameters() if p.grad is not None)
    assert not any(name.startswith("blocks.2") for name, p in discriminator.named_parameters() if p.grad is not None)
    for network in (generator, discriminator):
        for name, p in network.named_parameters():
            assert p.grad is None or (torch.isfinite(p.grad).all() and p.grad.abs().max() > 0), name
    assert {
        "to_image.1.bias",
        "to_image.2.bias",
        "from_image.1.bias",
        "from_image.2.bias",
        "output.bias",
    } <= trained


def test_evaluation_mode_gives_full_resolution_in_range() -> None:
    generator, _ = make(32)
    generator.grow(Stage(8, 0.5))
    with torch.no_grad():
        generator.to_image[1].bias.fill_(2.0)
        drawn, shown = generator(latents()), generator.eval()(latents())
    assert drawn.shape == (4, 3, 8, 8) and drawn.max() > 1
    assert shown.shape == (4, 3, 32, 32)
    assert torch.equal(shown, drawn.clamp(-1, 1).repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_saved_networks_are_loaded_at_their_stage() -> None:
    for saved, fresh, x in zip(make(), make(), (latents(), images(8)), strict=True):
        saved.grow(Stage(8, 0.25))
        expected = saved(x)
        fresh.load_state_dict(saved.state_dict())
        twin = copy.deepcopy(saved)
        assert fresh.stage == twin.stage == Stage(8, 0.25)
        assert torch.equal(fresh(x), expected) and torch.equal(twin(x), expected)


def test_equalized_gains() -> None:
    """sqrt(2) before leaky ReLU, 1 for images and logits; the fan-in of the latent's layer counts all 16 taps."""
    generator, discriminator = ProGANGenerator(512, 3, 16, 8), ProGANDiscriminator(3, 16, 8)

    def scale(layer: nn.Module) -> float:
        return layer.get_submodule("parametrizations.weight.0").scale

    assert scale(generator.blocks[0].project) == pytest.approx(sqrt(2) / 4 / sqrt(512))
    assert scale(generator.blocks[1].conv1) == pytest.approx(sqrt(2 / 72))
    assert all(scale(layer) == pytest.approx(1 / sqrt(8)) for layer in generator.to_image)
    assert all(scale(layer) == pytest.approx(sqrt(2 / 3)) for layer in discriminator.from_image)
    assert scale(discriminator.end.conv) == pytest.approx(sqrt(2 / 81))
    assert scale(discriminator.end.linear) == pytest.approx(sqrt(2 / 128))
    assert scale(discriminator.output) == pytest.approx(1 / sqrt(8))
    for network in (generator, discriminator):
        stored = torch.cat([p.flatten() for p in network.parameters() if p.dim() > 1])
        assert stored.std().item() == pytest.approx(1, rel=0.02)
        assert all(torch.count_nonzero(p) == 0 for p in network.parameters() if p.dim() == 1)


def test_the_fused_order_is_one_strided_convolution() -> None:
    """Four shifted copies of a 3x3 kernel, averaged, are a 4x4 kernel of stride 2, then bias and leaky ReLU."""
    discriminator, plain = ProGANDiscriminator(3, 16, 8, fused_scale=True), ProGANDiscriminator(3, 16, 8)
    plain.load_state_dict(discriminator.state_dict())
    for block, other in zip(discriminator.blocks, plain.blocks, strict=True):
        with torch.no_grad():
            block.conv2.bias.normal_(generator=torch.Generator().manual_seed(5))
            x = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(6))
            h = torch.nn.functional.leaky_relu(block.conv1(x), 0.2)
            corners = [(0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0)]
            kernel = sum(torch.nn.functional.pad(block.conv2.weight, corner) for corner in corners) / 4
            expected = torch.nn.functional.conv2d(h, kernel, block.conv2.bias, stride=2, padding=1)
            torch.testing.assert_close(block(x), torch.nn.functional.leaky_relu(expected, 0.2))
            assert (block(x) - other(x)).abs().max() > 1e-3


def test_other_initialization_schemes() -> None:
    for network in make(init="uniform", init_scale=0.5):
        assert not any("parametrizations" in name for name, _ in network.named_parameters())
        largest = max(p.abs().max().item() for p in network.parameters())
        assert 0.45 < largest <= 0.5


def test_pixel_norm_follows_every_layer_of_the_generator_and_the_latent() -> None:
    generator, _ = make(32)
    norms = [m for m in generator.modules() if isinstance(m, PixelNorm)]
    assert len(norms) == 1 + 2 * 4
    seen: list[Tensor] = []
    for norm in norms:
        norm.register_forward_hook(lambda _, args, output: seen.append(output.square().mean(1)))
    generator(latents())
    assert len(seen) == 9
    assert all(torch.allclose(squares, torch.ones(()), atol=1e-4) for squares in seen)
    assert torch.allclose(generator(3 * latents()), generator(latents()), atol=1e-5)


def test_the_group_of_the_minibatch_standard_deviation() -> None:
    x = images(16, 8)
    other = torch.cat([x[:4], images(16, 12)[8:]])  # other samples in the second half

    def changed(group: int | None) -> list[bool]:
        torch.manual_seed(0)
        network = ProGANDiscriminator(3, 16, 8, minibatch_group=group)
        return ((network(x) - network(other)).abs() > 1e-6).tolist()

    assert changed(4) == [False] * 4 + [True] * 4
    assert changed(None) == [True] * 8


def test_double_backward_while_fading() -> None:
    _, discriminator = make()
    discriminator.double().grow(Stage(16, 0.5))
    x = images(16, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0].norm(), x
    )


def test_channels_last() -> None:
    for network in make():
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in network.parameters() if p.dim() == 4)
    generator, _ = make()
    assert generator(latents()).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"resolution": 4}, "architecture=pggan needs dataset.resolution to be a power of two from 8 to 1024, not 4; "
         "set dataset.resolution=8"),
        ({"resolution": 48}, "architecture=pggan needs dataset.resolution to be a power of two from 8 to 1024, not 48; "
         "set dataset.resolution=64"),
        ({"resolution": None},
         "architecture=pggan generates images and needs a resolution, which points do not have; "
         "set architecture=mlp"),
        ({"init": "xavier"},
         "init must be one of equalized, normal, uniform, glorot, he, orthogonal, default, not 'xavier'"),
        ({"fmap_base": 4}, "fmap_base=4 and fmap_decay=1.0 leave maps of 16 pixels without channels"),
    ],
)  # fmt: skip
def test_what_is_refused(options: dict, sentence: str) -> None:
    for network, kwargs in ((ProGANGenerator, {"latent_dim": 5}), (ProGANDiscriminator, {})):
        with pytest.raises(ValueError) as error:
            network(**kwargs, **({"channels": 3, "resolution": 32} | options))
        assert str(error.value) == sentence


def test_unknown_norms_and_groups_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^norm must be one of pixel, none, batch, layer, instance, not 'group'$"):
        ProGANGenerator(5, 3, 16, norm="group")
    with pytest.raises(ValueError, match=r"^norm must be one of none, batch, layer, instance, not 'pixel'$"):
        ProGANDiscriminator(3, 16, norm="pixel")
    with pytest.raises(
        ValueError, match=r"^minibatch_group must be at least 1, or null for the complete batch, not 0$"
    ):
        ProGANDiscriminator(3, 16, minibatch_group=0)
