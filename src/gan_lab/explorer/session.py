"""What an explorer shows: a generator with both of its weights, directions, and the layer whose maps are dropped."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.layers.activations import ActivationShape, output_and_activation, with_changed_activation
from gan_lab.sampling.direction_file import DirectionFile, read_directions
from gan_lab.sampling.feature_maps import layer_of_maps, without_maps
from gan_lab.sampling.latent_directions import find_directions
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.spaces import Space, space_named

DIRECTIONS = 8
"""Directions found at the start."""

SAMPLES = 2000
"""Samples for principal components."""

_BATCH = 64
_LAYER = 1  # whose principal components are followed in z, as in gan-lab directions


@dataclass(frozen=True)
class View:
    """How tiles are shown.

    Attributes:
        weights: Key of `Session.spaces`.
        amounts: Distance along each direction, in standard deviations of samples, float32 (k,).
        dropped: Numbers of the maps that are zero.
    """

    weights: str
    amounts: Tensor
    dropped: Sequence[int]


@dataclass(frozen=True)
class Session:
    """What an explorer shows.

    Attributes:
        run: Run folder or file, as on the command line.
        spaces: Latent space by weights: `ema`, `raw`, or the one that the file has; the first is shown.
        directions: Directions of the sliders; None if there are none.
        method: How they were found, or the name of their file.
        layer: Activation of the generator whose maps are dropped; None without maps.
        resolution: Size of the samples in pixels.
        channels: Their channels.
        seed: First seed.
    """

    run: Path
    spaces: dict[str, Space]
    directions: DirectionFile | None
    method: str
    layer: ActivationShape | None
    resolution: int
    channels: int
    seed: int

    @property
    def loaded(self) -> PretrainedGenerator:
        """The generator that is shown first."""
        return next(iter(self.spaces.values())).loaded

    @property
    def choices(self) -> list[str] | None:
        """Names of the classes, or of the generators of a mixture; None without."""
        condition = self.loaded.condition
        count = condition.num_classes or condition.num_generators
        if count is None:
            return None
        names = condition.names(self.loaded.classes) or []
        return [names[k] if k < len(names) else str(k) for k in range(count)]

    def space(self, weights: str, truncation: float | None = None) -> Space:
        """Space of these weights, whose points are drawn with truncation.

        Raises:
            ConfigError: The latents cannot be truncated.
        """
        space = self.spaces[weights]
        return space if truncation is None else Space(space.loaded.adjusted(truncation), space.name)

    def edited(self, points: Tensor, view: View) -> Tensor:
        """The points (n, dim), shifted along the directions and into the support of the prior."""
        if self.directions is not None:
            points = points + (view.amounts * self.directions.deviations) @ self.directions.vectors
        return self.spaces[view.weights].inside(points)

    def images(self, points: Tensor, condition: Tensor | None, view: View) -> Tensor:
        """Samples (n, C, H, W) on the CPU, without the dropped maps; the points are not shifted."""
        generate = self.spaces[view.weights].generate
        if self.layer is not None and view.dropped:
            dropped = torch.tensor(view.dropped, dtype=torch.int64)
            generate = with_changed_activation(generate, self.layer.number, without_maps(dropped))
        made = []
        for k in range(0, len(points), _BATCH):
            part = None if condition is None else condition[k : k + _BATCH]
            made.append(generate(points[k : k + _BATCH], part).cpu())
        return torch.cat(made)

    def maps(self, points: Tensor, condition: Tensor | None, weights: str) -> Tensor:
        """Maps (n, maps, h, w) of the layer, on the CPU.

        Raises:
            ConfigError: The generator has no maps.
        """
        if self.layer is None:
            raise ConfigError("This generator has no feature maps, so none can be dropped.")
        _, maps = output_and_activation(self.spaces[weights].generate, self.layer.number, points, condition)
        return maps.float().cpu()


def open_session(
    run: Path, weights: str, space: str | None, directions: str | None, method: str, layer: int | None, seed: int,
    device: torch.device, allow_targets: Sequence[str] = (),
) -> Session:  # fmt: skip
    """Load a generator and find its directions.

    Args:
        run: Run folder or file.
        weights: Weights shown first; the others can be compared if the file has them.
        space: `z`, `w`, or None for styles if the generator has them.
        directions: A file of gan-lab directions; None to find some.
        method: `pca` or `sefa`, without a file.
        layer: Activation whose maps are dropped; None for the last but one.
        seed: First seed.
        device: Device of the generator.
        allow_targets: See `load`.

    Raises:
        UserError: The run, a value or the file cannot be used, or the samples are points.
    """
    spaces = {weights: space_named(space, load(run, weights, device, allow_targets))}
    other = "raw" if weights == "ema" else "ema"
    with suppress(CheckpointError):  # an export has one of them
        spaces[other] = space_named(space, load(run, other, device, allow_targets))
    first = spaces[weights]
    points, condition = first.draw(2, seed)
    samples = first.generate(points, condition)
    if samples.dim() != 4:
        raise ConfigError(f"{first.loaded.path} generates points: gan-lab explore is for images.")
    if directions is None:
        found = _found(first, method, seed)
    else:
        found, method = read_directions(Path(directions), first.name, points.shape[1]), Path(directions).name
    return Session(run, spaces, found, method, _layer(first.loaded, layer), samples.shape[-1], samples.shape[1], seed)


def _found(space: Space, method: str, seed: int) -> DirectionFile | None:
    """Fresh directions; None if there are no latents."""
    points, condition = space.draw(SAMPLES, seed)
    if points.shape[1] == 0:
        return None
    found = find_directions(space, method, points, condition, DIRECTIONS, _LAYER, _BATCH)
    return DirectionFile(found.vectors, (points @ found.vectors.T).std(0), space.name, method)


def _layer(loaded: PretrainedGenerator, number: int | None) -> ActivationShape | None:
    """The layer whose maps are dropped; None if none was chosen and the generator has no maps."""
    try:
        return layer_of_maps(loaded, number)
    except ConfigError:
        if number is not None:
            raise
        return None
