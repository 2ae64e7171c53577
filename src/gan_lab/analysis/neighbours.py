"""Whether a generator copies: how near its samples are to training images, beside how near these are to each other."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

COPY = 1 / 3
"""A sample counts as a copy below this part of the distance from its training image to the nearest other one."""

_ROWS, _COLUMNS = 256, 4096  # queries and points compared at once; their distances and features are all that is held


class Nearest(NamedTuple):
    """The nearest points of queries, the nearest first.

    Args:
        distances: Euclidean, float64 (m, k); infinite where there are too few points.
        indices: Of the points, int64 (m, k).
    """

    distances: Tensor
    indices: Tensor


@torch.no_grad()
def nearest(
    queries: Tensor, points: Tensor, k: int = 1, owners: Tensor | None = None, barred: Tensor | None = None
) -> Nearest:
    """The k nearest points of each query, in float64 and with little memory beside the arguments.

    Candidates come from a matrix product, whose rounding hides distances below about 1e-6 of the norms; their distances are
    then taken from differences, so that equal rows have exactly 0.

    Args:
        queries: (m, d), any float dtype.
        points: (n, d), n at least k.
        k: How many, at least 1.
        owners: A number for each point, int64 (n,): points of one owner are views of one thing.
        barred: Owners whose points do not count, for each query, int64 (m, b).

    Raises:
        ValueError: There are fewer than k points.
    """
    if not 1 <= k <= len(points):
        raise ValueError(f"nearest={k} is not allowed: it must be from 1 to the {len(points)} points there are.")
    parts = []
    for first in range(0, len(queries), _ROWS):
        rows = queries[first : first + _ROWS].double()
        unwanted = None if barred is None else barred[first : first + _ROWS]
        parts.append(_nearest(rows, points, k, owners, unwanted))
    if not parts:
        return Nearest(queries.new_zeros(0, k).double(), queries.new_zeros(0, k).long())
    return Nearest(torch.cat([part.distances for part in parts]), torch.cat([part.indices for part in parts]))


def _nearest(rows: Tensor, points: Tensor, k: int, owners: Tensor | None, barred: Tensor | None) -> Nearest:
    """`nearest` for rows (r, d), float64, that are compared with a block of points at a time."""
    distances = rows.new_full((len(rows), 0), torch.inf)
    indices = torch.empty(len(rows), 0, dtype=torch.long, device=rows.device)
    for first in range(0, len(points), _COLUMNS):
        block = torch.cdist(rows, points[first : first + _COLUMNS].double())  # (r, c)
        if owners is not None and barred is not None:
            for column in barred.T:
                block[column[:, None] == owners[first : first + _COLUMNS]] = torch.inf
        places = torch.arange(first, first + block.shape[1], device=rows.device).expand_as(block)
        distances, indices = torch.cat([distances, block], 1), torch.cat([indices, places], 1)
        distances, order = distances.topk(min(k, distances.shape[1]), largest=False)
        indices = indices.gather(1, order)
    exact = (rows[:, None] - points[indices].double()).norm(dim=2)
    distances, order = torch.where(distances.isinf(), distances, exact).sort(dim=1, stable=True)
    return Nearest(distances, indices.gather(1, order))


class Numbering:
    """Gives every image a number, the same to images that are equal in all pixels, however many parts they come in.

    Args:
        mirrored: Whether an image and its mirror image are the same.
    """

    def __init__(self, mirrored: bool = False) -> None:
        self.mirrored = mirrored
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Different images so far."""
        return len(self._numbers)

    def __call__(self, images: Tensor) -> Tensor:
        """Numbers from 0, int64 (n,), of images (n, C, H, W) on any device."""
        digests = _digests(images)
        if self.mirrored:
            digests = list(map(min, digests, _digests(images.flip(-1))))
        return torch.tensor([self._numbers.setdefault(digest, len(self._numbers)) for digest in digests])


def _digests(images: Tensor) -> list[bytes]:
    return [hashlib.sha256(image.numpy().tobytes()).digest() for image in images.cpu().contiguous()]


