"""What a discriminator thinks of single points."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_lab.gans.base import AdversarialModule, evaluation_mode
from gan_lab.types import Judged


@torch.no_grad()
def judgement(module: AdversarialModule, points: Tensor) -> Tensor | None:
    """Logits (n,) of points (n, 2) on the CPU, by the game's `discriminator` in evaluation mode.

    None where a single point has no logit: the game has no network of that name, or its discriminator judges packs, or
    pairs with latents (it has a `join`), or looks at the other samples of the batch.
    """
    network = getattr(module, "discriminator", None)
    if not isinstance(network, nn.Module) or hasattr(network, "join"):
        return None

    def judge(points: Tensor) -> Tensor:
        return Judged(network, lambda: (points, None)).logits

    points = points.to(module.device)
    with evaluation_mode(network):
        return judge(points).float().cpu() if _judges_alone(judge, points) else None


def _judges_alone(judge: Callable[[Tensor], Tensor], points: Tensor) -> bool:
    """Whether a few points get the same logits among others as among themselves."""
    few, others = points[:16], points[-16:]
    logits = judge(torch.cat([few, others]))
    return len(logits) == len(few) + len(others) and torch.allclose(logits[: len(few)], judge(few), atol=1e-4)
