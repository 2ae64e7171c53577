"""Networks of spectrally normalized weights."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from gan_lab.layers.spectral_norm import spectrally_normalize


@dataclass(frozen=True)
class SpectralNormalization:
    """Every linear layer, convolution and embedding divided by its largest singular value (Miyato et al., 2018, §2).

    In a discriminator as in SN-GAN, and in a generator as in SAGAN (Zhang et al., 2019, §3.2). See
    `gan_lab.layers.spectral_norm`. The last of all wrappers, because it changes the layers that others bring.
    """

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network is built as without it."""
        return words

    def __call__(self, network: nn.Module) -> nn.Module:
        spectrally_normalize(network)
        return network
