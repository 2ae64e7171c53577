"""Wrapper for discriminators of pairs of sample and latent."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import Wrapped


@dataclass(frozen=True)
class WithLatents:
    """Concatenates latents to samples: as constant maps to images, as coordinates to points.

    So a discriminator of any architecture scores pairs, for VEEGAN (Srivastava et al., 2017, section 3). The method
    `join` of the result concatenates samples and latents for `features`. Must be the outermost wrapper.

    Args:
        latent_dim: Size of a latent.
    """

    latent_dim: int

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with one more channel for each coordinate of the latent."""
        return kwargs | {"channels": kwargs["channels"] + self.latent_dim}

    def __call__(self, network: nn.Module) -> nn.Module:
        return _Joint(cast(Discriminator, network))


class _Joint(Wrapped):
    def join(self, samples: Tensor, latents: Tensor) -> Tensor:
        """Pairs (n, C + latent_dim, ...) of samples (n, C, ...) and latents (n, latent_dim)."""
        return beside(samples, latents)

    def auxiliary(self, features: Tensor) -> Tensor:
        """Class logits (n, num_classes) of features (n, d), if the wrapped network has a classifier."""
        return cast(Any, self.network).auxiliary(features)


def beside(samples: Tensor, numbers: Tensor) -> Tensor:
    """Samples (n, C, ...) with numbers (n, d) as d more coordinates of points, or as d constant maps of images."""
    maps = numbers.to(samples.dtype).view(*numbers.shape, *[1] * (samples.dim() - 2))
    return torch.cat([samples, maps.expand(-1, -1, *samples.shape[2:])], 1)
