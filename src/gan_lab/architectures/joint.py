"""Discriminators that judge a sample and its latent together."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import Wrapped


@dataclass(frozen=True)
class WithLatents:
    """The latent beside the sample: constant maps beside an image, coordinates beside a point.

    So a discriminator of any architecture judges pairs, as VEEGAN (Srivastava et al., 2017, section 3) needs it. `join`
    of the result makes of samples and latents what its `features` take. To be put around all other wrappers.

    Args:
        latent_dim: Size of a latent.
    """

    latent_dim: int

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside sees a channel more for each coordinate of the latent."""
        return words | {"channels": words["channels"] + self.latent_dim}

    def __call__(self, network: nn.Module) -> nn.Module:
        return _Joint(cast(Discriminator, network))


class _Joint(Wrapped):
    def join(self, samples: Tensor, latents: Tensor) -> Tensor:
        """Pairs (n, C + latent_dim, ...) of samples (n, C, ...) and latents (n, latent_dim)."""
        maps = latents.to(samples.dtype).view(*latents.shape, *[1] * (samples.dim() - 2))
        return torch.cat([samples, maps.expand(-1, -1, *samples.shape[2:])], 1)

    def classify(self, features: Tensor) -> Tensor:
        """Class logits (n, num_classes) of features (n, d), where the network inside has a classifier."""
        return cast(Any, self.network).classify(features)
