"""`gan-lab arithmetic`: A - B + C with latents of samples (Radford et al., 2016, section 6.3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.commands.classifiers import classifier_for
from gan_lab.commands.exemplars import BATCH, SumScores, classified_samples
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import device_named
from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, image_grid, sheet
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.progress import progress
from gan_lab.reports.tables import aligned
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.latent_sums import sum_amid_neighbors
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.spaces import Space, space_named

_SIZE = 96  # pixels of an image in the figure
_USUAL = 3  # exemplars of the paper

NOTE = (
    "The same sums of pixels are superimposed images. Arithmetic with latents is better than that if the result has "
    "the property of A and is otherwise like C; with single exemplars it is unstable."
)


@dataclass(frozen=True)
class Arithmetic:
    """A sum of latents.

    Attributes:
        points: The result amid eight neighbors, the result as the fifth, float32 (9, dim); of `to` the points of its
            samples in all steps, float32 (steps, n, dim).
        samples: Their samples, (9, ...) or (steps, n, ...).
        protocol: How they were made.
        folder: Holds the figures and `finding.json`.
        scores: Of `rule`: one for each number of exemplars.
    """

    points: Tensor
    samples: Tensor
    protocol: str
    folder: Path
    scores: list[SumScores] = field(default_factory=list)

    @property
    def table(self) -> list[list[str]]:
        """Rows of text with a header; empty without scores."""
        if not self.scores:
            return []
        rows = [["exemplars", "A - B + C", "class alone", "pixels", "class alone", "C", "class alone", "length"]]
        for each in self.scores:
            found = [
                value for score in (each.latents, each.pixels, each.third) for value in (score.both, score.class_alone)
            ]
            rows.append([str(each.exemplars), *(f"{value:.2f}" for value in (*found, each.length))])
        return rows

    def __str__(self) -> str:
        lines = aligned(self.table) if self.scores else []
        return "\n".join([*lines, NOTE, f"Protocol: {self.protocol}", f"Written to {self.folder}: arithmetic.png."])


def arithmetic(cfg: DictConfig) -> Arithmetic:
    """Compute with latents by a composed `arithmetic` config; write the figure.

    Raises:
        UserError: A value or the run cannot be used, or there are too few exemplars.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device, cfg.allow_targets)
    space = space_named(cfg.space, loaded)
    if space.generate(*space.draw(1, cfg.seed, cfg.labels)).dim() != 4:
        raise ConfigError(f"{named(loaded.path)} generates points: gan-lab arithmetic is for images.")
    folder = finding_folder(path, "arithmetic", typed("arithmetic", cfg), cfg.out)
    if cfg.rule is not None:
        with value_errors_as_config_errors():
            done, figures = _of_rule(space, path, folder, cfg)
    else:
        done, figures = _of_numbers(space, folder, cfg)
    finding = Finding("Arithmetic on latents", done.table, done.protocol, [NOTE], command=typed("arithmetic", cfg))
    save_finding(path, folder, finding, figures)
    return done


Figures = dict[str, tuple[Image.Image, str]]
"""Images with captions by the names of their files."""


def _of_numbers(space: Space, folder: Path, cfg: DictConfig) -> tuple[Arithmetic, Figures]:
    """The sum, or the steps, of samples with given numbers."""
    numbers = [*cfg.a, *cfg.b, *(cfg.c or ()), *(cfg.to or ())]
    points, condition = space.draw(max(numbers) + 1, cfg.seed, cfg.labels)
    protocol = (
        f"{space.name} of samples of seed {cfg.seed}: a={list(cfg.a)}, b={list(cfg.b)}, "
        f"{'c' if cfg.to is None else 'to'}={list(cfg.c if cfg.to is None else cfg.to)}; "
        f"{_of_weights(space.loaded, cfg)}"
    )
    if cfg.to is None:
        groups = [torch.tensor(list(group)) for group in (cfg.a, cfg.b, cfg.c)]
        found, made, figure = _sum(space, points, condition, groups, cfg)
    else:
        found, made, figure = _steps(space, points, condition, cfg)
    caption = _CAPTION if cfg.to is None else "a row for each sample, from -(A - B) on the left to A - B on the right"
    return Arithmetic(found, made, protocol, folder), {"arithmetic.png": (figure, caption)}


