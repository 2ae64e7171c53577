"""The prior that a generator's input is drawn from."""

from dataclasses import dataclass

import torch
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

    def closed_path(self, noise: Noise, frames: int, smoothing: float) -> Tensor:
        """For each row of the stream a walk through the latents that ends where it began (Karras et al., 2018, sec. 6.3).

        Independent normal numbers for each frame are blurred along the time, which goes round, and scaled to variance 1: in
        every frame the latents are distributed as those of `sample`.

        Args:
            noise: A stream of the latents that walk.
            frames: Points of a walk.
            smoothing: Standard deviation of the Gaussian blur in frames; 0 for none.

        Returns:
            float32 (frames, rows, dim).
        """
        steps = noise.normal(frames, self.dim).transpose(0, 1)
        frequencies = torch.fft.fftfreq(frames, device=steps.device)[:, None, None]  # in cycles for each frame
        gains = torch.exp(-2 * (torch.pi * smoothing * frequencies) ** 2)  # the Fourier transform of the Gaussian
        path = torch.fft.ifft(torch.fft.fft(steps, dim=0) * gains, dim=0).real / gains.square().mean().sqrt()
        return path if self.distribution == "normal" else self.bound * torch.erf(path / 2**0.5)
