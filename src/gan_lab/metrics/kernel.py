"""Kernel distance (squared maximum mean discrepancy) between two sets of features, as in KID."""

import math

import torch
from torch import Tensor, nn

from gan_lab.metrics.features import Protocol, require, shuffled
from gan_lab.metrics.pairwise import BLOCK, DEGREE, KernelMeans, PairwiseMetric, pairwise
from gan_lab.noise import mix


def kernel_distance(a: Tensor, b: Tensor, block: int = BLOCK) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy over all pairs, as in KID (Bińkowski et al., 2018).

    The kernel of two rows is (a·b / d + 1)³.
    Pairs of a row with itself are left out, so the mean is 0 for two sets from the same distribution, and about half of
    such values are negative.

    Args:
        a: Features (n, d), float64, n at least 2.
        b: Features (m, d), m at least 2.
        block: Rows and columns of the kernel matrix in memory at once.

    Returns:
        float64 scalar.
    """
    return _distance(*pairwise(a, b, [KernelMeans()], block=block)[0][KernelMeans()])


def standard_error(a: Tensor, b: Tensor, blocks: int) -> Tensor:
    """Standard error of the mean kernel distance of consecutive blocks.

    Args:
        a: Features (n, d) in random order, float64.
        b: Features (m, d) in random order.
        blocks: Number of blocks, at least 2.

    Returns:
        float64 scalar; NaN if a block would have fewer than two rows.
    """
    if min(len(a), len(b)) < 2 * blocks:
        return a.new_tensor(math.nan)
    pairs = zip(a.tensor_split(blocks), b.tensor_split(blocks), strict=True)
    return torch.stack([kernel_distance(x, y) for x, y in pairs]).std() / math.sqrt(blocks)


class KernelDistance(PairwiseMetric):
    """Squared maximum mean discrepancy of generated and real features with the kernel of KID (Bińkowski et al., 2018).

    KID is a mean over random subsets, usually of 1,000 images; here all pairs are used, which has the same expectation,
    less variance and no randomness. It is the KID if the extractor is `inception`. Tables often print 1,000 times this
    value. Unlike a Fréchet distance it is unbiased, and may be negative.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
        blocks: Number of random blocks of images whose distances give the standard error.
        seed: Determines the blocks, together with the features; the order of the images does not matter.

    Raises:
        ValueError: `blocks` is below 2.
    """

    higher_is_better = False

    def __init__(self, extractor: nn.Module | None = None, blocks: int = 10, seed: int = 0) -> None:
        super().__init__(extractor)
        require(blocks >= 2, f"blocks={blocks}", "at least 2")
        self.blocks, self.seed = blocks, seed

    def compute(self) -> dict[str, Tensor]:
        """Scalars `distance` over all pairs, and `standard_error`, float64.

        The error is that of the mean over blocks, which leaves out pairs between blocks. So it overestimates the error
        of `distance` by up to sqrt(blocks) if both sets are nearly alike, and is about right if they differ. It is NaN
        with fewer than two images in a block.

        Raises:
            ValueError: There are fewer than two real or generated images.
        """
        real = shuffled(self._all(real=True), mix(self.seed, 0))
        generated = shuffled(self._all(real=False), mix(self.seed, 1))
        return {
            "distance": _distance(*self.results()[KernelMeans()]),
            "standard_error": standard_error(real, generated, self.blocks),
        }

    def requests(self) -> tuple[KernelMeans]:
        """See `PairwiseMetric.requests`."""
        return (KernelMeans(),)

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"kernel_degree": DEGREE, "blocks": self.blocks, "blocks_seed": self.seed}


def _distance(within_a: Tensor, within_b: Tensor, across: Tensor) -> Tensor:
    """Squared maximum mean discrepancy from means of the kernel."""
    return within_a + within_b - 2 * across
