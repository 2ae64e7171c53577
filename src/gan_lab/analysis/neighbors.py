"""Memorization: distances of samples to training images, compared with those between training images."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab.progress import progress

COPY = 1 / 3
"""A sample counts as a copy below this fraction of the distance from its training image to the nearest other one."""


class Nearest(NamedTuple):
    """Nearest points of queries, in ascending distance.

    Args:
        distances: Euclidean distances, float64 (m, k); infinite if there are too few points.
        indices: Indices of the points, int64 (m, k).
    """

    distances: Tensor
    indices: Tensor


@torch.no_grad()
def nearest(
    queries: Tensor,
    points: Tensor,
    k: int = 1,
    image_ids: Tensor | None = None,
    excluded_ids: Tensor | None = None,
    query_block: int = 256,
    point_block: int = 4096,
) -> Nearest:
    """Find the k nearest points of each query, in float64 and with bounded memory.

    Candidates come from a matrix product, whose rounding hides distances below about 1e-6 of the norms. Their distances
    are then computed from differences, so that equal rows have distance 0 exactly.

    Args:
        queries: (m, d), any float dtype.
        points: (n, d), n at least k.
        k: Number of nearest points, at least 1.
        image_ids: Number of the image of each point, int64 (n,); points with the same number are views of one image.
        excluded_ids: Numbers of the images to exclude for each query, int64 (m, b).
        query_block: Number of queries per comparison, at least 1; it limits the memory and does not change the result.
        point_block: Number of points per comparison, at least 1; likewise.

    Raises:
        ValueError: There are fewer than k points.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"nearest={k} is not allowed: it must be from 1 to {len(points)}, the number of points.")
    parts = []
    for first in progress(range(0, len(queries), query_block), "nearest neighbors"):
        rows = queries[first : first + query_block].double()
        excluded = None if excluded_ids is None else excluded_ids[first : first + query_block]
        parts.append(_nearest(rows, points, k, image_ids, excluded, point_block))
    if not parts:
        return Nearest(queries.new_zeros(0, k).double(), queries.new_zeros(0, k).long())
    return Nearest(torch.cat([part.distances for part in parts]), torch.cat([part.indices for part in parts]))


def _nearest(
    rows: Tensor, points: Tensor, k: int, image_ids: Tensor | None, excluded_ids: Tensor | None, point_block: int
) -> Nearest:
    """`nearest` for one block of queries, float64 (r, d)."""
    distances = rows.new_full((len(rows), 0), torch.inf)
    indices = torch.empty(len(rows), 0, dtype=torch.long, device=rows.device)
    for first in range(0, len(points), point_block):
        block = torch.cdist(rows, points[first : first + point_block].double())  # (r, c)
        if image_ids is not None and excluded_ids is not None:
            for column in excluded_ids.T:
                block[column[:, None] == image_ids[first : first + point_block]] = torch.inf
        places = torch.arange(first, first + block.shape[1], device=rows.device).expand_as(block)
        distances, indices = torch.cat([distances, block], 1), torch.cat([indices, places], 1)
        distances, order = distances.topk(min(k, distances.shape[1]), largest=False)
        indices = indices.gather(1, order)
    exact = (rows[:, None] - points[indices].double()).norm(dim=2)
    distances, order = torch.where(distances.isinf(), distances, exact).sort(dim=1, stable=True)
    return Nearest(distances, indices.gather(1, order))


