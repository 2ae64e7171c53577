"""`gan-lab forget`: feature maps that draw a concept, and samples without them (Radford et al., 2016, §6.3.1)."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan_lab.analysis.concepts import (
    COVERAGE,
    agreement,
    coverage,
    doses,
    mask_by_rule,
    random_maps,
    rectangle_mask,
    separate,
)
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import device_named
from gan_lab.errors import DataError
from gan_lab.figures import image_grid, with_row_names
from gan_lab.layers.activations import ActivationShape, AtActivations
from gan_lab.metrics.measuring import value_errors_as_config_errors
from gan_lab.progress import progress
from gan_lab.reports.tables import aligned
from gan_lab.runs.findings import Finding
from gan_lab.runs.latest import run_named
from gan_lab.sampling.feature_maps import Change, layer_of_maps, without_maps
from gan_lab.sampling.pretrained import PretrainedGenerator, load

INTERPRETABLE = 0.05
"""Intersection over union above which Bau et al. (2019) call a map interpretable."""

NOTE = (
    "About half of all maps have a positive weight when nothing was found: only the difference from as many random "
    "maps is an effect."
)


@dataclass(frozen=True)
class Effect:
    """What dropping maps does to samples.

    Attributes:
        dropped: Number of maps.
        fraction: Fraction of all pixels that the rule finds, without the most typical maps; None without a rule.
        fraction_random: Likewise without random maps, the mean over their choices.
        inside: Mean absolute change of pixels, in the range [-1, 1], inside the concept.
        inside_random: Likewise without random maps.
        outside: Outside of the concept.
        outside_random: Likewise without random maps.
    """

    dropped: int
    fraction: float | None
    fraction_random: float | None
    inside: float
    inside_random: float
    outside: float
    outside_random: float


@dataclass(frozen=True)
class Forgotten:
    """Which maps draw a concept.

    Attributes:
        layer: The activation.
        order: Numbers of the maps by weight, the most typical of the concept first.
        positive: How many have a weight above zero.
        auc: Area under the ROC curve for held-out samples.
        iou: Intersection over union of each map with the concept.
        fraction: Fraction of all pixels that the rule finds before; None without a rule.
        effects: One for each number of dropped maps.
        inserted: Fraction of the pixels of the rectangle that the rule finds before, and with inserted maps.
        protocol: How it was measured.
        folder: Holds the figure and `finding.json`.
    """

    layer: ActivationShape
    order: list[int]
    positive: int
    auc: float
    iou: list[float]
    fraction: float | None
    effects: list[Effect]
    inserted: tuple[float, float] | None
    protocol: str
    folder: Path

    @property
    def table(self) -> list[list[str]]:
        """Rows of text with a header."""
        beside = "random maps"
        rows = [["dropped maps", "concept", beside, "change inside", beside, "change outside", beside]]
        rows.append(["0", _percent(self.fraction), _percent(self.fraction), "0", "0", "0", "0"])
        for each in self.effects:
            changes = (each.inside, each.inside_random, each.outside, each.outside_random)
            fractions = [_percent(each.fraction), _percent(each.fraction_random)]
            rows.append([str(each.dropped), *fractions, *(f"{change:.3f}" for change in changes)])
        return rows

    @property
    def notes(self) -> list[str]:
        """Sentences about the maps."""
        best = sorted(range(len(self.iou)), key=lambda number: -self.iou[number])[:5]
        first = ", ".join(map(str, self.order[:10]))
        listed = ", ".join(f"{number} ({self.iou[number]:.2f})" for number in best)
        count = sum(each > INTERPRETABLE for each in self.iou)
        notes = [
            f"The maps separate the concept with an area under the ROC curve of {self.auc:.3f} on held-out samples; "
            f"{self.positive} of {len(self.order)} have a positive weight. First: {first}.",
            f"Single maps that agree best with it (intersection over union): {listed}; {count} are above "
            f"{INTERPRETABLE}.",
        ]
        if self.inserted is not None:
            before, after = self.inserted
            notes.append(f"Inserted maps: {_percent(before)} of the rectangle before, {_percent(after)} after.")
        return [*notes, NOTE]

    def __str__(self) -> str:
        lines = [f"Layer {self.layer}.", *aligned(self.table), *self.notes, f"Protocol: {self.protocol}"]
        return "\n".join([*lines, f"Written to {self.folder}."])


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f} %"


def forget(cfg: DictConfig) -> Forgotten:
    """Find and drop the maps that draw a concept by a composed `forget` config; write table and figure.

    Raises:
        UserError: A value or the run cannot be used, or no sample has the concept.
    """
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device, cfg.allow_targets)
    kind = next(name for name in ("rule", "rectangle", "masks", "boxes") if cfg.concept[name] is not None)
    folder = finding_folder(path, f"forget_{cfg.concept.rule if kind == 'rule' else kind}", cfg.out)
    layer = layer_of_maps(loaded, cfg.layer)
    maps, samples = _maps_and_samples(loaded, layer.number, cfg)
    with value_errors_as_config_errors():
        masks = _masks(samples, 0, cfg)
        found = separate(maps, masks, cfg.held_out, seed=cfg.seed)
        agreed = agreement(maps, masks)
    positive = int((found.weight > 0).sum())
    if kind in ("masks", "boxes"):
        start, count = cfg.samples - cfg.held_out, cfg.held_out
    else:
        start, count = cfg.samples, cfg.test_samples
    before = _generated(loaded, start, count, cfg)
    masks_of_test = masks[start:] if kind in ("masks", "boxes") else _masks(before, start, cfg)

    def without(dropped: Tensor) -> Tensor:
        return _generated(loaded, start, count, cfg, layer.number, without_maps(dropped))

    effects = []
    for number in progress(doses(list(cfg.drop), positive, layer.channels), "dropped maps"):
        after = without(found.order[:number])
        random = [without(each) for each in random_maps(number, layer.channels, cfg.random_sets, cfg.seed)]
        effects.append(_effect(number, before, after, random, masks_of_test, cfg))
    inserted = _insertion(loaded, layer, maps, masks, found.order[: cfg.show], before, start, count, cfg)
    protocol = (
        f"{cfg.samples} samples of seed {cfg.seed}, {cfg.held_out} of them held out; effect on {count:,} "
        f"{'of these' if kind in ('masks', 'boxes') else 'others'}; {cfg.random_sets} choices of random maps; "
        f"{cfg.weights} weights after {loaded.images_seen:,} images."
    )
    fraction = _fraction(before, cfg)
    done = Forgotten(
        layer, found.order.tolist(), positive, found.auc, agreed.iou.tolist(), fraction, effects, inserted, protocol,
        folder,
    )  # fmt: skip
    others = random_maps(cfg.show, layer.channels, 1, cfg.seed)[0]
    rows = [before, without(found.order[: cfg.show]), without(others)]
    grid = image_grid(torch.cat([row[: cfg.count] for row in rows]), min(cfg.count, count), size=1200)
    caption = f"samples, the same without the {cfg.show} most typical maps of layer {layer}, and without as many others"
    figure = with_row_names(grid, ["samples", "without", "random"])
    title = f"Forgetting a concept: {cfg.concept.rule or kind}"
    finding = Finding(title, done.table, protocol, done.notes, command=typed("forget", cfg))
    save_finding(path, folder, finding, {"forgotten.png": (figure, caption)})
    return done


def _parts(
    loaded: PretrainedGenerator, start: int, count: int, cfg: DictConfig
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Latents and conditions of the samples from `start` on, in batches."""
    latents, condition = loaded.draw(start + count, cfg.seed)
    for k in range(start, start + count, cfg.batch_size):
        stop = min(k + cfg.batch_size, start + count)
        yield latents[k:stop], None if condition is None else condition[k:stop]


