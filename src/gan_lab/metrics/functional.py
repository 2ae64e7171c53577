"""Formulas on a classifier's predictions for generated images: mode counts, Inception score and MODE score."""

import math

import torch
from torch import Tensor

from gan_lab.metrics.histograms import kl_divergence


def reverse_kl(counts: Tensor) -> Tensor:
    """KL(model || uniform) over modes, the second number of Stacked MNIST tables (Srivastava et al., 2017).

    The sum runs over the modes that were found. It is ln K if all samples are in one of K modes, and 0 for equal
    counts.

    Args:
        counts: Samples in each mode, (K,), of any dtype.

    Returns:
        float64 scalar in nats; NaN without samples.
    """
    masses = counts.double()
    return math.log(len(counts)) - torch.special.entr(masses / masses.sum()).sum()


def expected_reverse_kl(samples: int, modes: int) -> float:
    """Expected `reverse_kl` of `samples` uniform labels: exact, and about (modes - 1) / (2 samples).

    The count of one mode is binomial, so the expected entropy is `modes` times the expected term of one mode.
    """
    counts = torch.arange(samples + 1, dtype=torch.float64)
    binomial = torch.distributions.Binomial(samples, torch.tensor(1 / modes, dtype=torch.float64))
    mean_term = (binomial.log_prob(counts).exp() * torch.special.entr(counts / samples)).sum()
    return math.log(modes) - modes * float(mean_term)


def expected_modes(samples: int, modes: int) -> float:
    """Expected number of distinct modes among `samples` uniform labels."""
    return modes * -math.expm1(samples * math.log1p(-1 / modes))


def inception_score(marginal: Tensor, entropy: Tensor) -> Tensor:
    """Inception score exp(E KL(p(y|x) || p(y))) (Salimans et al., 2016), from two means over the samples.

    It is 1 if all samples have the same prediction, and K if predictions are certain and uniform over K classes.

    Args:
        marginal: p(y), the mean of the predicted probabilities p(y|x), float64 (..., K).
        entropy: Mean entropy of p(y|x) in nats, float64 (...).

    Returns:
        (...), between 1 and K.
    """
    return (torch.special.entr(marginal).sum(-1) - entropy).exp()


def mode_score(marginal: Tensor, entropy: Tensor, train: Tensor) -> Tensor:
    """MODE score exp(E KL(p(y|x) || p_train) - KL(p(y) || p_train)), as Che et al. (2017) define it.

    Since E KL(p(y|x) || q) = E KL(p(y|x) || p(y)) + KL(p(y) || q) for any q, it does not depend on p_train and equals
    the Inception score if p(y) is the mean of the same p(y|x), as here.

    Args:
        marginal: p(y), the mean of the predicted probabilities, float64 (K,).
        entropy: Mean entropy of p(y|x) in nats, float64 scalar.
        train: Class frequencies of the training data, float64 (K,), all above 0.
    """
    from_train = -torch.special.xlogy(marginal, train).sum() - entropy  # E KL(p(y|x) || p_train)
    return (from_train - kl_divergence(marginal, train)).exp()


def penalized_mode_score(marginal: Tensor, entropy: Tensor, train: Tensor) -> Tensor:
    """exp(E KL(p(y|x) || p(y)) - KL(p(y) || p_train)), which is also published as the MODE score.

    It is at most the Inception score, and equal to it only if the generated classes have the frequencies of the
    training data. For the arguments see `mode_score`.
    """
    return inception_score(marginal, entropy) * (-kl_divergence(marginal, train)).exp()
