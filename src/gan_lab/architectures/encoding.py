"""Wrapper that turns a discriminator of any architecture into an encoder from samples to latents."""

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import innermost, linear_like


@dataclass(frozen=True)
class Encoding:
    """An encoder: a discriminator whose output layer is replaced by a linear layer to a latent.

    Che et al. (2017) and Srivastava et al. (2017) use encoders like their discriminators. The new layer starts at the
    scale of the old output layer.

    Args:
        latent_dim: Size of a latent.
    """

    latent_dim: int

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        return _Encoder(cast(Discriminator, network), self.latent_dim)


class _Encoder(nn.Module):
    def __init__(self, network: Discriminator, latent_dim: int) -> None:
        super().__init__()
        self.network = network
        inner = innermost(network)
        inner.output = linear_like(inner.output, inner.output.in_features, latent_dim)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (n, latent_dim) of samples (n, ...); labels int64 (n,) or None."""
        return innermost(self.network).output(self.network.features(samples, labels))