def _maps_and_samples(loaded: PretrainedGenerator, number: int, cfg: DictConfig) -> tuple[Tensor, Tensor]:
    """Maps of the layer and samples, on the CPU."""
    maps, samples = [], []

    def keep(each: int, output: Tensor) -> None:
        if each == number:
            maps.append(output.float().cpu())

    for latents, condition in _parts(loaded, 0, cfg.samples, cfg):
        with AtActivations(keep):
            samples.append(loaded.generate(latents, condition).cpu())
    return torch.cat(maps), torch.cat(samples)


def _generated(
    loaded: PretrainedGenerator, start: int, count: int, cfg: DictConfig, number: int = 0, change: Change | None = None
) -> Tensor:
    """Samples from `start` on, with a change of an activation."""

    def visit(each: int, output: Tensor) -> Tensor | None:
        return change(output) if change is not None and each == number else None

    samples = []
    for latents, condition in _parts(loaded, start, count, cfg):
        with AtActivations(visit):
            samples.append(loaded.generate(latents, condition).cpu())
    return torch.cat(samples)


def _effect(
    dropped: int, before: Tensor, after: Tensor, random: Sequence[Tensor], masks: Tensor, cfg: DictConfig
) -> Effect:
    fractions = [_fraction(each, cfg) for each in random]
    known = [each for each in fractions if each is not None]
    changes = [_changes(before, each, masks) for each in random]
    inside, outside = _changes(before, after, masks)
    return Effect(
        dropped, _fraction(after, cfg), sum(known) / len(known) if known else None,
        inside, sum(each[0] for each in changes) / len(changes),
        outside, sum(each[1] for each in changes) / len(changes),
    )  # fmt: skip


