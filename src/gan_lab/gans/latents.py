"""The prior that a generator's input is drawn from."""

from dataclasses import dataclass

from torch import Tensor

from gan_lab.noise import Noise


@dataclass(frozen=True)
class LatentPrior:
    """Independent coordinates, normal or uniform.

    Args:
        dim: Number of coordinates.
        distribution: `normal` for N(0, 1), `uniform` for U(-bound, bound).
        bound: Half the width of the uniform distribution: 1 in DCGAN's paper, sqrt(3), for unit variance, in the first GAN's code.
    """

    dim: int
    distribution: str = "normal"
    bound: float = 1.0

    def __post_init__(self) -> None:
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"latent.distribution={self.distribution} is not known; choose normal or uniform")
        if self.dim < 1:
            raise ValueError(f"latent.dim={self.dim} must be at least 1")

    def sample(self, noise: Noise) -> Tensor:
        """One latent for each row of the stream, float32 (rows, dim)."""
        if self.distribution == "normal":
            return noise.normal(self.dim)
        return noise.uniform(self.dim).mul_(2 * self.bound).sub_(self.bound)