def _of_rule(space: Space, path: Path, folder: Path, cfg: DictConfig) -> tuple[Arithmetic, Figures]:
    """The sum of exemplars that a classifier chooses, and scores of many such sums."""
    classified = classified_samples(space, classifier_for(cfg, space.loaded, path), cfg)
    pairs = classified.pairs()
    scores = [classified.score(pairs, count) for count in progress(list(cfg.exemplars), "sums")]
    first, second = pairs[0].tolist()
    count = max((count for count in cfg.exemplars if count <= _USUAL), default=min(cfg.exemplars))
    groups = list(classified.pools.exemplars(first, second, count))
    found, made, figure = _sum(space, classified.points, classified.condition, groups, cfg)
    name = classified.classifier.name
    what = "random classes" if cfg.classes is None else f"classes {name(first)} and {name(second)}"
    protocol = (
        f"{space.name} of {cfg.samples:,} samples of seed {cfg.seed}; A and B are random exemplars of one class, of "
        f"the quarter with the most and the least {cfg.rule} pixels, C of another class with the least; {what}, "
        f"{cfg.trials:,} trials; a success is of C's class and above its median of {cfg.rule} pixels; "
        f"{classified.classifier.description}; {_of_weights(space.loaded, cfg)}"
    )
    figures = {
        "arithmetic.png": (figure, f"{_CAPTION}; A and B of class {name(first)}, C of class {name(second)}"),
        "trials.png": (classified.figure(pairs), "sums of latents and of pixels, by the number of exemplars"),
    }
    return Arithmetic(found, made, protocol, folder, scores), figures


_CAPTION = "exemplars of A, B and C; A - B + C amid eight neighbors; the same sum of pixels"


def _of_weights(loaded: PretrainedGenerator, cfg: DictConfig) -> str:
    variance = "with" if cfg.rescale else "without"
    return f"{variance} the variance of the prior; {cfg.weights} weights after {loaded.images_seen:,} images."


def _sum(
    space: Space, points: Tensor, condition: Tensor | None, groups: Sequence[Tensor], cfg: DictConfig
) -> tuple[Tensor, Tensor, Image.Image]:
    """The result amid its neighbors, their samples, and the figure, of exemplars with these numbers."""
    a, b, c = (points[numbers] for numbers in groups)
    found = sum_amid_neighbors(space, a, b, c, cfg.seed, cfg.labels, cfg.rescale, cfg.noise)
    made = space.generate(found, _condition_of(condition, int(groups[2][0]), len(found))).cpu()
    rows: list[tuple[str, Sequence[Image.Image | None]]] = []
    most, means = max(map(len, groups)), []
    for name, numbers in zip("ABC", groups, strict=True):
        given = None if condition is None else condition[numbers]
        samples = torch.cat([chunk for chunk, _ in space.chunks(points[numbers], given, BATCH)])
        mean = space.generate(points[numbers].mean(0)[None], _condition_of(condition, int(numbers[0]), 1)).cpu()
        empty = [None] * (most - len(numbers))
        rows.append((name, [*(enlarged(sample, _SIZE) for sample in samples), *empty, enlarged(mean[0], _SIZE)]))
        means.append(samples.mean(0))
    exemplars = sheet(rows, [*[""] * most, "mean"], _SIZE)
    sums = [image_grid(made, 3, size=3 * _SIZE), enlarged(means[0] - means[1] + means[2], 3 * _SIZE)]
    return found, made, _beside(exemplars, sheet([("", sums)], ["A - B + C", "pixels"], 3 * _SIZE))


def _steps(
    space: Space, points: Tensor, condition: Tensor | None, cfg: DictConfig
) -> tuple[Tensor, Tensor, Image.Image]:
    """Points of all steps (steps, n, dim), their samples (steps, n, ...), and the figure with a row for each sample."""
    turn = points[list(cfg.a)].mean(0) - points[list(cfg.b)].mean(0)
    chosen = points[list(cfg.to)]
    times = torch.linspace(-1, 1, cfg.steps)
    found = chosen + times[:, None, None] * turn
    given = None if condition is None else condition[list(cfg.to)]
    columns = [space.generate(each, given).cpu() for each in found]
    rows = [(str(number), [enlarged(column[row], _SIZE) for column in columns]) for row, number in enumerate(cfg.to)]
    return found, torch.stack(columns), sheet(rows, [f"{time:+.2g}" for time in times.tolist()], _SIZE)


def _condition_of(condition: Tensor | None, number: int, count: int) -> Tensor | None:
    """The condition of a sample for several points."""
    return None if condition is None else condition[number : number + 1].expand(count, *condition.shape[1:])


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    canvas.paste(left, (0, 0))
    canvas.paste(right, (left.width, 0))
    return canvas
