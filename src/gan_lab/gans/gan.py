"""The two-player game: one generator, one discriminator, any loss, penalties and constraints."""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.phases import OptimizerFactory, Phase, Player
from gan_lab.noise import Noise
from gan_lab.optim.ema import Averaging
from gan_lab.optim.lazy import compensate, lazy_factor
from gan_lab.types import AdversarialLoss, Batch, Constraint, CriticStep, Penalty, Schedule, SeparableLoss, Terms


class GAN(AdversarialModule):
    """Generator against discriminator, Goodfellow et al. (2014), with everything a variant changes passed in.

    The discriminator moves on every batch, the generator on every `n_critic`-th, after the discriminator and with fresh
    latents. Real and generated samples pass the discriminator separately, as batch norm in DCGAN needs it. A penalty
    with interval k moves the discriminator in a phase of its own on every k-th batch, k times as strong, and the
    discriminator's optimizer is slowed to make up for the extra steps (Karras et al., 2020, appendix B).

    Args:
        generator: Latents (n, latent.dim) to samples (n, ...).
        discriminator: Samples to logits (n,).
        loss: What the two minimize.
        optimizers: `generator` and `discriminator` to a function from parameters to optimizer.
        latent: The prior of the latents.
        penalties: Additions to the discriminator's loss, by name.
        constraints: Projections of the discriminator's weights, by name.
        schedules: Optimizer setting to the factor on it, for both players.
        averaging: Memory of the averaged generator.
        n_critic: Moves of the discriminator for each move of the generator.
        generator_batches: Latents of a generator's move, in batches.
        label_smoothing: Share of a real sample's label that says "generated" (Salimans et al., 2016, section 3.4).
        accumulate: Micro-batches of a batch.
        clip_norm: Largest norm of each player's gradient, or None.
        seed: Key of the random stream of the run.

    Raises:
        ValueError: The parts do not fit each other; the message says what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        optimizers: Mapping[str, OptimizerFactory],
        latent: LatentPrior,
        penalties: Mapping[str, Penalty] | None = None,
        constraints: Mapping[str, Constraint] | None = None,
        schedules: Mapping[str, Schedule] | None = None,
        averaging: Averaging | None = None,
        n_critic: int = 1,
        generator_batches: int = 1,
        label_smoothing: float = 0.0,
        accumulate: int = 1,
        clip_norm: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(generator, latent, averaging or Averaging(), accumulate, seed)
        self.discriminator = discriminator
        self.loss = loss
        self.penalties = dict(penalties or {})
        self.n_critic = n_critic
        self.generator_batches = generator_batches
        self.label_smoothing = label_smoothing
        self._optimizers_by_name = dict(optimizers)
        self._schedules = dict(schedules or {})
        self.constraints = dict(constraints or {})
        self._clip_norm = clip_norm
        self._refuse_batch_norm_under_penalties()
        if label_smoothing and not hasattr(loss, "real"):
            raise ValueError(
                f"label_smoothing needs a loss with a real and a fake half, which {type(loss).__name__} has not; "
                "set label_smoothing=0"
            )

    def _refuse_batch_norm_under_penalties(self) -> None:
        names = [name for name, penalty in self.penalties.items() if penalty.per_sample]
        layer = next((m for m in self.discriminator.modules() if isinstance(m, _BatchNorm)), None)
        if names and layer is not None:
            raise ValueError(
                f"regularizer={names[0]} takes the gradient of each sample's logit, and batch norm in the discriminator "
                "mixes the samples; set architecture.discriminator.norm=none or layer"
            )

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(
                self.discriminator,
                self._discriminator_optimizer,
                self._schedules,
                list(self.constraints.values()),
                self._clip_norm,
            ),
            "generator": Player(
                self.generator, self._optimizers_by_name["generator"], self._schedules, clip_norm=self._clip_norm
            ),
        }

    def phases(self) -> list[Phase]:
        lazy = [
            Phase("discriminator", "discriminator", self._lazy_terms(name), penalty.interval, gain=penalty.interval)
            for name, penalty in self.penalties.items()
            if penalty.interval > 1
        ]
        return [
            Phase("discriminator", "discriminator", self.discriminator_terms),
            *lazy,
            Phase("generator", "generator", self.generator_terms, self.n_critic),
        ]

    def discriminator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The discriminator's loss and the penalties that are due on every batch."""
        step = self._critic_step(batch, noise)
        terms = {"adversarial": self._discriminator_loss(step.real_logits, step.fake_logits)}
        self.runner.observe("logits/real", step.real_logits.mean())
        self.runner.observe("logits/fake", step.fake_logits.mean())
        return terms | {
            name: self._weighted(name, step) for name, penalty in self.penalties.items() if penalty.interval == 1
        }

    def generator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The generator's loss on fresh latents."""
        fakes = [self.generator(self.latent.sample(noise)) for _ in range(self.generator_batches)]
        fake = fakes[0] if len(fakes) == 1 else torch.cat(fakes)
        return {"adversarial": self.loss.generator(self.critic(fake))}

    def critic(self, samples: Tensor) -> Tensor:
        """Logits (n,) of samples (n, ...), float32 under any precision."""
        return self.discriminator(samples).float()

    def _critic_step(self, batch: Batch, noise: Noise) -> CriticStep:
        @torch.no_grad()
        def generate() -> Tensor:
            return self.generator(self.latent.sample(noise)).float()

        return CriticStep(self.critic, batch["image"], generate, noise)

    def _discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        if not self.label_smoothing:
            return self.loss.discriminator(real_logits, fake_logits)
        loss = cast(SeparableLoss, self.loss)
        real_half = (1 - self.label_smoothing) * loss.real(real_logits) + self.label_smoothing * loss.fake(real_logits)
        return real_half + loss.fake(fake_logits)

    def _weighted(self, name: str, step: CriticStep) -> Tensor:
        penalty = self.penalties[name]
        # Squares of half-precision gradients overflow: penalties run without autocast, on float32 samples.
        with torch.autocast(self.device.type, enabled=False):
            return penalty.weight * penalty(step)

    def _lazy_terms(self, name: str) -> Callable[[Batch, Noise], Terms]:
        def terms(batch: Batch, noise: Noise) -> Terms:
            return {name: self._weighted(name, self._critic_step(batch, noise))}

        return terms

    def _discriminator_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        optimizer = self._optimizers_by_name["discriminator"](parameters)
        intervals = [penalty.interval for penalty in self.penalties.values() if penalty.interval > 1]
        if intervals:
            compensate(optimizer, lazy_factor(intervals))
        return optimizer
