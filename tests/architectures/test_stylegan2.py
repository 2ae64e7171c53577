"""StyleGAN2's networks: exact numbers of parameters, an independent forward pass, and closed forms."""

from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from gan_lab.layers.modulated_conv import ModulatedConv2d
from gan_lab.layers.noise_injection import NoiseInjection
from gan_lab.layers.style_mapping import StyleMapping, with_truncated_styles


def make(resolution: int = 16, width: int = 8, **options) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(6, 3, resolution, width, **options)


def make_discriminator(resolution: int = 16, width: int = 8, **options) -> StyleGAN2Discriminator:
    torch.manual_seed(0)
    return StyleGAN2Discriminator(3, resolution, width, **options)


def latents(count: int = 4, dim: int = 6) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(1))


def images(count: int = 4, resolution: int = 16) -> Tensor:
    return torch.rand(count, 3, resolution, resolution, generator=torch.Generator().manual_seed(2)) * 2 - 1


def randomize(network: nn.Module, size: float = 0.3) -> None:
    """Random biases and noise strengths, which are 0 or 1 at the start."""
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() < 2:
                scale = 100 * size if "parametrizations" in name else size
                parameter.add_(scale * torch.randn(parameter.shape, generator=source))


COUNTS = {
    "cifar": (32, 32768, 2, None, "orig", 525_312, 19_947_539, 20_720_641),
    "cifar with labels": (32, 32768, 2, 10, "orig", 793_088, 20_215_315, 23_089_664),
    "auto 32": (32, 16384, 2, None, "resnet", 525_312, 19_947_539, 21_507_073),
    "auto 64": (64, 16384, 2, None, "resnet", 525_312, 22_243_608, 23_407_361),
    "64 with 8 layers": (64, 16384, 8, None, "resnet", 2_101_248, 23_819_544, 23_407_361),
    "auto 128": (128, 16384, 2, None, "resnet", 525_312, 22_949_277, 23_882_369),
    "auto 256": (256, 16384, 2, None, "resnet", 525_312, 23_191_522, 24_001_089),
    "paper256": (256, 16384, 8, None, "resnet", 2_101_248, 24_767_458, 24_001_089),
    "256 wide": (256, 32768, 8, None, "resnet", 2_101_248, 30_034_338, 28_864_129),
    "paper512": (512, 32768, 8, None, "resnet", 2_101_248, 30_276_583, 28_982_849),
    "auto 512": (512, 32768, 2, None, "resnet", 525_312, 28_700_647, 28_982_849),
    "configuration F": (1024, 32768, 8, None, "resnet", 2_101_248, 30_370_060, 29_012_513),
    "auto 1024": (1024, 32768, 2, None, "resnet", 525_312, 28_794_124, 29_012_513),
    "configuration E": (1024, 16384, 8, None, "resnet", 2_101_248, 24_900_764, 24_038_161),
}
"""Resolution, channel_base, mapping layers, classes, blocks; parameters of mapping, generator, discriminator."""


@pytest.mark.parametrize("name", COUNTS)
def test_numbers_of_parameters(name: str) -> None:
    resolution, base, layers, classes, blocks, *expected = COUNTS[name]
    with torch.device("meta"):
        generator = StyleGAN2Generator(
            512, 3, resolution, channel_base=base, mapping_layers=layers, num_classes=classes
        )
        discriminator = StyleGAN2Discriminator(3, resolution, channel_base=base, blocks=blocks, num_classes=classes)
    counts = [sum(p.numel() for p in part.parameters()) for part in (generator.styles, generator, discriminator)]
    assert counts == expected


@pytest.mark.parametrize(("resolution", "layers"), [(8, 4), (16, 6), (32, 8), (64, 10), (1024, 18)])
def test_number_of_styles(resolution: int, layers: int) -> None:
    with torch.device("meta"):
        assert StyleGAN2Generator(6, 3, resolution, 4).styles.count == layers


