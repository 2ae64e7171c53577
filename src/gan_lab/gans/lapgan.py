"""LAPGAN: an independent pair of generator and discriminator for each level of a Laplacian pyramid."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor, nn

from gan_lab.augment.base import augmented
from gan_lab.figures import enlarged, image_grid, sheet
from gan_lab.gans.conditions import Labels
from gan_lab.gans.gan import GAN
from gan_lab.gans.modes import evaluation_mode
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase, Player
from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch, Terms

EXAMPLES = 16
"""Images in a cell of the figure of levels."""

SAMPLES = 8
"""Samples in the figure of the chain."""

CELL, SMALL_CELL = 320, 128
"""Widths of a grid of a level and of one image of a chain, in pixels."""


class LAPGAN(GAN):
    """Denton et al. (2015): G_k and D_k of each level k of a Laplacian pyramid, trained independently of each other.

    Level 0 is the image and level K the coarsest one. At a level k < K, the generator makes the difference between an
    image and its enlarged coarse version, G_k(z_k, l) with l = u(d(I_k)) of a *real* image, and D_k discriminates real
    images I_k of that level from l + G_k(z_k, l). At the coarsest level they are a GAN of I_K. Every level has the
    penalties, constraints and augmentation of the run, with separate state. A generated image has the label of its
    coarse image; at the coarsest level labels come from their prior.

    The generator of the run is the chain of all levels: it samples I_K and adds the differences of finer levels, whose
    coarse images are generated, which training has not seen.

    Levels that are not trained have players as well, with an empty optimizer state, so a run of some levels can be
    resumed with others.

    Args:
        generator: Chain of all levels with `levels`, `latents_of`, `images` and `pyramid`, see
            `architectures.lapgan.LaplacianGenerator`.
        discriminator: `levels` and `joined`, see `architectures.lapgan.LaplacianDiscriminator`.
        parts: All other components.
        levels: Numbers of the levels to train; None for all.

    Raises:
        ValueError: The networks have no levels, there is no such level, or the parts cannot be combined.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, parts: Parts, levels: Sequence[int] | None = None
    ) -> None:
        _require_levels(generator, discriminator)
        super().__init__(generator, discriminator, parts)
        self.trained = _trained(levels, len(self._chain.levels))
        self._check_parts()
        for kind in ("discriminator", "generator"):
            self.penalties.divide(kind, [f"{kind}_{level}" for level in range(len(self._chain.levels))])

    @property
    def _chain(self) -> Any:
        return self.generator

    @property
    def _discriminators(self) -> Any:
        return self.discriminator

    def _check_parts(self) -> None:
        if not isinstance(self.parts.condition, Labels):
            raise ValueError(
                "model=lapgan takes labels or no condition; set conditioning=none, or conditioning=mapping for labels"
            )
        if self.parts.augment.needs_boundary:
            raise ValueError(
                "augment=ada adapts to one discriminator, and model=lapgan has one at every level; set "
                "augment.fixed=true with a constant augment.p, or augment=diffaugment"
            )
        for name, penalty in self.parts.penalties.items():
            if getattr(penalty, "calls_generator", False):
                raise ValueError(
                    f"regularizer={name} needs samples that are functions of latents alone, unlike those of a level of "
                    "model=lapgan; remove it from regularizer"
                )
        if not self._discriminators.concatenates:
            return
        penalties = {f"regularizer={name}": penalty for name, penalty in self.parts.penalties.items()}
        for name, part in {"augment": self.parts.augment, **penalties}.items():
            if getattr(part, "single_images_only", False):
                raise ValueError(
                    f"{name} changes images, but not the coarse versions that the discriminators see beside them; set "
                    "architecture.discriminator.condition=sum, or remove it"
                )

    def players(self) -> dict[str, Player]:
        return {
            f"{kind}_{level}": self._level_player(kind, level)
            for level in range(len(self._chain.levels))
            for kind in ("discriminator", "generator")
        }

    def _level_player(self, kind: str, level: int) -> Player:
        name = f"{kind}_{level}"
        player = self._player(kind, getattr(self, kind).levels[level])
        optimizer = self.parts.optimizer(name, kind)
        return replace(player, make_optimizer=optimizer, penalties=self.penalties.of(name))

    def prepare(self, batch: Any) -> Batch:
        """The batch with the real images of each level, as `level_<k>`."""
        batch = super().prepare(batch)
        images = self._chain.pyramid.images(batch[self.real_key])
        return {**batch, **{f"level_{level}": image for level, image in enumerate(images)}}

    def phases(self) -> list[Phase]:
        return [phase for level in self.trained for phase in self._level_phases(level)]

    def _level_phases(self, level: int) -> list[Phase]:
        observe = partial(self.observe_level, level)
        return [
            Phase(
                f"discriminator_{level}",
                partial(self.discriminator_level_step, level),
                self.discriminator_loss,
                observe=observe,
            ),
            Phase(
                f"generator_{level}",
                partial(self.generator_level_step, level),
                self.generator_loss,
                interval=self.parts.n_critic,
            ),
        ]

    def discriminator_level_step(self, level: int, batch: Batch, noise: Noise) -> Step:
        """The inputs of D_k: real images of the level, and generated ones without a gradient."""
        with torch.no_grad():
            fake = self.generated_at(level, noise, batch, 1).computed()
        return self._level_step(self._discriminators.levels[level], level, batch, noise, fake)

    def generator_level_step(self, level: int, batch: Batch, noise: Noise) -> Step:
        """The inputs of G_k: generated images of the level, from the coarse versions of the batch."""
        fake = self.generated_at(level, noise, batch, self.parts.generator_batches)
        return self._level_step(self._chain.levels[level], level, batch, noise, fake)

    def _level_step(self, network: nn.Module, level: int, batch: Batch, noise: Noise, fake: Samples) -> Step:
        real = Samples(batch[f"level_{level}"], self.condition.of(batch))
        outputs = partial(self._outputs_at, level, self.coarse(level, batch))
        return Step(
            network, outputs(real, noise.child("augment/real")), outputs(fake, noise.child("augment/fake")), noise
        )

    def _outputs_at(self, level: int, coarse: Tensor | None, samples: Samples, noise: Noise) -> DiscriminatorOutputs:
        """Outputs of D_k for images with these coarse versions, repeated for several batches."""

        def view(points: Tensor) -> Tensor:
            each = None if coarse is None else coarse.repeat(len(points) // len(coarse), 1, 1, 1)
            return self._discriminators.joined(augmented(self.augment, points, noise), each)

        return DiscriminatorOutputs(self._discriminators.levels[level], lambda: samples, view)

    def coarse(self, level: int, batch: Batch) -> Tensor | None:
        """l = u(I_{k+1}) of the real images of a batch; None at the coarsest level."""
        if level == self._chain.pyramid.coarsest:
            return None
        return self._chain.pyramid.enlarged(batch[f"level_{level + 1}"], level)

    def generated_at(self, level: int, noise: Noise, batch: Batch, batches: int) -> Samples:
        """Generated images of a level, `batches` for each real image of the batch; computed when used."""
        parts = [self._generated_at(level, noise.for_batch(number), batch) for number in range(batches)]
        return Samples.concatenate(parts)

    def _generated_at(self, level: int, noise: Noise, batch: Batch) -> Samples:
        latents = self._chain.latents_of(level, self.latent.sample(noise.child("latents")))
        coarse = self.coarse(level, batch)
        real = self.condition.of(batch)
        labels = self.condition.sample(noise.child("condition"), batch) if coarse is None else real

        def images() -> Tensor:
            made = self._chain.levels[level](latents, coarse, labels).float()
            return made if coarse is None else coarse + made

        return Samples(images, labels, latents)

    def observe_level(self, level: int, step: Step) -> Terms:
        """Mean logits and accuracies of D_k, for the log."""
        return {f"{key}_{level}": value for key, value in self.observe(step).items()}

    def figures(self) -> dict[str, Callable[[], Image.Image]]:
        """`levels`: real images, generated differences on real coarse images, and these; `chain`: samples by level."""
        return {"levels": self._levels_figure, "chain": self._chain_figure}

    @torch.no_grad()
    def _levels_figure(self) -> Image.Image:
        batch = self._labeled_examples()
        latents, _ = self.sample_inputs(self.batch_size(batch), self.seed)
        network: Any = self.averaged["generator"]
        rows: list[tuple[str, list[Image.Image | None]]] = []
        with evaluation_mode(network):
            for level in range(network.pyramid.coarsest - 1, -1, -1):
                coarse = network.pyramid.enlarged(batch[f"level_{level + 1}"], level)
                made = network.levels[level](network.latents_of(level, latents), coarse, self.condition.of(batch))
                images = (batch[f"level_{level}"], coarse + made, coarse, made)
                rows.append((_size(coarse), [image_grid(each.cpu(), 4, CELL) for each in images]))
        return sheet(rows, ["real", "coarse + generated", "coarse", "generated"], CELL)

    def _labeled_examples(self) -> Batch:
        """A prepared batch of `EXAMPLES` real images, or of fewer; with labels, of the first classes."""
        classes = self.condition.examples(EXAMPLES)
        if classes is None:
            return {key: value.to(self.device) for key, value in self.examples(EXAMPLES).items()}
        data: Any = cast(Any, self.trainer).datamodule
        groups = data.reals_by_class(classes.tolist(), math.ceil(EXAMPLES / len(classes)))
        labels = classes.repeat_interleave(torch.tensor([len(group) for group in groups]))
        images = torch.cat(groups)[:EXAMPLES]
        return self.prepare({self.real_key: images.to(self.device), "label": labels[:EXAMPLES].to(self.device)})

    @torch.no_grad()
    def _chain_figure(self) -> Image.Image:
        network: Any = self.averaged["generator"]
        with evaluation_mode(network):
            images = network.images(*self.sample_inputs(SAMPLES, self.seed))
        cells = [[enlarged(each.cpu(), SMALL_CELL) for each in level] for level in images]
        return sheet(
            [("", list(row)) for row in zip(*cells, strict=True)], [_size(each) for each in images], SMALL_CELL
        )


def _size(images: Tensor) -> str:
    return f"{images.shape[-2]} x {images.shape[-1]}"


def _require_levels(generator: nn.Module, discriminator: nn.Module) -> None:
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if not hasattr(network, "levels"):
            raise ValueError(
                f"model=lapgan trains the levels of a pyramid, which {type(network).__name__} does not have; set "
                f"architecture=lapgan and conditioning=none or mapping, and remove wrapper/{name}"
            )
    if generator.pyramid != discriminator.pyramid:
        raise ValueError(
            "architecture.generator and architecture.discriminator have other levels than each other; give both the "
            "same resolutions and upsampling"
        )


def _trained(levels: Any, count: int) -> list[int]:
    """The numbers of the levels to train, in ascending order.

    Raises:
        ValueError: There are none, or there is no such level.
    """
    if levels is None:
        return list(range(count))
    is_list = isinstance(levels, Sequence) and not isinstance(levels, str) and len(levels) > 0
    if not is_list or any(type(level) is not int or not 0 <= level < count for level in levels):
        raise ValueError(
            f"algorithm.levels={levels} is not allowed: it must be a list of numbers from 0, the image, to "
            f"{count - 1}, the coarsest level; or null for all"
        )
    return sorted(set(levels))
