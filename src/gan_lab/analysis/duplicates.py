"""Near-duplicates in a data set: the images to drop, and the kept image for each.

Images are processed in their order, and one is dropped if its distance to a kept one is within the threshold. So the
first image of a group is kept, every dropped image is within the threshold of a kept one, and no two kept images are.
Chains drop no more than that: of points a, b and c in a row, spaced by exactly the threshold, only b is dropped.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gan_lab.analysis.neighbors import nearest


class Duplicates(NamedTuple):
    """Images to drop, in the order of the data set.

    Args:
        dropped: Positions in the set, int64 (p,), ascending.
        kept: Position of the nearest kept image for each, int64 (p,).
        distances: Distance between the two, float64 (p,).
    """

    dropped: Tensor
    kept: Tensor
    distances: Tensor


@torch.no_grad()
def near_duplicates(features: Tensor, threshold: float, image_block: int = 512, kept_block: int = 4096) -> Duplicates:
    """Find images whose features are within a threshold of an earlier, kept image.

    The time is quadratic in the number of images, the memory is not.

    Args:
        features: (n, d), any float dtype.
        threshold: Largest Euclidean distance of duplicates, above 0.
        image_block: Number of images per comparison, at least 1; it limits the memory and does not change the result.
        kept_block: Number of kept images per comparison, at least 1; likewise.

    Raises:
        ValueError: The threshold is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold={threshold} is not allowed: it must be greater than 0.")
    kept = torch.empty(0, dtype=torch.long, device=features.device)
    partner = torch.full((len(features),), -1, device=features.device)  # the kept image for each dropped one
    for first in range(0, len(features), image_block):
        rows = features[first : first + image_block].double()
        distances, indices = _nearest_kept(rows, features, kept, kept_block)
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
        for a, b in zip(dropped.split(image_block), partner[dropped].split(image_block), strict=True)
    ]
    return Duplicates(dropped.cpu(), partner[dropped].cpu(), torch.cat(exact).cpu())


def _nearest_kept(rows: Tensor, features: Tensor, kept: Tensor, kept_block: int) -> tuple[Tensor, Tensor]:
    """Distance of rows (r, d) to the nearest kept image, infinite if there is none, and its position; (r,) each."""
    distances = rows.new_full((len(rows),), torch.inf)
    indices = torch.full((len(rows),), -1, device=rows.device)
    for part in kept.split(kept_block) if len(kept) else ():
        there, place = torch.cdist(rows, features[part].double()).min(1)
        nearer = there < distances
        distances, indices = torch.where(nearer, there, distances), torch.where(nearer, part[place], indices)
    return distances, indices


def hash_duplicates(hashes: Tensor, bits: int = 0) -> Duplicates:
    """Find images whose hash differs from that of an earlier, kept image in at most `bits` bits.

    For equal hashes the time is linear in the number of images, as in Radford et al. (2016); for others as in
    `near_duplicates`.

    Args:
        hashes: Booleans (n, b).
        bits: Largest number of different bits of duplicates, at least 0; this number is their distance.

    Raises:
        ValueError: `bits` is below 0.
    """
    if bits < 0:
        raise ValueError(f"threshold={bits} is not allowed: it must be at least 0 bits.")
    if bits > 0:
        found = near_duplicates(hashes.float(), (bits + 0.5) ** 0.5)  # squared distances of bits are whole numbers
        return found._replace(distances=found.distances.square().round())
    first: dict[bytes, int] = {}
    positions = [first.setdefault(row.tobytes(), position) for position, row in enumerate(hashes.cpu().numpy())]
    kept = torch.tensor(positions)
    dropped = (kept != torch.arange(len(hashes))).nonzero()[:, 0]
    return Duplicates(dropped, kept[dropped], torch.zeros(len(dropped), dtype=torch.float64))


def usual_distance(features: Tensor, image_ids: Tensor, count: int = 1000, seed: int = 0) -> float:
    """Median distance of an image to its nearest neighbor among images with different pixels.

    A fraction of it is a threshold in any feature space, if fewer than half of the images have near-duplicates.

    Args:
        features: (n, d), n at least 1.
        image_ids: Number of each image, int64 (n,), the same for equal images.
        count: Largest number of images for the median.
        seed: Seed of their choice.

    Returns:
        A number above 0, or infinity if all images are equal.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))[:count]
    chosen, image_ids = order.to(features.device), image_ids.to(features.device)
    found = nearest(features[chosen], features, 1, image_ids, image_ids[chosen][:, None])
    return float(found.distances.median())
