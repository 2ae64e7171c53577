"""Base class of GANs whose discriminator scores pairs of sample and latent."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from gan_lab.augment.base import augmented
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples
from gan_lab.types import Batch


class JointGAN(GAN):
    """A GAN with an encoder, whose discriminator discriminates pairs (x, E(x)) of real samples from pairs (G(z), z).

    Augmentation and penalties on points apply to the sample of a pair, not to the latent. All terms are means over
    samples, so the batch may be split over processes and micro-batches; batch norm sees the local part. With labels,
    every network gets the label of its sample.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `join(samples, latents)`, and `features` and `head` of its result, see `DiscriminatorOutputs`.
        parts: All other components.
        averaged: The encoder, by its attribute name.
        others: Networks of additional players, by name.

    Raises:
        ValueError: The parts cannot be combined; the message names what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        parts: Parts,
        averaged: Mapping[str, nn.Module],
        **others: nn.Module,
    ) -> None:
        if not hasattr(discriminator, "join"):
            raise ValueError(
                "this algorithm scores pairs of samples and latents, which needs wrapper.discriminator.joint; "
                "do not change this key"
            )
        super().__init__(generator, discriminator, parts, averaged, **others)

    def encoded(self, real: Samples, noise: Noise) -> Samples:
        """Real samples with their latents E(x)."""
        raise NotImplementedError

    def real_outputs(self, batch: Batch, noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of the pairs of real samples."""
        encoder, augmentation = noise.child("encoder"), noise.child("augment/real")
        return self.outputs(lambda: self.encoded(self.real_samples(batch), encoder), augmentation)

    def outputs(self, draw: Callable[[], Samples], noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of pairs of augmented samples and their latents."""
        join = cast(Any, self.discriminator).join

        def pairs(points: Tensor) -> Tensor:
            return join(augmented(self.augment, points, noise), outputs.latents)

        outputs = DiscriminatorOutputs(self.discriminator, draw, pairs)
        return outputs

    def score(self, samples: Tensor, condition: Tensor | None = None) -> None:
        """None: the discriminator scores pairs."""
        return None
