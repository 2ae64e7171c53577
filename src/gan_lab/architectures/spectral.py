"""Wrapper for spectral normalization."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from gan_lab.layers.spectral_norm import spectrally_normalize


@dataclass(frozen=True)
class SpectralNormalization:
    """Every linear layer, convolution and embedding divided by its largest singular value (Miyato et al., 2018, §2).

    SN-GAN uses it in the discriminator, SAGAN in the generator too (Zhang et al., 2019, §3.2). See
    `gan_lab.layers.spectral_norm`. Apply it after all other wrappers, because it also changes the layers that they add.
    """

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        spectrally_normalize(network)
        return network
