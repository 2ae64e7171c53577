"""Lazy regularization: compensation of an optimizer for its additional penalty-only updates."""

from collections.abc import Iterable

from torch.optim import Optimizer


def lazy_factor(intervals: Iterable[int]) -> float:
    """Fraction of main updates, c = 1 / (1 + sum 1/k): k / (k + 1) for one interval k (Karras et al., 2020, app. B)."""
    return 1 / (1 + sum(1 / interval for interval in intervals))


def compensate(optimizer: Optimizer, factor: float) -> None:
    """Change learning rates to lr * c and Adam's betas to beta^c, in place, so that extra updates keep the time scale.

    Karras et al. (2020), appendix B. For optimizers without betas only the learning rate is changed.
    """
    for group in optimizer.param_groups:
        group["lr"] *= factor
        if "betas" in group:
            group["betas"] = tuple(beta**factor for beta in group["betas"])
