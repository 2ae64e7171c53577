"""Wrappers that condition generators and discriminators of any architecture on labels."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.packing import Packed
from gan_lab.architectures.wrapped import Wrapped, last_layer, linear_like, swap_batch_norms
from gan_lab.layers.conditional_batch_norm import ConditionalBatchNorm
from gan_lab.layers.labeled import TakesMixtures, labels_for, one_hot, rows_of_labels


@dataclass(frozen=True)
class _Conditioning:
    """Base class of label conditioning, which needs a data set with labels.

    Args:
        num_classes: Number of labels; None, for a data set without labels, is an error.

    Raises:
        ValueError: There are no labels, or the network does not support the wrapper.
    """

    num_classes: int | None
    choice: ClassVar[str]
    """The choices of the config group `conditioning` that use this class, for messages."""

    def __post_init__(self) -> None:
        if self.num_classes is None:
            raise ValueError(
                f"conditioning={self.choice} needs labels; give dataset.num_classes, if the data set has classes, "
                "or conditioning=none"
            )

    @property
    def classes(self) -> int:
        return cast(int, self.num_classes)

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs


@dataclass(frozen=True)
class ConcatLatents(_Conditioning):
    """Concatenates one-hot labels to the latents of a generator (Mirza & Osindero, 2014; Odena et al., 2017, §3)."""

    choice: ClassVar[str] = "concat or auxiliary_classifier"

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with the coordinates of a one-hot label added to the latent."""
        return with_label_coordinates(kwargs, self.classes)

    def __call__(self, network: nn.Module) -> nn.Module:
        return _LabeledLatents(network, self.classes)


class _LabeledLatents(TakesMixtures, nn.Module):
    averaged: ClassVar[str] = "one-hot vectors"

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) of labels, int64 (n,)."""
        return self.network(torch.cat([latents, _one_hot(labels, self.num_classes, latents)], 1), labels)


@dataclass(frozen=True)
class SharedEmbedding(_Conditioning):
    """Concatenates a learned embedding of the label to the latents of a generator (Brock et al., 2019, section 3.1).

    All conditional norms of BigGAN use the same embedding; networks of other families use it in their first layer. The
    initial table has orthonormal rows or columns, as in the authors' code. It is not spectrally normalized.

    Args:
        num_classes: Number of labels.
        dim: Size of a vector.
    """

    dim: int = 128
    choice: ClassVar[str] = "shared_embedding"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 1:
            raise ValueError(f"wrapper.generator.conditioning.dim={self.dim} is not allowed: it must be at least 1")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with the coordinates of the embedding added to the latent."""
        return with_label_coordinates(kwargs, self.dim)

    def __call__(self, network: nn.Module) -> nn.Module:
        return _EmbeddedLabels(network, self.classes, self.dim)


class _EmbeddedLabels(TakesMixtures, nn.Module):
    averaged: ClassVar[str] = "embeddings"

    def __init__(self, network: nn.Module, num_classes: int, dim: int) -> None:
        super().__init__()
        self.network = network
        # Not an nn.Embedding, which spectral normalization and orthogonal regularization would treat as a layer.
        self.vectors = nn.Parameter(nn.init.orthogonal_(torch.empty(num_classes, dim)))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) of labels, int64 (n,)."""
        vectors = rows_of_labels(self.vectors, _require_labels(labels))
        return self.network(torch.cat([latents, vectors], 1), labels)


@dataclass(frozen=True)
class ConditionalNorm(_Conditioning):
    """Class-conditional batch norm: one gain and shift per label in the batch norms (Miyato & Koyama, 2018, §3).

    In residual generators, the norms of the blocks: their last norm, `output_norm`, stays unconditional, as in the
    codes of the projection discriminator, SAGAN, WGAN-GP and BigGAN. In all others, which have no published
    conditional form with batch norm, every norm.
    """

    choice: ClassVar[str] = "projection"

    def __call__(self, network: nn.Module) -> nn.Module:
        message = "conditioning=projection needs batch norm in the generator; set architecture.generator.norm=batch"
        swap_batch_norms(network, lambda norm: ConditionalBatchNorm(norm, self.classes), message, ("output_norm",))
        return _LabeledNorms(network)


class _LabeledNorms(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) of labels, int64 (n,)."""
        with labels_for(self.network, labels):
            return self.network(latents, labels)


