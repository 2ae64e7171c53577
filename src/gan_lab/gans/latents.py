"""Prior distributions of the latents."""

from dataclasses import dataclass
from math import erf, sqrt

import torch
from torch import Tensor

from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least, require_positive, require_range

DEVIATIONS, FEWEST_NUMBERS = 4, 64
"""Standard deviations by which statistics of given latents may differ from the prior's, and the fewest numbers whose
statistics are compared."""


@dataclass(frozen=True)
class LatentPrior:
    """Prior with independent normal or uniform coordinates.

    Args:
        dim: Number of coordinates; 0 for a generator without latents, whose only input is its condition.
        distribution: `normal` for N(0, 1), `uniform` for U(-bound, bound).
        bound: Half the width of the uniform distribution, greater than 0: 1 in the paper of DCGAN, sqrt(3) (unit
            variance) in the code of the first GAN.

    Raises:
        ValueError: An option is not allowed.
    """

    dim: int
    distribution: str = "normal"
    bound: float = 1.0

    def __post_init__(self) -> None:
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"latent.distribution={self.distribution} is not known; choose normal or uniform")
        require_at_least("latent.dim", self.dim, 0)
        require_positive("latent.bound", self.bound)

    def sample(self, noise: Noise) -> Tensor:
        """Sample one latent for each row of the stream, float32 (rows, dim)."""
        if self.distribution == "normal":
            return noise.normal(self.dim)
        return noise.uniform(self.dim).mul_(2 * self.bound).sub_(self.bound)

    def mismatch(self, latents: Tensor) -> str | None:
        """How latents (n, dim) differ from a sample of this prior, as text; None if they may be one.

        Their mean and mean square must be within `DEVIATIONS` standard deviations of the expected ones.
        """
        if not latents.isfinite().all():
            return "values that are not finite"
        is_normal = self.distribution == "normal"
        largest = latents.abs().max().item()
        if not is_normal and largest > self.bound * 1.0001:  # rounding
            return f"values up to {largest:.3g}, and the generator's are uniform from -{self.bound:g} to {self.bound:g}"
        variance = 1.0 if is_normal else self.bound**2 / 3
        numbers = latents.double().flatten()
        mean, square = numbers.mean().item(), numbers.square().mean().item()
        of_square = 2.0 if is_normal else 0.8  # variance of the square, in units of the squared variance
        allowed = DEVIATIONS / sqrt(len(numbers))
        is_close = abs(mean) <= allowed * sqrt(variance)
        if len(numbers) < FEWEST_NUMBERS or (is_close and abs(square / variance - 1) <= allowed * sqrt(of_square)):
            return None
        return (
            f"mean {mean:.2g} and mean square {square:.2g}, and the generator's are {self.distribution} with 0 and "
            f"{variance:.2g}"
        )

    def closed_path(self, noise: Noise, frames: int, smoothing: float) -> Tensor:
        """Sample a closed walk through the latents for each row of the stream (Karras et al., 2018, section 6.3).

        Independent normal numbers for each frame are blurred along a periodic time axis and scaled to variance 1, so
        the latents of every frame have the distribution of `sample`.

        Args:
            noise: One row for each walk.
            frames: Points per walk.
            smoothing: Standard deviation of the Gaussian blur in frames; 0 for none.

        Returns:
            float32 (frames, rows, dim).
        """
        steps = noise.normal(frames, self.dim).transpose(0, 1)
        frequencies = torch.fft.fftfreq(frames, device=steps.device)[:, None, None]  # in cycles for each frame
        gains = torch.exp(-2 * (torch.pi * smoothing * frequencies) ** 2)  # the Fourier transform of the Gaussian
        path = torch.fft.ifft(torch.fft.fft(steps, dim=0) * gains, dim=0).real / gains.square().mean().sqrt()
        return path if self.distribution == "normal" else self.bound * torch.erf(path / 2**0.5)


TRUNCATION_FORMS = ("resample", "scale")


@dataclass(frozen=True)
class TruncatedPrior:
    """Truncated normal prior: trades diversity for quality (Brock et al., 2019, section 3.1).

    | form       | a coordinate is                                   | std at threshold 0.5 |
    |------------|---------------------------------------------------|----------------------|
    | `resample` | sampled until it is within the threshold          | 0.284                |
    | `scale`    | sampled until it is within 2, times the threshold | 0.440                |

    The first is the paper's; the second is used by the published pretrained generators. Coordinates within the
    threshold (or within 2) equal those of the prior under the same key.

    Args:
        prior: The prior that the generator was trained with.
        threshold: At least 0; with 0 every latent is 0.
        form: `resample` or `scale`.

    Raises:
        ValueError: The prior is not normal, or an option is not allowed.
    """

    prior: LatentPrior
    threshold: float
    form: str = "resample"

    def __post_init__(self) -> None:
        if self.prior.distribution != "normal":
            raise ValueError(
                f"truncation={self.threshold} needs normal latents, and this run has latent.distribution="
                f"{self.prior.distribution}; set truncation=null"
            )
        require_range("truncation", self.threshold, self.threshold >= 0, "at least 0, or null for none")
        if self.form not in TRUNCATION_FORMS:
            raise ValueError(f"truncation_form={self.form} is not known; choose {' or '.join(TRUNCATION_FORMS)}")

    def sample(self, noise: Noise) -> Tensor:
        """Sample one latent for each row of the stream, float32 (rows, dim)."""
        latents, uniform = self.prior.sample(noise), noise.uniform(self.prior.dim)
        if self.form == "scale":
            return self.threshold * _redraw_tails(latents, uniform, 2.0)
        return _redraw_tails(latents, uniform, self.threshold)

    def mismatch(self, latents: Tensor) -> str | None:
        """How latents (n, dim) differ from a sample of this prior, as text; None if they may be one."""
        bound = 2 * self.threshold if self.form == "scale" else self.threshold
        largest = latents.abs().max().item()
        return f"values up to {largest:.3g}, and truncated ones end at {bound:g}" if largest > bound * 1.0001 else None

    def closed_path(self, noise: Noise, frames: int, smoothing: float) -> Tensor:
        """See `LatentPrior.closed_path`; a smooth map of each coordinate gives it the distribution of `sample`."""
        path = self.prior.closed_path(noise, frames, smoothing)
        if self.form == "scale":
            return self.threshold * _truncated_normal(torch.erf(path / sqrt(2)), 2.0)
        return _truncated_normal(torch.erf(path / sqrt(2)), self.threshold)


def _redraw_tails(latents: Tensor, uniform: Tensor, threshold: float) -> Tensor:
    """Replace normal numbers beyond the threshold by samples of the normal distribution truncated there.

    This equals rejection sampling in distribution; the inverse distribution function of uniform numbers needs no loop.
    """
    return torch.where(latents.abs() > threshold, _truncated_normal(2 * uniform - 1, threshold), latents)


def _truncated_normal(centered: Tensor, threshold: float) -> Tensor:
    """Inverse distribution function of the truncated normal distribution at p = (centered + 1) / 2, float32."""
    inside = sqrt(2) * torch.erfinv(centered.double() * erf(threshold / sqrt(2)))
    return inside.clamp(-threshold, threshold).float()
