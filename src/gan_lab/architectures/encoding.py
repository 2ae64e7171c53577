"""Networks that read latents off samples, made of discriminators of any architecture."""

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import innermost, linear_like


@dataclass(frozen=True)
class Encoding:
    """An encoder: a discriminator with a linear layer to a latent in the place of the one to a logit.

    Che et al. (2017) and Srivastava et al. (2017) map samples to latents with networks like their discriminators. The new
    layer starts at the scale that the architecture gave its output layer.

    Args:
        latent_dim: Size of a latent.
    """

    latent_dim: int

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside is built as a discriminator."""
        return words

    def __call__(self, network: nn.Module) -> nn.Module:
        return _Encoder(cast(Discriminator, network), self.latent_dim)


class _Encoder(nn.Module):
    def __init__(self, network: Discriminator, latent_dim: int) -> None:
        super().__init__()
        self.network = network
        owner = innermost(network)
        owner.output = linear_like(owner.output, owner.output.in_features, latent_dim)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (n, latent_dim) of samples (n, ...); labels int64 (n,) or None."""
        return innermost(self.network).output(self.network.features(samples, labels))
