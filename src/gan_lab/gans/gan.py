"""The two-player game: one generator, one discriminator, any loss, penalties, constraints and augmentation."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from gan_lab.augment.pipelines import NoAugmentation
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.layers.growing import Growing, growing_parts, shown_at
from gan_lab.layers.multi_scale import at_all_scales, in_a_row, multi_scale_parts
from gan_lab.losses.dual import Dual
from gan_lab.noise import Noise
from gan_lab.optim.lazy import compensate, lazy_factor
from gan_lab.types import Batch, Judged, Penalty, SeparableLoss, Stage, Step, Terms


class GAN(AdversarialModule):
    """Generator against discriminator, Goodfellow et al. (2014), with everything a variant changes passed in.

    The discriminator moves on every batch, the generator on every `n_critic`-th, after the discriminator and with fresh
    latents. Real and generated samples pass the discriminator separately, as batch norm in DCGAN needs it. A penalty
    with interval k moves the discriminator in a phase of its own on every k-th batch, k times as strong, and the
    discriminator's optimizer is slowed to make up for the extra steps (Karras et al., 2020, appendix B).

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, labels)` and `head(features, labels)`, see `gan_lab.types.Judged`.
        parts: Loss, optimizers, penalties and all the rest.

    Raises:
        ValueError: The parts do not fit each other; the message says what to choose instead.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, parts: Parts) -> None:
        super().__init__(
            generator, parts.latent, parts.labels, parts.averaging, parts.accumulate, parts.seed, parts.check_finite
        )
        self.discriminator = discriminator
        self.parts = parts
        self.augment = parts.augment
        self.penalties = dict(parts.penalties)
        self.memories = memories(self.penalties)
        self._refuse_pairs_that_make_no_sense()
        self._sides = self._common_sides()
        if parts.growth is not None:
            for network in growing_parts(self):
                network.grow(parts.growth.stage(0))

    def _refuse_pairs_that_make_no_sense(self) -> None:
        self._refuse_loss()
        self._refuse_networks_that_do_not_grow()
        self._refuse_what_changes_images()
        self._refuse_mixed_samples(self.discriminator)
        loss = type(self.parts.loss).__name__
        for name, penalty in self.penalties.items():
            if penalty.player == "generator" and penalty.interval != 1:
                raise ValueError(
                    f"regularizer.{name}.interval={penalty.interval} is for penalties of the discriminator; "
                    f"set regularizer.{name}.interval=1"
                )
        if self.parts.label_smoothing and not hasattr(self.parts.loss, "real"):
            raise ValueError(
                f"label_smoothing needs a loss with a real and a fake half, which {loss} has not; set label_smoothing=0"
            )
        if self.augment.needs_boundary and self.parts.loss.boundary is None:
            raise ValueError(
                f"augment=ada reads the sign of real logits, which {loss} leaves free; "
                "set augment=diffaugment, or loss=non_saturating or hinge"
            )
        if self.parts.adversarial_weight == 0 and not self.penalties_of("generator"):
            raise ValueError(
                "adversarial_weight=0 leaves the generator nothing to minimize; add regularizer=[feature_matching]"
            )

    def _refuse_loss(self) -> None:
        if isinstance(self.parts.loss, Dual):
            raise ValueError("loss=dual is for two discriminators; set model=d2gan, or another loss")

    def _refuse_networks_that_do_not_grow(self) -> None:
        for network in (self.generator, self.discriminator):
            if self.parts.growth is not None and not growing_parts(network):
                raise ValueError(
                    f"growth needs networks that grow, and {type(network).__name__} does not; "
                    "set architecture=pggan, or growth=none"
                )

    def _common_sides(self) -> list[int]:
        """Sides of the images in one sample, where the networks draw and judge it at all of them at once."""
        drawn, judged = multi_scale_parts(self.generator), multi_scale_parts(self.discriminator)
        if bool(drawn) != bool(judged):
            raise ValueError(
                f"{type(self.generator).__name__} and {type(self.discriminator).__name__} do not fit each other: one has "
                "images at all scales, and the other not; set architecture=msg_gan for both"
            )
        return drawn[0].sides if drawn else []

    def _refuse_what_changes_images(self) -> None:
        if not multi_scale_parts(self.generator):
            return
        if not isinstance(self.augment, NoAugmentation):
            raise ValueError(
                "augment changes single images, and these networks have them at all scales; set augment=none"
            )
        for name, penalty in self.penalties.items():
            if hasattr(penalty, "transform"):
                raise ValueError(
                    f"regularizer={name} changes single images, and these networks have them at all scales; leave it out"
                )

    def _refuse_mixed_samples(self, discriminator: nn.Module) -> None:
        mixing = next((type(m).__name__ for m in discriminator.modules() if _mixes_samples(m)), None)
        for name, penalty in self.penalties.items():
            if penalty.per_sample and mixing is not None:
                raise ValueError(
                    f"regularizer={name} takes the gradient of each sample's logit, and {mixing} in the discriminator "
                    "mixes the samples; set architecture.discriminator.norm=none or layer, or leave out its wrapper"
                )

    @cached_property
    def _growing(self) -> list[Growing]:
        return growing_parts(self)

    def prepare(self, batch: Batch) -> Batch:
        """Show the networks real images as they draw them: at all scales, or at a stage to which they grow here."""
        if self._sides:
            return {**batch, "image": in_a_row(at_all_scales(batch["image"], self._sides))}
        growth, stage = self.parts.growth, self.stage_due()
        if growth is None or stage is None:
            return batch
        if (side := batch["image"].shape[-1]) < stage.resolution:
            raise ConfigError(
                f"The data give images of {side} pixels at {self.images_seen} images seen, where growth is at "
                f"{stage.resolution}: resume with the batch_size and growth of before, or with a data set of one resolution."
            )
        if growth.reset_optimizers and stage.resolution != self._growing[0].stage.resolution:
            self.runner.forget()
        for network in self._growing:
            network.grow(stage)
        return {**batch, "image": shown_at(batch["image"], stage)}

    def stage_due(self) -> Stage | None:
        growth = self.parts.growth
        return None if growth is None else growth.stage(self.images_seen)

    def progress(self) -> dict[str, float]:
        """Resolution and alpha of the newest batch, if the networks grow."""
        if self.parts.growth is None:
            return {}
        stage = self._growing[0].stage
        return {"resolution": stage.resolution, "alpha": stage.alpha}

    def judges(self) -> nn.Module:
        """What the discriminator's optimizer moves."""
        return self.discriminator

    def players(self) -> dict[str, Player]:
        return {
            "discriminator": Player(
                self.judges(),
                self._discriminator_optimizer,
                self.parts.pace,
                list(self.parts.constraints.values()),
                self.parts.clip_norm,
            ),
            "generator": Player(
                self.generator, self.parts.optimizers["generator"], self.parts.pace, clip_norm=self.parts.clip_norm
            ),
        }

    def phases(self) -> list[Phase]:
        lazy = [
            Phase("discriminator", "discriminator", self._lazy_terms(name), penalty.interval, gain=penalty.interval)
            for name, penalty in self.penalties_of("discriminator").items()
            if penalty.interval > 1
        ]
        return [
            Phase("discriminator", "discriminator", self.discriminator_terms),
            *lazy,
            Phase("generator", "generator", self.generator_terms, self.parts.n_critic),
        ]

    def discriminator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The discriminator's loss and the penalties that are due on every batch."""
        step = self.discriminator_step(batch, noise)
        terms = self.adversarial_terms(step)
        self.observe(step)
        due = [name for name, penalty in self.penalties_of("discriminator").items() if penalty.interval == 1]
        return terms | self.penalty_terms(due, step)

    def generator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """The generator's loss on fresh latents, and its penalties."""
        step = self.generator_step(batch, noise)
        terms: Terms = {}
        if self.parts.adversarial_weight:
            terms["adversarial"] = self.parts.adversarial_weight * self.generator_loss(step)
        return terms | self.penalty_terms(self.penalties_of("generator"), step)

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """What the discriminator sees in its move."""
        labels = self.labels.of(batch.get("label"))

        @torch.no_grad()
        def fake() -> tuple[Tensor, Tensor | None]:
            return self._generated(noise, labels)

        real = self.judged(lambda: (batch["image"], labels), noise)
        return Step(self.discriminator, real, self.judged(fake, noise), noise)

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        """What the generator sees in its move. The real samples are those of the batch, for losses that compare."""
        labels = self.labels.of(batch.get("label"))

        def fake() -> tuple[Tensor, Tensor | None]:
            drawn = [self._generated(noise, labels) for _ in range(self.parts.generator_batches)]
            if len(drawn) == 1:  # without a copy
                return drawn[0]
            each_samples, each_labels = zip(*drawn, strict=True)
            return torch.cat(each_samples), None if each_labels[0] is None else torch.cat(each_labels)

        real = self.judged(lambda: (batch["image"], labels), noise)
        return Step(self.generator, real, self.judged(fake, noise), noise)

    def _generated(self, noise: Noise, real_labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Samples of fresh latents, one for each row of the noise, and their labels."""
        latents, labels = self.latent.sample(noise), self.labels.sample(noise, real_labels)
        return self.generator(latents, labels).float(), labels

    def judged(
        self,
        draw: Callable[[], tuple[Tensor, Tensor | None]],
        noise: Noise,
        discriminator: nn.Module | None = None,
    ) -> Judged:
        """Samples before a discriminator, which sees them through the augmentation; see `Judged`."""
        return Judged(discriminator or self.discriminator, draw, lambda samples: self.augment(samples, noise))

    def adversarial_terms(self, step: Step) -> Terms:
        """The discriminator's loss without penalties."""
        return {"adversarial": self.discriminator_loss(step.real.logits, step.fake.logits)}

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        share = self.parts.label_smoothing
        if not share:
            return self.parts.loss.discriminator(real_logits, fake_logits)
        loss = cast(SeparableLoss, self.parts.loss)
        return (1 - share) * loss.real(real_logits) + share * loss.fake(real_logits) + loss.fake(fake_logits)

    def generator_loss(self, step: Step) -> Tensor:
        logits = [step.fake.logits]
        if self.parts.loss.relative:  # the frozen discriminator leaves no graph behind these
            logits.append(step.real.logits.repeat(self.parts.generator_batches))
        if self.parts.selection is not None:
            kept = self.parts.selection(self.images_seen, logits[0])
            logits = [each[kept] for each in logits]
        return self.parts.loss.generator(*logits)

    @torch.no_grad()
    def observe(self, step: Step) -> None:
        """Note how sure the discriminator is, and let the augmentation learn from it."""
        self.runner.observe("logits/real", step.real.logits.mean())
        self.runner.observe("logits/fake", step.fake.logits.mean())
        if self.parts.loss.boundary is None:
            return
        margins = step.real.logits - self.parts.loss.boundary
        self.runner.observe("accuracy/real", (margins > 0).float().mean())
        self.runner.observe("accuracy/fake", (step.fake.logits < self.parts.loss.boundary).float().mean())
        images = len(step.real.samples) * self.trainer.world_size
        for name, value in self.augment.learn(margins, images).items():
            self.runner.observe(f"augment/{name}", value)

    def penalties_of(self, player: str) -> dict[str, Penalty]:
        return {name: penalty for name, penalty in self.penalties.items() if penalty.player == player}

    def penalty_terms(self, names: Iterable[str], step: Step) -> Terms:
        """Penalties by name, weighted."""
        return {name: self.weighted(self.penalties[name], step) for name in names}

    def weighted(self, penalty: Penalty, step: Step) -> Tensor:
        # Squares of half-precision gradients overflow: penalties run without autocast, on float32 samples.
        with torch.autocast(self.device.type, enabled=False):
            return penalty.weight * penalty(step)

    def _lazy_terms(self, name: str) -> Callable[[Batch, Noise], Terms]:
        def terms(batch: Batch, noise: Noise) -> Terms:
            return self.penalty_terms([name], self.discriminator_step(batch, noise))

        return terms

    def _discriminator_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        optimizer = self.parts.optimizers["discriminator"](parameters)
        penalties = self.penalties_of("discriminator").values()
        intervals = [penalty.interval for penalty in penalties if penalty.interval > 1]
        if intervals:
            compensate(optimizer, lazy_factor(intervals))
        return optimizer


def memories(penalties: Mapping[str, Penalty]) -> nn.ModuleDict:
    """The penalties with memory: registered in a game, it is in the checkpoint."""
    return nn.ModuleDict({name: p for name, p in penalties.items() if isinstance(p, nn.Module)})


def _mixes_samples(module: nn.Module) -> bool:
    """Whether a layer makes each output depend on every sample of the batch."""
    return isinstance(module, _BatchNorm) or getattr(module, "mixes_samples", False)
