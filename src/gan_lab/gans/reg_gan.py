"""Mode-regularized GAN: with an encoder, the generator also reconstructs real samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.gans import compatibility
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch, Terms

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"squared": F.mse_loss, "absolute": F.l1_loss}
"""Distances of samples (n, ...), the mean over the batch and over pixels or coordinates."""


class RegGAN(GAN):
    """Reg-GAN of Che et al. (2017), section 3.1: reconstructing real samples keeps the generator from missing modes.

    The discriminator is updated as in the two-player GAN. The encoder E minimizes

        lambda1 d(x, G(E(x))) - lambda2 log D(G(E(x)))

    and the generator its own loss plus the same terms. The paper prints + lambda2 log D, which would lower D on
    reconstructions; according to its text they should look real. With another loss, the generator's term replaces -log
    D; a relative loss compares each reconstruction with its original. Both terms are means over samples, so the batch
    may be split over processes and micro-batches; batch norm sees the local part, and reconstructions in separate
    batches. With labels, a sample is reconstructed with its own label; the encoder ignores labels unless a wrapper
    reads them.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, condition)` and `head(features, condition)`, see `DiscriminatorOutputs`.
        encoder: `forward(samples, condition)`: samples (n, ...) to latents (n, latent.dim).
        parts: All other components; the encoder is updated on the same batches as the generator.
        reconstruction_weight: lambda1.
        mode_weight: lambda2.
        distance: d: `squared` or `absolute`, a mean over pixels or coordinates.
        others: Networks of additional players, by name.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    encoder_name: ClassVar[str | None] = "encoder"
    generator_has_own_terms: ClassVar[bool] = True
    encoder: nn.Module

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        encoder: nn.Module,
        parts: Parts,
        reconstruction_weight: float = 0.2,
        mode_weight: float = 0.4,
        distance: str = "squared",
        **others: nn.Module,
    ) -> None:
        require_at_least("algorithm.reconstruction_weight", reconstruction_weight, 0)
        require_at_least("algorithm.mode_weight", mode_weight, 0)
        if distance not in DISTANCES:
            raise ValueError(f"algorithm.distance={distance} is not known; choose {' or '.join(DISTANCES)}")
        compatibility.check_reconstruction(parts.condition)
        super().__init__(generator, discriminator, parts, {"encoder": encoder}, encoder=encoder, **others)
        self.reconstruction_weight = reconstruction_weight
        self.mode_weight = mode_weight
        self.distance = DISTANCES[distance]

    @property
    def encoder_phase(self) -> Phase:
        return Phase("encoder", self.reconstruction_step, self.reconstruction_loss, interval=self.parts.n_critic)

    def phases(self) -> list[Phase]:
        generator = replace(self.generator_phase, step=self.regularized_step, loss=self.regularized_loss)
        return [self.discriminator_phase, self.encoder_phase, generator]

    def reconstruction_step(self, batch: Batch, noise: Noise) -> Step:
        """The encoder's inputs: real samples, and their reconstructions as generated samples, with a gradient."""
        return Step(self.encoder, self.real_outputs(batch, noise), self.reconstructed_outputs(batch, noise), noise)

    def reconstruction_loss(self, step: Step) -> Terms:
        """Distance of the reconstructions to their originals, and their adversarial loss."""
        terms = {"reconstruction": self.reconstruction_weight * self.distance(step.fake.samples, step.real.samples)}
        if self.mode_weight:
            logits = [step.fake.logits, step.real.logits] if self.parts.loss.relative else [step.fake.logits]
            terms["mode"] = self.mode_weight * self.parts.loss.generator(*logits)
        return terms

    def regularized_step(self, batch: Batch, noise: Noise) -> Step:
        """The generator's inputs: new generated samples, and reconstructions."""
        others = {"reconstructed": self.reconstructed_outputs(batch, noise)}
        return replace(self.generator_step(batch, noise), others=others)

    def regularized_loss(self, step: Step) -> Terms:
        """The generator's loss on new latents, and the terms that the encoder minimizes too."""
        return self.generator_loss(step) | self.reconstruction_loss(replace(step, fake=step.others["reconstructed"]))

    def reconstructed_outputs(self, batch: Batch, noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of the reconstructions."""
        return self.outputs(lambda: self.reconstructed(batch), noise.child("augment/reconstructed"))

    def reconstructed(self, batch: Batch) -> Samples:
        """Reconstructions G(E(x)) of the real samples of a batch, float32 of the same shape, with their conditions."""
        real = self.real_samples(batch)
        condition, latents = real.condition, self.encoder(real.values, real.condition)
        return Samples(self.generator(latents, condition).float(), condition, latents)
