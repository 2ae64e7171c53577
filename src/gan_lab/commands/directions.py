"""`gan-lab directions`: directions of latents or styles along which samples change, with a figure of each."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from gan_lab.analysis.concepts import fraction_by_rule
from gan_lab.analysis.directions import (
    Boundary,
    Directions,
    boundary,
    conditioned,
)
from gan_lab.analysis.occlusion import log_odds
from gan_lab.commands.classifiers import SampleClassifier, classifier_for
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import device_named
from gan_lab.errors import ConfigError, DataError
from gan_lab.figures import enlarged, sheet
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.noise import Noise, mix
from gan_lab.progress import progress
from gan_lab.reports.tables import aligned
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.direction_file import DirectionFile, read_directions, write_directions
from gan_lab.sampling.latent_directions import find_directions
from gan_lab.sampling.pretrained import load
from gan_lab.sampling.spaces import Space, space_named

FILE = "directions.safetensors"

_RANDOM = 0x444952
"""Noise key of the random directions for comparison: an arbitrary constant."""

_STEP = 2.0  # standard deviations, of the change in the table
_MEASURED = 200  # samples whose change is measured
_SIZE = 96  # pixels of an image in a figure


@dataclass(frozen=True)
class FoundDirections:
    """Directions with their effect.

    Attributes:
        directions: As in the file.
        table: Rows of text with a header: effect of each direction, and of a random one.
        notes: What to keep in mind.
        protocol: How they were found.
        folder: Holds the file, the figures and `finding.json`.
    """

    directions: DirectionFile
    table: list[list[str]]
    notes: list[str]
    protocol: str
    folder: Path

    def __str__(self) -> str:
        lines = [*aligned(self.table), *self.notes, f"Protocol: {self.protocol}"]
        return "\n".join([*lines, f"Written to {self.folder}: {FILE} and figures."])


def directions(cfg: DictConfig) -> FoundDirections:
    """Find directions by a composed `directions` config; write the file, a table and figures.

    Raises:
        UserError: A value, the run or a file cannot be used.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device, cfg.allow_targets)
    space = space_named(cfg.space, loaded)
    points, condition = space.draw(cfg.samples, cfg.seed)
    found: Directions | None = None
    edge: Boundary | None = None
    scoring = _scoring(space, path, cfg)
    name = "_".join(filter(None, ["directions", cfg.method, scoring.name]))
    folder = finding_folder(path, name, typed("directions", cfg), cfg.out)
    with value_errors_as_config_errors():
        if cfg.method == "boundary":
            edge = boundary(points, _scores(space, points, condition, scoring, cfg), cfg.tail, cfg.seed)
            vectors = conditioned(edge.vector, _others(space, points.shape[1], cfg))[None]
        else:
            found = find_directions(space, cfg.method, points, condition, cfg.directions, cfg.layer, cfg.batch_size)
            vectors = found.vectors
    deviations = (points @ vectors.T).std(0)
    stored = DirectionFile(vectors, deviations, space.name, cfg.method)
    random = nn.functional.normalize(Noise(mix(cfg.seed, _RANDOM), 1).normal(points.shape[1]), dim=1)
    beside = DirectionFile(random, (points @ random.T).std(0), space.name, "random")
    if edge is not None:
        table = _table_of_scores(space, stored, beside, points, condition, scoring, cfg)
        notes = [
            f"Accuracy of the boundary: {edge.accuracy:.3f} on held-out samples of both ends, "
            f"{edge.accuracy_of_rest:.3f} on all others against the median; 0.5 is chance.",
        ]
    else:
        assert found is not None
        table = _table(space, stored, found, beside, points, condition, cfg)
        notes = ["A direction has an effect if it changes samples more than the random one."]
    protocol = (
        f"{cfg.method} in {space.name}, {cfg.samples:,} samples of seed {cfg.seed}, {cfg.weights} weights after "
        f"{loaded.images_seen:,} images; distances in standard deviations of the samples along the direction."
    )
    figures = {}
    for number in range(min(cfg.show, len(vectors))):
        image = _figure(space, stored, number, points, condition, cfg)
        figures[f"direction_{number:02d}.png"] = (image, f"direction {number}, a row for each sample")
    folder.mkdir(parents=True, exist_ok=True)
    write_directions(folder / FILE, stored)
    title = ", ".join(filter(None, [f"Directions: {cfg.method}", scoring.name.replace("_", " ")]))
    finding = Finding(title, table, protocol, notes, command=typed("directions", cfg))
    save_finding(path, folder, finding, figures)
    return FoundDirections(stored, table, notes, protocol, folder)


@dataclass(frozen=True)
class _Scoring:
    """What scores samples.

    Attributes:
        name: Of the rule or the class; empty for a file.
        score: Samples to scores (n,), on whose two ends the boundary is fitted; None for a file.
        shown: Samples to what the table has, (n,): the fraction of the pixels, or the probability of the class.
        classifier: Whether samples keep their class along the boundary's normal is reported with it.
    """

    name: str = ""
    score: Callable[[Tensor], Tensor] | None = None
    shown: Callable[[Tensor], Tensor] | None = None
    classifier: SampleClassifier | None = None


