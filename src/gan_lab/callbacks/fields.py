"""Discriminator logits on a grid of 2-D points."""

import torch
from torch import Tensor

from gan_lab.gans.base import AdversarialModule


def logits_of_points(module: AdversarialModule, points: Tensor) -> Tensor | None:
    """Discriminator logits (n,) on the CPU of points (n, 2).

    None if single points have no logit: `score` returns None, or the logit depends on the other samples of the batch.
    """
    points = points.to(module.device)
    first, last = points[:16], points[-16:]
    separate, joint = module.score(first), module.score(torch.cat([first, last]))
    if separate is None or joint is None or not torch.allclose(joint[: len(first)], separate, atol=1e-4):
        return None
    logits = module.score(points)
    return None if logits is None else logits.float().cpu()
