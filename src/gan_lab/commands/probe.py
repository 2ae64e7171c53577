"""`gan-lab probe`: linear classifiers on the features of a discriminator (Radford et al., 2016, section 5)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor, nn

from gan_lab.analysis.probing import (
    MOST_IN_FLOAT32,
    Draws,
    ProbeResult,
    Split,
    draw_all,
    pooled_activations,
    principal_components,
    split_rows,
)
from gan_lab.analysis.probing import probe as measure
from gan_lab.analysis.supervised import LabeledImages, SupervisedTraining, supervised_accuracy
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import RealImages, Trained, device_named
from gan_lab.commands.inspected import features_of, read_images, shapes_of, with_images_of
from gan_lab.data.pixels import to_unit_range
from gan_lab.errors import ConfigError, DataError
from gan_lab.layers.activations import ActivationShape
from gan_lab.layers.batch_statistics import with_population_statistics
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.noise import mix
from gan_lab.progress import progress
from gan_lab.reports.tables import aligned
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.sampling.discriminators import PretrainedDiscriminator, load_discriminator, load_encoder

TEST, TEST_FRACTION = "test", 5
"""Name of the split for the test; without one, one image of this many is held out."""

MOST_VALIDATION = 2_000
"""Images whose labels choose C, unless the number is given; at most one of `TEST_FRACTION`."""

MOST_FOR_PCA = 10_000
"""Training images whose principal components are used."""

NOTE = (
    "Random convolutions with pooling can be far better than pixels: only what the trained network has beyond the "
    "untrained one was learned."
)


@dataclass(frozen=True)
class Labeled:
    """Images with labels.

    Attributes:
        images: uint8 (n, C, H, W).
        labels: int64 (n,).
        classes: Number of classes.
        of_training: Number of images of the training set, which are the first.
    """

    images: Tensor
    labels: Tensor
    classes: int
    of_training: int


@dataclass(frozen=True)
class ProbeTable:
    """Accuracies of linear classifiers.

    Attributes:
        results: One for each kind of features.
        protocol: How they were measured.
        notes: What to keep in mind.
        folder: Holds `finding.json`.
    """

    results: list[ProbeResult]
    protocol: str
    notes: list[str]
    folder: Path

    @property
    def table(self) -> list[list[str]]:
        """Rows of text with a header."""
        rows = [["features", "dimensions", "C", "test accuracy in %"]]
        for result in self.results:
            accuracy = 100 * torch.tensor(result.accuracies, dtype=torch.float64)
            text = f"{accuracy.mean():.1f}" + (f" ± {accuracy.std():.1f}" if len(accuracy) > 1 else "")
            cost = "" if result.cost is None else f"{result.cost:g}"
            rows.append([result.features, f"{result.dimensions:,}", cost, text])
        return rows

    def __str__(self) -> str:
        return "\n".join(
            [*aligned(self.table), f"Protocol: {self.protocol}", *self.notes, f"Written to {self.folder}."]
        )


def probe(cfg: DictConfig) -> ProbeTable:
    """Measure the features of a discriminator by a composed `probe` config, and write the table into the run folder.

    Raises:
        UserError: A value, the run or the data cannot be used.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = _LOADERS[cfg.network](path, device, cfg.allow_targets)
    folder = finding_folder(path, "probe", typed("probe", cfg), cfg.out)
    data, test = _data(with_images_of(cfg, loaded.config), cfg.test, Trained.of(cfg, loaded.config))
    shapes = shapes_of(loaded, data.images)
    chosen = _chosen(cfg.layers, shapes)
    with value_errors_as_config_errors():
        split = _split(data, test, cfg)
        draws = draw_all(
            data.labels, split.train, cfg.labels_per_class, data.classes, cfg.search_draws, cfg.draws, cfg.seed
        )
        used = torch.cat([*draws.search, *draws.final, split.validation, split.test]).unique()
        features = _pixels(data.images, split, cfg)
        for name, network in _networks(loaded, cfg).items():
            features |= _of_network(name, network, chosen, data.images, split, used, cfg)
        results = measure(features, data.labels, split, draws, data.classes, list(cfg.costs), progress)
        if cfg.supervised is not None:
            results.append(_supervised(loaded, data, split, draws, cfg))
    table = ProbeTable(results, _protocol(cfg, loaded, split, test), [NOTE, *_ends(results)], folder)
    title = f"What the {cfg.network} knows about classes"
    finding = Finding(title, table.table, table.protocol, table.notes, command=typed("probe", cfg))
    save_finding(path, folder, finding, {})
    return table


