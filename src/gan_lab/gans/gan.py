"""The two-player game: one generator, one discriminator, any loss, penalties, constraints and augmentation."""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from gan_lab.augment.pipelines import NoAugmentation
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.phases import OptimizerFactory, Phase, Player
from gan_lab.noise import Noise
from gan_lab.optim.ema import Averaging
from gan_lab.optim.lazy import compensate, lazy_factor
from gan_lab.types import (
    AdversarialLoss,
    Augmentation,
    Batch,
    Constraint,
    Judged,
    Penalty,
    Schedule,
    Selection,
    SeparableLoss,
    Step,
    Terms,
)


class GAN(AdversarialModule):
    """Generator against discriminator, Goodfellow et al. (2014), with everything a variant changes passed in.

    The discriminator moves on every batch, the generator on every `n_critic`-th, after the discriminator and with fresh
    latents. Real and generated samples pass the discriminator separately, as batch norm in DCGAN needs it. A penalty
    with interval k moves the discriminator in a phase of its own on every k-th batch, k times as strong, and the
    discriminator's optimizer is slowed to make up for the extra steps (Karras et al., 2020, appendix B).

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, labels)` and `head(features, labels)`, see `gan_lab.types.Judged`.
        loss: What the two minimize.
        optimizers: `generator` and `discriminator` to a function from parameters to optimizer.
        latent: The prior of the latents.
        labels: The prior of the labels of generated samples; None for a game without labels.
        augment: What is done to every image that the discriminator sees.
        penalties: Additions to the players' losses, by name.
        constraints: Projections of the discriminator's weights, by name.
        schedules: Optimizer setting to the factor on it, for both players.
        selection: Picks the generated samples that the generator's loss counts; None for all.
        averaging: Memory of the averaged generator.
        n_critic: Moves of the discriminator for each move of the generator.
        generator_batches: Latents of a generator's move, in batches.
        adversarial_weight: Factor on the loss in the generator's move; 0 leaves the generator to its penalties.
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
        labels: LabelPrior | None = None,
        augment: Augmentation | None = None,
        penalties: Mapping[str, Penalty] | None = None,
        constraints: Mapping[str, Constraint] | None = None,
        schedules: Mapping[str, Schedule] | None = None,
        selection: Selection | None = None,
        averaging: Averaging | None = None,
        n_critic: int = 1,
        generator_batches: int = 1,
        adversarial_weight: float = 1.0,
        label_smoothing: float = 0.0,
        accumulate: int = 1,
        clip_norm: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(generator, latent, labels, averaging or Averaging(), accumulate, seed)
        self.discriminator = discriminator
        self.loss = loss
        self.augment = augment or NoAugmentation()
        self.penalties = dict(penalties or {})
        # Penalties with memory, so that it is in the checkpoint.
        self.memories = nn.ModuleDict({k: p for k, p in self.penalties.items() if isinstance(p, nn.Module)})
        self.selection = selection
        self.n_critic = n_critic
        self.generator_batches = generator_batches
        self.adversarial_weight = adversarial_weight
        self.label_smoothing = label_smoothing
        self._optimizers_by_name = dict(optimizers)
        self._schedules = dict(schedules or {})
        self.constraints = dict(constraints or {})
        self._clip_norm = clip_norm
        self._refuse_pairs_that_make_no_sense()

    def _refuse_pairs_that_make_no_sense(self) -> None:
        loss = type(self.loss).__name__
        mixing = next((type(m).__name__ for m in self.discriminator.modules() if _mixes_samples(m)), None)
        for name, penalty in self.penalties.items():
            if penalty.per_sample and mixing is not None:
                raise ValueError(
                    f"regularizer={name} takes the gradient of each sample's logit, and {mixing} in the discriminator "
                    "mixes the samples; set architecture.discriminator.norm=none or layer, or leave out its wrapper"
                )
            if penalty.player == "generator" and penalty.interval != 1:
                raise ValueError(
                    f"regularizer.{name}.interval={penalty.interval} is for penalties of the discriminator; "
                    f"set regularizer.{name}.interval=1"
                )
        if self.label_smoothing and not hasattr(self.loss, "real"):
            raise ValueError(
                f"label_smoothing needs a loss with a real and a fake half, which {loss} has not; set label_smoothing=0"
            )
        if self.augment.needs_boundary and self.loss.boundary is None:
            raise ValueError(
                f"augment=ada reads the sign of real logits, which {loss} leaves free; "
                "set augment=diffaugment, or loss=non_saturating or hinge"
            )
        if self.adversarial_weight == 0 and not self._penalties_of("generator"):
            raise ValueError(
                "adversarial_weight=0 leaves the generator nothing to minimize; add regularizer=[feature_matching]"
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
            for name, penalty in self._penalties_of("discriminator").items()
            if penalty.interval > 1
        ]
        return [
            Phase("discriminator", "discriminator", self.discriminator_terms),
            *lazy,
            Phase("generator", "generator", self.generator_terms, self.n_critic),
        ]

    def discriminator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The discriminator's loss and the penalties that are due on every batch."""
        step = self.discriminator_step(batch, noise)
        terms = {"adversarial": self._discriminator_loss(step.real.logits, step.fake.logits)}
        self._observe(step)
        due = [name for name, penalty in self._penalties_of("discriminator").items() if penalty.interval == 1]
        return terms | {name: self._weighted(name, step) for name in due}

    def generator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The generator's loss on fresh latents, and its penalties."""
        step = self.generator_step(batch, noise)
        terms = {"adversarial": self.adversarial_weight * self._generator_loss(step)} if self.adversarial_weight else {}
        return terms | {name: self._weighted(name, step) for name in self._penalties_of("generator")}

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """What the discriminator sees in its move."""
        real_labels = self.labels.of(batch.get("label"))

        @torch.no_grad()
        def fake() -> tuple[Tensor, Tensor | None]:
            latents, labels = self.latent.sample(noise), self.labels.sample(noise, real_labels)
            return self.generator(latents, labels).float(), labels

        real = self._judged(lambda: (batch["image"], real_labels), noise)
        return Step(self.discriminator, real, self._judged(fake, noise), noise)

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        """What the generator sees in its move. The real samples are those of the batch, for losses that compare."""
        real_labels = self.labels.of(batch.get("label"))

        def one_batch() -> tuple[Tensor, Tensor | None]:
            latents, labels = self.latent.sample(noise), self.labels.sample(noise, real_labels)
            return self.generator(latents, labels).float(), labels

        def fake() -> tuple[Tensor, Tensor | None]:
            samples, labels = zip(*(one_batch() for _ in range(self.generator_batches)), strict=True)
            return torch.cat(samples), None if labels[0] is None else torch.cat(cast("tuple[Tensor]", labels))

        real = self._judged(lambda: (batch["image"], real_labels), noise)
        return Step(self.generator, real, self._judged(fake, noise), noise)

    def _judged(self, draw: Callable[[], tuple[Tensor, Tensor | None]], noise: Noise) -> Judged:
        return Judged(self.discriminator, draw, lambda samples: self.augment(samples, noise))

    def _discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        if not self.label_smoothing:
            return self.loss.discriminator(real_logits, fake_logits)
        loss = cast(SeparableLoss, self.loss)
        real_half = (1 - self.label_smoothing) * loss.real(real_logits) + self.label_smoothing * loss.fake(real_logits)
        return real_half + loss.fake(fake_logits)

    def _generator_loss(self, step: Step) -> Tensor:
        logits = [step.fake.logits]
        if self.loss.relative:  # the frozen discriminator leaves no graph behind these
            logits.append(step.real.logits.repeat(self.generator_batches))
        if self.selection is not None:
            kept = self.selection(self.images_seen, logits[0])
            logits = [each[kept] for each in logits]
        return self.loss.generator(*logits)

    @torch.no_grad()
    def _observe(self, step: Step) -> None:
        """Note how sure the discriminator is, and let the augmentation learn from it."""
        self.runner.observe("logits/real", step.real.logits.mean())
        self.runner.observe("logits/fake", step.fake.logits.mean())
        if self.loss.boundary is None:
            return
        margins = step.real.logits - self.loss.boundary
        self.runner.observe("accuracy/real", (margins > 0).float().mean())
        self.runner.observe("accuracy/fake", (step.fake.logits < self.loss.boundary).float().mean())
        images = len(step.real.samples) * self.trainer.world_size
        for name, value in self.augment.learn(margins, images).items():
            self.runner.observe(f"augment/{name}", value)

    def _penalties_of(self, player: str) -> dict[str, Penalty]:
        return {name: penalty for name, penalty in self.penalties.items() if penalty.player == player}

    def _weighted(self, name: str, step: Step) -> Tensor:
        penalty = self.penalties[name]
        # Squares of half-precision gradients overflow: penalties run without autocast, on float32 samples.
        with torch.autocast(self.device.type, enabled=False):
            return penalty.weight * penalty(step)

    def _lazy_terms(self, name: str) -> Callable[[Batch, Noise], Terms]:
        def terms(batch: Batch, noise: Noise) -> Terms:
            return {name: self._weighted(name, self.discriminator_step(batch, noise))}

        return terms

    def _discriminator_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        optimizer = self._optimizers_by_name["discriminator"](parameters)
        penalties = self._penalties_of("discriminator").values()
        intervals = [penalty.interval for penalty in penalties if penalty.interval > 1]
        if intervals:
            compensate(optimizer, lazy_factor(intervals))
        return optimizer


def _mixes_samples(module: nn.Module) -> bool:
    """Whether a layer makes each output depend on every sample of the batch."""
    return isinstance(module, _BatchNorm) or getattr(module, "mixes_samples", False)
