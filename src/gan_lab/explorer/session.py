"""What an explorer shows: generators with the same latents, what each can do, and directions."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.gans.latents import LatentPrior
from gan_lab.layers.activations import ActivationShape, output_and_activation, with_changed_activation
from gan_lab.layers.growing import lower_resolutions, shrunk_to
from gan_lab.layers.labeled import averaged_in_mixtures, one_hot
from gan_lab.layers.self_attention import attention_from, recorded_attention
from gan_lab.runs.remote import named
from gan_lab.sampling.direction_file import DirectionFile, read_directions
from gan_lab.sampling.feature_maps import layer_of_maps, without_maps
from gan_lab.sampling.latent_directions import find_directions
from gan_lab.sampling.mixing import named_layers
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.spaces import Space, space_named

COUNTS = (16, 9, 4)
"""Numbers of samples that are shown first, by decreasing preference."""

ANSWER_SECONDS = 0.5
"""Time that the first answer may take."""

OTHER = "other"
"""Name of the generator of `other`; those of the run have the names of their weights."""

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
        name: Key of `Session.generators`.
        amounts: Distance along each direction, in standard deviations of samples, float32 (k,).
        dropped: Numbers of the maps that are zero.
        resolution: At which a growing generator works; None for that of its stage.
    """

    name: str
    amounts: Tensor
    dropped: Sequence[int]
    resolution: int | None = None


@dataclass(frozen=True)
class Generator:
    """A generator of the page, and what it can do beside sampling.

    Attributes:
        run: Run folder or file, as on the command line.
        weights: `ema` or `raw`.
        space: Space of its points.
        layer: Activation whose maps are dropped; None without maps.
        attention: Height and width of the input of its attention layer; None unless it has one.
        resolutions: Lower resolutions than that of its stage, if it grows.
        averaged: What it averages for a mixture of classes; nothing if it takes none.
        styles: Layers that get another style together, by name; none unless points are styles.
        layers: Number of layers with styles; 0 unless points are styles.
    """

    run: Path
    weights: str
    space: Space
    layer: ActivationShape | None
    attention: tuple[int, int] | None
    resolutions: list[int]
    averaged: list[str]
    styles: dict[str, slice]
    layers: int

    @property
    def loaded(self) -> PretrainedGenerator:
        """The network."""
        return self.space.loaded