_LOADERS = {"discriminator": load_discriminator, "encoder": load_encoder}


def _data(cfg: DictConfig, test: str | int | None, trained: Trained) -> tuple[Labeled, str | int]:
    """Training images, followed by those of the test split if there is one; and the name of that split, or a number.

    Raises:
        UserError: The images have no labels or cannot be read.
    """
    has_splits = OmegaConf.select(cfg, "dataset.reader.split") is not None
    if isinstance(test, str) and not has_splits:
        raise ConfigError(f"test={test} is not allowed: this data set has no splits; give a number of images.")
    if test is None and has_splits and cfg.dataset.reader.split != TEST:
        test = TEST
    train = _read(cfg, trained)
    if not isinstance(test, str):
        return train, len(train.labels) // TEST_FRACTION if test is None else test
    with open_dict(cfg):
        other = cast(DictConfig, OmegaConf.merge(cfg, {"dataset": {"reader": {"split": test}, "max_images": None}}))
    held_out = _read(other)
    images, labels = torch.cat([train.images, held_out.images]), torch.cat([train.labels, held_out.labels])
    return Labeled(images, labels, max(train.classes, held_out.classes), len(train.labels)), test


def _read(cfg: DictConfig, trained: Trained | None = None) -> Labeled:
    images, labels = read_images(RealImages(cfg, trained=trained), None)
    if labels is None:
        raise DataError("A probe needs labels, and the data set has none: choose one with classes, as dataset=digits.")
    return Labeled(images, labels, int(labels.max()) + 1, len(labels))