def _changes(before: Tensor, after: Tensor, masks: Tensor) -> tuple[float, float]:
    """Mean absolute change of pixels inside and outside of masks."""
    change = (after - before).abs().mean(1)  # (n, H, W)
    return change[masks].mean().nan_to_num().item(), change[~masks].mean().nan_to_num().item()


def _fraction(samples: Tensor, cfg: DictConfig) -> float | None:
    """Fraction of pixels that the rule finds; None without a rule."""
    if cfg.concept.rule is None:
        return None
    return mask_by_rule(samples, cfg.concept.rule, cfg.concept.threshold).double().mean().item()


def _insertion(
    loaded: PretrainedGenerator, layer: ActivationShape, maps: Tensor, masks: Tensor, chosen: Tensor, before: Tensor,
    start: int, count: int, cfg: DictConfig,
) -> tuple[float, float] | None:  # fmt: skip
    """Fraction of a rectangle that the rule finds before, and with maps set there to their mean inside the concept."""
    if cfg.insert is None or cfg.concept.rule is None:
        return None
    inside = coverage(masks, layer.height, layer.width) > COVERAGE
    mean = maps.transpose(0, 1)[:, inside].mean(1)  # (maps,)
    place = rectangle_mask(tuple(cfg.insert), 1, layer.height, layer.width)[0]

    def change(output: Tensor) -> Tensor:
        rows, columns = place.nonzero(as_tuple=True)
        changed = output.clone()
        changed[:, chosen[:, None], rows, columns] = mean[chosen].to(output)[:, None]
        return changed

    after = _generated(loaded, start, count, cfg, layer.number, change)
    pixels = rectangle_mask(tuple(cfg.insert), 1, *before.shape[2:])[0]
    found = [mask_by_rule(each, cfg.concept.rule, cfg.concept.threshold)[:, pixels] for each in (before, after)]
    return found[0].double().mean().item(), found[1].double().mean().item()


def _masks(samples: Tensor, start: int, cfg: DictConfig) -> Tensor:
    """Masks bool (n, H, W) of samples, which have the numbers from `start` on.

    Raises:
        UserError: The rule, rectangle or files cannot be used.
    """
    count, height, width = len(samples), *samples.shape[2:]
    concept = cfg.concept
    if concept.rule is not None:
        return mask_by_rule(samples, concept.rule, concept.threshold)
    if concept.rectangle is not None:
        return rectangle_mask(tuple(concept.rectangle), count, height, width)
    if concept.masks is not None:
        folder = Path(concept.masks)
        if not folder.is_dir():
            raise DataError(
                f"concept.masks={folder} is not a directory; give a folder of files <number of sample>.png."
            )
        return torch.stack([_mask_of_file(folder / f"{number}.png", height, width) for number in range(count)])
    return _masks_of_boxes(Path(concept.boxes), count, height, width)


def _mask_of_file(file: Path, height: int, width: int) -> Tensor:
    """Mask in a PNG; none of the sample if there is no file."""
    if not file.exists():
        return torch.zeros(height, width, dtype=torch.bool)
    try:
        with Image.open(file) as image:
            mask = torch.from_numpy(np.array(image.convert("L"))) > 127
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"{file} cannot be read as an image.") from error
    if mask.shape != (height, width):
        raise DataError(f"{file} has {mask.shape[1]}x{mask.shape[0]} pixels, but the samples have {width}x{height}.")
    return mask


def _masks_of_boxes(file: Path, count: int, height: int, width: int) -> Tensor:
    """Masks of the boxes in a CSV file."""
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                sample, left, top, right, bottom = (
                    int(row[name]) for name in ("sample", "left", "top", "right", "bottom")
                )
                if 0 <= sample < count and min(left, top) >= 0:
                    masks[sample, top:bottom, left:right] = True
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file} must be a CSV file with whole numbers: sample, left, top, right, bottom.") from error
    return masks
