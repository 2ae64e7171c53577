"""Penalties on a player's weights, whatever samples it sees."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from gan_lab.regularizers import functional as F
from gan_lab.regularizers.players import require_player
from gan_lab.types import Step


@dataclass(frozen=True)
class Orthogonal:
    """Sum over the layers of |W W^T o (1 - I)|^2: orthogonal regularization of Brock et al. (2019), section 3.1.

    W is the weight of a linear or convolutional layer with one row for each output channel; embeddings, gains and shifts
    are left alone, and so is the vector of a label that BigGAN's norms share.

    | form    | minimized   | gradient                    |
    |---------|-------------|-----------------------------|
    | `paper` | the formula | 4 (W W^T o (1 - I)) W       |
    | `code`  | half of it  | 2 (W W^T o (1 - I)) W, as the authors' code applies it |

    Args:
        weight: beta of the paper.
        interval: Batches from one evaluation to the next.
        player: `generator`, as in the paper, or `discriminator`.
        diagonal: Ask the rows for norm 1 too, |W W^T - I|^2, as the orthonormal regularization that Miyato et al. (2018)
            compare spectral normalization with.
        form: One of the words above.

    Raises:
        ValueError: There is no such player or form, or the player's network has no such layer.
    """

    weight: float = 1e-4
    interval: int = 1
    player: str = "generator"
    diagonal: bool = False
    form: str = "paper"
    per_sample: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_player(self.player)
        if self.form not in _SHARES:
            raise ValueError(f"regularizer.orthogonal.form={self.form} is not known; choose {' or '.join(_SHARES)}")

    def __call__(self, step: Step) -> Tensor:
        layers = [module for module in step.network.modules() if isinstance(module, (nn.Linear, _ConvNd))]
        if not layers:
            raise ValueError(
                f"regularizer=orthogonal finds no linear or convolutional layer in {type(step.network).__name__}, "
                f"the {self.player}; choose another architecture or leave the regularizer out"
            )
        costs = torch.stack([F.orthogonality(_rows(layer), self.diagonal) for layer in layers])
        return _SHARES[self.form] * costs.sum()


_SHARES = {"paper": 1.0, "code": 0.5}
"""How much of the formula each form minimizes."""


def _rows(layer: nn.Linear | _ConvNd) -> Tensor:
    """A layer's weight as a matrix, one row for each output channel."""
    weight = _raw_weight(layer)
    if isinstance(layer, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    return weight.flatten(1)


def _raw_weight(layer: nn.Module) -> Tensor:
    """The parameter behind a layer's weight: spectral normalization divides it, and would update at every look."""
    parametrizations: Any = getattr(layer, "parametrizations", {})
    if "weight" in parametrizations and hasattr(parametrizations["weight"], "original"):
        return parametrizations["weight"].original
    weight: Any = layer.weight
    return weight


class HistoricalAveraging(nn.Module):
    """|theta - mean of the past theta|^2 over all parameters of a player: Salimans et al. (2016), section 3.3.

    The mean runs over all evaluations so far; the first one has no past and costs nothing. The paper gives no weight.

    Args:
        weight: Factor on the squared distance.
        interval: Batches from one evaluation to the next.
        player: `generator` or `discriminator`.

    Raises:
        ValueError: There is no such player.
    """

    per_sample: ClassVar[bool] = False

    def __init__(self, weight: float = 1e-3, interval: int = 1, player: str = "generator") -> None:
        super().__init__()
        require_player(player)
        self.weight = weight
        self.interval = interval
        self.player = player
        self.count = 0
        self.mean: Tensor | None = None

    def forward(self, step: Step) -> Tensor:
        parameters = torch.cat([parameter.flatten() for parameter in step.network.parameters()])
        present = parameters.detach()
        # The mean is no buffer, since its length is that of a network: it follows to the network's device here.
        past = present.clone() if self.mean is None else self.mean.to(present)
        distance = torch.square(parameters - past).sum()
        self.count += 1
        self.mean = past.lerp_(present, 1 / self.count)
        return distance

    def get_extra_state(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.count, self.mean = state["count"], state["mean"]
