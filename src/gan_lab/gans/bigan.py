"""BiGAN and ALI: generator and encoder are trained together against a discriminator of pairs of sample and latent."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.gans.joint import JointGAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Player
from gan_lab.noise import Noise
from gan_lab.step import Samples, Step


class BiGAN(JointGAN):
    """Bidirectional GAN of Donahue et al. (2017), and adversarially learned inference of Dumoulin et al. (2017).

    The discriminator discriminates pairs (x, E(x)) of real samples from pairs (G(z), z). Generator and encoder are one
    player: they are updated in one step, with one optimizer, and minimize the discriminator's loss with exchanged
    labels. For the log loss with C the logit,

        D: E softplus(-C(x, E(x))) + E softplus(C(G(z), z))
        G, E: E softplus(C(x, E(x))) + E softplus(-C(G(z), z))

    as in the code of both papers. So only the discriminator's term of a loss is used, and `minimax` is the same as
    `non_saturating`. With an optimal discriminator, a deterministic E is the inverse of G. ALI's encoder is stochastic,
    see `Encoding`; then E(x) is a sample in training, and the mean of the distribution afterwards.

    Penalties of the player `generator` apply to the generator, not to the encoder.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `join(samples, latents)`, and `features` and `head` of its result, see `DiscriminatorOutputs`.
        encoder: `forward(samples, condition)`: samples (n, ...) to latents (n, latent.dim); if it is stochastic also
            `sample(samples, condition, noise)`, with N(0, 1) noise (n, latent.dim).
        parts: All other components.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    encoder_name: ClassVar[str | None] = "encoder"
    needs_all_samples: ClassVar[bool] = True
    encoder: nn.Module

    def __init__(self, generator: nn.Module, discriminator: nn.Module, encoder: nn.Module, parts: Parts) -> None:
        super().__init__(generator, discriminator, parts, {"encoder": encoder})
        self.encoder = encoder

    def players(self) -> dict[str, Player]:
        """The discriminator, and generator and encoder as one player, `generator`."""
        players = super().players()
        both = nn.ModuleDict({"generator": self.generator, "encoder": self.encoder})
        return {**players, "generator": replace(players["generator"], network=both)}

    def encoded(self, real: Samples, noise: Noise) -> Samples:
        """Real samples with their latents. In the discriminator's update the encoder is frozen: they have no graph."""
        sample = getattr(self.encoder, "sample", None)
        if sample is None:
            latents = self.encoder(real.values, real.condition)
        else:
            latents = sample(real.values, real.condition, noise.normal(self.latent.dim))
        return Samples(real.values, real.condition, latents.float())

    def generator_criterion(self, step: Step) -> Tensor:
        """The discriminator's loss (0-dim) with exchanged labels, of all pairs."""
        real = torch.cat([step.real.logits] * self.parts.generator_batches)
        return self.parts.loss.discriminator(step.fake.logits, real)