@dataclass(frozen=True)
class Session:
    """What an explorer shows.

    Attributes:
        generators: By name: `ema`, `raw`, or the one that the file has, and `other`; the first is shown.
        directions: Directions of the sliders; None if there are none.
        method: How they were found, or the name of their file.
        resolution: Size of the samples in pixels.
        channels: Their channels.
        seed: First seed.
        count: Samples that are shown first: as many of `COUNTS` as take `ANSWER_SECONDS`.
    """

    generators: dict[str, Generator]
    directions: DirectionFile | None
    method: str
    resolution: int
    channels: int
    seed: int
    count: int

    @property
    def first(self) -> Generator:
        """The generator that is shown first."""
        return next(iter(self.generators.values()))

    @property
    def choices(self) -> list[str] | None:
        """Names of the classes, or of the generators of a mixture; None without."""
        loaded = self.first.loaded
        count = loaded.condition.num_classes or loaded.condition.num_generators
        if count is None:
            return None
        names = loaded.condition.names(loaded.classes) or []
        return [names[k] if k < len(names) else str(k) for k in range(count)]

    def draw(
        self, name: str, count: int, seed: int, label: int | None, truncation: float | None, mixed: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Points (count, dim) of a generator and their condition.

        Args:
            name: Key of `generators`.
            count: Number of points.
            seed: Of the latents, which are the same for all generators.
            label: Class, or number of a generator of a mixture; None to draw them.
            truncation: See `PretrainedGenerator.adjusted`.
            mixed: Weights of the classes, float32 (classes,), instead of a label.

        Raises:
            ConfigError: The latents cannot be truncated.
        """
        space = self.generators[name].space
        if truncation is not None:
            space = Space(space.loaded.adjusted(truncation), space.name)
        if mixed is None:
            return space.draw(count, seed, label)
        latents, _ = space.loaded.draw(count, seed, label)
        weights = mixed.expand(count, -1)
        return space.of(latents, weights), weights

    def edited(self, points: Tensor, view: View) -> Tensor:
        """The points (n, ...), shifted along the directions and into the support of the prior."""
        if self.directions is not None:
            points = points + (view.amounts * self.directions.deviations) @ self.directions.vectors
        return self.generators[view.name].space.inside(points)

    def images(self, points: Tensor, condition: Tensor | None, view: View) -> Tensor:
        """Samples (n, C, H, W) on the CPU at a resolution and without the dropped maps; the points are not shifted."""
        shown = self.generators[view.name]
        generate = shown.space.generate
        if shown.layer is not None and view.dropped:
            dropped = torch.tensor(view.dropped, dtype=torch.int64)
            generate = with_changed_activation(generate, shown.layer.number, without_maps(dropped))
        made = []
        with shrunk_to(shown.loaded.generator, view.resolution):
            for k in range(0, len(points), _BATCH):
                part = None if condition is None else condition[k : k + _BATCH]
                made.append(generate(points[k : k + _BATCH], part).cpu())
        return torch.cat(made)

    def maps(self, points: Tensor, condition: Tensor | None, name: str) -> Tensor:
        """Maps (n, maps, h, w) of the layer of a generator, on the CPU.

        Raises:
            ConfigError: It has no maps.
        """
        shown = self.generators[name]
        if shown.layer is None:
            raise ConfigError("This generator has no feature maps, so none can be dropped.")
        _, maps = output_and_activation(shown.space.generate, shown.layer.number, points, condition)
        return maps.float().cpu()

    def attention(
        self, point: Tensor, condition: Tensor | None, view: View, pixel: tuple[int, int]
    ) -> tuple[Tensor, float]:
        """Attention (kh, kw) of a pixel of the layer's input in the sample of a point, (1, ...), and the layer's gamma.

        Raises:
            ConfigError: The generator has no attention layer.
        """
        shown = self.generators[view.name]
        if shown.attention is None:
            raise ConfigError("This generator has no attention layer.")
        with recorded_attention(shown.loaded.generator) as seen:
            self.images(point, condition, view)
        layer, x = seen[0]
        return attention_from(layer, x, pixel)[0].float().cpu(), layer.gamma.item()

    def weights_of(self, condition: Tensor) -> Tensor:
        """Conditions as weights of the classes, float32 (n, classes)."""
        return one_hot(condition, len(self.choices or ()), torch.zeros(0))

    def mixture(self, label: int, other: int, fraction: float) -> Tensor:
        """Weights of the classes, float32 (classes,), with a fraction of the other one."""
        first, second = self.weights_of(torch.tensor([label, other]))
        return torch.lerp(first, second, fraction)


def open_session(
    run: Path, weights: str, space: str | None, directions: str | None, method: str, layer: int | None, seed: int,
    device: torch.device, allow_targets: Sequence[str] = (), other: Path | None = None,
) -> Session:  # fmt: skip
    """Load the generators and find directions.

    Args:
        run: Run folder or file.
        weights: Weights shown first; the others can be compared if the file has them.
        space: `z`, `w`, or None for styles if the generator has them.
        directions: A file of gan-lab directions; None to find some.
        method: `pca` or `sefa`, without a file.
        layer: Activation whose maps are dropped; None for the last but one.
        seed: First seed.
        device: Device of the generators.
        allow_targets: See `load`.
        other: Run folder or file of another generator with the same latents.

    Raises:
        UserError: A run, a value or the file cannot be used, the samples are points, or the latents or samples of
            `other` are others.
    """
    spaces = {weights: (run, weights, space_named(space, load(run, weights, device, allow_targets)))}
    hidden = "raw" if weights == "ema" else "ema"
    with suppress(CheckpointError):  # an export has one of them
        spaces[hidden] = run, hidden, space_named(space, load(run, hidden, device, allow_targets))
    first = spaces[weights][2]
    points, condition = first.draw(2, seed)
    samples = first.generate(points, condition)
    if samples.dim() != 4:
        raise ConfigError(f"{named(first.loaded.path)} generates points: gan-lab explore is for images.")
    if other is not None:
        second = space_named(first.name, load(other, weights, device, allow_targets))
        _check_same_latents(first, second)
        spaces[OTHER] = other, weights, second
    start = time.perf_counter()
    first.generate(points, condition)  # again, since a first pass prepares kernels
    count = first_count((time.perf_counter() - start) / len(points))
    if directions is None:
        found = _found(first, method, seed)
    else:
        found, method = read_directions(Path(directions), first.name, points.shape[1]), Path(directions).name
    generators = {name: _generator(*each, None if name == OTHER else layer) for name, each in spaces.items()}
    return Session(generators, found, method, samples.shape[-1], samples.shape[1], seed, count)


def first_count(seconds: float) -> int:
    """Number of samples that are shown first, of a generator that takes so many seconds for one."""
    return next((count for count in COUNTS if count * seconds <= ANSWER_SECONDS), COUNTS[-1])


def _check_same_latents(first: Space, second: Space) -> None:
    """Refuse a second generator whose latents, conditions or samples are of another kind.

    Raises:
        ConfigError: Names the difference.
    """
    for ours, theirs in zip(_kinds(first), _kinds(second), strict=True):
        if ours != theirs:
            raise ConfigError(
                f"other={named(second.loaded.path)} has {theirs}, but {named(first.loaded.path)} has {ours}: give a "
                "run with the same latents, classes and size of the images."
            )


def _kinds(space: Space) -> list[str]:
    """What must be the same in two generators, as text: latents, condition, styles, samples."""
    loaded, (points, given) = space.loaded, space.draw(1)
    prior = LatentPrior(**loaded.config.latent)
    bound = f" up to {prior.bound:g}" if prior.distribution == "uniform" else ""
    condition = loaded.condition
    classes = f"{condition.num_classes or 'no'} classes"
    number = classes if condition.num_generators is None else f"{condition.num_generators} generators"
    codes = "" if given is None or given.dim() == 1 else f", but codes of {_shape(given)} numbers"
    return [
        f"{prior.dim} {prior.distribution} latents{bound}", f"{number}{codes}",
        f"points of {_shape(points)} coordinates", f"samples of {_shape(space.generate(points, given))} values",
    ]  # fmt: skip


def _shape(values: Tensor) -> str:
    """Size of one row."""
    return " x ".join(map(str, values.shape[1:]))


def _generator(run: Path, weights: str, space: Space, layer: int | None) -> Generator:
    """The generator with what it can do."""
    network, points = space.loaded.generator, space.draw(1)
    with recorded_attention(network) as seen:
        space.generate(*points)
    height, width = seen[0][1].shape[2:] if len(seen) == 1 else (0, 0)
    classes = space.loaded.condition.num_classes
    layers = space.loaded.styles(*space.loaded.draw(1)).shape[1] if space.name == "w" else 0
    return Generator(
        run=run,
        weights=weights,
        space=space,
        layer=_layer(space.loaded, layer),
        attention=(height, width) if len(seen) == 1 else None,
        resolutions=lower_resolutions(network),
        averaged=averaged_in_mixtures(network) if classes is not None and classes > 1 else [],
        styles=named_layers(layers) if layers else {},
        layers=layers,
    )


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