def _split(data: Labeled, test: str | int, cfg: DictConfig) -> Split:
    """Rows of training, validation and test, all of them for the test if it is a split of its own."""
    apart = 0 if isinstance(test, str) else test
    count = cfg.validation or max(1, min(MOST_VALIDATION, data.of_training // TEST_FRACTION))
    train, validation, held_out = split_rows(data.of_training, count, apart, cfg.seed)
    if isinstance(test, str):
        held_out = torch.arange(data.of_training, len(data.labels))
    return Split(train, validation, held_out)


def _pixels(images: Tensor, split: Split, cfg: DictConfig) -> dict[str, Callable[[Tensor], Tensor]]:
    """Pixels in [-1, 1], and their principal components."""

    def pixels(rows: Tensor) -> Tensor:
        return to_unit_range(images[rows]).flatten(1)

    found: dict[str, Callable[[Tensor], Tensor]] = {"pixels": pixels}
    if cfg.pca is not None:
        fitted = pixels(split.train[:MOST_FOR_PCA])
        project = principal_components(fitted, cfg.pca)
        found[f"pixels, {min(cfg.pca, *fitted.shape):,} principal components"] = lambda rows: project(pixels(rows))
    return found


def _networks(loaded: PretrainedDiscriminator, cfg: DictConfig) -> dict[str, nn.Module]:
    untrained = {"untrained": loaded.untrained(cfg.seed)} if cfg.untrained else {}
    return {**untrained, "trained": loaded.network}


def _of_network(
    name: str,
    network: nn.Module,
    shapes: Sequence[ActivationShape],
    images: Tensor,
    split: Split,
    used: Tensor,
    cfg: DictConfig,
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Features of these layers together, and of each alone, for the used rows, which are in ascending order."""
    numbers = [shape.number for shape in shapes]
    device = next(iter(network.state_dict().values())).device

    def batches(rows: Tensor) -> Iterator[Tensor]:
        for part in rows.split(cfg.batch_size):
            yield to_unit_range(images[part]).to(device)

    if cfg.statistics == "population":
        inputs = ((each,) for each in progress(batches(torch.cat([split.train, split.validation])), "statistics"))
        network = with_population_statistics(network, inputs)
    features = features_of(network)

    def rows_of(part: Tensor) -> list[Tensor]:
        found = pooled_activations(features, part, cfg.pool, numbers)
        with torch.no_grad():
            return [*found, network(part).float()] if cfg.network == "encoder" else found

    sizes = [each.shape[1] for each in rows_of(next(batches(used)))]
    dtype = torch.float16 if len(used) * sum(sizes) > MOST_IN_FLOAT32 else torch.float32
    matrix = torch.empty(len(used), sum(sizes), dtype=dtype)
    parts = progress(batches(used), f"features, {name}", -(-len(used) // cfg.batch_size))
    for rows, part in zip(matrix.split(cfg.batch_size), parts, strict=True):
        rows.copy_(torch.cat(rows_of(part), 1))
    found: dict[str, Callable[[Tensor], Tensor]] = {}
    if len(numbers) > 1:
        columns = slice(sum(sizes[: len(numbers)]))
        found[f"{name}, layers {', '.join(map(str, numbers))}"] = partial(_columns, matrix, used, columns)
    titles = [*map(_title, shapes), "latents"]
    for title, stop, size in zip(titles, accumulate(sizes), sizes, strict=False):
        found[f"{name}, {title}"] = partial(_columns, matrix, used, slice(stop - size, stop))
    return found


def _title(shape: ActivationShape) -> str:
    if shape.height == shape.width == 1:
        return f"layer {shape.number} ({shape.channels:,} units)"
    return f"layer {shape.number} ({shape.channels:,} maps of {shape.height}x{shape.width})"


def _supervised(
    loaded: PretrainedDiscriminator, data: Labeled, split: Split, draws: Draws, cfg: DictConfig
) -> ProbeResult:
    """Accuracy of the same network, trained on the labels of each draw."""

    def of(rows: Tensor) -> LabeledImages:
        return LabeledImages(data.images[rows], data.labels[rows])

    validation, test, accuracies = of(split.validation), of(split.test), []
    for number, rows in enumerate(progress(draws.final, "supervised networks")):
        network = loaded.untrained(mix(cfg.seed, number))
        training = SupervisedTraining(cfg.supervised, seed=mix(cfg.seed, number))
        features = features_of(network)
        accuracies.append(supervised_accuracy(network, features, of(rows), validation, test, data.classes, training))
    size = shapes_of(loaded, data.images)[-1]
    dimensions = size.channels * size.height * size.width
    return ProbeResult("the same network, supervised", dimensions, None, False, accuracies)


def _columns(matrix: Tensor, used: Tensor, columns: slice, rows: Tensor) -> Tensor:
    return matrix[torch.searchsorted(used, rows), columns]


def _chosen(layers: Sequence[int] | None, shapes: Sequence[ActivationShape]) -> list[ActivationShape]:
    """The chosen activations, in ascending order.

    Raises:
        ConfigError: There is no such activation; the message lists all.
    """
    known = [shape.number for shape in shapes]
    for number in layers or ():
        if number not in known:
            raise ConfigError(
                f"layers={list(layers or ())} is not allowed: there is no layer {number}; the network has "
                f"{'; '.join(map(str, shapes))}."
            )
    return [shape for shape in shapes if not layers or shape.number in layers]


def _protocol(cfg: DictConfig, loaded: PretrainedDiscriminator, split: Split, test: str | int) -> str:
    labels = "all labels" if cfg.labels_per_class is None else f"{cfg.labels_per_class:,} labels of each class"
    draws = 1 if cfg.labels_per_class is None else cfg.draws
    tested = f"the split {test}" if isinstance(test, str) else "images of the training set of the GAN"
    trained = "" if cfg.supervised is None else f"; supervised: at most {cfg.supervised} epochs, chosen likewise"
    pooled = "not pooled" if cfg.pool is None else f"max-pooled to {cfg.pool}x{cfg.pool}"
    return (
        f"linear SVM (squared hinge, one against the rest), {labels}, {draws} draws (± standard deviation), seed "
        f"{cfg.seed}; C chosen with {len(split.validation):,} validation images; {len(split.test):,} test images, "
        f"{tested}; maps {pooled}, {cfg.statistics} statistics of batch norms{trained}; {cfg.network} after "
        f"{loaded.images_seen:,} images."
    )


def _ends(results: Sequence[ProbeResult]) -> list[str]:
    """A sentence about each value of C at an end of the tried ones."""
    return [
        f"The best C of {result.features}, {result.cost:g}, is at an end of costs: try values beyond it."
        for result in results
        if result.at_end
    ]
