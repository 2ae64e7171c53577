"""Pixels by which a classifier recognizes a class: those whose occlusion by a gray patch lowers its score most."""

from collections.abc import Callable

import torch
from torch import Tensor

GRAY = 0.0
"""Value of the patch, in the middle of the range [-1, 1]."""


def log_odds(logits: Tensor, label: int) -> Tensor:
    """Logarithm of p / (1 - p), p the probability of a class: float (n,) for logits (n, K)."""
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1)
    return logits[:, label] - others.logsumexp(1)


def importance(images: Tensor, score: Callable[[Tensor], Tensor], patch: int) -> Tensor:
    """Mean decrease of the score by the patches that cover a pixel, float32 (n, H, W) on the CPU.

    The patches are squares, half a patch apart, and at the edges (Zeiler & Fergus, 2014, section 4.2).

    Args:
        images: float (n, C, H, W) in [-1, 1].
        score: Images to scores (n,).
        patch: Height and width of a patch in pixels.
    """
    height, width = images.shape[2:]
    before = score(images).float().cpu()
    total, count = torch.zeros(len(images), height, width), torch.zeros(height, width)
    for top in _starts(height, patch):
        for left in _starts(width, patch):
            rows, columns = slice(top, top + patch), slice(left, left + patch)
            occluded = images.clone()
            occluded[:, :, rows, columns] = GRAY
            total[:, rows, columns] += (before - score(occluded).float().cpu())[:, None, None]
            count[rows, columns] += 1
    return total / count


def _starts(length: int, patch: int) -> list[int]:
    last = max(0, length - patch)
    return sorted({*range(0, last + 1, max(1, patch // 2)), last})


def most_important(values: Tensor, area: float) -> Tensor:
    """Masks bool (n, H, W) of the fraction `area` of the pixels with the largest values, among those above zero.

    Args:
        values: See `importance`, (n, H, W).
        area: In (0, 1].
    """
    flat = values.flatten(1)
    chosen = flat.topk(max(1, round(area * flat.shape[1])), 1).indices
    masks = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True)
    return (masks & (flat > 0)).view_as(values)
