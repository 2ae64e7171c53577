"""The mode-regularized GAN: an encoder, and a generator that must also reconstruct real samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.gans.further import further_player, require_weight
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.noise import Noise
from gan_lab.types import Batch, Terms

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"squared": F.mse_loss, "absolute": F.l1_loss}
"""Distances of samples (n, ...), the mean over the batch and over pixels or coordinates."""


class RegGAN(GAN):
    """Reg-GAN of Che et al. (2017), section 3.1: no mode of the data may be out of the generator's reach.

    The discriminator moves as in the two-player game. The encoder E minimizes

        lambda1 d(x, G(E(x))) - lambda2 log D(G(E(x)))

    and the generator its own loss plus the same. The paper prints + lambda2 log D, which would lower D on reconstructions;
    the text means them to look real. Another loss puts its generator half in the place of -log D; a relative one compares
    the reconstruction with its original. Both terms are means over samples, so processes and micro-batches may share the
    batch; batch norm in any of the networks sees the local share, and reconstructions apart from other samples. With
    labels, a sample is reconstructed under its own; the encoder is given it too, and ignores it unless a wrapper reads it.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, labels)` and `head(features, labels)`, see `gan_lab.types.Judged`.
        encoder: `forward(samples, labels)`: samples (n, ...) to latents (n, latent.dim).
        parts: Loss, optimizers, penalties and all the rest; the encoder moves whenever the generator does.
        reconstruction_weight: lambda1.
        mode_weight: lambda2.
        distance: d: `squared` or `absolute`, a mean over pixels or coordinates.

    Raises:
        ValueError: The parts or options are not allowed; the message says what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        encoder: nn.Module,
        parts: Parts,
        reconstruction_weight: float = 0.2,
        mode_weight: float = 0.4,
        distance: str = "squared",
    ) -> None:
        super().__init__(generator, discriminator, parts)
        require_weight("reconstruction_weight", reconstruction_weight)
        require_weight("mode_weight", mode_weight)
        if distance not in DISTANCES:
            raise ValueError(f"game.distance={distance} is not known; choose {' or '.join(DISTANCES)}")
        self.encoder = encoder
        self.reconstruction_weight = reconstruction_weight
        self.mode_weight = mode_weight
        self.distance = DISTANCES[distance]

    @property
    def judge_of_reconstructions(self) -> nn.Module:
        """The discriminator to which reconstructions must look real."""
        return self.discriminator

    def players(self) -> dict[str, Player]:
        return super().players() | {"encoder": further_player("encoder", self.encoder, self.parts)}

    def phases(self) -> list[Phase]:
        *discriminator, generator = super().phases()
        return [
            *discriminator,
            Phase("encoder", "encoder", self.reconstruction_terms, self.parts.n_critic),
            replace(generator, terms=self.regularized_terms),
        ]

    def regularized_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The generator's loss on fresh latents, its penalties, and what it shares with the encoder."""
        return self.generator_terms(batch, noise) | self.reconstruction_terms(batch, noise)

    def reconstruction_terms(self, batch: Batch, noise: Noise) -> Terms:
        """Distance of the reconstructions from their originals, and the loss for looking generated."""
        labels, originals = self.labels.of(batch.get("label")), batch["image"]
        images = self.reconstruct(batch)
        terms = {"reconstruction": self.reconstruction_weight * self.distance(images, originals)}
        if self.mode_weight:
            judge, loss = self.judge_of_reconstructions, self.parts.loss
            logits = [self.judged(lambda: (images, labels), noise, judge).logits]
            if loss.relative:  # the frozen discriminator leaves no graph behind these
                logits.append(self.judged(lambda: (originals, labels), noise, judge).logits)
            terms["mode"] = self.mode_weight * loss.generator(*logits)
        return terms

    def reconstruct(self, batch: Batch) -> Tensor:
        """G(E(x)) of a batch, float32 of the shape of its images."""
        labels = self.labels.of(batch.get("label"))
        return cast(Tensor, self.generator(self.encoder(batch["image"], labels), labels)).float()
