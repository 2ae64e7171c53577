"""MDGAN: the mode-regularized GAN in two steps, each with a discriminator of its own."""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from gan_lab.gans.gan import memories
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.gans.reg_gan import RegGAN
from gan_lab.noise import Noise
from gan_lab.types import Batch, Penalty, Step, Terms


class MDGAN(RegGAN):
    """Manifold-diffusion GAN of Che et al. (2017), section 3.3.

    Manifold step: D1 tells real samples from their reconstructions; then encoder and generator minimize
    d(x, G(E(x))) - lambda log D1(G(E(x))). Diffusion step: D2 tells reconstructions, which it calls real, from generated
    samples; then the generator minimizes -log D2(G(z)). So no discriminator has an easy task: first the generator learns
    the data's manifold, then to spread over it. Losses, labels and shared batches are as in `RegGAN`.

    D1 and D2 have optimizers, constraints and penalties of the same settings, each with a memory of its own. D1, which
    sees real samples, is the one that is logged and from which the augmentation learns. Penalties and selection of the
    generator belong to the diffusion step.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: D2; see `gan_lab.types.Judged`.
        manifold_discriminator: D1; likewise.
        encoder: `forward(samples, labels)`: samples (n, ...) to latents (n, latent.dim).
        parts: Loss, optimizers, penalties and all the rest; encoder and generator move on the same batches.
        reconstruction_weight: Factor on d; 1 in the paper.
        mode_weight: lambda.
        distance: d: `squared` or `absolute`, a mean over pixels or coordinates.

    Raises:
        ValueError: The parts or options are not allowed; the message says what to choose instead.
    """

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
        super().__init__(generator, discriminator, encoder, parts, reconstruction_weight, mode_weight, distance)
        self._refuse_mixed_samples(manifold_discriminator)
        self.manifold_discriminator = manifold_discriminator
        self.manifold_penalties = copy.deepcopy(self.penalties_of("discriminator"))
        self.manifold_memories = memories(self.manifold_penalties)

    @property
    def judge_of_reconstructions(self) -> nn.Module:
        return self.manifold_discriminator

    def players(self) -> dict[str, Player]:
        players = super().players()
        return players | {
            "manifold_discriminator": replace(players["discriminator"], network=self.manifold_discriminator)
        }

    def phases(self) -> list[Phase]:
        *discriminator, encoder, generator = super().phases()
        name = "manifold_discriminator"
        lazy = [
            Phase(name, name, self._lazy_manifold_terms(penalty_name), penalty.interval, gain=penalty.interval)
            for penalty_name, penalty in self.manifold_penalties.items()
            if penalty.interval > 1
        ]
        return [
            Phase(name, name, self.manifold_terms),
            *lazy,
            encoder,
            replace(generator, terms=self.reconstruction_terms),
            *discriminator,
            replace(generator, terms=self.generator_terms),
        ]

    def manifold_terms(self, batch: Batch, noise: Noise) -> Terms:
        """D1's loss and the penalties that are due on every batch."""
        step = self.manifold_step(batch, noise)
        terms = self.adversarial_terms(step)
        self.observe(step)
        due = {name: penalty for name, penalty in self.manifold_penalties.items() if penalty.interval == 1}
        return terms | {name: self.weighted(penalty, step) for name, penalty in due.items()}

    def manifold_step(self, batch: Batch, noise: Noise) -> Step:
        """What D1 sees in its move: real samples and their reconstructions."""
        labels = self.labels.of(batch.get("label"))
        real = self.judged(lambda: (batch["image"], labels), noise, self.manifold_discriminator)
        fake = self.judged(self._reconstructions(batch), noise, self.manifold_discriminator)
        return Step(self.manifold_discriminator, real, fake, noise)

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """What D2 sees in its move: reconstructions and generated samples."""
        step = super().discriminator_step(batch, noise)
        return replace(step, real=self.judged(self._reconstructions(batch), noise))

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        """What the generator sees in the diffusion step; losses that compare do so with reconstructions."""
        step = super().generator_step(batch, noise)
        return replace(step, real=self.judged(self._reconstructions(batch), noise))

    def observe(self, step: Step) -> None:
        if step.network is self.manifold_discriminator:
            super().observe(step)

    def _reconstructions(self, batch: Batch) -> Callable[[], tuple[Tensor, Tensor | None]]:
        @torch.no_grad()
        def draw() -> tuple[Tensor, Tensor | None]:
            return self.reconstruct(batch), self.labels.of(batch.get("label"))

        return draw

    def _lazy_manifold_terms(self, name: str) -> Callable[[Batch, Noise], Terms]:
        penalty: Penalty = self.manifold_penalties[name]

        def terms(batch: Batch, noise: Noise) -> Terms:
            return {name: self.weighted(penalty, self.manifold_step(batch, noise))}

        return terms
