"""`gan-lab forget`: feature maps that draw a concept, and samples without them (Radford et al., 2016, §6.3.1)."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from gan_lab.layers.activations import ActivationShape, output_and_activation, with_changed_activation
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


PixelRule = Callable[[Tensor], Tensor]
"""Images (n, C, H, W) to masks bool (n, H, W)."""


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
    own_masks = kind in ("masks", "boxes")  # of numbered samples: others have none
    drawn = _Drawn(loaded, *loaded.draw(cfg.samples + (0 if own_masks else cfg.test_samples), cfg.seed), cfg.batch_size)
    samples, maps = drawn.rows(0, cfg.samples).generate_with_maps(layer.number)
    rule = _rule(samples, cfg)
    with value_errors_as_config_errors():
        masks = _masks(samples, rule, cfg)
        found = separate(maps, masks, cfg.held_out, seed=cfg.seed)
        agreed = agreement(maps, masks)
    positive = int((found.weight > 0).sum())
    start = cfg.samples - cfg.held_out if own_masks else cfg.samples
    test = drawn.rows(start, len(drawn.latents))
    before = test.generate()
    masks_of_test = masks[-cfg.held_out :] if own_masks else _masks(before, rule, cfg)

    def without(dropped: Tensor) -> Tensor:
        return test.generate(layer.number, without_maps(dropped))

    effects = []
    for number in progress(doses(list(cfg.drop), positive, layer.channels), "dropped maps"):
        after = without(found.order[:number])
        random = [without(each) for each in random_maps(number, layer.channels, cfg.random_sets, cfg.seed)]
        effects.append(_effect(number, before, after, random, masks_of_test, rule))
    inserted = None
    if cfg.insert is not None and rule is not None:
        inserted = _insertion(test, layer, maps, masks, found.order[: cfg.show], before, rule, tuple(cfg.insert))
    protocol = (
        f"{cfg.samples} samples of seed {cfg.seed}, {cfg.held_out} of them held out; effect on {len(before):,} "
        f"{'of these' if own_masks else 'others'}; {cfg.random_sets} choices of random maps; "
        f"{cfg.weights} weights after {loaded.images_seen:,} images."
    )
    fraction = _fraction(before, rule)
    done = Forgotten(
        layer, found.order.tolist(), positive, found.auc, agreed.iou.tolist(), fraction, effects, inserted, protocol,
        folder,
    )  # fmt: skip
    others = random_maps(cfg.show, layer.channels, 1, cfg.seed)[0]
    rows = [before, without(found.order[: cfg.show]), without(others)]
    grid = image_grid(torch.cat([row[: cfg.count] for row in rows]), min(cfg.count, len(before)), size=1200)
    caption = f"samples, the same without the {cfg.show} most typical maps of layer {layer}, and without as many others"
    figure = with_row_names(grid, ["samples", "without", "random"])
    title = f"Forgetting a concept: {cfg.concept.rule or kind}"
    finding = Finding(title, done.table, protocol, done.notes, command=typed("forget", cfg))
    save_finding(path, folder, finding, {"forgotten.png": (figure, caption)})
    return done


@dataclass(frozen=True)
class _Drawn:
    """Inputs of the generator for several samples, generated in batches.

    Attributes:
        loaded: The generator.
        latents: (n, dim).
        condition: With n rows, or None.
        batch_size: Samples at a time.
    """

    loaded: PretrainedGenerator
    latents: Tensor
    condition: Tensor | None
    batch_size: int

    def rows(self, start: int, stop: int) -> "_Drawn":
        """Some of the samples."""
        condition = None if self.condition is None else self.condition[start:stop]
        return replace(self, latents=self.latents[start:stop], condition=condition)

    def generate(self, number: int = 0, change: Change | None = None) -> Tensor:
        """Samples on the CPU, with a change of the activation of this number."""
        generate = self.loaded.generate
        if change is not None:
            generate = with_changed_activation(generate, number, change)
        return torch.cat([generate(*inputs).cpu() for inputs in self._batches()])

    def generate_with_maps(self, number: int) -> tuple[Tensor, Tensor]:
        """Samples, and the maps of an activation, on the CPU."""
        found = [output_and_activation(self.loaded.generate, number, *inputs) for inputs in self._batches()]
        return torch.cat([samples.cpu() for samples, _ in found]), torch.cat([maps.float().cpu() for _, maps in found])

    def _batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for k in range(0, len(self.latents), self.batch_size):
            part = self.rows(k, k + self.batch_size)
            yield part.latents, part.condition


def _effect(
    dropped: int, before: Tensor, after: Tensor, random: Sequence[Tensor], masks: Tensor, rule: PixelRule | None
) -> Effect:
    known = [fraction for each in random if (fraction := _fraction(each, rule)) is not None]
    changes = [_changes(before, each, masks) for each in random]
    inside, outside = _changes(before, after, masks)
    return Effect(
        dropped, _fraction(after, rule), sum(known) / len(known) if known else None,
        inside, sum(each[0] for each in changes) / len(changes),
        outside, sum(each[1] for each in changes) / len(changes),
    )  # fmt: skip


def _changes(before: Tensor, after: Tensor, masks: Tensor) -> tuple[float, float]:
    """Mean absolute change of pixels inside and outside of masks."""
    change = (after - before).abs().mean(1)  # (n, H, W)
    return change[masks].mean().nan_to_num().item(), change[~masks].mean().nan_to_num().item()


def _rule(samples: Tensor, cfg: DictConfig) -> PixelRule | None:
    """The rule of the concept, if it is one; the mean image is that of these samples for all others, too."""
    if cfg.concept.rule is None:
        return None
    mean = samples.mean(0)
    return lambda images: mask_by_rule(images, cfg.concept.rule, cfg.concept.threshold, mean)


def _fraction(samples: Tensor, rule: PixelRule | None) -> float | None:
    """Fraction of pixels that the rule finds; None without a rule."""
    return None if rule is None else rule(samples).double().mean().item()


def _insertion(
    test: _Drawn, layer: ActivationShape, maps: Tensor, masks: Tensor, chosen: Tensor, before: Tensor, rule: PixelRule,
    rectangle: tuple[float, float, float, float],
) -> tuple[float, float]:  # fmt: skip
    """Fraction of a rectangle that the rule finds before, and with maps set there to their mean inside the concept."""
    inside = coverage(masks, layer.height, layer.width) > COVERAGE
    mean = maps.transpose(0, 1)[:, inside].mean(1)  # (maps,)
    rows, columns = rectangle_mask(rectangle, 1, layer.height, layer.width)[0].nonzero(as_tuple=True)

    def change(output: Tensor) -> Tensor:
        changed = output.clone()
        changed[:, chosen[:, None], rows, columns] = mean[chosen].to(output)[:, None]
        return changed

    pixels = rectangle_mask(rectangle, 1, *before.shape[2:])[0]
    found = [rule(each)[:, pixels].double().mean().item() for each in (before, test.generate(layer.number, change))]
    return found[0], found[1]


def _masks(samples: Tensor, rule: PixelRule | None, cfg: DictConfig) -> Tensor:
    """Masks bool (n, H, W) of samples; those of files are of the first ones.

    Raises:
        UserError: The rectangle or files cannot be used.
    """
    count, height, width = len(samples), *samples.shape[2:]
    concept = cfg.concept
    if rule is not None:
        return rule(samples)
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
    """Mask in a PNG file; empty if there is no file."""
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
