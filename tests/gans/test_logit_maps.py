"""Discriminators with a map of logits for each sample, like PatchGAN."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.augment.pipelines import Adaptive
from gan_lab.errors import ConfigError
from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import Hinge, LeastSquares, NonSaturating
from gan_lab.noise import Noise
from gan_lab.regularizers.penalties import R1
from gan_lab.regularizers.selection import TopK
from tests.gans.test_paired_ablations import RESOLUTION, Images, ImagesOfPoints
from tests.helpers.points_gan import adam, changed_keys, state, train


class Patches(nn.Module):
    """Images of 4 pixels to a map of 3 x 3 logits, one for each patch of 2 x 2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 2), nn.Tanh())
        self.output = nn.Conv2d(6, 1, 1)

    def features(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(samples)

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)


def make(**settings: Any) -> GAN:
    torch.manual_seed(0)
    optimizers = {"generator": adam(), "discriminator": adam()}
    return ImagesOfPoints(Images(), Patches(), Parts(optimizers=optimizers, latent=LatentPrior(3), **settings))


@pytest.mark.parametrize("more", ["plain", "ada", "r1", "lazy_r1"])
@pytest.mark.parametrize("loss", [NonSaturating(), Hinge(), LeastSquares()], ids=lambda loss: type(loss).__name__)
def test_trains(loss: Any, more: str) -> None:
    settings: dict[str, Any] = {
        "plain": {},
        "ada": {"augment": Adaptive(1, RESOLUTION, batch_size=4)},
        "r1": {"penalties": {"r1": R1(1.0)}},
        "lazy_r1": {"penalties": {"r1": R1(1.0, interval=2)}},
    }[more]
    module = make(loss=loss, **settings)
    before = {name: state(getattr(module, name)) for name in ("generator", "discriminator")}
    train(module, 4)
    for name, old in before.items():
        new = state(getattr(module, name))
        assert all(torch.isfinite(value).all() for value in new.values())
        # Inside of both margins the gradients of a hinge by a last bias cancel.
        assert changed_keys(old, new) >= old.keys() - ({"output.bias"} if isinstance(loss, Hinge) else set())
    assert all(value.dim() == 0 for record in module.records for values in record.values() for value in values)
    if more == "ada":
        assert "augment/p" in module.records[-1]


def test_losses_and_the_log_are_means_over_the_maps() -> None:
    module = make(loss=Hinge())
    batch = module.prepare({"image": torch.randn(4, 2)})
    step = module.discriminator_step(batch, Noise(0, 4))
    real, fake = step.real.logits, step.fake.logits
    assert real.shape == fake.shape == (4, 3, 3)
    expected = (1 - real).relu().mean() + (1 + fake).relu().mean()
    torch.testing.assert_close(module.discriminator_loss(step)["adversarial"], expected)
    found = module.observe(step)
    assert found["accuracy/real"] == (real > 0).float().mean() and found["logits/fake"] == fake.mean()
    assert module.score(batch["image"]).shape == (4, 3, 3)


def test_the_gradient_penalty_of_a_map_is_that_of_its_sum() -> None:
    """The gradient of a sample is that of the sum of its logits."""
    module = make(loss=Hinge())
    step = module.discriminator_step(module.prepare({"image": torch.randn(4, 2)}), Noise(0, 4))
    points = step.real.samples.clone().requires_grad_()
    (slope,) = torch.autograd.grad(module.discriminator.head(module.discriminator.features(points)).sum(), points)
    torch.testing.assert_close(R1()(step), 0.5 * slope.square().flatten(1).sum(1).mean())


def test_top_k_is_refused() -> None:
    module = make(loss=Hinge(), selection=TopK(0.5, 1.0))
    sentence = (
        r"^regularizer=top_k needs one logit for each sample, but this discriminator gives a map of 3 x 3; "
        r"remove top_k from regularizer\.$"
    )
    with pytest.raises(ConfigError, match=sentence):
        train(module, 1)
