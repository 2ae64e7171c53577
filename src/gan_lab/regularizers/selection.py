"""Which generated samples the generator's loss counts."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TopK:
    """Only the generated samples with the highest logits count: top-k training, Sinha et al. (2020).

    The share that counts falls from 1 by half in every `half_life_images`, down to `share_end`. The
    default is a factor 0.99 for each 50,000 images, an epoch of CIFAR-10, down to one half, as in common use. Samples are picked within the micro-batch
    of one process.

    Args:
        share_end: Smallest share, in (0, 1].
        half_life_images: Real images in which the share halves.

    Raises:
        ValueError: A setting is out of range.
    """

    share_end: float = 0.5
    half_life_images: float = 3_450_000.0

    def __post_init__(self) -> None:
        if not 0 < self.share_end <= 1:
            raise ValueError(f"selection.share_end={self.share_end} is not allowed: it must be in (0, 1]")
        if self.half_life_images <= 0:
            raise ValueError(
                f"selection.half_life_images={self.half_life_images} is not allowed: it must be greater than 0"
            )

    def share(self, images_seen: int) -> float:
        """The share of a batch that counts, in [share_end, 1]."""
        return max(self.share_end, 0.5 ** (images_seen / self.half_life_images))

    def __call__(self, images_seen: int, fake_logits: Tensor) -> Tensor:
        """Indices (k,) of the samples that count, best first, from their logits (n,); k is at least 1."""
        kept = math.ceil(self.share(images_seen) * len(fake_logits))
        return torch.topk(fake_logits.detach(), kept).indices
