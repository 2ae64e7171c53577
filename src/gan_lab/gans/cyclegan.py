"""CycleGAN: two generators that translate images between two sets without pairs, and two discriminators."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.gans import compatibility
from gan_lab.gans.gan import GAN
from gan_lab.gans.image_pool import ImagePool
from gan_lab.gans.modes import evaluation_mode
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch, Terms

BACK = "back_"
"""Prefix of what belongs to the direction from images to source images."""


class CycleGAN(GAN):
    """Zhu et al. (2017): the generator G makes an image from a source image, the back generator F a source image.

    With source images a and images b, which need not correspond, G and F minimize, in one update,

        L(D(G(a))) + L(D'(F(b))) + cycle_weight (|F(G(a)) - a| + |G(F(b)) - b|)
            + identity_weight cycle_weight (|G(b) - b| + |F(a) - a|)

    with means of absolute differences. The discriminator D scores images and the back discriminator D' source images,
    both without a condition. They are updated after the generators, in one update, with images of the new generators,
    where the authors' code takes those from before the update. Pools replace some of these by earlier ones, see
    `ImagePool`: one for each direction.

    Both discriminators have the same settings, constraints and penalties, with separate state, and so have the
    generators. Adaptive augmentation reads the logits of D.

    Args:
        generator: G: `forward(latents, source image)`.
        back_generator: F: `forward(latents, image)`.
        discriminator: D; see `DiscriminatorOutputs`.
        back_discriminator: D'; likewise.
        parts: All other components; the condition must be the source image.
        cycle_weight: Factor on the reconstruction of images that are translated forth and back.
        identity_weight: Factor, relative to `cycle_weight`, on the change of images that need no translation.
        pool_size: Images in each pool; 0 for none.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    beside: ClassVar[str] = "reconstruction"
    generator_has_own_terms: ClassVar[bool] = True
    translators: ClassVar[Mapping[str, str]] = {"image": "generator", "source": "back_generator"}

    def __init__(
        self,
        generator: nn.Module,
        back_generator: nn.Module,
        discriminator: nn.Module,
        back_discriminator: nn.Module,
        parts: Parts,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool_size: int = 50,
    ) -> None:
        require_at_least("algorithm.cycle_weight", cycle_weight, 0)
        require_at_least("algorithm.identity_weight", identity_weight, 0)
        compatibility.check_cycle(parts, generator, identity_weight)
        super().__init__(generator, discriminator, parts)
        self.back_generator, self.back_discriminator = back_generator, back_discriminator
        self.average("back_generator", back_generator)
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.pool, self.back_pool = ImagePool(pool_size), ImagePool(pool_size)
        for player in ("discriminator", "generator"):
            back = f"{BACK}{player}"
            compatibility.check_penalties(self.penalties.of(player), back, getattr(self, back))
            self.penalties.split(player, self.back, BACK)

    def players(self) -> dict[str, Player]:
        return {name: replace(player, network=self._both(name)) for name, player in super().players().items()}

    def _both(self, player: str) -> nn.ModuleList:
        return nn.ModuleList([getattr(self, player), getattr(self, f"{BACK}{player}")])

    def phases(self) -> list[Phase]:
        return [self.generator_phase, self.discriminator_phase]

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """The discriminators' inputs: real images of both sets, and translated ones from the pools, as constants."""
        fake = self.fake_outputs(
            lambda: _pooled(self.pool, self.generated(noise, batch), noise.child("pool")),
            noise,
        )
        back_fake = self._back_outputs(
            lambda: _pooled(self.back_pool, self.generated_sources(noise, batch), noise.child(f"{BACK}pool")),
            noise.child(f"augment/{BACK}fake"),
        )
        return self._step(self.discriminator, batch, noise, fake, back_fake)

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        """The generators' inputs: translated images, and the real images of both sets."""
        fake = self.fake_outputs(lambda: self.generated(noise, batch), noise)
        back_fake = self._back_outputs(lambda: self.generated_sources(noise, batch), noise.child(f"augment/{BACK}fake"))
        return self._step(self.generator, batch, noise, fake, back_fake)

    def _step(
        self,
        network: nn.Module,
        batch: Batch,
        noise: Noise,
        fake: DiscriminatorOutputs,
        back_fake: DiscriminatorOutputs,
    ) -> Step:
        sources = Samples(self.sources(batch))
        back_real = self._back_outputs(lambda: sources, noise.child(f"augment/{BACK}real"))
        others = {f"{BACK}real": back_real, f"{BACK}fake": back_fake}
        return Step(network, self.real_outputs(batch, noise), fake, noise, others)

    def _back_outputs(self, draw: Callable[[], Samples], noise: Noise) -> DiscriminatorOutputs:
        return self.outputs(draw, noise).with_discriminator(self.back_discriminator)

    def back(self, step: Step) -> Step:
        """The step of the back generator or discriminator, from that of the other."""
        networks = {self.generator: self.back_generator, self.discriminator: self.back_discriminator}
        real, fake = step.others[f"{BACK}real"], step.others[f"{BACK}fake"]
        return replace(step, network=networks[step.network], real=real, fake=fake)

    def sources(self, batch: Batch) -> Tensor:
        """The source images of a batch, (n, C, H, W)."""
        return cast(Tensor, self.condition.of(batch))

    def real_samples(self, batch: Batch) -> Samples:
        """The real images of a batch, without their conditions: the discriminators see images alone."""
        return Samples(self.reals(batch))

    def generated(self, noise: Noise, batch: Batch, batches: int = 1) -> Samples:
        """The source images of a batch, translated; float32 and computed when used."""
        return self._translated(self.generator, self.sources(batch), noise)

    def generated_sources(self, noise: Noise, batch: Batch) -> Samples:
        """The real images of a batch, translated back to source images; float32 and computed when used."""
        return self._translated(self.back_generator, self.reals(batch), noise)

    def _translated(self, network: nn.Module, images: Tensor, noise: Noise) -> Samples:
        latents = self.latent.sample(noise.child("latents"))
        return Samples(lambda: network(latents, images).float(), latents=latents)

    def discriminator_loss(self, step: Step) -> Terms:
        """The adversarial losses of both discriminators."""
        return _of_both(super().discriminator_loss, step, self.back(step))

    def generator_loss(self, step: Step) -> Terms:
        """The terms of both generators."""
        back = self.back(step)
        return _of_both(super().generator_loss, step, back) | _of_both(self._cycle_terms, (step, back), (back, step))

    def _cycle_terms(self, steps: tuple[Step, Step]) -> Terms:
        """The terms of one direction that need no discriminator.

        Args:
            steps: The step of this direction, whose network translates the real samples of the second, and that of the
                other.
        """
        forth, back = steps
        reconstructed = back.network(forth.fake.latents, forth.fake.samples).float()
        terms = {"cycle": self.cycle_weight * F.l1_loss(reconstructed, back.real.samples)}
        if self.identity_weight:
            same = forth.network(forth.fake.latents, forth.real.samples).float()
            terms["identity"] = self.identity_weight * self.cycle_weight * F.l1_loss(same, forth.real.samples)
        return terms

    def observe(self, step: Step) -> dict[str, Tensor]:
        """Mean logits and accuracies of both discriminators, for the log."""
        found, back = super().observe(step), super().observe(self.back(step))
        return found | {key.replace("/", f"/{BACK}"): value for key, value in back.items()}

    def adapt(self, step: Step) -> dict[str, Tensor]:
        """Store the new images in the pools, and adapt the augmentation; returns scalars for the log."""
        self.pool.commit()
        self.back_pool.commit()
        return super().adapt(step)

    @torch.no_grad()
    def shown_beside(self, samples: Tensor, latents: Tensor, average: bool) -> Tensor:
        """The samples, translated back: they should be their sources."""
        network = self.averaged["back_generator"] if average else self.back_generator
        with evaluation_mode(network):
            return network(latents, samples.to(latents.device))

    def score(self, samples: Tensor, condition: Tensor | None = None) -> Tensor | None:
        """Logits (n, ...) of D, which sees no condition; None if it scores packs."""
        return super().score(samples)


@torch.no_grad()
def _pooled(pool: ImagePool, generated: Samples, noise: Noise) -> Samples:
    return Samples(pool(generated.values, noise))


def _of_both(terms: Callable[[Any], Terms], forth: Any, back: Any) -> Terms:
    """The terms of both directions, those of the back direction with its prefix."""
    return terms(forth) | {f"{BACK}{name}": value for name, value in terms(back).items()}
