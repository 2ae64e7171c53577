"""Linear probes: how much the features of a network know about classes (Radford et al., 2016, section 5)."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.analysis.directions import principal_directions
from gan_lab.analysis.linear_svm import fit_all
from gan_lab.data.sampler import shuffle
from gan_lab.layers.activations import activations
from gan_lab.noise import mix

MOST_IN_FLOAT32 = 500_000_000
"""Numbers of a feature matrix above which it is kept in float16."""

_SPLIT, _SEARCH, _FINAL = 0, 1, 2
"""Purposes of random choices, so that each has its own."""


@torch.no_grad()
def pooled_activations(
    network: Callable[..., Any], images: Tensor, size: int | None = 4, numbers: Collection[int] | None = None
) -> list[Tensor]:
    """Activations of a network for images as rows, each max-pooled to a small grid.

    Args:
        network: Called with the images.
        images: float32 (n, C, H, W).
        size: Larger maps are max-pooled to size x size; None for no pooling.
        numbers: Activations to keep, see `activations`; None for all.

    Returns:
        float32 (n, channels * size^2) for each activation, from the image on.
    """
    maps = activations(network, images, numbers=numbers)
    return [
        (F.adaptive_max_pool2d(each, size) if size and each.dim() == 4 and min(each.shape[2:]) > size else each)
        .flatten(1)
        .float()
        for each in maps
    ]


def principal_components(fitted: Tensor, count: int) -> Callable[[Tensor], Tensor]:
    """Projection of rows on the first principal components of others.

    Args:
        fitted: float (n, d), the rows whose components are used.
        count: Components; at most min(n, d) are there.
    """
    mean, basis = fitted.mean(0), principal_directions(fitted, count).vectors.T
    return lambda rows: (rows - mean) @ basis


@dataclass(frozen=True)
class Split:
    """Rows of a probe: positions in the features of each part.

    Attributes:
        train: Rows from which labels are drawn.
        validation: Rows for the choice of C, whose labels are known.
        test: Rows for the result.
    """

    train: Tensor
    validation: Tensor
    test: Tensor


@dataclass(frozen=True)
class ProbeResult:
    """Accuracy of a linear classifier on features.

    Attributes:
        features: Name of the features.
        dimensions: Their number.
        cost: The chosen C; None for a network that was trained on the labels.
        at_end: Whether it is the first or last of the tried values, so that the best may be beyond.
        accuracies: Test accuracy of each draw of labels, in [0, 1].
    """

    features: str
    dimensions: int
    cost: float | None
    at_end: bool
    accuracies: list[float]


def split_rows(count: int, validation: int, test: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random disjoint rows for training, validation and test; the first is what remains.

    Raises:
        ValueError: Nothing would remain.
    """
    if validation + test >= count:
        raise ValueError(
            f"validation={validation:,} and test={test:,} leave nothing of {count:,} images; give smaller numbers"
        )
    order = shuffle(count, mix(seed, _SPLIT))
    return order[validation + test :], order[:validation], order[validation : validation + test]


def draw_labeled(labels: Tensor, rows: Tensor, per_class: int | None, classes: int, *key: int) -> Tensor:
    """Random rows with the same number of each class; all rows if `per_class` is None.

    Raises:
        ValueError: A class has fewer rows.
    """
    if per_class is None:
        return rows
    chosen = []
    for label in range(classes):
        of_class = rows[labels[rows] == label]
        if len(of_class) < per_class:
            raise ValueError(
                f"labels_per_class={per_class:,} is more than the {len(of_class):,} images of class {label} apart from "
                "those for validation and test; give fewer"
            )
        chosen.append(of_class[shuffle(len(of_class), mix(*key, label))[:per_class]])
    return torch.cat(chosen)


@dataclass(frozen=True)
class Draws:
    """Rows of labeled images in each draw.

    Attributes:
        search: For the choice of C.
        final: For the result; none of them was used in the search on purpose.
    """

    search: list[Tensor]
    final: list[Tensor]


def draw_all(
    labels: Tensor, rows: Tensor, per_class: int | None, classes: int, search: int, final: int, seed: int
) -> Draws:
    """Random rows of all draws; one draw of all rows if `per_class` is None.

    Raises:
        ValueError: A class has fewer rows.
    """
    counts = {_SEARCH: search, _FINAL: final} if per_class is not None else {_SEARCH: 1, _FINAL: 1}
    drawn = {
        purpose: [draw_labeled(labels, rows, per_class, classes, seed, purpose, number) for number in range(count)]
        for purpose, count in counts.items()
    }
    return Draws(drawn[_SEARCH], drawn[_FINAL])


def probe(
    named: Mapping[str, Callable[[Tensor], Tensor]],
    labels: Tensor,
    split: Split,
    draws: Draws,
    classes: int,
    costs: Sequence[float],
    watch: Callable[[Iterable[str], str], Iterable[str]] = lambda names, _: names,
) -> list[ProbeResult]:
    """Accuracy of linear SVMs on several kinds of features, with the same labels for all.

    C is the value with the smallest mean validation error over the draws of the search; the result is that of the
    others.

    Args:
        named: Function from row numbers to features (n, d), by name.
        labels: int64, of all rows.
        split: The rows of validation and test.
        draws: The rows of training.
        classes: Number of classes.
        costs: Values of C in ascending order.
        watch: Wraps the loop over names, for a progress bar.
    """
    results = []
    for name in watch(list(named), "linear classifiers"):
        features = named[name]
        validation, test = features(split.validation), features(split.test)
        errors = torch.zeros(len(costs), dtype=torch.float64)
        for rows in draws.search:
            for number, found in enumerate(fit_all(features(rows), labels[rows], classes, costs)):
                errors[number] += found.error(validation, labels[split.validation])
        best = int(errors.argmin())
        accuracies = []
        for rows in draws.final:
            (found,) = fit_all(features(rows), labels[rows], classes, [costs[best]])
            accuracies.append(1 - found.error(test, labels[split.test]))
        at_end = len(costs) > 1 and best in (0, len(costs) - 1)
        results.append(ProbeResult(name, validation.shape[1], costs[best], at_end, accuracies))
    return results
