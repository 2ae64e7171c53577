"""Base class of discriminators, and the protocol of wrappers around networks."""

from typing import Any, Protocol

from torch import Tensor, nn

Layer = tuple[nn.Module, ...]
"""A layer with weights and the norm that goes with it."""


class Discriminator(nn.Module):
    """A network that scores samples in two steps: `features`, the last hidden layer, and `head`, the logits.

    A subclass registers `output`, the linear layer to one logit, and defines `features`. Unconditional discriminators
    ignore labels.
    """

    output: nn.Linear

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, ...); labels int64 (n,) or None."""
        raise NotImplementedError

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        logits: Tensor = self.output(features)  # (n, 1)
        return logits.squeeze(1)  # (n,)

    def layers_from_image(self) -> "list[Layer] | None":
        """Layers with weights in the order in which they are applied to an image; None if they have no such order.

        `freeze_discriminator` counts them. The last layers of the network need not be among them.
        """
        return None

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of samples (n, ...)."""
        return self.head(self.features(x, labels), labels)


class Wrapper(Protocol):
    """A modification of networks of any architecture: of their constructor arguments, then of the network."""

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Constructor arguments of the wrapped network, from those without the wrapper."""

    def __call__(self, network: nn.Module) -> nn.Module:
        """The wrapped or changed network."""
