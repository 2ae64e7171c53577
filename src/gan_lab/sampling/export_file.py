"""Export files: a generator's tensors as `.safetensors`, with a card in the metadata to build and use it.

It may also contain other networks: a file of `gan-lab import` the discriminator, for `gan-lab train initialize=`; one
of CycleGAN the generator of the other direction.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

from gan_lab.config.untrusted import foreign_config
from gan_lab.errors import CheckpointError
from gan_lab.files import atomic_write
from gan_lab.runs.remote import named

SUFFIX = ".safetensors"

KINDS = ("ema", "raw")
"""Values of `weights` in a card: of the averaged generator, or of the trained one."""

CARD, CARD_SHA256 = "gan_lab", "gan_lab_sha256"
"""Keys of the file's metadata: the card as JSON, and the SHA-256 of that text."""

DISCRIMINATOR = "discriminator."
"""Prefix of the discriminator's tensors; those of other networks have their name, and those of the generator none."""


@dataclass(frozen=True)
class Stored:
    """A generator as stored in a file.

    Attributes:
        config: Config of the generator; may contain other keys.
        state: Its state dict: tensors, and plain values of modules with extra state.
        images_seen: Real images seen in training.
        weights: `ema` or `raw`.
        file: The file.
        others: State dicts of other networks in the file, of tensors, by name: `discriminator`, `back_generator`.
        encoder: State dict of the encoder; empty without one, and for an export.
    """

    config: DictConfig
    state: Mapping[str, Any]
    images_seen: int
    weights: str
    file: Path
    others: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)

    @property
    def discriminator(self) -> Mapping[str, Tensor]:
        """State dict of the discriminator; empty if the file has none."""
        return self.others.get(DISCRIMINATOR[:-1], {})


def write_export(
    file: Path,
    state: Mapping[str, Any],
    card: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Write an export file atomically.

    Args:
        file: Ends with `.safetensors`; replaced if it exists.
        state: A state dict. Tensors with common memory are written separately; other values must be JSON values.
        card: Description of the generator, see `gan_lab.commands.export`; `state`, `networks` and `sha256` are added.
        others: State dicts of other networks, of tensors, by name.
    """
    everything = {**state, **{f"{name}.{key}": value for name, part in others.items() for key, value in part.items()}}
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in everything.items() if _is_tensor(value)}
    plain = {key: value for key, value in state.items() if not _is_tensor(value)}
    entries = {"state": plain, "networks": list(others), "sha256": sha256(tensors)}
    text = json.dumps({**card, **entries}, indent=2)
    with atomic_write(file) as target:
        target.write(serialized(tensors, metadata={CARD: text, CARD_SHA256: _sha256_of(text)}))


def read_export(file: Path, weights: str | None = None) -> Stored:
    """Read an export, on the CPU.

    Args:
        file: The file.
        weights: `ema` or `raw`; None for those that it contains.

    Raises:
        CheckpointError: The file is damaged, modified, of another kind, or contains other weights.
    """
    card, tensors = read_card(file)
    try:
        kept, images_seen, state, digest = card["weights"], int(card["images_seen"]), card["state"], card["sha256"]
        config = foreign_config(card["config"], named(file))
        others = {str(name): _part(tensors, f"{name}.") for name in card.get("networks", [DISCRIMINATOR[:-1]])}
        of_others = {f"{name}.{key}" for name, part in others.items() for key in part}
        everything = {key: value for key, value in tensors.items() if key not in of_others} | state
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{named(file)} has a card that cannot be used: {error} is missing or wrong.") from error
    if sha256(tensors) != digest:
        raise CheckpointError(f"{named(file)} is damaged: its tensors do not match the SHA-256 in its card.")
    if kept not in KINDS:
        raise CheckpointError(f"{named(file)} has a card that cannot be used: weights is missing or wrong.")
    if weights not in (kept, None):
        raise CheckpointError(
            f"{named(file)} contains the {kept} generator, not the {weights} one: give weights={kept}."
        )
    return Stored(config, everything, images_seen, kept, file, others)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def read_card(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The card and the tensors of an export.

    Raises:
        CheckpointError: The file is damaged, modified, or of another kind.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{named(file)} cannot be read: it is truncated, damaged, or not a .safetensors file."
        ) from error
    if CARD not in metadata:
        raise CheckpointError(f"{named(file)} has no card: it was not written by gan-lab export.")
    if _sha256_of(metadata[CARD]) != metadata.get(CARD_SHA256):
        raise CheckpointError(f"{named(file)} is damaged: its card was modified after it was written.")
    try:
        card = json.loads(metadata[CARD])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{named(file)} has a card that is not JSON.") from error
    if not isinstance(card, dict):
        raise CheckpointError(f"{named(file)} has a card that is not a mapping.")
    return card, tensors


def sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and values in hexadecimal digits, independent of the order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f" {name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
