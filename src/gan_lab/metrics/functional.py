"""Formulas for what a classifier makes of generated images: modes, Inception score and MODE score."""

import math

import torch
from torch import Tensor

from gan_lab.metrics.histograms import kl_divergence


def reverse_kl(counts: Tensor) -> Tensor:
    """KL(model || uniform) of counted modes, the second number of Stacked MNIST tables (Srivastava et al., 2017).

    The sum runs over the modes that were found. All samples in one of K modes give ln K, equal counts give 0.

    Args:
        counts: Samples in each mode, (K,), of any type.

    Returns:
        float64 scalar in nats; NaN without samples.
    """
    masses = counts.double()
    return math.log(len(counts)) - torch.special.entr(masses / masses.sum()).sum()


def expected_reverse_kl(samples: int, modes: int) -> float:
    """Mean of `reverse_kl` over sets of `samples` uniform labels: exact, and nearly (modes - 1) / (2 samples).

    The count of one mode is binomial, so the mean entropy is `modes` times that of one share.
    """
    counts = torch.arange(samples + 1, dtype=torch.float64)
    binomial = torch.distributions.Binomial(samples, torch.tensor(1 / modes, dtype=torch.float64))
    mean_term = (binomial.log_prob(counts).exp() * torch.special.entr(counts / samples)).sum()
    return math.log(modes) - modes * float(mean_term)


def expected_modes(samples: int, modes: int) -> float:
    """Mean number of modes that `samples` uniform labels meet."""
    return modes * -math.expm1(samples * math.log1p(-1 / modes))


def inception_score(marginal: Tensor, entropy: Tensor) -> Tensor:
    """exp(E KL(p(y|x) || p(y))), the Inception score (Salimans et al., 2016), from two means over the samples.

    It is 1 where all samples are classified alike, and K where they are evenly and surely of K classes.

    Args:
        marginal: p(y), the mean of the predicted probabilities p(y|x), float64 (..., K).
        entropy: Mean entropy of p(y|x) in nats, float64 (...).

    Returns:
        (...), between 1 and K.
    """
    return (torch.special.entr(marginal).sum(-1) - entropy).exp()


def mode_score(marginal: Tensor, entropy: Tensor, train: Tensor) -> Tensor:
    """exp(E KL(p(y|x) || p_train) - KL(p(y) || p_train)), the MODE score as Che et al. (2017) define it.

    Since E KL(p(y|x) || q) = E KL(p(y|x) || p(y)) + KL(p(y) || q) for any q, it does not depend on p_train and *is* the
    Inception score where p(y) is the mean of the same p(y|x), as here.

    Args:
        marginal: p(y), the mean of the predicted probabilities, float64 (K,).
        entropy: Mean entropy of p(y|x) in nats, float64 scalar.
        train: Shares of the classes among the training data, float64 (K,), all above 0.
    """
    from_train = -torch.special.xlogy(marginal, train).sum() - entropy  # E KL(p(y|x) || p_train)
    return (from_train - kl_divergence(marginal, train)).exp()


def penalized_mode_score(marginal: Tensor, entropy: Tensor, train: Tensor) -> Tensor:
    """exp(E KL(p(y|x) || p(y)) - KL(p(y) || p_train)), which is also printed as the MODE score.

    At most the Inception score, and equal to it only where the generated classes have the shares of the training data.
    For the arguments see `mode_score`.
    """
    return inception_score(marginal, entropy) * (-kl_divergence(marginal, train)).exp()
