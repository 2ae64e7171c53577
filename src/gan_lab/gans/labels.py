"""The prior that the labels of generated samples are drawn from."""

from dataclasses import dataclass

from torch import Tensor

from gan_lab.noise import Noise

PRIORS = ("uniform", "data")


@dataclass(frozen=True)
class LabelPrior:
    """Labels of generated samples, in a game that is conditioned on labels; none in one that is not.

    Args:
        num_classes: Number of labels, or None for a game without labels.
        prior: `uniform` over the classes, or `data` for the labels of the real batch, row by row.
    """

    num_classes: int | None = None
    prior: str = "uniform"

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise ValueError(f"conditioning.prior={self.prior} is not known; choose uniform or data")

    def of(self, labels: Tensor | None) -> Tensor | None:
        """The labels of real samples, int64 (n,), if the game looks at them."""
        return None if self.num_classes is None else labels

    def sample(self, noise: Noise, real: Tensor | None = None) -> Tensor | None:
        """Labels of generated samples, int64 (rows,), or None in a game without labels.

        Args:
            noise: One row for each sample.
            real: Labels of the real batch, for the prior `data`; without them the prior is uniform.
        """
        if self.num_classes is None:
            return None
        if self.prior == "data" and real is not None:
            return real
        return noise.integers(self.num_classes)
