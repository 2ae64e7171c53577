"""MDGAN: the mode-regularized GAN in two steps, each with its own discriminator."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from gan_lab.gans import compatibility
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.gans.reg_gan import RegGAN
from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch


class MDGAN(RegGAN):
    """Manifold-diffusion GAN of Che et al. (2017), section 3.3.

    Manifold step: D1 discriminates real samples from their reconstructions; then encoder and generator minimize
    d(x, G(E(x))) - lambda log D1(G(E(x))). Diffusion step: D2 discriminates reconstructions, labeled real, from
    generated samples; then the generator minimizes -log D2(G(z)). So neither discriminator has an easy task: the
    generator first learns the manifold of the data, then to cover it. Losses, labels and split batches are as in
    `RegGAN`.

    D1 and D2 have the same optimizer settings, constraints and penalties, with separate state. D1 sees real samples, so
    its outputs are logged and drive the adaptive augmentation. Penalties and sample selection of the generator apply to
    the diffusion step.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: D2; see `DiscriminatorOutputs`.
        manifold_discriminator: D1; likewise.
        encoder: `forward(samples, condition)`: samples (n, ...) to latents (n, latent.dim).
        parts: All other components; encoder and generator are updated on the same batches.
        reconstruction_weight: Factor on d; 1 in the paper.
        mode_weight: lambda.
        distance: d: `squared` or `absolute`, a mean over pixels or coordinates.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    discriminators: ClassVar[tuple[str, ...]] = ("discriminator", "manifold_discriminator")
    manifold_discriminator: nn.Module

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        manifold_discriminator: nn.Module,
        encoder: nn.Module,
        parts: Parts,
        reconstruction_weight: float = 1.0,
        mode_weight: float = 0.01,
        distance: str = "squared",
    ) -> None:
        super().__init__(
            generator, discriminator, encoder, parts, reconstruction_weight, mode_weight, distance,
            manifold_discriminator=manifold_discriminator,
        )  # fmt: skip
        self.penalties.copy("discriminator", "manifold_discriminator")
        compatibility.check_penalties(
            self.penalties.of("manifold_discriminator"), "manifold_discriminator", manifold_discriminator
        )

    def phases(self) -> list[Phase]:
        manifold = replace(self.discriminator_phase, player="manifold_discriminator", step=self.manifold_step)
        reconstruction = replace(self.encoder_phase, player="generator", penalized=False)
        diffusion = replace(self.discriminator_phase, observe=None, adapt=None)
        return [manifold, self.encoder_phase, reconstruction, diffusion, self.generator_phase]

    def manifold_step(self, batch: Batch, noise: Noise) -> Step:
        """The inputs of D1: real samples and their reconstructions, without a gradient."""
        fake = self._detached_reconstructions(batch, noise).with_discriminator(self.manifold_discriminator)
        return replace(self.reconstruction_step(batch, noise), network=self.manifold_discriminator, fake=fake)

    def reconstruction_step(self, batch: Batch, noise: Noise) -> Step:
        """Outputs of D1 for real samples and their reconstructions."""
        step = super().reconstruction_step(batch, noise)
        first = self.manifold_discriminator
        return replace(step, real=step.real.with_discriminator(first), fake=step.fake.with_discriminator(first))

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """The inputs of D2: reconstructions as real samples, and generated samples."""
        return replace(super().discriminator_step(batch, noise), real=self._detached_reconstructions(batch, noise))

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        """The generator's inputs in the diffusion step; relative losses compare with reconstructions."""
        return replace(super().generator_step(batch, noise), real=self._detached_reconstructions(batch, noise))

    def _detached_reconstructions(self, batch: Batch, noise: Noise) -> DiscriminatorOutputs:
        """Outputs of D2 for reconstructions without a gradient."""

        @torch.no_grad()
        def draw() -> Samples:
            return self.reconstructed(batch)

        return self.outputs(draw, noise.child("augment/reconstructed"))
