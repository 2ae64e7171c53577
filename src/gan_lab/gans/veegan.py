"""VEEGAN: the discriminator scores pairs of latent and sample; a reconstructor maps samples to latents."""

from dataclasses import replace
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.gans.joint import JointGAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least
from gan_lab.step import Samples, Step
from gan_lab.types import Batch, Terms


class VEEGAN(JointGAN):
    """Srivastava et al. (2017), section 3 and algorithm 1: a GAN with a third player, the reconstructor F.

    The discriminator discriminates pairs (F(x), x) of real samples from pairs (z, G(z)). Its logit C estimates the log
    ratio of their densities; it is large for real pairs, so it is minus that of the paper. The generator minimizes
    -C(z, G(z)) + |z - F(G(z))|^2 and the reconstructor |z - F(G(z))|^2, sums over the coordinates of a latent. Only the
    discriminator uses the loss; its generator term is ignored.

    For pairs, augmentation, penalties and labels see `JointGAN`.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `join(samples, latents)`, and `features` and `head` of its result, see `DiscriminatorOutputs`.
        reconstructor: `forward(samples, condition)`: samples (n, ...) to latents (n, latent.dim).
        parts: All other components; the reconstructor is updated on the same batches as the generator.
        reconstruction_weight: Factor on the squared distance of latents; 1 in the paper.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    encoder_name: ClassVar[str | None] = "reconstructor"
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
        averaged = {"reconstructor": reconstructor}
        super().__init__(generator, discriminator, parts, averaged, reconstructor=reconstructor)
        self.reconstruction_weight = reconstruction_weight

    def phases(self) -> list[Phase]:
        reconstructor = Phase(
            "reconstructor", self.reconstructor_step, self.reconstruction_loss, interval=self.parts.n_critic
        )
        return [self.discriminator_phase, self.generator_phase, reconstructor]

    def reconstructor_step(self, batch: Batch, noise: Noise) -> Step:
        """The reconstructor's inputs: new generated samples without a gradient."""
        return replace(self.discriminator_step(batch, noise), network=self.reconstructor)

    @torch.no_grad()
    def encoded(self, real: Samples, noise: Noise) -> Samples:
        """Real samples with their latents, without a gradient: only the reconstruction error trains F."""
        return Samples(real.values, real.condition, self.reconstructor(real.values, real.condition).float())

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
