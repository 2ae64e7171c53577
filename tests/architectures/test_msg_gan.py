"""MSG-GAN's networks: ProGAN's blocks with an image at every resolution."""

from itertools import pairwise
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.msg_gan import MSGDiscriminator, MSGGenerator
from gan_lab.architectures.pggan import ProGANGenerator
from gan_lab.layers.multi_scale import image_pyramid, pack_scales, unpack_scales
from gan_lab.layers.pixel_norm import PixelNorm
from gan_lab.regularizers import functional as F
from gan_lab.types import Stage

RESOLUTIONS = [4, 8, 16]


def make(resolution: int = 16, width: int = 8, **options) -> tuple[MSGGenerator, MSGDiscriminator]:
    torch.manual_seed(0)
    return MSGGenerator(5, 3, resolution, width, **options), MSGDiscriminator(3, resolution, width, **options)


def latents(count: int = 4) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(1))


def images(resolution: int, count: int = 4) -> Tensor:
    return torch.rand(count, 3, resolution, resolution, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_parameter_counts() -> None:
    """The generator has ProGAN's layers; half of each map of the discriminator comes from the image."""
    with torch.device("meta"):
        generator, discriminator = MSGGenerator(512, 3, 1024), MSGDiscriminator(3, 1024)
        progan = ProGANGenerator(512, 3, 1024)
    assert [(n, p.shape) for n, p in generator.named_parameters()] == [
        (n, p.shape) for n, p in progan.named_parameters()
    ]
    widths = [512, 512, 512, 512, 256, 128, 64, 32, 16]
    read = sum(4 * c // 2 for c in widths[:-1]) + 4 * widths[-1]
    blocks = sum(9 * i * i + i + 9 * i * o // 2 + o // 2 for o, i in pairwise(widths))
    end = 9 * 513 * 512 + 512 + 16 * 512 * 512 + 512 + 512 + 1
    assert sum(p.numel() for p in discriminator.parameters()) == read + blocks + end == 18_756_321


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_an_image_at_every_resolution(resolution: int) -> None:
    generator, discriminator = make(resolution, width=4, fmap_base=4096)
    with torch.no_grad():
        drawn = unpack_scales(generator(latents(2)), generator.resolutions)
        assert [image.shape for image in drawn] == [(2, 3, s, s) for s in generator.resolutions]
        assert discriminator(pack_scales(drawn)).shape == (2,)
        assert generator.eval()(latents(2)).shape == (2, 3, resolution, resolution)


def test_images_equal_those_of_progan() -> None:
    """With the same weights and without the norm in its first block, those of ProGAN at their stages."""
    generator, _ = make(init="normal", init_scale=0.3)
    progan = ProGANGenerator(5, 3, 16, 8, init="normal")
    progan.load_state_dict(generator.state_dict(), strict=False)
    progan.blocks[0].norm1 = nn.Identity()
    for image in unpack_scales(generator(latents()), RESOLUTIONS):
        progan.grow(Stage(image.shape[-1]))
        assert torch.equal(image, progan(latents()))


def test_evaluation_mode_gives_the_largest_image_in_range() -> None:
    generator, _ = make()
    with torch.no_grad():
        generator.to_image[-1].weight.mul_(10)
        largest = unpack_scales(generator(latents()), RESOLUTIONS)[-1]
        seen = generator.eval()(latents())
    assert largest.abs().max() > 1 >= seen.abs().max()
    assert torch.equal(seen, largest.clamp(-1, 1))


def test_an_image_is_scored_at_all_scales() -> None:
    _, discriminator = make()
    x = images(16)
    assert torch.equal(discriminator(x), discriminator(pack_scales(image_pyramid(x, RESOLUTIONS))))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_logit_depends_on_every_scale(level: int) -> None:
    generator, discriminator = make()
    row = generator(latents()).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(row).sum(), row)
    assert unpack_scales(gradient, RESOLUTIONS)[level].abs().max() > 0
    assert discriminator.from_image[level].out_channels == (8 if level == 2 else 4)


def test_every_parameter_gets_a_gradient() -> None:
    generator, discriminator = make()
    discriminator(generator(latents())).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_every_gain_is_the_square_root_of_two() -> None:
    """sqrt(2 / fan_in) with the inputs of one tap for the latent's layer, and of k x k taps for all convolutions."""
    generator, discriminator = make()

    def scale(layer: nn.Module) -> float:
        return layer.get_submodule("parametrizations.weight.0").scale

    assert scale(generator.blocks[0].project) == pytest.approx(sqrt(2 / 5))
    assert scale(generator.blocks[0].conv) == pytest.approx(sqrt(2 / 72))
    assert all(scale(layer) == pytest.approx(sqrt(2 / 8)) for layer in generator.to_image)
    assert all(scale(layer) == pytest.approx(sqrt(2 / 3)) for layer in discriminator.from_image)
    assert scale(discriminator.end.conv) == pytest.approx(sqrt(2 / 81))
    assert scale(discriminator.output) == pytest.approx(sqrt(2 / 8))


def test_the_first_block_has_one_pixel_norm() -> None:
    """After its second convolution; the latent and both convolutions of all other blocks have one, too."""
    generator, _ = make()
    assert isinstance(generator.blocks[0].norm1, nn.Identity)
    assert sum(isinstance(m, PixelNorm) for m in generator.modules()) == 1 + 1 + 2 * 2


def test_initial_weights_are_equalized() -> None:
    generator, discriminator = make(init="equalized")
    weights = [p for n, p in [*generator.named_parameters(), *discriminator.named_parameters()] if p.dim() > 1]
    assert abs(torch.cat([w.flatten() for w in weights]).std() - 1) < 0.05  # N(0, 1) in every layer
    plain, _ = make(init="normal", init_scale=0.02, norm="none")
    assert abs(plain.blocks[1].conv1.weight.std() - 0.02) < 0.002


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"resolution": 24}, "resolution"),
        ({"resolution": 4}, "resolution"),
        ({"norm": "spectral"}, "norm must be one of"),
        ({"init": "nothing"}, "init must be one of"),
        ({"fmap_base": 8}, "map with one channel"),
    ],
)
def test_what_is_refused(kwargs: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**kwargs)


class LinearCritic(nn.Module):
    """sum over scales of <w_s, x_s>: its gradient is w for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [torch.randn(3, s, s, generator=torch.Generator().manual_seed(s)) for s in RESOLUTIONS]

    def forward(self, row: Tensor) -> Tensor:
        return sum((w * x).sum((1, 2, 3)) for w, x in zip(self.weights, unpack_scales(row, RESOLUTIONS), strict=True))


def test_penalties_of_a_linear_critic_have_the_gradient_of_all_scales() -> None:
    critic = LinearCritic()
    real, fake = (pack_scales(image_pyramid(images(16) * scale, RESOLUTIONS)) for scale in (1, -0.5))
    squares = sum(w.square().sum() for w in critic.weights)  # |gradient|^2
    penalty = F.gradient_penalty(critic, F.interpolate(real, fake, torch.rand(4)))
    torch.testing.assert_close(penalty, (squares.sqrt() - 1) ** 2)
    torch.testing.assert_close(F.zero_centered_penalty(critic, real), squares / 2)
