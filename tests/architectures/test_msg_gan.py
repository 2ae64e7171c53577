"""MSG-GAN's networks: ProGAN's blocks with an image at every side."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.msg_gan import MSGDiscriminator, MSGGenerator
from gan_lab.architectures.pggan import ProGANGenerator
from gan_lab.layers.multi_scale import apart, at_all_scales, in_a_row
from gan_lab.regularizers import functional as F
from gan_lab.types import Stage

SIDES = [4, 8, 16]


def make(side: int = 16, width: int = 8, **options) -> tuple[MSGGenerator, MSGDiscriminator]:
    torch.manual_seed(0)
    return MSGGenerator(5, 3, side, width, **options), MSGDiscriminator(3, side, width, **options)


def latents(count: int = 4) -> Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(1))


def images(side: int, count: int = 4) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_parameter_counts() -> None:
    """The generator has ProGAN's layers; the discriminator's maps of s pixels are half image and half larger side."""
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


@pytest.mark.parametrize("side", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_an_image_at_every_side(side: int) -> None:
    generator, discriminator = make(side, width=4, fmap_base=4096)
    with torch.no_grad():
        drawn = apart(generator(latents(2)), generator.sides)
        assert [image.shape for image in drawn] == [(2, 3, s, s) for s in generator.sides]
        assert discriminator(in_a_row(drawn)).shape == (2,)
        assert generator.eval()(latents(2)).shape == (2, 3, side, side)


def test_the_largest_image_is_progans() -> None:
    """The same weights draw what a grown ProGAN draws; and what it drew at each stage on the way."""
    generator, _ = make()
    progan = ProGANGenerator(5, 3, 16, 8)
    progan.load_state_dict(generator.state_dict(), strict=False)
    for image in apart(generator(latents()), SIDES):
        progan.grow(Stage(image.shape[-1]))
        assert torch.equal(image, progan(latents()))


def test_outside_training_the_largest_image_alone_cut_to_the_range() -> None:
    generator, _ = make()
    with torch.no_grad():
        generator.to_image[-1].weight.mul_(10)
        largest = apart(generator(latents()), SIDES)[-1]
        seen = generator.eval()(latents())
    assert largest.abs().max() > 1 >= seen.abs().max()
    assert torch.equal(seen, largest.clamp(-1, 1))


def test_a_plain_image_is_judged_at_all_its_scales() -> None:
    _, discriminator = make()
    x = images(16)
    assert torch.equal(discriminator(x), discriminator(in_a_row(at_all_scales(x, SIDES))))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_scale_counts_in_the_logit_and_gets_a_gradient(level: int) -> None:
    generator, discriminator = make()
    row = generator(latents()).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(row).sum(), row)
    assert apart(gradient, SIDES)[level].abs().max() > 0
    assert discriminator.from_image[level].out_channels == (8 if level == 2 else 4)


def test_every_parameter_gets_a_gradient() -> None:
    generator, discriminator = make()
    discriminator(generator(latents())).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_first_weights_are_equalized() -> None:
    generator, discriminator = make(init="equalized")
    weights = [p for n, p in [*generator.named_parameters(), *discriminator.named_parameters()] if p.dim() > 1]
    assert abs(torch.cat([w.flatten() for w in weights]).std() - 1) < 0.05  # N(0, 1) in every layer
    plain, _ = make(init="normal", init_scale=0.02, norm="none")
    assert abs(plain.blocks[1].conv1.weight.std() - 0.02) < 0.002


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"side": 24}, "resolution"),
        ({"side": 4}, "resolution"),
        ({"norm": "spectral"}, "norm must be one of"),
        ({"init": "nothing"}, "init must be one of"),
        ({"fmap_base": 8}, "map of one channel"),
    ],
)
def test_what_is_refused(words: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**words)


class LinearCritic(nn.Module):
    """sum over scales of <w_s, x_s>: its gradient is w, whatever the sample."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [torch.randn(3, s, s, generator=torch.Generator().manual_seed(s)) for s in SIDES]

    def forward(self, row: Tensor) -> Tensor:
        return sum((w * x).sum((1, 2, 3)) for w, x in zip(self.weights, apart(row, SIDES), strict=True))


def test_penalties_of_a_linear_critic_have_the_gradient_of_all_scales() -> None:
    critic = LinearCritic()
    real, fake = (in_a_row(at_all_scales(images(16) * scale, SIDES)) for scale in (1, -0.5))
    squares = sum(w.square().sum() for w in critic.weights)  # |gradient|^2
    penalty = F.gradient_penalty(critic, F.interpolate(real, fake, torch.rand(4)))
    torch.testing.assert_close(penalty, (squares.sqrt() - 1) ** 2)
    torch.testing.assert_close(F.zero_centered_penalty(critic, real), squares / 2)
