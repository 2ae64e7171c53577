"""The two-player GAN: one generator, one discriminator, any loss, penalties, constraints and augmentation."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.augment.base import augmented
from gan_lab.gans import compatibility
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.modes import evaluation_mode
from gan_lab.gans.parts import Parts
from gan_lab.gans.penalties import Penalties
from gan_lab.gans.phases import Phase, Player
from gan_lab.gans.views import view_for
from gan_lab.losses.base import SeparableLoss
from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch, Terms


class GAN(AdversarialModule):
    """A generator and a discriminator, Goodfellow et al. (2014); everything that a variant changes is an argument.

    The discriminator is updated on every batch, the generator on every `n_critic`-th batch, after the discriminator and
    with new latents. Real and generated samples pass the discriminator in separate batches, as batch norm in DCGAN
    requires.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, condition)` and `head(features, condition)`, see `DiscriminatorOutputs`.
        parts: All other components: loss, optimizers, penalties, ...
        averaged: Networks to average besides the generator, by attribute name.
        others: Networks of additional players, by name.

    Raises:
        ValueError: The parts cannot be combined; the message names what to choose instead.
    """

    discriminators: ClassVar[tuple[str, ...]] = ("discriminator",)
    """Players that get the discriminator's constraints and, unless they have their own, its optimizer settings."""
    logits_of_loss: ClassVar[int] = 1
    """Number of discriminators whose logits the loss takes."""
    needs_zero_sum: ClassVar[bool] = False
    """The loss must be zero-sum: the generator minimizes minus the discriminator's loss."""
    needs_all_samples: ClassVar[bool] = False
    """The generator's loss needs all samples, so samples cannot be selected (top-k)."""
    translators: ClassVar[Mapping[str, str]] = {"image": "generator"}
    """Networks from an image to an image, in a GAN whose condition is one: name by the key of the batch that it makes.
    """
    generator_has_own_terms: ClassVar[bool] = False
    """The generator's loss has terms besides the adversarial loss and its penalties."""

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        parts: Parts,
        averaged: Mapping[str, nn.Module] | None = None,
        **others: nn.Module,
    ) -> None:
        super().__init__(
            generator,
            parts.latent,
            parts.condition,
            parts.scheduled_averaging,
            parts.accumulate,
            parts.seed,
            parts.check_finite,
            averaged,
        )
        self.discriminator = discriminator
        for name, network in others.items():
            self.add_module(name, network)
        self.networks = ("discriminator", "generator", *others)
        self.parts = parts
        self.augment = parts.augment
        self.penalties = Penalties(parts.penalties)
        compatibility.check(self)
        self.view = view_for(self, generator, parts.growth)

    def players(self) -> dict[str, Player]:
        return {name: self._player(name, getattr(self, name)) for name in self.networks}

    def _player(self, name: str, network: nn.Module) -> Player:
        is_discriminator = name in self.discriminators
        return Player(
            network,
            self.parts.optimizer(name, "discriminator" if is_discriminator else name),
            self.parts.optimizer_schedules,
            list(self.parts.constraints.values()) if is_discriminator else (),
            self.parts.clip_norm,
            self.penalties.of(name),
            self.parts.schedules.get("penalty_weight"),
        )

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Train on one batch, with the probability of the augmentation that is scheduled for it."""
        schedule = self.parts.schedules.get("augment_p")
        scale_p = getattr(self.augment, "scale_p", None)
        if schedule is not None and scale_p is not None:
            scale_p(schedule(self.images_seen))
        super().training_step(batch, batch_idx)

    def phases(self) -> list[Phase]:
        return [self.discriminator_phase, self.generator_phase]

    @property
    def discriminator_phase(self) -> Phase:
        return Phase(
            "discriminator",
            self.discriminator_step,
            self.discriminator_loss,
            observe=self.observe,
            adapt=self.adapt,
        )

    @property
    def generator_phase(self) -> Phase:
        return Phase("generator", self.generator_step, self.generator_loss, interval=self.parts.n_critic)

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """The discriminator's inputs: real samples, and generated ones without a gradient."""

        @torch.no_grad()
        def fake() -> Samples:
            return self.generated(noise, batch).computed()

        return Step(self.discriminator, self.real_outputs(batch, noise), self.fake_outputs(fake, noise), noise)

    def generator_step(self, batch: Batch, noise: Noise) -> Step:
        """The generator's inputs: generated samples, and the batch's real samples for relative losses."""

        fake = self.fake_outputs(lambda: self.generated(noise, batch, self.parts.generator_batches), noise)
        return Step(self.generator, self.real_outputs(batch, noise), fake, noise)

    def real_samples(self, batch: Batch) -> Samples:
        """The real samples of a batch with their condition."""
        return Samples(self.reals(batch), self.condition.of(batch))

    def generated(self, noise: Noise, batch: Batch, batches: int = 1) -> Samples:
        """Samples of new latents, float32: `batches` times as many as the noise has rows; computed when used."""
        return Samples.concatenate([self._generated(noise.for_batch(number), batch) for number in range(batches)])

    def _generated(self, noise: Noise, batch: Batch) -> Samples:
        latents = self.latent.sample(noise.child("latents"))
        condition = self.condition.sample(noise.child("condition"), batch)
        return Samples(lambda: self.generator(latents, condition).float(), condition, latents)

    def real_outputs(self, batch: Batch, noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of the real samples of a batch."""
        return self.outputs(lambda: self.real_samples(batch), noise.child("augment/real"))

    def fake_outputs(self, draw: Callable[[], Samples], noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of generated samples."""
        return self.outputs(draw, noise.child("augment/fake"))

    def outputs(self, draw: Callable[[], Samples], noise: Noise) -> DiscriminatorOutputs:
        """Discriminator outputs of samples. One draw of the augmentation serves these and all points near them."""
        return DiscriminatorOutputs(self.discriminator, draw, lambda points: augmented(self.augment, points, noise))

    def discriminator_loss(self, step: Step) -> Terms:
        """The adversarial loss."""
        return {"adversarial": self.discriminator_criterion(step.real.logits, step.fake.logits)}

    def discriminator_criterion(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The discriminator's loss (0-dim) of logits (n, ...), with label smoothing if it is set."""
        smoothing = self.parts.label_smoothing
        if not smoothing:
            return self.parts.loss.discriminator(real_logits, fake_logits)
        loss = cast(SeparableLoss, self.parts.loss)
        return (1 - smoothing) * loss.real(real_logits) + smoothing * loss.fake(real_logits) + loss.fake(fake_logits)

    def generator_loss(self, step: Step) -> Terms:
        """The weighted adversarial loss; no term if the weight is 0."""
        weight = self.parts.adversarial_weight
        return {"adversarial": weight * self.generator_criterion(step)} if weight else {}

    def generator_criterion(self, step: Step) -> Tensor:
        """The adversarial loss (0-dim) of the selected generated samples."""
        fake = step.fake.logits
        kept = self.selected(fake)
        if not self.parts.loss.relative:
            return self.parts.loss.generator(fake[kept])
        # The discriminator is frozen, so logits of real samples carry no graph.
        real = torch.cat([step.real.logits] * self.parts.generator_batches)
        return self.parts.loss.generator(fake[kept], real[kept])

    def selected(self, fake_logits: Tensor) -> Tensor | slice:
        """Indices of the generated samples that enter the generator's loss."""
        selection = self.parts.selection
        return slice(None) if selection is None else selection(self.images_seen, fake_logits)

    @property
    def boundary(self) -> float | None:
        return self.parts.loss.boundary

    def observe(self, step: Step) -> dict[str, Tensor]:
        """Mean logits of real and generated samples, and accuracies if there is a boundary, for the log."""
        real, fake, boundary = step.real.logits, step.fake.logits, self.boundary
        values = {"logits/real": real.mean(), "logits/fake": fake.mean()}
        if boundary is not None:
            values["accuracy/real"] = (real > boundary).mean(dtype=torch.float)
            values["accuracy/fake"] = (fake < boundary).mean(dtype=torch.float)
        return values

    def adapt(self, step: Step) -> dict[str, Tensor]:
        """Adapt the augmentation to the logits of real samples; returns scalars for the log."""
        margins = None if self.boundary is None else step.real.logits - self.boundary
        found = self.augment.adapt(margins, len(step.real.samples) * self.trainer.world_size)
        return {f"augment/{name}": value for name, value in found.items()}

    @torch.no_grad()
    def score(self, samples: Tensor, condition: Tensor | None = None) -> Tensor | None:
        """Logits (n, ...); None if the discriminator scores packs or pairs with latents."""
        size = max(getattr(layer, "samples_per_logit", 1) for layer in self.discriminator.modules())
        if len(samples) % size:  # some are in no pack
            return None
        with evaluation_mode(self.discriminator):
            logits = DiscriminatorOutputs(self.discriminator, lambda: Samples(samples, condition)).logits
        return logits if len(logits) == len(samples) else None
