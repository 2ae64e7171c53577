"""Wrappers for InfoGAN: codes as inputs of the generator, and a head of the discriminator that predicts them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.conditioning import with_label_coordinates
from gan_lab.architectures.packing import Packed
from gan_lab.architectures.wrapped import Wrapped, last_layer


@dataclass(frozen=True)
class _Codes:
    """Sizes of codes, see `gan_lab.gans.conditions.Codes`.

    Args:
        categories: Number of values of each categorical variable.
        continuous: Number of continuous variables.
    """

    categories: Sequence[int]
    continuous: int

    @property
    def dim(self) -> int:
        """Length of a code."""
        return sum(self.categories) + self.continuous


@dataclass(frozen=True)
class ConcatCodes(_Codes):
    """Concatenates codes to the latents of a generator (Chen et al., 2016, section 5)."""

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with the coordinates of a code added to the latent."""
        return with_label_coordinates(kwargs, self.dim)

    def __call__(self, network: nn.Module) -> nn.Module:
        return _WithCodes(network, self.dim)


class _WithCodes(nn.Module):
    def __init__(self, network: nn.Module, dim: int) -> None:
        super().__init__()
        self.network = network
        self.code_dim = dim

    def forward(self, latents: Tensor, codes: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) and codes (n, dim).

        Raises:
            ValueError: `codes` is None.
        """
        if codes is None:
            raise ValueError("this generator is conditioned on codes: call it with codes, (n, dim)")
        return self.network(torch.cat([latents, codes], 1))


@dataclass(frozen=True)
class CodeHead(_Codes):
    """A second head on the discriminator's last hidden layer that predicts codes: Q of Chen et al. (2016), section 6.

    One hidden layer with batch norm and leaky ReLU, as in the authors' code. `auxiliary(features)` returns the logits
    of each categorical variable and the mean of each continuous one, in the order of the code.

    Args:
        width: Units of the hidden layer; 128 as in the authors' code.
        norm: `batch`, as in the authors' code, or `none`.
    """

    width: int = 128
    norm: str = "batch"

    def __post_init__(self) -> None:
        if self.norm not in ("batch", "none"):
            raise ValueError(f"wrapper.discriminator.conditioning.norm={self.norm} is not known; choose batch or none")
        if self.width < 1:
            raise ValueError(f"wrapper.discriminator.conditioning.width={self.width} must be at least 1")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        if any(isinstance(part, Packed) for part in network.modules()):
            raise ValueError("packing scores several samples at once, but each has its own code; set conditioning=none")
        return _WithCodeHead(cast(Discriminator, network), self.dim, self.width, self.norm)


class _SecondHead(nn.Sequential):
    is_second_head = True  # logits do not depend on its batch norm


class _WithCodeHead(Wrapped):
    def __init__(self, network: Discriminator, dim: int, width: int, norm: str) -> None:
        super().__init__(network)
        self.code_dim = dim
        output = last_layer(network)
        options: dict[str, Any] = {"device": output.weight.device, "dtype": output.weight.dtype}
        self.reader = _SecondHead(
            nn.Linear(output.in_features, width, **options),
            nn.BatchNorm1d(width, **options) if norm == "batch" else nn.Identity(),
            nn.LeakyReLU(0.1),
            nn.Linear(width, dim, **options),
        )

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Last hidden layer of samples (n, ...); the code is not passed to the network that must predict it."""
        return self.network.features(x)

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        return self.network.head(features)

    def auxiliary(self, features: Tensor) -> Tensor:
        """Predicted codes (n, dim) of features (n, d): logits, then means."""
        return self.reader(features)
