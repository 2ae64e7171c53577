"""Wrappers for image-to-image translation: both networks get the source image of a sample as their condition."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.packing import Packed
from gan_lab.architectures.wrapped import Wrapped


@dataclass(frozen=True)
class _FromSource:
    """Base class: needs a data set with source images.

    Args:
        source_channels: Channels of the source images; None, for a data set without them, is an error.

    Raises:
        ValueError: The data set has no source images, or the network cannot use them.
    """

    source_channels: int | None

    def __post_init__(self) -> None:
        if self.source_channels is None:
            raise ValueError(
                "conditioning=source_image needs a data set with a source for each image; set dataset=paired, or "
                "dataset=unpaired with model=cyclegan; for other data sets, model=dcgan conditioning=none"
            )

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs


@dataclass(frozen=True)
class TakeSource(_FromSource):
    """Passes source images to a generator, which must be a network from images to images; changes nothing."""

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged.

        Raises:
            ValueError: The generator takes no source images.
        """
        if "source_channels" not in kwargs:
            raise ValueError(
                "conditioning=source_image needs a generator that takes images; set architecture=unet, "
                "or another conditioning"
            )
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        return network


@dataclass(frozen=True)
class ConcatSource(_FromSource):
    """Concatenates the source image to the sample, for a discriminator of pairs (Isola et al., 2017, section 3.1)."""

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with the channels of the source added."""
        return kwargs | {"channels": kwargs["channels"] + self.source_channels}

    def __call__(self, network: nn.Module) -> nn.Module:
        if any(isinstance(part, Packed) for part in network.modules()):
            raise ValueError(
                "packing scores several samples at once, but each has its own source; remove the wrapper packing"
            )
        return _WithSource(cast(Discriminator, network))


class _WithSource(Wrapped):
    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer of samples (n, C, H, W) with their sources (n, C_s, H, W)."""
        if labels is None:
            raise ValueError("this network scores pairs: call it with the source image of each sample")
        return self.network.features(torch.cat([x, labels], 1), labels)
