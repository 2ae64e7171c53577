"""Networks that know the label: parts around generators and discriminators of any architecture."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.packing import Packed
from gan_lab.architectures.wrapped import Wrapped, innermost, linear_like, swap_batch_norms
from gan_lab.layers.conditional_batch_norm import ConditionalBatchNorm, labels_for


@dataclass(frozen=True)
class _Conditioning:
    """What all of them need: a data set with labels.

    Args:
        num_classes: Number of labels; None, of a data set without them, is refused.

    Raises:
        ValueError: There are no labels, or the part does not fit the network.
    """

    num_classes: int | None
    choice: ClassVar[str]
    """The word or words of the config group `conditioning` that lead here."""

    def __post_init__(self) -> None:
        if self.num_classes is None:
            raise ValueError(
                f"conditioning={self.choice} needs labels, and this data set has none; set conditioning=none"
            )

    @property
    def classes(self) -> int:
        return cast(int, self.num_classes)

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside is built as without labels."""
        return words


@dataclass(frozen=True)
class ConcatLatents(_Conditioning):
    """One-hot label beside the latent of a generator (Mirza & Osindero, 2014, §3.2; Odena et al., 2017, §3)."""

    choice: ClassVar[str] = "concat or auxiliary_classifier"

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside gets the label as further coordinates of its latent."""
        return _beside_latents(words, self.classes)

    def __call__(self, network: nn.Module) -> nn.Module:
        return _LabelledLatents(network, self.classes)


class _LabelledLatents(nn.Module):
    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) of labels, int64 (n,)."""
        return self.network(torch.cat([latents, _one_hot(labels, self.num_classes, latents)], 1), labels)


@dataclass(frozen=True)
class SharedEmbedding(_Conditioning):
    """A learned vector of the label beside the latent of a generator (Brock et al., 2019, section 3.1).

    BigGAN shares it among all its conditional norms; a network of another family sees it in its first layer. The vectors
    start as a table with orthonormal rows or columns, as in the authors' code, and are not spectrally normalized.

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

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside gets the vector as further coordinates of its latent."""
        return _beside_latents(words, self.dim)

    def __call__(self, network: nn.Module) -> nn.Module:
        return _EmbeddedLabels(network, self.classes, self.dim)


class _EmbeddedLabels(nn.Module):
    def __init__(self, network: nn.Module, num_classes: int, dim: int) -> None:
        super().__init__()
        self.network = network
        # No nn.Embedding: spectral normalization and orthogonal regularization would take that for a layer.
        self.vectors = nn.Parameter(nn.init.orthogonal_(torch.empty(num_classes, dim)))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) of labels, int64 (n,)."""
        return self.network(torch.cat([latents, self.vectors[_given(labels)]], 1), labels)


@dataclass(frozen=True)
class ConditionalNorm(_Conditioning):
    """A gain and a shift for each label in every batch norm of a generator (Miyato & Koyama, 2018, §3)."""

    choice: ClassVar[str] = "projection"

    def __call__(self, network: nn.Module) -> nn.Module:
        complaint = (
            "conditioning=projection puts the label into the generator's batch norm; "
            "set architecture.generator.norm=batch"
        )
        swap_batch_norms(network, lambda norm: ConditionalBatchNorm(norm, self.classes), complaint)
        return _LabelledNorms(network)


class _LabelledNorms(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim) of labels, int64 (n,)."""
        with labels_for(self.network, labels):
            return self.network(latents, labels)


@dataclass(frozen=True)
class ConcatMaps(_Conditioning):
    """One-hot label beside the sample: constant maps beside an image, coordinates beside a point (Mirza & Osindero, 2014).

    The paper's fully connected discriminator joins sample and label in its second layer, DCGAN's conditional code joins
    them in every layer; here only the input has the label.
    """

    choice: ClassVar[str] = "concat"

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside sees a channel more for each label."""
        return words | {"channels": words["channels"] + self.classes}

    def __call__(self, network: nn.Module) -> nn.Module:
        return _LabelledSamples(cast(Discriminator, network), self.classes)


class _LabelledSamples(Wrapped):
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
    """Logit plus the inner product of the features with a vector of the label (Miyato & Koyama, 2018, eq. 4).

    f(x, y) = head(phi(x)) + <v_y, phi(x)>.

    Args:
        num_classes: Number of labels.
        init: First vectors: `glorot`, Glorot-uniform numbers as in the authors' code, or `orthogonal`, as in BigGAN's.
    """

    init: str = "glorot"
    choice: ClassVar[str] = "projection or shared_embedding"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init not in _FIRST_VECTORS:
            raise ValueError(
                f"wrapper.discriminator.conditioning.init={self.init} is not known; choose {' or '.join(_FIRST_VECTORS)}"
            )

    def __call__(self, network: nn.Module) -> nn.Module:
        _refuse_packs(network)
        return _Projected(cast(Discriminator, network), self.classes, self.init)


_FIRST_VECTORS = {"glorot": nn.init.xavier_uniform_, "orthogonal": nn.init.orthogonal_}


class _Projected(Wrapped):
    def __init__(self, network: Discriminator, num_classes: int, init: str) -> None:
        super().__init__(network)
        weight = innermost(network).output.weight
        self.embedding = nn.Embedding(num_classes, weight.shape[1], device=weight.device, dtype=weight.dtype)
        _FIRST_VECTORS[init](self.embedding.weight)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d) with labels, int64 (n,)."""
        vectors = self.embedding(_given(labels))  # (n, d)
        return self.network.head(features, labels) + (vectors * features).sum(1)


@dataclass(frozen=True)
class AuxiliaryClassifier(_Conditioning):
    """A linear classifier of the label beside the logit, on the same features (Odena et al., 2017, §3).

    `classify(features)` gives its logits; whether a sample is real is judged without its label. The classifier's first
    weights are as large as the output layer's: the paper has both in one layer.
    """

    choice: ClassVar[str] = "auxiliary_classifier"

    def __call__(self, network: nn.Module) -> nn.Module:
        _refuse_packs(network)
        return _Classifying(cast(Discriminator, network), self.classes)


class _Classifying(Wrapped):
    def __init__(self, network: Discriminator, num_classes: int) -> None:
        super().__init__(network)
        output = innermost(network).output
        self.classifier = linear_like(output, output.in_features, num_classes)

    def classify(self, features: Tensor) -> Tensor:
        """Class logits (n, num_classes) of features (n, d)."""
        return self.classifier(features)


def _beside_latents(words: dict[str, Any], size: int) -> dict[str, Any]:
    """The words of a generator whose latents have the label's coordinates behind them; BigGAN's is told how many."""
    told = {"label_dim": size} if "label_dim" in words else {}
    return words | {"latent_dim": words["latent_dim"] + size} | told


def _given(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("this network is conditioned on labels: call it with labels, int64 (n,)")
    return labels


def _one_hot(labels: Tensor | None, num_classes: int, like: Tensor) -> Tensor:
    return F.one_hot(_given(labels), num_classes).to(like.dtype)  # (n, K)


def _refuse_packs(network: nn.Module) -> None:
    if any(isinstance(part, Packed) for part in network.modules()):
        raise ValueError(
            "packing judges several samples at once, each with its own label; set conditioning=concat or none"
        )
