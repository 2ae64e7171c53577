"""Mode counts for Stacked MNIST."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.metrics.functional import expected_modes, expected_reverse_kl, reverse_kl
from gan_lab.metrics.scores import ClassifierMetric

MODES = 1000

_PLACES = (1, 10, 100)  # decimal places of the digits in red, green and blue; any order gives the same counts


class StackedModes(ClassifierMetric):
    """Number of modes found among the 1,000 of Stacked MNIST, and KL(model || uniform) over them.

    As in VEEGAN and PacGAN, a classifier reads a digit in each channel (Srivastava et al., 2017; Lin et al., 2018).
    Each misclassification can add a mode and lowers the divergence, so the error is part of the protocol. The papers
    use 25,600 or 26,000 samples.

    Args:
        classifier: Images (n, 1, H, W) to logits (n, 10).
    """

    higher_is_better = True
    lower_is_better: ClassVar[tuple[str, ...]] = ("reverse_kl",)
    """Values that are better if lower."""
    counts: Tensor

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__(classifier)
        self.add_state("counts", torch.zeros(MODES, dtype=torch.int64), "sum")

    def update(self, images: Tensor) -> None:
        """Count images (n, 3, H, W) in [-1, 1].

        Raises:
            ValueError: The images do not have three channels.
        """
        if images.dim() != 4 or images.shape[1] != len(_PLACES):
            raise ValueError(f"Stacked digits must be (n, 3, H, W), but these samples are {tuple(images.shape)}.")
        digits = self.classifier(images.flatten(0, 1)[:, None]).argmax(1).view(-1, len(_PLACES))  # (n, 3)
        labels = (digits * torch.tensor(_PLACES, device=digits.device)).sum(1)
        self.counts += torch.bincount(labels, minlength=MODES)

    def compute(self) -> dict[str, Tensor]:
        """Scalars `modes` (int64) and `reverse_kl` (float64, in nats; NaN without samples)."""
        return {"modes": (self.counts > 0).sum(), "reverse_kl": reverse_kl(self.counts)}

    def ideal_values(self) -> dict[str, Tensor]:
        """Expected values for the same number of uniformly distributed images that are all classified correctly."""
        samples = int(self.counts.sum())
        means = {"modes": expected_modes(samples, MODES), "reverse_kl": expected_reverse_kl(samples, MODES)}
        return {name: torch.tensor(mean, dtype=torch.float64) for name, mean in means.items()}