@dataclass(frozen=True)
class Memorisation:
    """How near samples are to the training set, and the same of training images that the rest of the set has not seen.

    Attributes:
        distances: Of each sample to its nearest training image, float64 (m,).
        distance: Their mean.
        baseline_distance: The mean distance of training images to the nearest other one.
        ratio: distance / baseline_distance.
        share: Share of samples that are nearer to their training image than it is to its nearest other one.
        baseline_share: That of training images, each taken out of the set in its turn.
        copies: As `share`, for samples at less than a third of that distance.
        baseline_copies: That of training images.
        training_images: Different training images.
        baseline_images: Those that the baseline was taken of.
    """

    distances: Tensor
    distance: float
    baseline_distance: float
    ratio: float
    share: float
    baseline_share: float
    copies: float
    baseline_copies: float
    training_images: int
    baseline_images: int


def memorisation(
    samples: Tensor, training: Tensor, owners: Tensor | None = None, count: int | None = None, seed: int = 0
) -> Memorisation:
    """Tell a generator that copies its training set from one that draws from the same law.

    A test of data copying compares how near samples and fresh real images are to the training set (Meehan et al., 2020).
    Where no real images were held out, the training images take their place one by one: image t, taken out of the set, is
    to the others what a fresh draw would be. With d(s) the distance of a sample to the nearest training image t, and r(t)
    that of t to its nearest other one:

    | | | copies of training images | fresh draws of the law |
    |---|---|---|---|
    | `ratio` | mean d(s) / mean d(t) of images taken out | towards 0 | 1 |
    | `share` | share of samples with d(s) < r(t) | towards 1 | that of images taken out |
    | `copies` | share of samples with d(s) < r(t) / 3 | towards 1 | that of images taken out, about 0 |

    An image taken out has d(t) < r(t) exactly where it and its nearest image are nearest to each other: of a smooth law in
    two dimensions 0.62 of them, in many dimensions 1/2 and, where some images are nearest to many, less. So no share is good
    or bad without its baseline. A generator that copies only now and then shows in `copies` first. A ratio above 1 means
    that samples lie off the data, not that they are new; one a little below 1 with shares at their baselines means that the
    generator prefers common images. All of it is said in the space of the features, and of these samples.

    An image that is in the set several times counts once. Near copies within the set make r(t) small and hide copying.

    Args:
        samples: Features of generated images, (m, d), m at least 1.
        training: Features of training images, (n, d), views such as mirror images included.
        owners: Number of the image that each row of `training` is a view of, int64 (n,); None if each is its own.
        count: How many images the baseline is taken of at most; None for all.
        seed: Picks these.

    Raises:
        ValueError: There is no sample, there are fewer than 3 different training images, or all their features are equal.
    """
    device = training.device
    owners = torch.arange(len(training), device=device) if owners is None else owners.to(device)
    images = _first_views(owners)
    if len(images) < 3 or len(samples) < 1:
        raise ValueError(
            f"Copies are looked for with at least 1 sample among at least 3 different training images, not {len(samples)} among "
            f"{len(images)}."
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    taken_out = images[order.to(device)]
    near, apart = _beside(samples, training, owners)
    near_out, apart_out = _beside(training[taken_out], training, owners, owners[taken_out][:, None])
    if not near_out.mean() > 0:
        raise ValueError(
            "Copies cannot be told in this space: all training images have the same features as another one."
        )
    return Memorisation(
        distances=near,
        distance=float(near.mean()),
        baseline_distance=float(near_out.mean()),
        ratio=float(near.mean() / near_out.mean()),
        share=_share(near < apart),
        baseline_share=_share(near_out < apart_out),
        copies=_share(near < COPY * apart),
        baseline_copies=_share(near_out < COPY * apart_out),
        training_images=len(images),
        baseline_images=len(taken_out),
    )


def _first_views(owners: Tensor) -> Tensor:
    """The first row of every owner, int64 (number of owners,)."""
    _, number = owners.unique(return_inverse=True)
    rows = torch.arange(len(owners), device=owners.device)
    return rows.new_full((int(number.max()) + 1,), len(owners)).scatter_reduce(0, number, rows, "amin")


def _beside(queries: Tensor, training: Tensor, owners: Tensor, barred: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distances (m,) to the nearest training image, and from it to its nearest other one; barred owners count in neither."""
    found = nearest(queries, training, 1, owners, barred)
    there = found.indices[:, 0]
    itself = owners[there][:, None]
    others = itself if barred is None else torch.cat([itself, barred], 1)
    return found.distances[:, 0], nearest(training[there], training, 1, owners, others).distances[:, 0]


def _share(holds: Tensor) -> float:
    return float(holds.double().mean())
