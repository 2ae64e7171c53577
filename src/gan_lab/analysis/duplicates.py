"""Near-duplicates in a set: which images to drop, and which one is kept for each.

The rule is the same for all: images are looked at in their order, and one is dropped if it is near one that is kept. So the
first of a group stays, every dropped image has a kept one within the threshold, and no two kept ones are so near. Chains do
not drop more than that: of a, b and c in a row with equal steps of just the threshold, only b goes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab.analysis.neighbours import nearest

_ROWS, _COLUMNS = 512, 4096  # images that are compared at once, with kept ones


class Duplicates(NamedTuple):
    """What would be dropped, in the order of the set.

    Args:
        dropped: Positions in the set, int64 (p,), ascending.
        kept: Position of the nearest kept image before each, int64 (p,).
        distances: Between the two, float64 (p,).
    """

    dropped: Tensor
    kept: Tensor
    distances: Tensor


@torch.no_grad()
def near_duplicates(features: Tensor, threshold: float) -> Duplicates:
    """Images whose features are near those of an image before them that is kept.

    The time grows with the square of the number of images, the memory does not.

    Args:
        features: (n, d), any float dtype.
        threshold: Largest Euclidean distance of duplicates, above 0.

    Raises:
        ValueError: The threshold is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold={threshold} is not allowed: it must be greater than 0.")
    kept = torch.empty(0, dtype=torch.long, device=features.device)
    partner = torch.full((len(features),), -1, device=features.device)  # the kept image for each dropped one
    for first in range(0, len(features), _ROWS):
        rows = features[first : first + _ROWS].double()
        distances, indices = _nearest_kept(rows, features, kept)
        within = torch.cdist(rows, rows)
        new = []
        for row in range(len(rows)):
            if distances[row] <= threshold:
                partner[first + row] = indices[row]
                continue
            new.append(first + row)
            nearer = within[row, row + 1 :] < distances[row + 1 :]
            distances[row + 1 :][nearer] = within[row, row + 1 :][nearer]
            indices[row + 1 :][nearer] = first + row
        kept = torch.cat([kept, torch.tensor(new, dtype=torch.long, device=kept.device)])
    dropped = (partner >= 0).nonzero()[:, 0]
    exact = [
        (features[a].double() - features[b].double()).norm(dim=1)
        for a, b in zip(dropped.split(_ROWS), partner[dropped].split(_ROWS), strict=True)
    ]
    return Duplicates(dropped.cpu(), partner[dropped].cpu(), torch.cat(exact).cpu())


def _nearest_kept(rows: Tensor, features: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of rows (r, d) to the nearest kept image, infinite if there is none yet, and its position, (r,) each."""
    distances = rows.new_full((len(rows),), torch.inf)
    indices = torch.full((len(rows),), -1, device=rows.device)
    for part in kept.split(_COLUMNS) if len(kept) else ():
        there, place = torch.cdist(rows, features[part].double()).min(1)
        nearer = there < distances
        distances, indices = torch.where(nearer, there, distances), torch.where(nearer, part[place], indices)
    return distances, indices


def hash_duplicates(hashes: Tensor, bits: int = 0) -> Duplicates:
    """Images whose hash is that of an image before them that is kept, or differs in a few bits.

    For equal hashes the time is linear in the number of images, as in Radford et al. (2016); for others as in
    `near_duplicates`.

    Args:
        hashes: Booleans (n, b).
        bits: Largest number of bits in which duplicates differ, at least 0; it is their distance.

    Raises:
        ValueError: `bits` is below 0.
    """
    if bits < 0:
        raise ValueError(f"threshold={bits} is not allowed: it must be at least 0 bits.")
    if bits > 0:
        found = near_duplicates(hashes.float(), (bits + 0.5) ** 0.5)  # squared distances of bits are whole numbers
        return found._replace(distances=found.distances.square().round())
    first: dict[bytes, int] = {}
    keepers = [first.setdefault(row.tobytes(), position) for position, row in enumerate(hashes.cpu().numpy())]
    kept = torch.tensor(keepers)
    dropped = (kept != torch.arange(len(hashes))).nonzero()[:, 0]
    return Duplicates(dropped, kept[dropped], torch.zeros(len(dropped), dtype=torch.float64))


def usual_distance(features: Tensor, owners: Tensor, count: int = 1000, seed: int = 0) -> float:
    """The median distance of an image to the nearest one that is not pixel for pixel the same.

    A part of it makes a threshold in any space, as long as fewer than half of the images have near-duplicates.

    Args:
        features: (n, d), n at least 1.
        owners: A number for each image, int64 (n,), the same where images are equal.
        count: Images that the median is taken of, at most.
        seed: Picks these.

    Returns:
        A number above 0, or infinity if all images are equal.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))[:count]
    chosen, owners = order.to(features.device), owners.to(features.device)
    found = nearest(features[chosen], features, 1, owners, owners[chosen][:, None])
    return float(found.distances.median())
