"""Denoising feature matching: the generator also moves features to where a denoiser of real ones would."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.gans.further import further_player, require_weight
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.noise import Noise
from gan_lab.types import Batch, Step, Terms

DenoiserFactory = Callable[[nn.Module], nn.Module]
"""A discriminator to the denoiser of its features: (n, d) to (n, d)."""


class DFM(GAN):
    """The game of Warde-Farley & Bengio (2017), eq. 4 and 5, with a third player, the denoiser r.

    On the features Phi of the discriminator's last hidden layer the denoiser minimizes
    |Phi(x) - r(Phi(x) + N(0, corruption^2))|^2 over real samples x, and the generator, beside its loss,
    denoising_weight |Phi(x') - r(Phi(x'))|^2 with r(Phi(x')) as a constant: r(h) - h is a multiple of the slope of the
    log density of real features. Phi learns from neither. The paper prints the corrupted features as the denoiser's
    target; its authors meant the clean ones. Squared errors are means over the features, as in other versions.

    Batch norm sees real and generated features apart: in every move it takes the statistics of the samples at hand, the
    micro-batch of one process. Without it, processes and micro-batches may share the batch. A conditional discriminator's
    features know the label; packed samples share one feature vector.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, labels)` and `head(features, labels)`, see `gan_lab.types.Judged`.
        denoiser: Called with the discriminator, whose features' size it needs; gives the network r.
        parts: Loss, optimizers, penalties and all the rest; the denoiser moves on every batch, after the discriminator.
        denoising_weight: lambda_denoise.
        corruption: Standard deviation of the noise.

    Raises:
        ValueError: The parts or options are not allowed; the message says what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        denoiser: DenoiserFactory,
        parts: Parts,
        denoising_weight: float = 0.03,
        corruption: float = 1.0,
    ) -> None:
        require_weight("denoising_weight", denoising_weight)
        if corruption <= 0:
            raise ValueError(f"game.corruption={corruption} is not allowed: it must be greater than 0")
        network = denoiser(discriminator)
        denoising = {"denoising": _Denoising(network, denoising_weight)}
        super().__init__(generator, discriminator, replace(parts, penalties={**parts.penalties, **denoising}))
        self.denoiser = network
        self.corruption = corruption

    def players(self) -> dict[str, Player]:
        return super().players() | {"denoiser": further_player("denoiser", self.denoiser, self.parts)}

    def phases(self) -> list[Phase]:
        *discriminator, generator = super().phases()
        return [*discriminator, Phase("denoiser", "denoiser", self.denoiser_terms), generator]

    def denoiser_terms(self, batch: Batch, noise: Noise) -> Terms:
        """Squared error of real features, corrupted and denoised."""
        with torch.no_grad():
            labels = self.labels.of(batch.get("label"))
            clean = self.judged(lambda: (batch["image"], labels), noise).features  # (n, d)
            corrupted = clean + self.corruption * noise.normal(clean.shape[1])[: len(clean)]  # packs are fewer rows
        return {"denoising": F.mse_loss(self.denoiser(corrupted).float(), clean)}


@dataclass(frozen=True)
class _Denoising:
    """The generator's part of eq. 4, as a penalty."""

    denoiser: nn.Module
    weight: float
    interval: ClassVar[int] = 1
    per_sample: ClassVar[bool] = False
    player: ClassVar[str] = "generator"

    def __call__(self, step: Step) -> Tensor:
        features = step.fake.features
        with torch.no_grad():
            target = self.denoiser(features)
        return F.mse_loss(features, target)
