"""`gan-lab forget`: feature maps that draw a concept, and samples without them (Radford et al., 2016, §6.3.1)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from gan_lab.analysis.concepts import (
    COVERAGE,
    agreement,
    coverage,
    doses,
    random_maps,
    rectangle_mask,
    separate,
)
from gan_lab.commands.classifiers import classifier_for
from gan_lab.commands.concepts import ClassOfSamples, concept_of
from gan_lab.commands.findings import finding_folder, save_finding, typed
from gan_lab.commands.inputs import device_named
from gan_lab.errors import ConfigError
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


MOST_DRAWN = 50
"""Samples that are drawn at most for each one of the class of `concept.label`."""


@dataclass(frozen=True)
class Effect:
    """What dropping maps does to samples.

    Attributes:
        dropped: Number of maps.
        fraction: Fraction of all pixels that the rule finds, or mean probability of the class, without the most typical
            maps; None without either.
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
        fraction: Fraction of all pixels that the rule finds, or mean probability of the class, before; None without
            either.
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
        """Rows of text with a header; without columns of the concept's fraction if it is not measured."""
        beside = "random maps"
        rows = [["dropped maps", "concept", beside, "change inside", beside, "change outside", beside]]
        rows.append(["0", _percent(self.fraction), _percent(self.fraction), "0", "0", "0", "0"])
        for each in self.effects:
            changes = (each.inside, each.inside_random, each.outside, each.outside_random)
            fractions = [_percent(each.fraction), _percent(each.fraction_random)]
            rows.append([str(each.dropped), *fractions, *(f"{change:.3f}" for change in changes)])
        return rows if self.fraction is not None else [[row[0], *row[3:]] for row in rows]

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
    kind = next(name for name in ("rule", "rectangle", "masks", "boxes", "label") if cfg.concept[name] is not None)
    layer = layer_of_maps(loaded, cfg.layer)
    own_masks = kind in ("masks", "boxes")  # of numbered samples: others have none
    count = cfg.samples + (0 if own_masks else cfg.test_samples)
    of_class = None
    if kind == "label":
        classifier = classifier_for(cfg, loaded, path)
        of_class = ClassOfSamples(classifier, classifier.label("concept.label", cfg.concept.label))
    name = {"rule": cfg.concept.rule, "label": of_class and f"label_{of_class.label}"}.get(kind, kind)
    folder = finding_folder(path, f"forget_{name}", typed("forget", cfg), cfg.out)
    drawn = _drawn(loaded, of_class, count, cfg)
    samples, maps = drawn.rows(0, cfg.samples).generate_with_maps(layer.number)
    concept = concept_of(samples, of_class, cfg)
    with value_errors_as_config_errors():
        masks = concept.masks(samples)
        found = separate(maps, masks, cfg.held_out, seed=cfg.seed)
        agreed = agreement(maps, masks)
    positive = int((found.weight > 0).sum())
    start = cfg.samples - cfg.held_out if own_masks else cfg.samples
    test = drawn.rows(start, len(drawn.latents))
    before = test.generate()
    masks_of_test = masks[-cfg.held_out :] if own_masks else concept.masks(before)

    def without(dropped: Tensor) -> Tensor:
        return test.generate(layer.number, without_maps(dropped))

    effects = []
    for number in progress(doses(list(cfg.drop), positive, layer.channels), "dropped maps"):
        after = without(found.order[:number])
        random = [without(each) for each in random_maps(number, layer.channels, cfg.random_sets, cfg.seed)]
        effects.append(_effect(number, before, after, random, masks_of_test, concept.score))
    inserted = None
    if cfg.insert is not None:
        chosen = found.order[: cfg.show]
        inserted = _insertion(test, layer, maps, masks, chosen, before, concept.masks, tuple(cfg.insert))
    protocol = (
        f"{cfg.samples} samples of seed {cfg.seed}, {cfg.held_out} of them held out; effect on {len(before):,} "
        f"{'of these' if own_masks else 'others'}; {cfg.random_sets} choices of random maps; "
        f"{cfg.weights} weights after {loaded.images_seen:,} images."
    )
    if of_class is not None:
        protocol = f"{protocol[:-1]}; all are of {concept.name} for the {of_class.classifier.description}."
    fraction = concept.score and concept.score(before)
    done = Forgotten(
        layer, found.order.tolist(), positive, found.auc, agreed.iou.tolist(), fraction, effects, inserted, protocol,
        folder,
    )  # fmt: skip
    others = random_maps(cfg.show, layer.channels, 1, cfg.seed)[0]
    rows = [before, without(found.order[: cfg.show]), without(others)]
    grid = image_grid(torch.cat([row[: cfg.count] for row in rows]), min(cfg.count, len(before)), size=1200)
    caption = f"samples, the same without the {cfg.show} most typical maps of layer {layer}, and without as many others"
    figure = with_row_names(grid, ["samples", "without", "random"])
    title = f"Forgetting a concept: {concept.name}"
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
        generate = self.loaded.samples_of
        if change is not None:
            generate = with_changed_activation(generate, number, change)
        return torch.cat([generate(*inputs).cpu() for inputs in self._batches()])

    def generate_with_maps(self, number: int) -> tuple[Tensor, Tensor]:
        """Samples, and the maps of an activation, on the CPU."""
        found = [output_and_activation(self.loaded.samples_of, number, *inputs) for inputs in self._batches()]
        return torch.cat([samples.cpu() for samples, _ in found]), torch.cat([maps.float().cpu() for _, maps in found])

    def _batches(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        for k in range(0, len(self.latents), self.batch_size):
            part = self.rows(k, k + self.batch_size)
            yield part.latents, part.condition


def _effect(
    dropped: int,
    before: Tensor,
    after: Tensor,
    random: Sequence[Tensor],
    masks: Tensor,
    score: Callable[[Tensor], float] | None,
) -> Effect:
    changes = [_changes(before, each, masks) for each in random]
    inside, outside = _changes(before, after, masks)
    return Effect(
        dropped, score and score(after), score and sum(map(score, random)) / len(random),
        inside, sum(each[0] for each in changes) / len(changes),
        outside, sum(each[1] for each in changes) / len(changes),
    )  # fmt: skip


def _changes(before: Tensor, after: Tensor, masks: Tensor) -> tuple[float, float]:
    """Mean absolute change of pixels inside and outside of masks."""
    change = (after - before).abs().mean(1)  # (n, H, W)
    return change[masks].mean().nan_to_num().item(), change[~masks].mean().nan_to_num().item()


def _drawn(loaded: PretrainedGenerator, of_class: ClassOfSamples | None, count: int, cfg: DictConfig) -> _Drawn:
    """The first samples, or the first that are classified as the class.

    Raises:
        ConfigError: There are too few of the class.
    """
    if of_class is None:
        return _Drawn(loaded, *loaded.draw(count, cfg.seed), cfg.batch_size)
    limit = MOST_DRAWN * count
    latents, condition = loaded.draw(limit, cfg.seed)
    chosen: list[int] = []
    for start in range(0, limit, cfg.batch_size):
        rows = slice(start, start + cfg.batch_size)
        samples = loaded.samples_of(latents[rows], None if condition is None else condition[rows])
        chosen += (start + of_class.members(samples).nonzero().squeeze(1)).tolist()
        if len(chosen) >= count:
            some = torch.tensor(chosen[:count])
            return _Drawn(loaded, latents[some], None if condition is None else condition[some], cfg.batch_size)
    raise ConfigError(
        f"concept.label={cfg.concept.label}: only {len(chosen):,} of {limit:,} samples are of this class for the "
        f"classifier, and samples and test_samples are {count:,}: give smaller ones, or another class."
    )


def _insertion(
    test: _Drawn, layer: ActivationShape, maps: Tensor, masks: Tensor, chosen: Tensor, before: Tensor,
    rule: Callable[[Tensor], Tensor], rectangle: tuple[float, float, float, float],
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
