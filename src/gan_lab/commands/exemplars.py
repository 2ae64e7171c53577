"""Exemplars of arithmetic that a classifier and a rule on pixels choose, and scores of their sums."""

from dataclasses import dataclass
from functools import partial

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.analysis.arithmetic import Pools, Trials, choose_exemplars, choose_pairs, combine, pools, success
from gan_lab.analysis.concepts import fraction_by_rule
from gan_lab.commands.classifiers import SampleClassifier
from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, sheet
from gan_lab.progress import progress
from gan_lab.sampling.spaces import Space

BATCH = 256
"""Samples at a time."""

_SHOWN = 8  # trials in the figure
_SIZE = 96  # pixels of an image in the figure


@dataclass(frozen=True)
class Score:
    """Fractions of trials.

    Attributes:
        both: The result is of the second class, and has more of the attribute than the median of its samples.
        class_alone: It is of the second class.
    """

    both: float
    class_alone: float


@dataclass(frozen=True)
class SumScores:
    """How often sums of exemplars are what they should be.

    Attributes:
        exemplars: Their number in each of A, B and C.
        latents: Of the sample of A - B + C.
        pixels: Of the same sum of pixels.
        third: Of the sample of the mean of C, to which nothing is added.
        length: Mean distance of A - B + C from the mean of the points, divided by that of a point.
    """

    exemplars: int
    latents: Score
    pixels: Score
    third: Score
    length: float


@dataclass(frozen=True)
class ClassifiedSamples:
    """Samples with their classes and the amount of an attribute.

    Attributes:
        space: Space of the points.
        points: (n, dim).
        condition: With n rows, or None.
        classifier: The classifier.
        pools: Whence exemplars are chosen.
        cfg: An `arithmetic` config.
    """

    space: Space
    points: Tensor
    condition: Tensor | None
    classifier: SampleClassifier
    pools: Pools
    cfg: DictConfig

    def pairs(self) -> Tensor:
        """The classes of each trial, int64 (trials, 2): those of the config, or random ones.

        Raises:
            ConfigError: Too few classes have enough exemplars.
        """
        most = max(self.cfg.exemplars)
        enough = [label for label, pool in self.pools.most.items() if len(pool) >= most]
        advice = f"give samples more than {self.cfg.samples:,}, or smaller numbers in exemplars"
        if self.cfg.classes is None:
            if len(enough) < 2:
                raise ConfigError(
                    f"exemplars={list(self.cfg.exemplars)} needs two classes with {most} samples with the most and the "
                    f"least of the attribute, and {len(enough)} of the classes have them: {advice}."
                )
            return choose_pairs(enough, self.cfg.trials, self.cfg.seed)
        wanted = [self.classifier.label("classes", each) for each in self.cfg.classes]
        for label in wanted:
            if label not in enough:
                raise ConfigError(
                    f"classes={list(self.cfg.classes)}: {len(self.pools.most.get(label, ()))} samples of class "
                    f"{self.classifier.name(label)} are exemplars with the most of the attribute, and exemplars="
                    f"{list(self.cfg.exemplars)} needs {most}: {advice}."
                )
        return torch.tensor([wanted]).expand(self.cfg.trials, 2)

    def trials(self, pairs: Tensor, count: int) -> Trials:
        """Random exemplars for each pair."""
        return choose_exemplars(self.pools, pairs, count, self.cfg.seed)

    def sums(self, trials: Trials) -> Tensor:
        """Points A - B + C (trials, dim)."""
        a, b, c = (self.points[numbers] for numbers in (trials.a, trials.b, trials.c))
        return combine(a, b, c, self.points.mean(0), self.cfg.rescale)

    def samples(self, points: Tensor, numbers: Tensor) -> Tensor:
        """Samples on the CPU of points (n, dim) with the condition of samples with these numbers (n,)."""
        condition = None if self.condition is None else self.condition[numbers]
        return torch.cat([samples for samples, _ in self.space.chunks(points, condition, BATCH)])

    def pixel_sums(self, trials: Trials) -> Tensor:
        """The same sums of the exemplars' pixels, in [-1, 1]."""
        found = []
        for rows in torch.arange(len(trials.a)).split(max(1, BATCH // trials.a.shape[1])):
            a, b, c = (self._means(numbers[rows]) for numbers in (trials.a, trials.b, trials.c))
            found.append((a - b + c).clamp(-1, 1))
        return torch.cat(found)

    def _means(self, numbers: Tensor) -> Tensor:
        """Mean images (trials, C, H, W) of samples with these numbers (trials, n)."""
        flat = numbers.flatten()
        return self.samples(self.points[flat], flat).unflatten(0, numbers.shape).mean(1)

    def score(self, pairs: Tensor, count: int) -> SumScores:
        """Scores of sums of `count` exemplars."""
        trials = self.trials(pairs, count)
        sums, third = self.sums(trials), trials.c[:, 0]
        images = (
            self.samples(sums, third),
            self.pixel_sums(trials),
            self.samples(self.points[trials.c].mean(1), third),
        )
        amount = partial(fraction_by_rule, rule=self.cfg.rule, threshold=self.cfg.threshold)
        latents, pixels, alone = (
            Score(*success(self.classifier.logits(each), amount(each), trials, self.pools)) for each in images
        )
        mean = self.points.mean(0)
        length = (sums - mean).norm(dim=1).mean() / (self.points - mean).norm(dim=1).mean()
        return SumScores(count, latents, pixels, alone, length.item())

    def figure(self, pairs: Tensor) -> Image.Image:
        """Some trials: A - B + C of latents and of pixels, for each number of exemplars."""
        pairs = pairs[:_SHOWN]
        rows = []
        for count in self.cfg.exemplars:
            trials = self.trials(pairs, count)
            for name, images in (
                ("latents", self.samples(self.sums(trials), trials.c[:, 0])),
                ("pixels", self.pixel_sums(trials)),
            ):
                rows.append((f"{count}, {name}", [enlarged(each, _SIZE) for each in images]))
        names = [[self.classifier.name(label) for label in pair] for pair in pairs.tolist()]
        return sheet(rows, [f"{first} to {second}" for first, second in names], _SIZE)


def classified_samples(space: Space, classifier: SampleClassifier, cfg: DictConfig) -> ClassifiedSamples:
    """Draw the samples of an `arithmetic` config and classify them."""
    points, condition = space.draw(cfg.samples, cfg.seed, cfg.labels)
    logits, amounts = [], []
    chunks = space.chunks(points, condition, BATCH)
    for samples, _ in progress(chunks, "samples", -(-len(points) // BATCH)):
        logits.append(classifier.logits(samples))
        amounts.append(fraction_by_rule(samples, cfg.rule, cfg.threshold))
    found = pools(torch.cat(logits), torch.cat(amounts))
    return ClassifiedSamples(space, points, condition, classifier, found, cfg)
