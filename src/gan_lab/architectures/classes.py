"""Wrapper for discriminators that classify: one logit for each class, and none for generated samples."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.conditioning import refuse_packing
from gan_lab.architectures.wrapped import Wrapped, innermost, last_layer, linear_like


@dataclass(frozen=True)
class ClassHead:
    """K class logits in the place of the logit (Salimans et al., 2016, section 5).

    A softmax over K classes and a class of generated samples has one output too many; with that of generated samples
    fixed to 0, the log odds of "real" are l = log sum exp of the K logits, and D(x) = sigmoid(l) = Z / (Z + 1) with
    Z = sum exp. `head` returns l, so every loss applies, and `auxiliary` returns the class logits. The new layer starts
    at the scale of the old output layer.

    Args:
        num_classes: Number of classes, K; None, for a data set without labels, is an error.

    Raises:
        ValueError: There are no labels, or only one class.
    """

    num_classes: int | None

    def __post_init__(self) -> None:
        if self.num_classes is None:
            raise ValueError(
                "wrapper/discriminator=[class_head] classifies, which needs labels; give dataset.num_classes, if the "
                "data set has classes, or another model"
            )
        if self.num_classes < 2:
            raise ValueError(f"dataset.num_classes={self.num_classes} leaves nothing to classify; give at least 2")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        refuse_packing(network)
        return _WithClasses(cast(Discriminator, network), cast(int, self.num_classes))


class _WithClasses(Wrapped):
    classifies: ClassVar[bool] = True

    def __init__(self, network: Discriminator, num_classes: int) -> None:
        super().__init__(network)
        self.num_classes = num_classes
        output = last_layer(network)
        innermost(network).output = linear_like(output, output.in_features, num_classes)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, ...); labels are not passed to the network that must predict them."""
        return self.network.features(x)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        logits = self.auxiliary(features)
        return torch.logsumexp(logits.float() if logits.dtype != torch.float64 else logits, 1)

    def auxiliary(self, features: Tensor) -> Tensor:
        """Class logits (n, num_classes) of features (n, d)."""
        return self.network.head(features)  # whose layer has several outputs here
