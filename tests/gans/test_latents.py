"""Truncated latents against moments and distribution function of the truncated normal distribution."""

import math

import pytest
import torch

from gan_lab.gans.latents import LatentPrior, TruncatedPrior
from gan_lab.noise import Noise

PRIOR = LatentPrior(100)


def truncated_std(threshold: float) -> float:
    """Standard deviation of the normal distribution truncated at t: the root of 1 - 2 t phi(t) / (2 Phi(t) - 1)."""
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * threshold * density / math.erf(threshold / math.sqrt(2)))


@pytest.mark.parametrize(
    ("form", "threshold", "std"),
    [
        ("resample", 0.5, 0.28388),
        ("resample", 1.0, 0.53956),
        ("resample", 2.0, 0.87963),
        ("scale", 0.5, 0.43981),
        ("scale", 1.0, 0.87963),
    ],
)
def test_standard_deviations(form: str, threshold: float, std: float) -> None:
    latents = TruncatedPrior(PRIOR, threshold, form).sample(Noise(1, 10_000))
    assert latents.shape == (10_000, 100) and latents.dtype == torch.float32
    # The standard error of the std of a million numbers is below 0.08 % of it.
    assert latents.std().item() == pytest.approx(std, rel=3e-3) and latents.mean().abs() < 3e-3
    assert latents.abs().max() <= (2 * threshold if form == "scale" else threshold)
    known = truncated_std(threshold) if form == "resample" else threshold * truncated_std(2.0)
    assert std == pytest.approx(known, abs=1e-5)


def test_distribution_is_that_of_rejection_sampling() -> None:
    """Kolmogorov-Smirnov distance from rejection sampling; 1.36 sqrt(2 / n) is its 95 % quantile."""
    found = TruncatedPrior(PRIOR, 0.8).sample(Noise(2, 1000)).flatten().sort().values
    again = torch.randn(len(found), generator=torch.Generator().manual_seed(3))
    while (beyond := again.abs() > 0.8).any():
        again[beyond] = torch.randn(int(beyond.sum()))
    quantiles = torch.searchsorted(again.sort().values, found) / len(found)
    distance = (quantiles - torch.arange(len(found)) / len(found)).abs().max()
    assert distance < 1.63 * math.sqrt(2 / len(found))  # the 99 % quantile


def test_coordinates_within_the_threshold_are_unchanged() -> None:
    plain = PRIOR.sample(Noise(4, 50))
    kept = plain.abs() <= 0.7
    cut = TruncatedPrior(PRIOR, 0.7).sample(Noise(4, 50))
    assert torch.equal(cut[kept], plain[kept]) and not torch.isclose(cut[~kept], plain[~kept]).any()
    scaled = TruncatedPrior(PRIOR, 0.7, "scale").sample(Noise(4, 50))
    assert torch.allclose(scaled[plain.abs() <= 2], 0.7 * plain[plain.abs() <= 2])
    assert torch.equal(TruncatedPrior(PRIOR, 20.0).sample(Noise(4, 50)), plain)


@pytest.mark.parametrize("form", ["resample", "scale"])
def test_threshold_zero_gives_zeros(form: str) -> None:
    assert torch.count_nonzero(TruncatedPrior(PRIOR, 0.0, form).sample(Noise(5, 4))) == 0


def test_processes_split_the_latents_of_one_process() -> None:
    prior = TruncatedPrior(PRIOR, 0.5)
    all_rows = prior.sample(Noise(6, 8))
    assert torch.equal(prior.sample(Noise(6, 8, slice(1, 8, 2))), all_rows[1::2])


def test_uniform_latents_have_no_tails() -> None:
    with pytest.raises(
        ValueError, match=r"truncation=0\.5 needs normal latents, and this run has latent\.distribution="
    ):
        TruncatedPrior(LatentPrior(4, "uniform"), 0.5)
