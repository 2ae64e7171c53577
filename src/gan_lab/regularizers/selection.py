"""Selection of the generated samples that enter the generator's loss."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.ranges import require_positive, require_range


@dataclass(frozen=True)
class TopK:
    """Selection of the generated samples with the highest logits: top-k training, Sinha et al. (2020).

    The selected fraction of a batch starts at 1 and halves every `half_life_images`, down to `min_fraction`. The
    defaults are the usual ones: a factor 0.99 for each 50,000 images, an epoch of CIFAR-10, down to one half. The
    number of samples is rounded down, as in PyTorch-StudioGAN and other published code, which lowers it once an epoch;
    here it follows every image. Samples are selected within the micro-batch of one process.

    Args:
        min_fraction: Smallest fraction, in (0, 1].
        half_life_images: Real images in which the fraction halves.

    Raises:
        ValueError: A setting is out of range.
    """

    kind: ClassVar[str] = "selection"
    min_fraction: float = 0.5
    half_life_images: float = 3_450_000.0

    def __post_init__(self) -> None:
        require_range("min_fraction", self.min_fraction, 0 < self.min_fraction <= 1, "in (0, 1]")
        require_positive("half_life_images", self.half_life_images)

    def fraction(self, images_seen: int) -> float:
        """Fraction of a batch that is selected, in [min_fraction, 1]."""
        return max(self.min_fraction, 0.5 ** (images_seen / self.half_life_images))

    def __call__(self, images_seen: int, fake_logits: Tensor) -> Tensor:
        """Indices (k,) of the selected samples, highest logit first, from the logits (n,) of all; k is at least 1.

        Raises:
            ConfigError: The discriminator gives a map of logits for each sample, by which samples cannot be sorted.
        """
        if fake_logits.dim() != 1:
            raise ConfigError(
                "regularizer=top_k needs one logit for each sample, but this discriminator gives a map of "
                f"{' x '.join(map(str, fake_logits.shape[1:]))}; remove top_k from regularizer."
            )
        kept = max(1, int(self.fraction(images_seen) * len(fake_logits)))
        return torch.topk(fake_logits.detach(), kept).indices
