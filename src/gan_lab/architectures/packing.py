"""Wrapper for discriminators that score several samples at once."""

from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import Wrapped


@dataclass(frozen=True)
class Packing:
    """One logit for a pack of `size` samples that are all real or all generated (PacGAN, Lin et al., 2018, §3).

    Consecutive samples form a pack: their channels (or coordinates) are concatenated. Size 1 changes nothing.

    Args:
        size: Samples in a pack.

    Raises:
        ValueError: The size is below 1.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"wrapper.discriminator.packing.size must be at least 1, not {self.size}")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with the channels of a pack."""
        return kwargs | {"channels": kwargs["channels"] * self.size}

    def __call__(self, network: nn.Module) -> nn.Module:
        return network if self.size == 1 else Packed(cast(Discriminator, network), self.size)


class Packed(Wrapped):
    """A discriminator of packs: n samples give n / size features and logits.

    Args:
        network: The wrapped discriminator, with `size` times the channels.
        size: Samples in a pack, also as `samples_per_logit`.
    """

    def __init__(self, network: Discriminator, size: int) -> None:
        super().__init__(network)
        self.size = self.samples_per_logit = size

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n / size, d) of samples (n, C, ...).

        Raises:
            ValueError: The size does not divide n.
        """
        if len(x) % self.size:
            raise ValueError(
                f"wrapper.discriminator.packing.size={self.size} must divide the {len(x)} samples that one process "
                "scores at a time; change it or batch_size"
            )
        packs = x.unflatten(0, (-1, self.size)).flatten(1, 2)  # (n / size, size C, ...)
        return self.network.features(packs)  # packs have no labels

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n / size,) of features (n / size, d)."""
        return self.network.head(features)
