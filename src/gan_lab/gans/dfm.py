"""Denoising feature matching: the generator also matches its features to their denoised versions."""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least, require_positive
from gan_lab.step import Step
from gan_lab.types import Batch, Terms

DenoiserFactory = Callable[[nn.Module], nn.Module]
"""Creates the denoiser, (n, d) to (n, d), of a discriminator's features."""


class DFM(GAN):
    """Warde-Farley & Bengio (2017), eq. 4 and 5: a GAN with a third player, the denoiser r.

    With the features Phi of the discriminator's last hidden layer, the denoiser minimizes
    |Phi(x) - r(Phi(x) + N(0, corruption^2))|^2 over real samples x. The generator minimizes, in addition to its loss,
    denoising_weight |Phi(x') - r(Phi(x'))|^2 with constant r(Phi(x')): r(h) - h is proportional to the gradient of the
    log density of real features. Neither term updates Phi. The paper prints the corrupted features as the denoiser's
    target; its authors meant the clean features. Squared errors are means over the features, as in other
    implementations.

    Batch norm sees real and generated features in separate batches: every update uses the statistics of its own
    samples, those of a micro-batch of one process. Without batch norm, the batch may be split over processes and
    micro-batches. Features of a conditional discriminator depend on the label; a pack of samples has one feature
    vector.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, condition)` and `head(features, condition)`, see `DiscriminatorOutputs`.
        denoiser: Called with the discriminator, whose feature size it reads; returns the network r.
        parts: All other components; the denoiser is updated on every batch, after the discriminator.
        denoising_weight: lambda_denoise.
        corruption: Standard deviation of the noise.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    generator_has_own_terms: ClassVar[bool] = True
    denoiser: nn.Module

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        denoiser: DenoiserFactory,
        parts: Parts,
        denoising_weight: float = 0.03,
        corruption: float = 1.0,
    ) -> None:
        super().__init__(generator, discriminator, parts, denoiser=denoiser(discriminator))
        self.set_denoising(denoising_weight, corruption)

    def set_denoising(self, denoising_weight: float, corruption: float) -> None:
        """Set the options of the denoiser's and the generator's terms.

        Raises:
            ValueError: An option is out of range.
        """
        require_at_least("algorithm.denoising_weight", denoising_weight, 0)
        require_positive("algorithm.corruption", corruption)
        self.denoising_weight = denoising_weight
        self.corruption = corruption

    def phases(self) -> list[Phase]:
        denoiser = Phase("denoiser", self.denoiser_step, self.denoiser_loss)
        return [self.discriminator_phase, denoiser, self.generator_phase]

    def denoiser_step(self, batch: Batch, noise: Noise) -> Step:
        """The denoiser's inputs: real samples. The generated ones are lazy and never sampled."""
        fake = self.fake_outputs(lambda: self.generated(noise, batch), noise)
        return Step(self.denoiser, self.real_outputs(batch, noise), fake, noise)

    def denoiser_loss(self, step: Step) -> Terms:
        """Squared error of the denoised corrupted features of real samples."""
        with torch.no_grad():
            clean = step.real.features  # (n, d)
            # Packs have fewer rows than samples.
            noise = step.noise.child("corruption").normal(clean.shape[1])[: len(clean)]
            corrupted = clean + self.corruption * noise
        return {"denoising": F.mse_loss(self.denoiser(corrupted).float(), clean)}

    def generator_loss(self, step: Step) -> Terms:
        """The adversarial loss and the generator's term of eq. 4."""
        return super().generator_loss(step) | {"denoising": self.denoising_weight * self._distance(step.fake.features)}

    def _distance(self, features: Tensor) -> Tensor:
        # Without autocast, like penalties.
        with torch.autocast(self.device.type, enabled=False):
            with torch.no_grad():
                target = self.denoiser(features)
            return F.mse_loss(features, target)
