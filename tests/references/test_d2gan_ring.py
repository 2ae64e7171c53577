"""The bare loop of D2GAN's ring has the losses of the package, and TensorFlow's epsilon in Adam."""

from argparse import Namespace

import pytest
import torch
from torch import nn

from gan_lab.losses.dual import Dual
from tests.references.d2gan_ring import TensorFlowAdam, generator_loss, losses

D2GAN = Namespace(objective="d2gan")


def test_losses_are_those_of_the_package() -> None:
    """With networks that give their input; logits from -300 on, whose softplus is 0."""
    generator = torch.Generator().manual_seed(0)
    real, fake = (10 * torch.randn(50, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    fake[0] = -300
    first, second = nn.Identity(), nn.Sequential(nn.Identity())
    dual = Dual(alpha=1.0, beta=1.0)
    assert losses(D2GAN, first, second, real, fake).item() == pytest.approx(
        (dual.first(real, fake) + dual.second(real, fake)).item(), rel=1e-7
    )
    assert generator_loss(D2GAN, first, second, fake).item() == pytest.approx(
        dual.generator(fake, fake).item(), rel=1e-7
    )


@pytest.mark.parametrize(("gradient", "first_step"), [(1.0, 1e-3), (1e-8, 1e-3 / (1 + 1e3**0.5))])
def test_epsilon_is_added_before_the_correction(gradient: float, first_step: float) -> None:
    """With a gradient of 1e-8 PyTorch takes half a step: there the corrected moment is as large as epsilon."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = TensorFlowAdam([weight], lr=1e-3, betas=(0.5, 0.999))
    weight.grad = torch.full_like(weight, gradient)
    optimizer.step()
    assert weight.item() == pytest.approx(-first_step, rel=1e-6)