@dataclass(frozen=True)
class LabelMapping(_Conditioning):
    """Labels as an input of the networks of StyleGAN2, R3GAN and LAPGAN: of mapping networks, embeddings or planes.

    The networks take the labels themselves; this only passes them the number of classes.
    """

    choice: ClassVar[str] = "mapping"

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with the number of classes."""
        if "num_classes" not in kwargs:
            raise ValueError(
                "conditioning=mapping needs networks that take labels; set architecture=stylegan2, r3gan or "
                "lapgan, or another conditioning"
            )
        return kwargs | {"num_classes": self.classes}

    def __call__(self, network: nn.Module) -> nn.Module:
        return network


@dataclass(frozen=True)
class ConcatMaps(_Conditioning):
    """Concatenates one-hot labels to samples: as constant maps to images, as coordinates to points.

    The fully connected discriminator of Mirza & Osindero (2014) joins sample and label in its second layer, the
    conditional code of DCGAN in every layer; here only the input has the label.
    """

    choice: ClassVar[str] = "concat"

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs with one more channel for each label."""
        return kwargs | {"channels": kwargs["channels"] + self.classes}

    def __call__(self, network: nn.Module) -> nn.Module:
        return _LabeledSamples(cast(Discriminator, network), self.classes)


class _LabeledSamples(Wrapped):
    def __init__(self, network: Discriminator, num_classes: int) -> None:
        super().__init__(network)
        self.num_classes = num_classes

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer of samples (n, C, ...) with labels, int64 (n,)."""
        maps = _one_hot(labels, self.num_classes, x)  # (n, K)
        maps = maps.view(*maps.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])  # (n, K, ...)
        return self.network.features(torch.cat([x, maps], 1), labels)


@dataclass(frozen=True)
class Projection(_Conditioning):
    """Adds the inner product of features and label embedding to the logit (Miyato & Koyama, 2018, eq. 4).

    f(x, y) = head(phi(x)) + <v_y, phi(x)>.

    Args:
        num_classes: Number of labels.
        init: Initial embedding: `glorot` (uniform), as in the authors' code, or `orthogonal`, as in BigGAN's.
    """

    init: str = "glorot"
    choice: ClassVar[str] = "projection or shared_embedding"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init not in _INITIALIZATIONS:
            raise ValueError(
                f"wrapper.discriminator.conditioning.init={self.init} is not known; "
                f"choose {' or '.join(_INITIALIZATIONS)}"
            )

    def __call__(self, network: nn.Module) -> nn.Module:
        refuse_packing(network)
        return _Projected(cast(Discriminator, network), self.classes, self.init)


_INITIALIZATIONS = {"glorot": nn.init.xavier_uniform_, "orthogonal": nn.init.orthogonal_}


class _Projected(Wrapped):
    def __init__(self, network: Discriminator, num_classes: int, init: str) -> None:
        super().__init__(network)
        weight = last_layer(network).weight
        self.embedding = nn.Embedding(num_classes, weight.shape[1], device=weight.device, dtype=weight.dtype)
        _INITIALIZATIONS[init](self.embedding.weight)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d) with labels, int64 (n,)."""
        vectors = self.embedding(_require_labels(labels))  # (n, d)
        return self.network.head(features, labels) + (vectors * features).sum(1)


@dataclass(frozen=True)
class AuxiliaryClassifier(_Conditioning):
    """A linear classifier of the label, on the same features as the logit (Odena et al., 2017, §3).

    `auxiliary(features)` returns its logits; the logit of a sample does not depend on its label. The initial weights of
    the classifier have the scale of the output layer, because the paper has both in one layer.
    """

    choice: ClassVar[str] = "auxiliary_classifier"

    def __call__(self, network: nn.Module) -> nn.Module:
        refuse_packing(network)
        return WithClassifier(cast(Discriminator, network), self.classes)


class WithClassifier(Wrapped):
    """A discriminator with a classifier of its last hidden layer."""

    classifies: ClassVar[bool] = True
    """Whether `auxiliary` returns logits of the classes of the data."""

    def __init__(self, network: Discriminator, num_classes: int) -> None:
        super().__init__(network)
        output = last_layer(network)
        self.classifier = linear_like(output, output.in_features, num_classes)

    def auxiliary(self, features: Tensor) -> Tensor:
        """Class logits (n, num_classes) of features (n, d)."""
        return self.classifier(features)


def with_label_coordinates(kwargs: dict[str, Any], size: int) -> dict[str, Any]:
    """The kwargs of a generator with `size` label coordinates after its latent; some families take their number."""
    label_dim = {"label_dim": size} if "label_dim" in kwargs else {}
    latent_dim = kwargs["latent_dim"]
    if type(latent_dim) is not int:
        raise ValueError(f"architecture.generator.latent_dim={latent_dim} is not allowed: it must be a whole number")
    return kwargs | {"latent_dim": latent_dim + size} | label_dim


def _require_labels(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("this network is conditioned on labels: call it with labels, int64 (n,)")
    return labels


def _one_hot(labels: Tensor | None, num_classes: int, like: Tensor) -> Tensor:
    return one_hot(_require_labels(labels), num_classes, like)  # (n, K)


def refuse_packing(network: nn.Module) -> None:
    """Refuse a discriminator of packs where each sample needs its own logit or class.

    Raises:
        ValueError: The network scores packs.
    """
    if any(isinstance(part, Packed) for part in network.modules()):
        raise ValueError(
            "packing scores several samples at once, but each has its own label; set conditioning=concat or none"
        )