def _scoring(space: Space, path: Path, cfg: DictConfig) -> _Scoring:
    needed = cfg.label is not None or cfg.classifier is not None
    classifier = classifier_for(cfg, space.loaded, path) if needed else None
    if cfg.rule is not None:

        def fraction(samples: Tensor) -> Tensor:
            return fraction_by_rule(samples, cfg.rule, cfg.threshold)

        return _Scoring(cfg.rule, fraction, fraction, classifier)
    if classifier is None or cfg.label is None:
        return _Scoring(classifier=classifier)
    label = classifier.label("label", cfg.label)
    return _Scoring(
        f"label_{label}",
        lambda samples: log_odds(classifier.logits(samples), label),
        lambda samples: classifier.logits(samples).softmax(1)[:, label],
        classifier,
    )


def _scores(space: Space, points: Tensor, condition: Tensor | None, scoring: _Scoring, cfg: DictConfig) -> Tensor:
    """The score of each sample."""
    if scoring.score is None:
        return _scores_of_file(Path(cfg.scores), len(points))
    chunks = progress(space.chunks(points, condition, cfg.batch_size), "scores", -(-len(points) // cfg.batch_size))
    return torch.cat([scoring.score(samples) for samples, _ in chunks])


def _scores_of_file(file: Path, count: int) -> Tensor:
    scores = torch.full((count,), torch.nan)
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                if 0 <= (number := int(row["sample"])) < count:
                    scores[number] = float(row["score"])
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file} must be a CSV file with the columns sample and score, both numbers.") from error
    if scores.isnan().any():
        missing = int(scores.isnan().nonzero()[0])
        raise DataError(f"{file} has no score of sample {missing}; it needs one for each of samples={count:,}.")
    return scores


def _others(space: Space, dim: int, cfg: DictConfig) -> list[Tensor]:
    return [vector for file in cfg.orthogonal_to for vector in read_directions(Path(file), space.name, dim).vectors]


def _shifted(
    space: Space, stored: DirectionFile, number: int, distance: float, points: Tensor, condition: Tensor | None
) -> Tensor:
    """Samples on the CPU, shifted along a direction."""
    return space.generate(points + distance * stored.deviations[number] * stored.vectors[number], condition).cpu()


def _table(
    space: Space, stored: DirectionFile, found: Directions, beside: DirectionFile, points: Tensor,
    condition: Tensor | None, cfg: DictConfig,
) -> list[list[str]]:  # fmt: skip
    """Mean change of pixels along each direction, and along a random one."""
    some, given = points[:_MEASURED], None if condition is None else condition[:_MEASURED]
    before = space.generate(some, given).cpu()

    def change(directions: DirectionFile, number: int) -> str:
        return f"{(_shifted(space, directions, number, _STEP, some, given) - before).abs().mean():.3f}"

    name = "fraction of the variance" if cfg.method == "pca" else "eigenvalue"
    rows = [["direction", name, f"mean change of pixels at {_STEP:g}"]]
    for number, importance in enumerate(found.importance.tolist()):
        rows.append([str(number), f"{importance:.3g}", change(stored, number)])
    return [*rows, ["random", "", change(beside, 0)]]


def _table_of_scores(
    space: Space, stored: DirectionFile, beside: DirectionFile, points: Tensor, condition: Tensor | None,
    scoring: _Scoring, cfg: DictConfig,
) -> list[list[str]]:  # fmt: skip
    """Mean score at each distance along the boundary's normal and along a random direction, and kept classes."""
    some, given = points[:_MEASURED], None if condition is None else condition[:_MEASURED]
    before = None if scoring.classifier is None else _classes(scoring.classifier, space.generate(some, given))
    rows = [["distance"]]
    rows[0] += ["score", "along a random direction"] * (scoring.shown is not None)
    rows[0] += ["same class", "along a random direction"] * (before is not None)
    for distance in cfg.distances if len(rows[0]) > 1 else ():
        shifted = [_shifted(space, each, 0, distance, some, given) for each in (stored, beside)]
        row = [f"{distance:g}"]
        if scoring.shown is not None:
            row += [f"{scoring.shown(samples).mean():.4f}" for samples in shifted]
        if scoring.classifier is not None and before is not None:
            kept = [(_classes(scoring.classifier, samples) == before).float().mean() for samples in shifted]
            row += [f"{fraction:.2f}" for fraction in kept]
        rows.append(row)
    return rows


def _classes(classifier: SampleClassifier, samples: Tensor) -> Tensor:
    return classifier.logits(samples).argmax(1)


def _figure(
    space: Space, stored: DirectionFile, number: int, points: Tensor, condition: Tensor | None, cfg: DictConfig
) -> Image.Image:
    """A row for each sample, shifted along a direction."""
    some, given = points[: cfg.count], None if condition is None else condition[: cfg.count]
    columns = [_shifted(space, stored, number, distance, some, given) for distance in cfg.distances]
    if columns[0].dim() != 4:
        raise ConfigError(f"{named(space.loaded.path)} generates points: gan-lab directions is for images.")
    rows = [(f"{row}", [enlarged(column[row], _SIZE) for column in columns]) for row in range(len(some))]
    return sheet(rows, [f"{distance:g}" for distance in cfg.distances], _SIZE)
