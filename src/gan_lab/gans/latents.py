"""The prior that a generator's input is drawn from."""

from dataclasses import dataclass
from math import erf, sqrt

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


FORMS = ("resample", "scale")


@dataclass(frozen=True)
class TruncatedPrior:
    """A normal prior without its tails: fewer kinds of samples, and better ones (Brock et al., 2019, section 3.1).

    | form       | a coordinate                                    | std at threshold 0.5 |
    |------------|-------------------------------------------------|----------------------|
    | `resample` | is drawn again until it is within the threshold | 0.284                |
    | `scale`    | the same within 2, then times the threshold     | 0.440                |

    The first is the paper's; the second is that of generators that were published for use. A coordinate within the
    threshold (or within 2) is that of the prior under the same key.

    Args:
        prior: The prior that the generator was trained with.
        threshold: At least 0, where every latent is 0.
        form: One of the words above.

    Raises:
        ValueError: The prior is not normal, or a setting is not allowed.
    """

    prior: LatentPrior
    threshold: float
    form: str = "resample"

    def __post_init__(self) -> None:
        if self.prior.distribution != "normal":
            raise ValueError(
                f"truncation={self.threshold} is for normal latents, and this run has latent.distribution="
                f"{self.prior.distribution}; set truncation=null"
            )
        if not self.threshold >= 0:
            raise ValueError(f"truncation={self.threshold} is not allowed: it must be at least 0, or null for none")
        if self.form not in FORMS:
            raise ValueError(f"truncation_form={self.form} is not known; choose {' or '.join(FORMS)}")

    def sample(self, noise: Noise) -> Tensor:
        """One latent for each row of the stream, float32 (rows, dim)."""
        latents, places = self.prior.sample(noise), noise.uniform(self.prior.dim)
        if self.form == "scale":
            return self.threshold * _without_tails(latents, places, 2.0)
        return _without_tails(latents, places, self.threshold)

    def closed_path(self, noise: Noise, frames: int, smoothing: float) -> Tensor:
        """See `LatentPrior.closed_path`; coordinates are squeezed smoothly, so that they have the distribution of `sample`."""
        path = self.prior.closed_path(noise, frames, smoothing)
        if self.form == "scale":
            return self.threshold * _between(torch.erf(path / sqrt(2)), 2.0)
        return _between(torch.erf(path / sqrt(2)), self.threshold)


def _without_tails(latents: Tensor, places: Tensor, threshold: float) -> Tensor:
    """Normal numbers, those beyond the threshold replaced by what drawing again would end with.

    That has the distribution function of the normal one, cut and stretched: its inverse at uniform `places` needs no loop.
    """
    return torch.where(latents.abs() > threshold, _between(2 * places - 1, threshold), latents)


def _between(places: Tensor, threshold: float) -> Tensor:
    """Places from -1 to 1, of any shape, to where a normal number within the threshold has them in order; float32."""
    inside = sqrt(2) * torch.erfinv(places.double() * erf(threshold / sqrt(2)))
    return inside.clamp(-threshold, threshold).float()
