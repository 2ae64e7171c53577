"""Diversity of images: mean pairwise distance of their features."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.metrics.features import FeatureMetric, Protocol, require, shuffled


def mean_pairwise_distance(features: Tensor, pairs: int) -> Tensor:
    """Mean Euclidean distance of pairs of rows, each normalized to length 1.

    Row i is paired with row i + s, for shifts s = 1, 2, ...: no pair is used twice, and no row is paired with itself.

    Args:
        features: (n, d) in random order, float64. A row of zeros stays zero.
        pairs: Number of pairs; at most n (n - 1) / 2 are used.

    Returns:
        float64 scalar in [0, 2]; NaN without a pair.
    """
    directions = F.normalize(features, dim=1)
    count = len(features)
    total, left = features.new_tensor(0.0), min(pairs, count * (count - 1) // 2)
    taken = left
    for shift in range(1, count // 2 + 1):
        rows = min(left, count)  # for an even count, half of the last shift's pairs would repeat the other half
        total += (directions - directions.roll(-shift, 0))[:rows].norm(dim=1).sum()
        left -= rows
        if not left:
            break
    return total / taken if taken else features.new_tensor(math.nan)


class FeatureDiversity(FeatureMetric):
    """Mean feature distance between generated images, and between real images for comparison.

    It is not LPIPS (Zhang et al., 2018), whose weights were fitted to human ratings of patches and whose features are
    normalized at each position of several layers: here the feature vector of an image is normalized to length 1, and
    the two numbers are not comparable. The purpose is the same: a generator whose images are all alike has 0. A value
    far above that of the real images is as bad as one far below.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
        pairs: Random pairs of images whose distances are averaged.
        seed: Determines the pairs, together with the features; the order of the images does not matter.

    Raises:
        ValueError: `pairs` is below 1.
    """

    higher_is_better = True

    def __init__(self, extractor: nn.Module | None = None, pairs: int = 10_000, seed: int = 0) -> None:
        super().__init__(extractor)
        require(pairs >= 1, f"pairs={pairs}", "at least 1")
        self.pairs, self.seed = pairs, seed

    def compute(self) -> dict[str, Tensor]:
        """Scalars `generated` and `real`, float64 in [0, 2]; `real` is NaN with fewer than two real images.

        Raises:
            ValueError: There are fewer than two generated images.
        """
        sets = {"generated": self._all(real=False), "real": self._all(real=True)}
        return {name: mean_pairwise_distance(shuffled(rows, self.seed), self.pairs) for name, rows in sets.items()}

    def needed(self, real: bool) -> int:
        """See `FeatureMetric.needed`."""
        return 0 if real else 2

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"pairs": self.pairs, "pairs_seed": self.seed}