class Reference:
    """The forward passes as functions of the state dict, with weights for each sample and zeros between pixels."""

    def __init__(self, network: nn.Module) -> None:
        self.state = network.state_dict()

    def get(self, name: str) -> Tensor:
        return self.state[name] if name in self.state else self.state[f"{name[: name.rfind('.')]}.{name}"]

    def stored(self, layer: str, name: str) -> Tensor:
        plain = f"{layer}.{name}"
        return self.state.get(plain, self.state.get(f"{layer}.parametrizations.{name}.original"))

    def linear(self, layer: str, x: Tensor, multiplier: float = 1.0) -> Tensor:
        weight = self.stored(layer, "weight")
        return x @ weight.T * multiplier / sqrt(weight.shape[1]) + self.stored(layer, "bias") * multiplier

    @staticmethod
    def act(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, x / 5) * sqrt(2)

    @staticmethod
    def normalized(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    @staticmethod
    def resampled(x: Tensor, up: int, down: int, pad: tuple[int, int], gain: float) -> Tensor:
        n, c, h, w = x.shape
        stuffed = x.new_zeros(n * c, 1, h * up, w * up)
        stuffed[:, :, ::up, ::up] = x.reshape(n * c, 1, h, w)
        taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype) / 8
        y = F.conv2d(F.pad(stuffed, (*pad, *pad)), gain * torch.outer(taps, taps)[None, None])[..., ::down, ::down]
        return y.reshape(n, c, *y.shape[2:])

    def mapping(self, prefix: str, parts: list[Tensor], labels: Tensor | None) -> Tensor:
        if labels is not None:
            rows = F.one_hot(labels, self.stored(f"{prefix}.embedding.linear", "weight").shape[1]).double()
            parts = [*parts, self.linear(f"{prefix}.embedding.linear", rows)]
        x = torch.cat([self.normalized(part) for part in parts], 1)
        for number in range(sum(f"{prefix}.layers" in key and "bias" in key for key in self.state)):
            x = self.act(self.linear(f"{prefix}.layers.{number}", x, 0.01))
        return x

    def modulated(self, layer: str, x: Tensor, w: Tensor, demodulate: bool = True, up: bool = False) -> Tensor:
        weight = self.stored(f"{layer}.conv", "weight")
        if up:
            weight = weight.transpose(0, 1)
        style = self.linear(f"{layer}.affine", w)
        if not demodulate:
            style = style / sqrt(weight.shape[1])
        outputs = []
        for row, s in zip(x, style, strict=True):
            own = weight * s[None, :, None, None]
            if demodulate:
                own = own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            if up:  # the kernel of a true convolution of the map with zeros between the pixels
                wide = row.new_zeros(len(row), 2 * row.shape[1], 2 * row.shape[2])
                wide[:, ::2, ::2] = row
                y = F.conv2d(F.pad(wide, (2, 1, 2, 1))[None], own.flip(2, 3))
                outputs.append(self.resampled(y, 1, 1, (1, 1), 4)[0])
            else:
                outputs.append(F.conv2d(row[None], own, padding=own.shape[-1] // 2)[0])
        return torch.stack(outputs)

    def generator(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        w = self.mapping("styles.network", [z], labels)
        x, image, size = self.get("constant.maps").expand(len(z), -1, -1, -1), None, 4
        for block in range(sum(key.endswith("to_image.affine.bias") for key in self.state)):
            for number in range(1 if block == 0 else 2):
                name = f"blocks.{block}.convs.{number}"
                x = self.modulated(f"{name}.conv", x, w, up=block > 0 and number == 0)
                x = x + self.get(f"{name}.noise.strength") * self.get(f"{name}.noise.map")
                x = self.act(x + self.get(f"{name}.bias")[:, None, None])
            rgb = self.modulated(f"blocks.{block}.to_image", x, w, demodulate=False)
            rgb = rgb + self.get(f"blocks.{block}.bias")[:, None, None]
            image = rgb if image is None else self.resampled(image, 2, 1, (2, 1), 4) + rgb
            size *= 2
        return image

    def conv(self, layer: str, x: Tensor, **options) -> Tensor:
        weight, bias = self.stored(layer, "weight"), self.stored(layer, "bias")
        return F.conv2d(x, weight / sqrt(weight[0].numel()), bias, **options)

    def discriminator(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.act(self.conv(f"from_image.{x.shape[-1]}", x))
        for block in reversed(range(sum(key.endswith("conv2.bias") for key in self.state))):
            name = f"blocks.{block}"
            y = self.act(self.conv(f"{name}.conv1", x, padding=1))
            y = self.act(self.conv(f"{name}.conv2", self.resampled(y, 1, 1, (2, 2), 1), stride=2))
            if self.stored(f"{name}.skip", "weight") is None:
                x = y
            else:
                x = (y + self.conv(f"{name}.skip", self.resampled(x, 1, 2, (1, 1), 1))) * sqrt(0.5)
        deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()  # one group
        x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
        x = self.act(self.conv("conv", x, padding=1))
        x = self.linear("output", self.act(self.linear("linear", x.flatten(1))))
        if labels is None:
            return x[:, 0]
        return (x * self.mapping("label_mapping", [], labels)).sum(1) / sqrt(x.shape[1])


@pytest.mark.parametrize("classes", [None, 5])
def test_the_generator_is_that_of_the_formulas(classes: int | None) -> None:
    generator = make(num_classes=classes, mapping_layers=3).double()
    randomize(generator)
    generator.styles.mixing = 0.0
    for part in generator.modules():
        if isinstance(part, NoiseInjection):
            part.noise = "fixed"
    z, labels = latents().double(), None if classes is None else torch.tensor([0, 3, 4, 3])
    expected = Reference(generator).generator(z, labels)
    torch.testing.assert_close(generator(z, labels), expected, rtol=0, atol=1e-7)
    assert expected.std() > 0.5 and expected.abs().max() > 1
    torch.testing.assert_close(generator.eval()(z, labels), expected.clamp(-1, 1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("blocks", ["resnet", "orig"])
@pytest.mark.parametrize("classes", [None, 5])
def test_the_discriminator_is_that_of_the_formulas(blocks: str, classes: int | None) -> None:
    network = make_discriminator(blocks=blocks, num_classes=classes).double()
    randomize(network)
    labels = None if classes is None else torch.tensor([0, 3, 4, 3])
    expected = Reference(network).discriminator(images().double(), labels)
    torch.testing.assert_close(network(images().double(), labels), expected, rtol=0, atol=1e-10)
    assert expected.std() > 1e-3


def test_groups_of_the_discriminator_are_those_of_the_authors() -> None:
    """Of 8 samples 0, 2, 4, 6 and 1, 3, 5, 7: exchanging two samples of a group exchanges their logits."""
    network, x = make_discriminator(minibatch_group=4), images(8)
    within, across = [0, 3, 2, 1, 4, 5, 6, 7], [1, 0, 2, 3, 4, 5, 6, 7]
    torch.testing.assert_close(network(x[within]), network(x)[within])
    assert not torch.allclose(network(x[across])[2:], network(x)[2:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Images and logits of autocast are those of float32, up to rounding, also with weights 1000 times larger."""
    generator, discriminator = make(width=16, noise="fixed", mixing=0.0), make_discriminator(width=16)
    randomize(generator)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if ".conv.parametrizations" in name and "to_image" not in name:
                parameter.mul_(1000)
    expected = generator(latents())
    with torch.autocast("cpu", dtype):
        found, logits = generator(latents()), discriminator(images())
    error = (found - expected).abs().mean() / expected.abs().mean()
    assert error < {torch.float16: 0.01, torch.bfloat16: 0.05}[dtype]
    torch.testing.assert_close(logits.float(), discriminator(images()), rtol=0.1, atol=0.05)


def test_initial_layers() -> None:
    """Stored weights are N(0, 1), those of the mapping 100 times larger; styles start at 1, other biases at 0."""
    torch.manual_seed(0)
    generator, discriminator = StyleGAN2Generator(512, 3, 16, 64), make_discriminator(width=64, num_classes=10)
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                scale = 100 if "layers" in name else 1
                assert parameter.std().item() == pytest.approx(scale, rel=0.25), name
            else:
                assert torch.all(parameter == (1.0 if name.endswith("affine.bias") else 0.0)), name
    with torch.no_grad():
        w = generator.styles.network(torch.randn(64, 512))
    assert w.square().mean().item() == pytest.approx(1.04**8, rel=0.3)
    assert w.std(0).mean().item() == pytest.approx(0.57, abs=0.15)


def test_latents_are_normalized() -> None:
    generator = make(mixing=0.0)
    inputs: list[Tensor] = []
    generator.styles.network.layers[0].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    generator(3 * latents())
    generator(latents())
    torch.testing.assert_close(inputs[0].norm(dim=1), torch.full((4,), sqrt(6.0)))
    torch.testing.assert_close(inputs[0], inputs[-1])


def test_label_coordinates_are_normalized_by_themselves_and_are_not_mixed() -> None:
    """Coordinates that a conditioning adds to the latent, as conditioning=concat."""
    torch.manual_seed(0)
    generator = StyleGAN2Generator(8, 3, 8, 8, label_dim=2, mixing=1.0)
    assert generator.styles.average.shape == (6,)
    inputs: list[Tensor] = []
    generator.styles.network.layers[0].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    labels = F.one_hot(torch.tensor([0, 1, 1, 0]), 2).float()
    generator(torch.cat([latents(), labels], 1))
    first, second = inputs
    torch.testing.assert_close(first[:, :6].square().mean(1), torch.ones(4))
    torch.testing.assert_close(first[:, 6:], labels * sqrt(2))
    torch.testing.assert_close(second[:, 6:], labels * sqrt(2))
    assert not torch.allclose(first[:, :6], second[:, :6])


@pytest.mark.parametrize("noise", ["random", "fixed", "none"])
def test_noise_has_no_effect_at_the_start(noise: str) -> None:
    assert torch.equal(make(mixing=0.0, noise=noise)(latents()), make(mixing=0.0)(latents()))


def test_samples_are_a_function_of_the_latents() -> None:
    generator = make()
    randomize(generator)
    assert not torch.equal(generator(latents()), generator(latents()))
    generator.eval()
    shown = generator(latents())
    assert torch.equal(shown, generator(latents()))
    torch.testing.assert_close(shown[:2], generator(latents()[:2]))


def styles_of(generator: StyleGAN2Generator) -> Tensor:
    return generator.styles(latents())  # (4, layers, 6)


def test_mixed_styles() -> None:
    """From a random layer on, the same for the batch, all styles are those of other latents."""
    generator = make(resolution=32, mixing=1.0)
    plain = generator.styles.network(latents())
    first = set()
    for _ in range(60):
        same = torch.isclose(styles_of(generator), plain[:, None]).all(2)  # (4, 8)
        assert torch.equal(same[0], same[3])
        count = int(same[0].sum())
        assert same[0, :count].all()
        first.add(count)
    assert first == set(range(1, 8))


def test_how_often_styles_are_mixed() -> None:
    torch.manual_seed(0)
    generator = make(mixing=0.9)
    mixed = sum(not torch.equal(s[:, 0], s[:, -1]) for s in (styles_of(generator) for _ in range(300)))
    assert mixed / 300 == pytest.approx(0.9, abs=0.05)
    generator = make(mixing=0.0)
    assert torch.equal(styles_of(generator), generator.styles.network(latents())[:, None].expand(-1, 6, -1))
    assert torch.equal(*(make(mixing=1.0).eval().styles(latents())[:, k] for k in (0, 5)))


def test_the_first_layers_of_mixed_images_are_those_of_the_first_latents() -> None:
    generator, seen = make(), []
    generator.blocks[1].register_forward_hook(lambda _, args, output: seen.append(output[0]))
    w = generator.styles.network(torch.cat([latents(1), -latents(1)]))
    styles = torch.stack([w[:1]] * 3 + [w[1:]] * 3, 1)  # layers of 4 and 8 pixels, then those of 16
    mixed = generator.synthesis(styles)
    alone = generator.synthesis(w[:1, None].expand(-1, 6, -1))
    assert torch.equal(seen[0], seen[1]) and not torch.allclose(mixed, alone)


def test_the_average_style() -> None:
    """From 0 with constant styles w, after n calls: (1 - 0.995^n) w. Mixing and evaluation do not change it."""
    generator = make(mixing=1.0)
    w = generator.styles.network(latents(1))[0].detach()
    for n in range(1, 101):
        generator.styles(latents(1))
        if n in (1, 100):
            torch.testing.assert_close(generator.styles.average, (1 - 0.995**n) * w, rtol=1e-3, atol=1e-6)
    before = generator.styles.average.clone()
    generator.eval()(latents())
    assert torch.equal(generator.styles.average, before) and "styles.average" in generator.state_dict()


def truncated(psi: float, cutoff: int | None = None) -> tuple[StyleGAN2Generator, Tensor]:
    generator = make(num_classes=3).eval()
    randomize(generator)
    generator.styles.average.copy_(torch.randn(6, generator=torch.Generator().manual_seed(4)))
    network = with_truncated_styles(generator, psi, cutoff)
    return network, network.styles(latents(), torch.tensor([0, 1, 2, 0]))


def test_truncation() -> None:
    network, styles = truncated(0.7)
    _, plain = truncated(1.0)
    average = network.styles.average
    torch.testing.assert_close(styles - average, 0.7 * (plain - average))
    assert torch.equal(plain, make_plain())
    constant, _ = truncated(0.0)
    same = constant(latents(), torch.tensor([0, 1, 2, 0]))
    assert torch.equal(same, same[:1].expand_as(same))  # the label is forgotten, too


def make_plain() -> Tensor:
    generator = make(num_classes=3).eval()
    randomize(generator)
    return generator.styles(latents(), torch.tensor([0, 1, 2, 0]))


def test_the_cutoff_of_truncation() -> None:
    _, styles = truncated(0.5, 2)
    _, plain = truncated(1.0)
    assert torch.equal(styles[:, 2:], plain[:, 2:]) and not torch.isclose(styles[:, :2], plain[:, :2]).any()
    for cutoff in (0, 7):
        with pytest.raises(ValueError, match=r"^truncation_cutoff=\d is not allowed: it must be from 1 to 6$"):
            truncated(0.5, cutoff)
    with pytest.raises(ValueError, match=r"^truncation=-1 is not allowed: it must be at least 0, or null for none$"):
        truncated(-1)
    with pytest.raises(ValueError, match=r"^the generator has no styles that can be truncated$"):
        with_truncated_styles(nn.Linear(1, 1), 0.5)


def test_labels_of_the_discriminator() -> None:
    network = make_discriminator(num_classes=3)
    x = images(1).expand(4, -1, -1, -1)
    labels = torch.tensor([0, 1, 2, 0])
    logits = network(x, labels)
    assert logits[0] == logits[3] and logits[:3].std() > 1e-4
    with torch.no_grad():
        network.label_mapping.embedding.linear.get_parameter("parametrizations.weight.original").zero_()
        network.label_mapping.embedding.linear.bias.fill_(1.0)
    torch.testing.assert_close(network(x, labels), network(x, torch.zeros(4, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"^this network is conditioned on labels: call it with labels, int64 \(n,\)$"):
        network(x)
    with pytest.raises(ValueError, match=r"^this network is conditioned on labels"):
        make(num_classes=3)(latents())


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("norm", ["demodulation", "none"])
def test_every_parameter_gets_a_gradient(classes: int | None, norm: str) -> None:
    generator, discriminator = make(num_classes=classes, norm=norm), make_discriminator(num_classes=classes)
    labels = None if classes is None else torch.tensor([0, 1, 2, 0])
    discriminator(generator(latents(), labels), labels).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("blocks", ["resnet", "orig"])
def test_double_backward_of_the_discriminator(blocks: str) -> None:
    network = make_discriminator(8, 3, blocks=blocks).double()
    x = images(2, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: torch.autograd.grad(network(x).sum(), x, create_graph=True)[0].square().sum(), x
    )


def test_double_backward_of_the_generator() -> None:
    torch.manual_seed(0)
    network = StyleGAN2Generator(2, 1, 8, 2, mixing=0.0, noise="none").double()
    styles = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s: torch.autograd.grad(network.synthesis(s).square().sum(), s, create_graph=True)[0].square().sum(),
        styles,
    )


def test_channels_last() -> None:
    for network in (make(), make_discriminator()):
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in network.parameters() if p.dim() == 4)


def test_bfloat16_is_close_to_float32() -> None:
    generator, discriminator = make().eval(), make_discriminator()
    with torch.no_grad():
        shown = generator(latents())
        logits = discriminator(shown)
        with torch.autocast("cpu", torch.bfloat16):
            close, rough = generator(latents()), discriminator(shown)
    assert (close.float() - shown).abs().mean() < 0.02
    torch.testing.assert_close(rough.float(), logits, rtol=0.1, atol=0.05)


def test_other_initialization_schemes() -> None:
    """Biases of the styles stay 1."""
    for network in (make(init="uniform", init_scale=0.5), make_discriminator(init="uniform", init_scale=0.5)):
        assert not any("parametrizations" in name for name, _ in network.named_parameters())
        layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
        assert 0.45 < max(layer.weight.abs().max().item() for layer in layers) <= 0.5
        styles = [m.affine.bias for m in network.modules() if isinstance(m, ModulatedConv2d)]
        assert all(torch.all(bias == 1) for bias in styles)


def test_one_layer_has_styles() -> None:
    assert sum(isinstance(m, StyleMapping) for m in make().modules()) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"resolution": 48}, "architecture=stylegan2 needs dataset.resolution to be a power of two from 8 to 1024, not "
         "48; set dataset.resolution=64"),
        ({"resolution": None}, "architecture=stylegan2 generates images and needs a resolution, which points do not "
         "have; set architecture=mlp"),
        ({"channel_base": 8}, "channel_base=8 leaves maps of 16 pixels without channels"),
        ({"init": "xavier"},
         "init must be one of equalized, normal, uniform, glorot, he, orthogonal, default, not 'xavier'"),
    ],
)  # fmt: skip
def test_what_both_networks_refuse(options: dict, sentence: str) -> None:
    for network, kwargs in ((StyleGAN2Generator, {"latent_dim": 6}), (StyleGAN2Discriminator, {})):
        with pytest.raises(ValueError) as error:
            network(**kwargs, **({"channels": 3, "resolution": 16, "width": 8} | options))
        assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: make(norm="batch"),
         "architecture=stylegan2 has no architecture.generator.norm=batch; choose demodulation or none"),
        (lambda: make(mixing=1.5), "architecture.generator.mixing=1.5 is not allowed: it must be in [0, 1]"),
        (lambda: make(mapping_layers=0),
         "architecture.generator.mapping_layers=0 is not allowed: it must be at least 1"),
        (lambda: make(label_dim=-1), "architecture.generator.label_dim=-1 is not allowed: it must be from 0 to 5"),
        (lambda: make(style_dim=0), "architecture.generator.style_dim=0 is not allowed: it must be at least 1"),
        (lambda: make(noise="white"),
         "architecture.generator.noise=white is not known; choose random, fixed or none"),
        (lambda: make_discriminator(blocks="skip"),
         "architecture.discriminator.blocks=skip is not known; choose resnet or orig"),
        (lambda: make_discriminator(minibatch_group=0),
         "architecture.discriminator.minibatch_group=0 is not allowed: it must be at least 1"),
        (lambda: make_discriminator(mapping_layers=0),
         "architecture.discriminator.mapping_layers=0 is not allowed: it must be at least 1"),
    ],
)  # fmt: skip
def test_what_is_refused(build, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        build()
    assert str(error.value) == sentence
