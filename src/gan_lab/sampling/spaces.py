"""Spaces of points that a generator turns into samples: latents (z), a style for all layers (w), or for each (w+)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.gans.latents import LatentPrior
from gan_lab.layers.style_mapping import has_styles, samples_of_styles
from gan_lab.runs.remote import named
from gan_lab.sampling.pretrained import Given, PretrainedGenerator


@dataclass(frozen=True)
class Space:
    """Points that a generator turns into samples.

    A point has (dim,) coordinates; in w+ it has a style for each layer, (layers, dim), and in w it may.

    Attributes:
        loaded: The generator.
        name: `z` for latents; `w` for styles that are drawn the same for all layers; `w+` for a style of each layer.
    """

    loaded: PretrainedGenerator
    name: str

    def draw(self, count: int, seed: int = 0, condition: Given = None) -> tuple[Tensor, Tensor | None]:
        """Points (count, dim) of the samples of `PretrainedGenerator.sample`, and their condition; on the CPU."""
        latents, given = self.loaded.draw(count, seed, condition)
        return self.of(latents, given), given

    def of(self, latents: Tensor, condition: Tensor | None) -> Tensor:
        """Points (n, dim) of latents (n, latent_dim) and their condition, on the CPU."""
        if self.name == "z":
            return latents
        styles = self.loaded.styles(latents, condition).cpu()
        return styles if self.name == "w+" else styles[:, 0]

    @torch.no_grad()
    def generate(self, points: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples float32 (n, ...) on the generator's device, for points (n, dim), see `inside`."""
        return self.with_graph(self.inside(points), condition)

    def with_graph(self, points: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples float32 (n, ...) on the generator's device with the graph of the points (n, dim)."""
        generator = self.loaded.generator
        device = self.loaded.device
        points, condition = points.to(device), None if condition is None else condition.to(device)
        if self.name == "z":
            return generator(points, condition).float()
        latents = points.new_zeros(len(points), self.loaded.config.latent.dim)
        styles = points if points.dim() == 3 else points[:, None]
        return samples_of_styles(generator, styles, latents, condition).float()

    def inside(self, points: Tensor) -> Tensor:
        """The nearest points of the support of the prior: the cube of a uniform one."""
        prior = self.loaded.latent
        if self.name == "z" and isinstance(prior, LatentPrior) and prior.distribution == "uniform":
            return points.clamp(-prior.bound, prior.bound)
        return points

    def chunks(
        self, points: Tensor, condition: Tensor | None, batch_size: int
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Samples on the CPU with their condition, in batches."""
        for k in range(0, len(points), batch_size):
            part = None if condition is None else condition[k : k + batch_size]
            yield self.generate(points[k : k + batch_size], part).cpu(), part


def space_named(name: str | None, loaded: PretrainedGenerator) -> Space:
    """The space of this name; None for w if the generator has styles, else z.

    Raises:
        ConfigError: The generator has no styles.
    """
    styles = has_styles(loaded.generator)
    if name in ("w", "w+") and not styles:
        raise ConfigError(
            f"space={name} needs a generator with styles, and that of {named(loaded.path)} has none; set space=z."
        )
    return Space(loaded, name or ("w" if styles else "z"))
