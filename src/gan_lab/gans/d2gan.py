"""D2GAN: one generator against two discriminators, one for each direction of the Kullback-Leibler divergence."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from gan_lab.gans.gan import GAN, memories
from gan_lab.gans.parts import Parts
from gan_lab.losses.dual import Dual
from gan_lab.noise import Noise
from gan_lab.types import Batch, Judged, Step, Terms


@dataclass(frozen=True)
class DualStep(Step):
    """What a player sees in one move; `real` and `fake` are before the first discriminator.

    Args:
        second: The same samples before the second one.
    """

    second: Step


class D2GAN(GAN):
    """The game of Nguyen et al. (2017): the first discriminator likes real samples, the second generated ones.

    They share nothing, see the same samples, each in its own augmentation, and move in one step of one optimizer. The
    generator moves after them, with fresh latents. Each of them has every penalty of a discriminator, with a memory of
    its own; one of the generator is the mean of its values before either. What looks at one logit (top-k selection,
    adaptive augmentation) looks at the first discriminator's.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: The first, D1; see `gan_lab.types.Judged`. Its values are softplus of its logits.
        second_discriminator: The second, D2; likewise.
        parts: The loss `Dual`, optimizers, penalties and all the rest.

    Raises:
        ValueError: The loss is another one, or the parts do not fit each other.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, second_discriminator: nn.Module, parts: Parts
    ) -> None:
        super().__init__(generator, discriminator, parts)
        self.second_discriminator = second_discriminator
        self.second_penalties = copy.deepcopy(self.penalties)
        self.second_memories = memories(self.second_penalties)
        self._refuse_mixed_samples(second_discriminator)

    def _refuse_loss(self) -> None:
        if not isinstance(self.parts.loss, Dual):
            raise ValueError(
                f"model=d2gan needs loss=dual, and {type(self.parts.loss).__name__} is for one discriminator"
            )

    @property
    def dual(self) -> Dual:
        return cast(Dual, self.parts.loss)

    def judges(self) -> nn.Module:
        """Both discriminators. A list made here, and no part of the game's own state: that has them already."""
        return nn.ModuleList([self.discriminator, self.second_discriminator])

    def discriminator_step(self, batch: Batch, noise: Noise) -> DualStep:
        return self._before_both(super().discriminator_step(batch, noise), self.second_discriminator)

    def generator_step(self, batch: Batch, noise: Noise) -> DualStep:
        return self._before_both(super().generator_step(batch, noise), self.generator)

    def _before_both(self, step: Step, moving: nn.Module) -> DualStep:
        def judged(by_first: Judged) -> Judged:
            return self.judged(lambda: (by_first.samples, by_first.labels), step.noise, self.second_discriminator)

        second = Step(moving, judged(step.real), judged(step.fake), step.noise)
        return DualStep(step.network, step.real, step.fake, step.noise, second)

    def adversarial_terms(self, step: Step) -> Terms:
        """The losses of both discriminators."""
        second = _second(step)
        return {
            "adversarial": self.dual.first(step.real.logits, step.fake.logits),
            "second_adversarial": self.dual.second(second.real.logits, second.fake.logits),
        }

    def generator_loss(self, step: Step) -> Tensor:
        first, second = step.fake.logits, _second(step).fake.logits
        if self.parts.selection is not None:
            kept = self.parts.selection(self.images_seen, first)
            first, second = first[kept], second[kept]
        return self.dual.generator(first, second)

    def penalty_terms(self, names: Iterable[str], step: Step) -> Terms:
        """Penalties before the first and before the second discriminator, weighted."""
        share = 0.5 if step.network is self.generator else 1.0
        terms = {}
        for name in names:
            terms[name] = share * self.weighted(self.penalties[name], step)
            terms[f"second_{name}"] = share * self.weighted(self.second_penalties[name], _second(step))
        return terms

    @torch.no_grad()
    def observe(self, step: Step) -> None:
        """Note how sure both discriminators are; the second is high on generated samples."""
        super().observe(step)
        second = _second(step)
        self.runner.observe("logits/second_real", second.real.logits.mean())
        self.runner.observe("logits/second_fake", second.fake.logits.mean())


def _second(step: Step) -> Step:
    return cast(DualStep, step).second
