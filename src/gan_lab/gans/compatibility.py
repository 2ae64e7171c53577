"""Checks that the parts of an algorithm can be combined, from properties that the parts declare.

Parts may declare these as attributes; the default is in parentheses:

| attribute | of | meaning |
|---|---|---|
| `discriminators` (1) | a loss | number of discriminators that it needs |
| `zero_sum` (False) | a loss | the generator's term is minus the discriminator's term of generated samples |
| `boundary` | a loss | the logit between real and generated samples, or None |
| `needs_boundary` | an augmentation | it reads whether logits are above the boundary |
| `calls_generator` (False) | a penalty | it calls the generator with latents |
| `single_images_only` (False) | an augmentation, a penalty | it cannot change images at all scales, or beside others |
| `of` | a penalty | the kind of player that it needs, `discriminator` or `generator`; any if missing |
| `categories`, `code_dim` | a penalty, a layer | the codes that it expects |
| `per_sample` | a penalty | it takes the gradient of each logit by its own sample |
| `needs_latents` (False) | a penalty | it follows samples through the latents |
| `needs_pairs` (False) | a penalty | it compares a generated sample with the real sample of the same source |
| `gives_styles` (False) | a layer | its output is the styles (n, layers, d) of a generator |
| `is_second_head` (False) | a layer | it predicts the condition; logits do not depend on it |
| `channels`, `source_channels` | a generator | those of the images that it makes and takes; unknown if missing |
| `mixes_samples` (False) | a layer | its output depends on every sample of the batch |
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lab.gans.inference import has_condition
from gan_lab.layers.growing import growing_networks
from gan_lab.layers.multi_scale import multi_scale_networks
from gan_lab.regularizers.base import Penalty


class Combination(Protocol):
    """The attributes of an algorithm that the checks read; see `GAN`."""

    parts: Any
    penalties: Any
    networks: tuple[str, ...]
    discriminators: ClassVar[tuple[str, ...]]
    generator: nn.Module
    discriminator: nn.Module
    logits_of_loss: ClassVar[int]
    needs_zero_sum: ClassVar[bool]
    needs_all_samples: ClassVar[bool]
    generator_has_own_terms: ClassVar[bool]


def check(gan: Combination) -> None:
    """Check all parts of an algorithm against each other.

    Raises:
        ValueError: Parts cannot be combined; the message names them and what to choose instead.
    """
    _check_loss(gan)
    _check_growth(gan)
    _check_scales(gan)
    _check_generator(gan)
    _check_players(gan)
    _check_codes(gan)
    _check_samples(gan)
    for name in gan.networks:
        check_penalties(gan.penalties.of(name), name, getattr(gan, name))


def check_penalties(penalties: Mapping[str, Penalty], player: str, network: nn.Module) -> None:
    """Refuse per-sample penalties of a network that mixes the samples of a batch.

    Raises:
        ValueError: There is such a penalty.
    """
    mixing = next((type(layer).__name__ for layer in _layers(network) if _mixes_samples(layer)), None)
    for name, penalty in penalties.items():
        if penalty.per_sample and mixing is not None:
            raise ValueError(
                f"regularizer={name} takes the gradient of each sample, and {mixing} in the {player} mixes the "
                f"samples; set architecture.{player}.norm=none or layer, or remove its wrapper"
            )


def check_cycle(parts: Any, generator: nn.Module, identity_weight: float) -> None:
    """Refuse parts that a GAN of two opposite translations cannot use.

    Raises:
        ValueError: There is such a part, or an identity term between images of different channels.
    """
    if not parts.condition.needs_batch:
        raise ValueError(
            "model=cyclegan translates the images of one set to those of another; "
            "set conditioning=source_image and dataset=unpaired"
        )
    if parts.generator_batches != 1:
        raise ValueError(
            f"generator_batches={parts.generator_batches} is for samples of new latents, and model=cyclegan translates "
            "each image once; set generator_batches=1"
        )
    for name, penalty in parts.penalties.items():
        if getattr(penalty, "needs_latents", False):
            raise ValueError(
                f"regularizer={name} follows samples through their latents, and model=cyclegan translates images; "
                "remove it from regularizer"
            )
    sizes = [_declared(generator, name) for name in ("source_channels", "channels")]
    if identity_weight and None not in sizes and sizes[0] != sizes[1]:
        raise ValueError(
            f"algorithm.identity_weight={identity_weight} compares an image with its translation, but images have "
            f"{sizes[0]} and {sizes[1]} channels; set algorithm.identity_weight=0, or equal dataset.channels and "
            "dataset.source_channels"
        )


def check_reconstruction(condition: Any) -> None:
    """Refuse conditions of generated samples that real ones lack, where the generator reconstructs real samples.

    Raises:
        ValueError: There is such a condition.
    """
    if not condition.needs_batch and not has_condition(condition):
        raise ValueError(
            "this algorithm reconstructs real samples, which have no codes and no number of a generator; "
            "set conditioning=none, or a conditioning on labels"
        )


def _declared(network: nn.Module, name: str) -> Any:
    """The first attribute of this name in a network or a layer of it; None if there is none."""
    return next((getattr(layer, name) for layer in network.modules() if hasattr(layer, name)), None)


def _check_loss(gan: Combination) -> None:
    loss, name = gan.parts.loss, type(gan.parts.loss).__name__
    count = getattr(loss, "discriminators", 1)
    if count > gan.logits_of_loss:
        raise ValueError("loss=dual needs two discriminators; set model=d2gan, or another loss")
    if count < gan.logits_of_loss:
        raise ValueError(f"model=d2gan has two discriminators and {name} is a loss of one; set loss=dual")
    if gan.needs_zero_sum and not getattr(loss, "zero_sum", False):
        raise ValueError(
            f"this algorithm needs a zero-sum loss, and the generator's term of {name} is not minus the "
            "discriminator's; set loss=minimax or wasserstein"
        )
    if gan.parts.label_smoothing and not hasattr(loss, "real"):
        raise ValueError(
            f"label_smoothing needs a loss with separate real and fake terms, unlike {name}; set label_smoothing=0"
        )
    if gan.parts.augment.needs_boundary and loss.boundary is None:
        raise ValueError(
            f"augment=ada reads the sign of real logits, which has no meaning with {name}; "
            "set augment.fixed=true with a constant augment.p, augment=diffaugment, or loss=non_saturating or hinge"
        )


def _check_growth(gan: Combination) -> None:
    for network in (gan.generator, gan.discriminator):
        if gan.parts.growth is not None and not growing_networks(network):
            raise ValueError(
                f"growth needs growing networks, and {type(network).__name__} does not grow; "
                "set architecture=pggan, or growth=none"
            )


def _check_scales(gan: Combination) -> None:
    """Both networks or neither use images at all scales; with them, no part may change single images."""
    generator, discriminator = multi_scale_networks(gan.generator), multi_scale_networks(gan.discriminator)
    if bool(generator) != bool(discriminator):
        raise ValueError(
            f"{type(gan.generator).__name__} and {type(gan.discriminator).__name__} cannot be combined: only one of "
            "them uses images at all scales; set architecture=msg_gan for both"
        )
    if not generator:
        return
    if getattr(gan.parts.augment, "single_images_only", False):
        raise ValueError("augment changes single images, and these networks use all scales; set augment=none")
    for name, penalty in gan.parts.penalties.items():
        if getattr(penalty, "single_images_only", False):
            raise ValueError(
                f"regularizer={name} changes single images, and these networks use all scales; "
                "remove it from regularizer"
            )


def _check_generator(gan: Combination) -> None:
    if gan.parts.adversarial_weight == 0 and not (gan.penalties.of("generator") or gan.generator_has_own_terms):
        raise ValueError("adversarial_weight=0 leaves the generator without a loss; add regularizer=[feature_matching]")
    if gan.parts.selection is not None and gan.needs_all_samples:
        raise ValueError(
            "regularizer=top_k drops samples that the generator of this algorithm needs; remove it from regularizer"
        )


def _check_players(gan: Combination) -> None:
    """Refuse penalties of players that the algorithm does not have."""
    for name, penalty in gan.parts.penalties.items():
        if penalty.player not in gan.networks:
            raise ValueError(
                f"regularizer.{name}.player={penalty.player} is not a player of this algorithm; "
                f"choose {' or '.join(gan.networks)}"
            )
        kind = "discriminator" if penalty.player in gan.discriminators else "generator"
        if (wanted := getattr(penalty, "player_kind", kind)) != kind:
            raise ValueError(
                f"regularizer.{name}.player={penalty.player} is not allowed: the penalty needs a {wanted}; "
                f"set regularizer.{name}.player={wanted}"
            )


def _check_codes(gan: Combination) -> None:
    """Refuse parts whose codes differ from those of the condition."""
    sizes = getattr(gan.parts.condition, "categories", None)
    for name, penalty in gan.parts.penalties.items():
        if hasattr(penalty, "categories") and (sizes is None or list(penalty.categories) != list(sizes)):
            raise ValueError(
                f"regularizer.{name}.categories={list(penalty.categories)} differs from "
                f"conditioning.categories={None if sizes is None else list(sizes)}; "
                "set conditioning=codes and equal categories"
            )
    for name in gan.networks:
        for part in getattr(gan, name).modules():
            if getattr(part, "code_dim", None) not in (None, getattr(gan.parts.condition, "dim", None)):
                raise ValueError(
                    f"wrapper.{name}.conditioning needs codes of {part.code_dim} numbers, and conditioning has others; "
                    "set conditioning=codes and change only conditioning.categories or conditioning.continuous"
                )


def _check_samples(gan: Combination) -> None:
    """Refuse penalties of pairs where generated samples have no source, and those of latents where there are none."""
    for name, penalty in gan.parts.penalties.items():
        if getattr(penalty, "needs_latents", False) and gan.parts.latent.dim == 0:
            raise ValueError(
                f"regularizer={name} follows samples through their latents, and latent.dim=0; "
                "remove it from regularizer"
            )
        if getattr(penalty, "needs_pairs", False) and not gan.parts.condition.needs_batch:
            raise ValueError(
                f"regularizer={name} compares generated samples with the real samples of the same sources, and here "
                "they have none; set conditioning=source_image, or remove it from regularizer"
            )


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """The layers of a network without second heads, which logits and samples do not depend on."""
    if not getattr(network, "is_second_head", False):
        yield network
        for child in network.children():
            yield from _layers(child)


def _mixes_samples(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) or getattr(layer, "mixes_samples", False)
