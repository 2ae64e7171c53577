"""Ablations are paired: adding a part does not change the random numbers of the others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.augment.pipelines import DiffAugment
from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import Hinge
from gan_lab.noise import Noise
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.regularizers.penalties import R1, Consistency, GradientPenalty
from gan_lab.step import Step
from gan_lab.types import Batch
from tests.helpers.points_gan import sgd, train

RESOLUTION = 4
Seen = list[tuple[str, Tensor]]


class Images(nn.Module):
    """A generator of 4 x 4 images from latents of three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, RESOLUTION * RESOLUTION)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layer(latents).tanh().view(-1, 1, RESOLUTION, RESOLUTION)


class Scores(nn.Module):
    """A discriminator of such images."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(RESOLUTION * RESOLUTION, 8), nn.Tanh())
        self.output = nn.Linear(8, 1)

    def features(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(samples)

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)


class ImagesOfPoints(GAN):
    """The images are functions of the points of the tests' data set."""

    def prepare(self, batch: Any) -> Batch:
        return super().prepare({"image": batch["image"].repeat(1, 8).view(-1, 1, RESOLUTION, RESOLUTION).tanh()})


class RecordingAugment(nn.Module):
    """An augmentation that records the first random number of each call."""

    needs_boundary = False

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.drawn = DiffAugment(1, RESOLUTION), []

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        self.drawn.append(Noise(noise.seed, noise.global_size, noise.rows).normal())
        return self.inside(images, noise)

    def adapt(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        return {}


def drawn(batches: int = 4, augmented: bool = True, **settings: Any) -> dict[str, Tensor]:
    """Latents and random numbers of the augmentation in every phase, by player and batch."""
    torch.manual_seed(0)
    augment = RecordingAugment()
    parts = Parts(
        loss=Hinge(), optimizers={"generator": sgd(), "discriminator": sgd()}, latent=LatentPrior(3),
        **({"augment": augment} if augmented else {}), **settings,
    )  # fmt: skip
    module = ImagesOfPoints(Images(), Scores(), parts)
    found: dict[str, Tensor] = {}

    def recording(name: str, make: Any) -> Any:
        def step(batch: Any, noise: Noise) -> Step:
            made = make(batch, noise)
            key = f"{name} {module.batches_seen}"
            if key in found:  # the lazy update of the batch
                return made
            before = len(augment.drawn)
            assert made.real.logits.shape == (4,) and len(made.fake.logits) % 4 == 0
            found[key] = made.fake.latents[:4].detach()
            found[f"augment {key}"] = torch.stack(augment.drawn[before : before + 2]) if augmented else torch.zeros(0)
            return made

        return step

    module.discriminator_step = recording("discriminator", module.discriminator_step)
    module.generator_step = recording("generator", module.generator_step)
    train(module, batches)
    return found


CHANGES: dict[str, dict[str, Any]] = {
    "gradient_penalty": {"penalties": {"gradient_penalty": GradientPenalty()}},
    "consistency": {"penalties": {"consistency": Consistency(lambda images, noise: images + noise.normal(1, 4, 4))}},
    "lazy_r1": {"penalties": {"r1": R1(interval=2)}},
    "lazy_generator": {"penalties": {"feature_matching": FeatureMatching(interval=2)}},
    "generator_batches": {"generator_batches": 2},
    "label_smoothing": {"label_smoothing": 0.1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_extra_part_changes_no_random_number_of_others(change: str) -> None:
    without, with_it = drawn(), drawn(**CHANGES[change])
    assert len(without) == 16 and without.keys() == with_it.keys()
    for key, value in without.items():
        assert torch.equal(value, with_it[key]), key


def test_an_augmentation_changes_no_latents() -> None:
    without, with_it = drawn(augmented=False), drawn()
    for key in (f"{player} {batch}" for player in ("discriminator", "generator") for batch in (1, 2, 3, 4)):
        assert torch.equal(without[key], with_it[key]), key


def test_all_random_numbers_of_a_run_differ() -> None:
    """Streams differ between batches, players and kinds of samples."""
    found = drawn()
    rows = [tuple(row.tolist()) for key, value in found.items() if "augment" not in key for row in value]
    rows += [tuple(row.tolist()) for key, value in found.items() if "augment" in key for row in value]
    assert len(set(rows)) == len(rows) == 2 * 4 * (4 + 2)


def test_generator_batches_with_an_augmentation() -> None:
    """The second batch of generated samples has different latents and a different augmentation."""
    torch.manual_seed(0)
    augment = RecordingAugment()
    parts = Parts(
        loss=Hinge(), optimizers={"generator": sgd(), "discriminator": sgd()}, latent=LatentPrior(3), augment=augment,
        generator_batches=2,
    )  # fmt: skip
    module = ImagesOfPoints(Images(), Scores(), parts)
    step = module.generator_step(module.prepare({"image": torch.randn(4, 2)}), Noise(0, 4))
    assert step.fake.logits.shape == (8,)
    assert not torch.equal(step.fake.latents[:4], step.fake.latents[4:])
    assert len(augment.drawn) == 2 and not torch.equal(*augment.drawn)
    before = {key: value.clone() for key, value in module.named_parameters()}
    train(module, 2)
    assert all(torch.isfinite(value).all() for value in module.parameters())
    assert any(not torch.equal(value, before[key]) for key, value in module.named_parameters())
