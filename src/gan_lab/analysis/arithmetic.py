"""Arithmetic on latents: A - B + C of means of exemplars (Radford et al., 2016, section 6.3.2)."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from gan_lab.data.sampler import shuffle
from gan_lab.noise import mix

TAIL = 0.25
"""Fraction of the samples of a class that have the most, and the least, of an attribute."""

_A, _B, _C, _PAIR = range(4)
"""Purposes of random choices, so that each has its own."""


def combine(a: Tensor, b: Tensor, c: Tensor, mean: Tensor, rescale: bool = True) -> Tensor:
    """mean(A) - mean(B) + mean(C), float32 (..., dim).

    For independent exemplars with variance v its variance is v (1 / n_A + 1 / n_B + 1 / n_C): that of the prior for
    three of each, larger for fewer and smaller for more.

    Args:
        a: Exemplars float (..., n_A, dim).
        b: Exemplars float (..., n_B, dim).
        c: Exemplars float (..., n_C, dim).
        mean: Mean of the prior, or of the styles, float (dim,).
        rescale: Scale the difference from the mean so that the variance is that of the prior for any numbers.
    """
    result = a.mean(-2) - b.mean(-2) + c.mean(-2)
    if not rescale:
        return result
    factor = 1 / sqrt(sum(1 / each.shape[-2] for each in (a, b, c)))
    return mean + factor * (result - mean)


def neighbors(center: Tensor, deviation: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """The center amid eight points near it, float32 (9, ..., dim), the center as the fifth.

    Args:
        center: float (..., dim).
        deviation: Standard deviation of each coordinate, float (dim,).
        noise: Standard deviation of the noise, in these units.
        generator: On the CPU.
    """
    dim = center.shape[-1]
    offsets = noise * deviation * torch.randn(9, dim, generator=generator)
    points = center + offsets.view(9, *[1] * (center.dim() - 1), dim)
    points[4] = center
    return points


@dataclass(frozen=True)
class Pools:
    """Samples of some classes, from which exemplars are chosen.

    Attributes:
        most: Numbers of the samples of each class with the most of an attribute, by class, those of which the
            classifier is surest first.
        least: Likewise with the least.
        medians: Median of the attribute among the samples of each class.
    """

    most: dict[int, Tensor]
    least: dict[int, Tensor]
    medians: dict[int, float]

    def exemplars(self, first: int, second: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The surest samples of the first class with and without the attribute, and of the second without it."""
        return self.most[first][:count], self.least[first][:count], self.least[second][:count]


def pools(logits: Tensor, attribute: Tensor) -> Pools:
    """The quarters of the samples of each class with the most and the least of an attribute.

    Args:
        logits: Of a classifier, float (n, K); the class of a sample is the most probable one.
        attribute: Amount of the attribute in each sample, float (n,).
    """
    highest, labels = logits.max(1)
    sureness = highest - logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)  # log odds: no ties at 1
    most, least, medians = {}, {}, {}
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().squeeze(1)
        members = members[attribute[members].argsort(stable=True)]
        count = max(1, round(TAIL * len(members)))
        most[label], least[label] = (
            part[sureness[part].argsort(descending=True, stable=True)] for part in (members[-count:], members[:count])
        )
        medians[label] = attribute[members].median().item()
    return Pools(most, least, medians)


@dataclass(frozen=True)
class Trials:
    """Random choices of two classes and of exemplars.

    Attributes:
        pairs: The two classes, int64 (trials, 2).
        a: Exemplars of the first class with the attribute, numbers int64 (trials, n).
        b: Of the first class without it.
        c: Of the second class without it.
    """

    pairs: Tensor
    a: Tensor
    b: Tensor
    c: Tensor


def choose_pairs(classes: list[int], trials: int, seed: int) -> Tensor:
    """Random pairs of different classes, int64 (trials, 2)."""
    known = torch.tensor(classes)
    return torch.stack([known[shuffle(len(classes), mix(seed, _PAIR, number))[:2]] for number in range(trials)])


def choose_exemplars(found: Pools, pairs: Tensor, count: int, seed: int) -> Trials:
    """Random exemplars for each pair of classes.

    Args:
        found: Whose pools have at least `count` samples of these classes.
        pairs: int64 (trials, 2).
        count: Exemplars of each kind, n.
        seed: Key of the choices.
    """

    def chosen(pool: dict[int, Tensor], labels: Tensor, purpose: int) -> Tensor:
        rows = [
            pool[label][shuffle(len(pool[label]), mix(seed, purpose, count, number))[:count]]
            for number, label in enumerate(labels.tolist())
        ]
        return torch.stack(rows)

    first, second = pairs.T
    return Trials(pairs, chosen(found.most, first, _A), chosen(found.least, first, _B), chosen(found.least, second, _C))


def success(logits: Tensor, attribute: Tensor, trials: Trials, found: Pools) -> tuple[float, float]:
    """Fraction of results that are of the second class with more of the attribute than its median, and of that class.

    Args:
        logits: Of the classifier for the results, float (trials, K).
        attribute: Of the results, float (trials,).
        trials: How they were made.
        found: With the medians.
    """
    wanted = trials.pairs[:, 1]
    right = logits.argmax(1) == wanted
    medians = torch.tensor([found.medians[label] for label in wanted.tolist()])
    return (right & (attribute > medians)).double().mean().item(), right.double().mean().item()
