"""D2GAN: a generator and two discriminators, one for each direction of the Kullback-Leibler divergence."""

from dataclasses import replace
from typing import ClassVar, cast

from torch import Tensor, nn

from gan_lab.gans import compatibility
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Player
from gan_lab.losses.dual import Dual
from gan_lab.noise import Noise
from gan_lab.step import Step
from gan_lab.types import Batch, Terms


class D2GAN(GAN):
    """Nguyen et al. (2017): the first discriminator scores real samples high, the second generated samples.

    The discriminators have separate weights, see the same samples with the same augmentation and are updated in one
    step of one optimizer. The generator is updated after them, with new latents. Each discriminator has every penalty
    of discriminators, with separate state; a penalty of the generator is the mean of its values for both. Top-k
    selection and adaptive augmentation read the logits of the first discriminator.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: The first, D1; see `DiscriminatorOutputs`. Its values are softplus of its logits.
        second_discriminator: The second, D2; likewise.
        parts: All other components; the loss must be `Dual`.
        others: Networks of additional players, by name.

    Raises:
        ValueError: The loss is not `Dual`, or the parts cannot be combined.
    """

    logits_of_loss: ClassVar[int] = 2

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        second_discriminator: nn.Module,
        parts: Parts,
        **others: nn.Module,
    ) -> None:
        super().__init__(generator, discriminator, parts, None, **others)
        self.second_discriminator = second_discriminator
        compatibility.check_penalties(self.penalties.of("discriminator"), "second_discriminator", second_discriminator)
        for player, factor in (("discriminator", 1.0), ("generator", 0.5)):
            self.penalties.split(player, _second_step, "second_", factor)

    def players(self) -> dict[str, Player]:
        players = super().players()
        both = nn.ModuleList([self.discriminator, self.second_discriminator])
        return players | {"discriminator": replace(players["discriminator"], network=both)}

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        return self._with_second_outputs(super().discriminator_step(batch, noise))

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        return self._with_second_outputs(super().generator_step(batch, noise))

    def _with_second_outputs(self, step: Step) -> Step:
        first = {"second_real": step.real, "second_fake": step.fake}
        second = {name: outputs.with_discriminator(self.second_discriminator) for name, outputs in first.items()}
        return replace(step, others=second)

    def discriminator_loss(self, step: Step) -> Terms:
        """The losses of both discriminators."""
        real, fake = step.others["second_real"], step.others["second_fake"]
        loss = cast(Dual, self.parts.loss)
        return {
            "adversarial": loss.first(step.real.logits, step.fake.logits),
            "second_adversarial": loss.second(real.logits, fake.logits),
        }

    def generator_criterion(self, step: Step) -> Tensor:
        kept = self.selected(step.fake.logits)
        second = step.others["second_fake"].logits
        return cast(Dual, self.parts.loss).generator(step.fake.logits[kept], second[kept])

    def observe(self, step: Step) -> dict[str, Tensor]:
        """Mean logits of both discriminators; those of the second are high for generated samples."""
        return super().observe(step) | {
            "logits/second_real": step.others["second_real"].logits.mean(),
            "logits/second_fake": step.others["second_fake"].logits.mean(),
        }


def _second_step(step: Step) -> Step:
    """The step of the second discriminator; a generator's step keeps its network."""
    real, fake = step.others["second_real"], step.others["second_fake"]
    network = real.network if step.network is step.real.network else step.network
    return replace(step, network=network, real=real, fake=fake)
