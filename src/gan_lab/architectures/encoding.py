"""Wrapper that turns a discriminator of any architecture into an encoder from samples to latents."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.joint import beside
from gan_lab.architectures.wrapped import innermost, last_layer, linear_like


@dataclass(frozen=True)
class Encoding:
    """An encoder: a discriminator whose output layer is replaced by a linear layer to a latent.

    Che et al. (2017), Srivastava et al. (2017) and Donahue et al. (2017) use encoders like their discriminators. The
    new layer starts at the scale of the old output layer.

    Args:
        latent_dim: Size of a latent.
        noise: Where N(0, 1) noise of the size of a latent makes an encoder of ALI stochastic in training: `none`;
            `output`, whose layer gives mean and log standard deviation of a normal distribution (Dumoulin et al.,
            2017); or `input`, beside the channels or coordinates of the sample (their code for points).

    Raises:
        ValueError: The noise is not one of these.
    """

    latent_dim: int
    noise: str = "none"

    def __post_init__(self) -> None:
        if self.noise not in _ENCODERS:
            raise ValueError(f"noise must be one of {', '.join(_ENCODERS)}, not {self.noise!r}")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, with one more channel for each number of noise in the input."""
        return kwargs | {"channels": kwargs["channels"] + self.latent_dim} if self.noise == "input" else kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        return _ENCODERS[self.noise](cast(Discriminator, network), self.latent_dim)


class _Encoder(nn.Module):
    outputs_per_latent = 1

    def __init__(self, network: Discriminator, latent_dim: int) -> None:
        super().__init__()
        self.network = network
        output = last_layer(network)
        innermost(network).output = linear_like(output, output.in_features, self.outputs_per_latent * latent_dim)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, ...); labels int64 (n,) or None."""
        return self.network.features(samples, labels)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (n, latent_dim) of samples (n, ...); labels int64 (n,) or None."""
        return last_layer(self.network)(self.features(samples, labels))


class _StochasticEncoder(_Encoder):
    outputs_per_latent = 2

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Mean latents (n, latent_dim) of samples (n, ...)."""
        return self._distribution(samples, labels)[0]

    def sample(self, samples: Tensor, labels: Tensor | None, noise: Tensor) -> Tensor:
        """Latents mean + std * noise (n, latent_dim) of samples (n, ...), for N(0, 1) noise (n, latent_dim)."""
        mean, log_std = self._distribution(samples, labels)
        return mean + torch.exp(log_std) * noise

    def _distribution(self, samples: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, (n, latent_dim) each."""
        mean, log_std = super().forward(samples, labels).float().chunk(2, 1)
        return mean, log_std


class _NoisyInputEncoder(_Encoder):
    def __init__(self, network: Discriminator, latent_dim: int) -> None:
        super().__init__(network, latent_dim)
        self.latent_dim = latent_dim

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, ...) without noise."""
        return self._features(samples, labels, samples.new_zeros(len(samples), self.latent_dim))

    def sample(self, samples: Tensor, labels: Tensor | None, noise: Tensor) -> Tensor:
        """Latents (n, latent_dim) of samples (n, ...) and N(0, 1) noise (n, latent_dim)."""
        return last_layer(self.network)(self._features(samples, labels, noise))

    def _features(self, samples: Tensor, labels: Tensor | None, noise: Tensor) -> Tensor:
        return self.network.features(beside(samples, noise), labels)


_ENCODERS = {"none": _Encoder, "output": _StochasticEncoder, "input": _NoisyInputEncoder}