class Numbering:
    """Numbers images over several calls, with the same number for images with equal pixels.

    Args:
        mirrored: Whether an image and its mirror image get the same number.
    """

    def __init__(self, mirrored: bool = False) -> None:
        self.mirrored = mirrored
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Number of different images so far."""
        return len(self._numbers)

    def __call__(self, images: Tensor) -> Tensor:
        """Numbers of images (n, C, H, W) on any device, starting at 0; int64 (n,)."""
        digests = _digests(images)
        if self.mirrored:
            digests = list(map(min, digests, _digests(images.flip(-1))))
        return torch.tensor([self._numbers.setdefault(digest, len(self._numbers)) for digest in digests])


def _digests(images: Tensor) -> list[bytes]:
    return [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.cpu().contiguous()]


@dataclass(frozen=True)
class Memorization:
    """Distances of samples to the training set, with those of left-out training images as a baseline.

    Attributes:
        distances: Distance of each sample to its nearest training image, float64 (m,).
        distance: Mean of `distances`.
        baseline_distance: Mean distance of left-out training images to the nearest other one.
        ratio: distance / baseline_distance.
        closer: Fraction of samples whose nearest training image is nearer to them than to any other training image.
        baseline_closer: The same for training images, each left out of the set in turn.
        copies: As `closer`, for samples at less than a third of that distance.
        baseline_copies: The same for left-out training images.
        training_images: Number of different training images.
        baseline_images: Number of left-out training images for the baseline.
    """

    distances: Tensor
    distance: float
    baseline_distance: float
    ratio: float
    closer: float
    baseline_closer: float
    copies: float
    baseline_copies: float
    training_images: int
    baseline_images: int


def memorization(
    samples: Tensor, training: Tensor, image_ids: Tensor | None = None, count: int | None = None, seed: int = 0
) -> Memorization:
    """Distinguish copies of training images from independent samples of the same distribution.

    Tests of data copying compare distances of samples and of held-out real images to the training set (Meehan et al.,
    2020). Without held-out images, training images are left out one at a time: a left-out image t is to the others what
    an independent sample would be. Let d(s) be the distance of a sample to the nearest training image t, and r(t) that
    of t to its nearest other one:

    | | | copies of training images | independent samples |
    |---|---|---|---|
    | `ratio` | mean d(s) / mean d(t) of left-out images | towards 0 | 1 |
    | `closer` | fraction of samples with d(s) < r(t) | towards 1 | that of left-out images |
    | `copies` | fraction of samples with d(s) < r(t) / 3 | towards 1 | that of left-out images, about 0 |

    A left-out image has d(t) < r(t) exactly if it and its nearest image are nearest to each other. The fraction of such
    images is 0.62 for a smooth distribution in two dimensions, 1/2 in many dimensions, and less if some images are
    nearest to many. So a fraction means nothing without its baseline. Rare copies show in `copies` first. A ratio above
    1 means that samples are off the data distribution, not that they are new; one slightly below 1, with fractions at
    their baselines, means that the generator prefers common images. All this holds for the chosen features and samples.

    An image that is in the set several times counts once. Near-duplicates in the set make r(t) small and hide copies.

    Args:
        samples: Features of generated images, (m, d), m at least 1.
        training: Features of training images, (n, d), including views such as mirror images.
        image_ids: Number of the image of each row of `training`, int64 (n,); None if all are different.
        count: Largest number of left-out images; None for all.
        seed: Seed of their choice.

    Raises:
        ValueError: There is no sample, there are fewer than 3 different training images, or all have equal features.
    """
    device = training.device
    image_ids = torch.arange(len(training), device=device) if image_ids is None else image_ids.to(device)
    images = _first_views(image_ids)
    if len(images) < 3 or len(samples) < 1:
        raise ValueError(
            "Memorization requires at least 1 sample and at least 3 different training images, not "
            f"{len(samples)} and {len(images)}."
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    left_out = images[order.to(device)]
    near, apart = _distances(samples, training, image_ids)
    near_out, apart_out = _distances(training[left_out], training, image_ids, image_ids[left_out][:, None])
    if not near_out.mean() > 0:
        raise ValueError(
            "Memorization cannot be measured with these features: each training image has the same features as another."
        )
    return Memorization(
        distances=near,
        distance=float(near.mean()),
        baseline_distance=float(near_out.mean()),
        ratio=float(near.mean() / near_out.mean()),
        closer=_fraction(near < apart),
        baseline_closer=_fraction(near_out < apart_out),
        copies=_fraction(near < COPY * apart),
        baseline_copies=_fraction(near_out < COPY * apart_out),
        training_images=len(images),
        baseline_images=len(left_out),
    )


def _first_views(image_ids: Tensor) -> Tensor:
    """First row of every image, int64 (number of images,)."""
    _, number = image_ids.unique(return_inverse=True)
    rows = torch.arange(len(image_ids), device=image_ids.device)
    return rows.new_full((int(number.max()) + 1,), len(image_ids)).scatter_reduce(0, number, rows, "amin")


def _distances(
    queries: Tensor, training: Tensor, image_ids: Tensor, excluded_ids: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distances (m,) to the nearest training image, and from it to the nearest other one, except excluded images."""
    found = nearest(queries, training, 1, image_ids, excluded_ids)
    row = found.indices[:, 0]
    itself = image_ids[row][:, None]
    others = itself if excluded_ids is None else torch.cat([itself, excluded_ids], 1)
    return found.distances[:, 0], nearest(training[row], training, 1, image_ids, others).distances[:, 0]


def _fraction(condition: Tensor) -> float:
    return float(condition.double().mean())
