"""VEEGAN: the discriminator scores pairs of latent and sample; a reconstructor maps samples to latents."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.augment.base import augmented
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch, Terms


class VEEGAN(GAN):
    """Srivastava et al. (2017), section 3 and algorithm 1: a GAN with a third player, the reconstructor F.

    The discriminator discriminates pairs (F(x), x) of real samples from pairs (z, G(z)). Its logit C estimates the log
    ratio of their densities; it is large for real pairs, so it is minus that of the paper. The generator minimizes
    -C(z, G(z)) + |z - F(G(z))|^2 and the reconstructor |z - F(G(z))|^2, sums over the coordinates of a latent. Only the
    discriminator uses the loss; its generator term is ignored.

    Augmentation and penalties on points apply to the sample of a pair, not to the latent. All terms are means over
    samples, so the batch may be split over processes and micro-batches; batch norm sees the local part. With labels,
    every network gets the label of its sample.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `join(samples, latents)`, and `features` and `head` of its result, see `DiscriminatorOutputs`.
        reconstructor: `forward(samples, condition)`: samples (n, ...) to latents (n, latent.dim).
        parts: All other components; the reconstructor is updated on the same batches as the generator.
        reconstruction_weight: Factor on the squared distance of latents; 1 in the paper.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    generator_has_own_terms: ClassVar[bool] = True
    reconstructor: nn.Module

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        reconstructor: nn.Module,
        parts: Parts,
        reconstruction_weight: float = 1.0,
    ) -> None:
        require_at_least("algorithm.reconstruction_weight", reconstruction_weight, 0)
        if not hasattr(discriminator, "join"):
            raise ValueError(
                "model=veegan scores pairs of samples and latents, which needs wrapper.discriminator.joint; "
                "do not change this key"
            )
        super().__init__(generator, discriminator, parts, reconstructor=reconstructor)
        self.reconstruction_weight = reconstruction_weight

    def phases(self) -> list[Phase]:
        reconstructor = Phase(
            "reconstructor", self.reconstructor_step, self.reconstruction_loss, interval=self.parts.n_critic
        )
        return [self.discriminator_phase, self.generator_phase, reconstructor]

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        with torch.no_grad():
            return self._paired_step(self.discriminator, batch, noise, 1)

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        return self._paired_step(self.generator, batch, noise, self.parts.generator_batches)

    def reconstructor_step(self, batch: Batch, noise: Noise) -> Step:
        """The reconstructor's inputs: new generated samples without a gradient."""
        with torch.no_grad():
            return self._paired_step(self.reconstructor, batch, noise, 1)

    def generator_criterion(self, step: Step) -> Tensor:
        """Minus the mean logit of generated pairs: an estimate of the divergence between both kinds of pairs."""
        return -step.fake.logits[self.selected(step.fake.logits)].mean()

    def generator_loss(self, step: Step) -> Terms:
        """The adversarial loss, and the distance of latents that the reconstructor minimizes too."""
        return super().generator_loss(step) | self.reconstruction_loss(step)

    def reconstruction_loss(self, step: Step) -> Terms:
        """Squared distance of latents to their reconstructions from samples, without autocast."""
        latents = cast(Tensor, step.fake.latents)
        with torch.autocast(self.device.type, enabled=False):
            reconstructed = self.reconstructor(step.fake.samples, step.fake.condition).float()
            distance = torch.square(latents - reconstructed).sum(1).mean()
        return {"reconstruction": self.reconstruction_weight * distance}

    def score(self, samples: Tensor, condition: Tensor | None = None) -> None:
        """None: the discriminator scores pairs."""
        return None

    def _paired_step(self, network: nn.Module, batch: Batch, noise: Noise, batches: int) -> Step:
        fake = self.generated(noise, batch, batches).computed()
        real = self.real_samples(batch)

        @torch.no_grad()
        def reconstructed() -> Tensor:
            return self.reconstructor(real.values, real.condition).float()

        generated = self._paired_outputs(fake, lambda: cast(Tensor, fake.latents), noise.child("augment/fake"))
        return Step(network, self._paired_outputs(real, reconstructed, noise.child("augment/real")), generated, noise)

    def _paired_outputs(self, samples: Samples, latents: Callable[[], Tensor], noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of pairs of augmented samples and latents."""
        join = cast(Any, self.discriminator).join
        return DiscriminatorOutputs(
            self.discriminator, lambda: samples, lambda points: join(augmented(self.augment, points, noise), latents())
        )
