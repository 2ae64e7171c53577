"""Lazy regularization: what an optimizer that also makes penalty-only steps must change."""

from collections.abc import Iterable

from torch.optim import Optimizer


def lazy_factor(intervals: Iterable[int]) -> float:
    """Main steps as a share of all steps, c = 1 / (1 + sum 1/k): k/(k+1) for one interval k (Karras et al., 2020, appendix B)."""
    return 1 / (1 + sum(1 / interval for interval in intervals))


def compensate(optimizer: Optimizer, factor: float) -> None:
    """Scale rate and betas of Adam-like optimizers by lr * c and beta^c, in place, so that extra steps leave the time scale alone.

    Karras et al. (2020), appendix B. Optimizers without betas get the rate only.
    """
    for group in optimizer.param_groups:
        group["lr"] *= factor
        if "betas" in group:
            group["betas"] = tuple(beta**factor for beta in group["betas"])
