"""VEEGAN: a discriminator of pairs of latent and sample, and a network that reads the latent off the sample."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.gans.further import further_player, require_weight
from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.noise import Noise
from gan_lab.types import Batch, Judged, Step, Terms


@dataclass(frozen=True)
class PairStep(Step):
    """What a player sees in one move; `real` and `fake` are samples that are judged beside their latents.

    Args:
        latents: Those of the generated samples, (n, latent.dim).
    """

    latents: Tensor


class VEEGAN(GAN):
    """The game of Srivastava et al. (2017), section 3 and algorithm 1, with a third player, the reconstructor F.

    The discriminator tells pairs (F(x), x) of real samples from pairs (z, G(z)); its logit C, large on real ones as
    everywhere here and so minus the paper's, estimates the log ratio of their densities. The generator minimizes
    -C(z, G(z)) + |z - F(G(z))|^2 and the reconstructor |z - F(G(z))|^2, sums over the coordinates of a latent. The loss
    is the discriminator's only: its generator's half is not used.

    Of a pair, augmentation changes what the discriminator sees of the sample, and penalties move the sample alone. All
    terms are means over samples, so processes and micro-batches may share the batch; batch norm sees the local share.
    With labels, every network is given that of its sample.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `join(samples, latents)` and, of what that gives, `features` and `head`, see `gan_lab.types.Judged`.
        reconstructor: `forward(samples, labels)`: samples (n, ...) to latents (n, latent.dim).
        parts: Loss, optimizers, penalties and all the rest; the reconstructor moves whenever the generator does.
        reconstruction_weight: Factor on the squared distance of latents; 1 in the paper.

    Raises:
        ValueError: The parts or options are not allowed; the message says what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        reconstructor: nn.Module,
        parts: Parts,
        reconstruction_weight: float = 1.0,
    ) -> None:
        require_weight("reconstruction_weight", reconstruction_weight)
        if not hasattr(discriminator, "join"):
            raise ValueError(
                "model=veegan judges samples beside their latents, which needs its wrapper.discriminator.joint; "
                "leave that as it is"
            )
        reconstruction = {"reconstruction": _Reconstruction(reconstructor, reconstruction_weight)}
        super().__init__(generator, discriminator, replace(parts, penalties={**parts.penalties, **reconstruction}))
        self.reconstructor = reconstructor

    def players(self) -> dict[str, Player]:
        return super().players() | {"reconstructor": further_player("reconstructor", self.reconstructor, self.parts)}

    def phases(self) -> list[Phase]:
        moves = super().phases()
        return [*moves, Phase("reconstructor", "reconstructor", self.reconstructor_terms, self.parts.n_critic)]

    def reconstructor_terms(self, batch: Batch, noise: Noise) -> Terms:
        """Squared distance of fresh latents to what is read off their samples."""
        with torch.no_grad():
            step = self._pairs(self.reconstructor, batch, noise, 1)
        penalty = self.penalties["reconstruction"]
        return {"reconstruction": penalty.weight * penalty(step)}

    def discriminator_step(self, batch: Batch, noise: Noise) -> PairStep:
        """What the discriminator sees in its move."""
        with torch.no_grad():
            return self._pairs(self.discriminator, batch, noise, 1)

    def generator_step(self, batch: Batch, noise: Noise) -> PairStep:
        """What the generator sees in its move."""
        return self._pairs(self.generator, batch, noise, self.parts.generator_batches)

    def generator_loss(self, step: Step) -> Tensor:
        """Minus the mean logit: the estimated divergence of the two kinds of pairs."""
        logits = step.fake.logits
        if self.parts.selection is not None:
            logits = logits[self.parts.selection(self.images_seen, logits)]
        return -logits.mean()

    def _pairs(self, network: nn.Module, batch: Batch, noise: Noise, batches: int) -> PairStep:
        real_labels = self.labels.of(batch.get("label"))
        latents, samples, labels = [], [], []
        for _ in range(batches):
            latents.append(self.latent.sample(noise))
            labels.append(self.labels.sample(noise, real_labels))
            samples.append(self.generator(latents[-1], labels[-1]).float())
        drawn = torch.cat(latents)

        @torch.no_grad()
        def read() -> Tensor:
            return self.reconstructor(batch["image"], real_labels).float()

        real = self._beside(batch["image"], real_labels, read, noise)
        joined_labels = None if labels[0] is None else torch.cat(cast("list[Tensor]", labels))
        fake = self._beside(torch.cat(samples), joined_labels, lambda: drawn, noise)
        return PairStep(network, real, fake, noise, drawn)

    def _beside(self, samples: Tensor, labels: Tensor | None, latents: Callable[[], Tensor], noise: Noise) -> Judged:
        """Samples before the discriminator, which sees them augmented and beside the latents."""
        join = cast(Any, self.discriminator).join
        return Judged(
            self.discriminator, lambda: (samples, labels), lambda points: join(self.augment(points, noise), latents())
        )


@dataclass(frozen=True)
class _Reconstruction:
    """Squared distance of latents to what is read off their samples, as a penalty of the generator."""

    reconstructor: nn.Module
    weight: float
    interval: ClassVar[int] = 1
    per_sample: ClassVar[bool] = False
    player: ClassVar[str] = "generator"

    def __call__(self, step: Step) -> Tensor:
        latents = cast(PairStep, step).latents
        read = self.reconstructor(step.fake.samples, step.fake.labels).float()
        return torch.square(latents - read).sum(1).mean()
