"""The metrics of a classifier's predictions from their formulas, in NumPy and SciPy."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr, softmax

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def inception_score(logits: Array) -> float:
    """exp(E KL(p(y|x) || p(y))), as in Salimans et al. (2016)."""
    probabilities = softmax(logits, axis=1)
    return float(np.exp(rel_entr(probabilities, probabilities.mean(0)).sum(1).mean()))


def mode_score(logits: Array, train: Array) -> float:
    """exp(E KL(p(y|x) || train) - KL(p(y) || train)), as in Che et al. (2017)."""
    probabilities = softmax(logits, axis=1)
    marginal = probabilities.mean(0)
    return float(np.exp(rel_entr(probabilities, train).sum(1).mean() - rel_entr(marginal, train).sum()))


def penalized_mode_score(logits: Array, train: Array) -> float:
    marginal = softmax(logits, axis=1).mean(0)
    return float(inception_score(logits) * np.exp(-rel_entr(marginal, train).sum()))


def stacked_modes(digits: Labels) -> dict[str, float]:
    """Modes among 1,000 and KL(model || uniform) of digits (n, 3), as in Srivastava et al. (2017)."""
    _, counts = np.unique(digits, axis=0, return_counts=True)
    fractions = counts / counts.sum()
    return {"modes": len(counts), "reverse_kl": float((fractions * np.log(1000 * fractions)).sum())}
