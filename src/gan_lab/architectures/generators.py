"""Wrappers for mixtures of generators that share most layers, and for discriminators that classify them."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.conditioning import AuxiliaryClassifier, WithClassifier, refuse_packing
from gan_lab.layers.labeled import labels_for
from gan_lab.layers.own_layers import OwnBatchNorm, OwnLayer
from gan_lab.layers.synchronized_batch_norm import SynchronizedBatchNorm1d, SynchronizedBatchNorm2d

OWN = ("first", "last")
"""Layers that each generator has for itself."""


@dataclass(frozen=True)
class OwnLayers:
    """Several generators as one network, conditioned on the number of the generator.

    Each generator has its own first layer with its batch norm, as in MGAN (Hoang et al., 2018, section 4 and code), or
    its own last layer, as in MAD-GAN (Ghosh et al., 2018, code); all other layers are common. A generator architecture
    names these layers in `first_layers` and `last_layers`. With one generator nothing changes.

    Args:
        generators: Number of generators.
        own: `first` or `last`.

    Raises:
        ValueError: An option is not allowed, or the architecture does not name such layers.
    """

    generators: int
    own: str = "first"

    def __post_init__(self) -> None:
        if self.own not in OWN:
            raise ValueError(f"wrapper.generator.conditioning.own={self.own} is not known; choose {' or '.join(OWN)}")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        names: tuple[str, ...] = getattr(network, f"{self.own}_layers", ())
        if not names:
            raise ValueError(
                f"{type(network).__name__} does not name its {self.own} layers, which each generator has for itself; "
                "set architecture=mlp, maxout, mgan, dcgan, resnet, sngan_cnn, sngan_resnet or sagan"
            )
        for name in names:
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, self._own(network.get_submodule(name)))
        return _Generators(network)

    def _own(self, layer: nn.Module) -> nn.Module:
        """The layer for each generator; a norm without running statistics is common."""
        if isinstance(layer, SynchronizedBatchNorm1d | SynchronizedBatchNorm2d):
            raise ValueError(
                "wrapper/generator=[synchronized_batch_norm] has statistics over all samples, and the batch norm of an "
                "own first layer those of one generator; remove the wrapper"
            )
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            return OwnBatchNorm(layer, self.generators)
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            return OwnLayer(layer, self.generators)
        return layer


class _Generators(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) by the generators with these numbers, int64 (n,).

        Raises:
            ValueError: `numbers` is None.
        """
        if numbers is None:
            raise ValueError("this network is several generators: call it with the number of one for each latent")
        with labels_for(self.network, numbers):
            return self.network(latents)


@dataclass(frozen=True)
class GeneratorClassifier(AuxiliaryClassifier):
    """A linear classifier of the generator that made a sample, on the same features as the logit: MGAN's Q.

    Args:
        num_classes: Number of generators.
    """

    def __call__(self, network: nn.Module) -> nn.Module:
        refuse_packing(network)
        return _WithGeneratorClassifier(cast(Discriminator, network), self.classes)


class _WithGeneratorClassifier(WithClassifier):
    classifies: ClassVar[bool] = False  # it predicts the generator

    def features(self, x: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Last hidden layer of samples (n, ...); the number is not passed to the network that must predict it."""
        return self.network.features(x)

    def head(self, features: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        return self.network.head(features)


@dataclass(frozen=True)
class GeneratorSoftmax(GeneratorClassifier):
    """A softmax over the data and all generators: MAD-GAN, Ghosh et al. (2018), section 4.

    With the outputs l_0 for the data and l_1, ..., l_K for the generators, the logit is l_0 - log sum exp(l_1, ...,
    l_K): its sigmoid is the probability of the data. `auxiliary` returns l_1, ..., l_K. The cross entropy of generator
    k under the softmax is softplus of the logit plus the cross entropy of k among the generators.

    Args:
        num_classes: Number of generators.
    """

    def __call__(self, network: nn.Module) -> nn.Module:
        refuse_packing(network)
        return _WithSoftmax(cast(Discriminator, network), self.classes)


class _WithSoftmax(_WithGeneratorClassifier):
    def head(self, features: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        return super().head(features) - torch.logsumexp(self.auxiliary(features).float(), 1)
