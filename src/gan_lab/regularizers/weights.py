"""Penalties on a player's weights, independent of its samples."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from gan_lab.regularizers import functional as F
from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import Step


@dataclass(frozen=True)
class Orthogonal(CheckedPenalty):
    """Sum over the layers of |W W^T o (1 - I)|^2: orthogonal regularization of Brock et al. (2019), section 3.1.

    W is the weight of a linear or convolutional layer with one row for each output channel. Embeddings, gains and
    shifts are not penalized, nor is the shared class embedding of BigGAN's norms.

    | form    | minimized   | gradient                    |
    |---------|-------------|-----------------------------|
    | `paper` | the formula | 4 (W W^T o (1 - I)) W       |
    | `code`  | half of it  | 2 (W W^T o (1 - I)) W, as the authors' code applies it |

    Args:
        weight: beta of the paper.
        interval: Updates of the player between evaluations.
        player: `generator`, as in the paper, or another player.
        diagonal: Also require rows of norm 1, |W W^T - I|^2: the orthonormal regularization that Miyato et al. (2018)
            compare with spectral normalization.
        form: `paper` or `code`, see the table.

    Raises:
        ValueError: `form` is unknown, or the player's network has no linear or convolutional layer.
    """

    weight: float = 1e-4
    interval: int = 1
    player: str = "generator"
    diagonal: bool = False
    form: str = "paper"
    per_sample: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in _FACTORS:
            raise ValueError(f"regularizer.orthogonal.form={self.form} is not known; choose {' or '.join(_FACTORS)}")

    def __call__(self, step: Step) -> Tensor:
        layers = [module for module in step.network.modules() if isinstance(module, (nn.Linear, _ConvNd))]
        if not layers:
            raise ValueError(
                f"regularizer=orthogonal needs a linear or convolutional layer, but the {self.player}, "
                f"{type(step.network).__name__}, has none; choose another architecture or remove the regularizer"
            )
        costs = torch.stack([F.orthogonality(_rows(layer), self.diagonal) for layer in layers])
        return _FACTORS[self.form] * costs.sum()


_FACTORS = {"paper": 1.0, "code": 0.5}
"""Factor of each form on the formula."""


def _rows(layer: nn.Linear | _ConvNd) -> Tensor:
    """A layer's weight as a matrix, one row for each output channel."""
    weight = _raw_weight(layer)
    if isinstance(layer, _ConvTransposeNd):
        weight = weight.transpose(0, 1)
    return weight.flatten(1)


def _raw_weight(layer: nn.Module) -> Tensor:
    """The stored parameter of a layer's weight, without parametrizations such as spectral normalization."""
    parametrizations: Any = getattr(layer, "parametrizations", {})
    if "weight" in parametrizations and hasattr(parametrizations["weight"], "original"):
        return parametrizations["weight"].original
    weight: Any = layer.weight
    return weight


class HistoricalAveraging(CheckedPenalty, nn.Module):
    """|theta - mean of past theta|^2 over all parameters of a player: Salimans et al. (2016), section 3.3.

    The mean is over all previous evaluations; the first evaluation is 0. The paper gives no weight.

    Args:
        weight: Factor on the squared distance.
        interval: Updates of the player between evaluations.
        player: The player whose parameters are penalized.
    """

    per_sample: ClassVar[bool] = False

    def __init__(self, weight: float = 1e-3, interval: int = 1, player: str = "generator") -> None:
        super().__init__()
        self.weight = weight
        self.interval = interval
        self.__post_init__()
        self.player = player
        self.count = 0
        self.mean: Tensor | None = None

    def forward(self, step: Step) -> Tensor:
        parameters = torch.cat([parameter.flatten() for parameter in step.network.parameters()])
        present = parameters.detach()
        # Not a buffer, because its length depends on the network; so it follows the network's device here.
        past = present.clone() if self.mean is None else self.mean.to(present)
        distance = torch.square(parameters - past).sum()
        self.count += 1
        self.mean = past.lerp_(present, 1 / self.count)
        return distance

    def get_extra_state(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.count, self.mean = state["count"], state["mean"]
