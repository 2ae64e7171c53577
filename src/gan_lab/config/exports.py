"""A generator alone in a `.safetensors` file: its tensors, and a card in the metadata that says how to build and use them."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gan_lab.config.foreign import foreign_config
from gan_lab.errors import CheckpointError

SUFFIX = ".safetensors"

CARD, CARD_SHA256 = "gan_lab", "gan_lab_sha256"
"""Keys of the file's metadata: the card as JSON, and the SHA-256 of that text."""


@dataclass(frozen=True)
class Stored:
    """A generator as a file holds it.

    Attributes:
        config: What it is built from; may hold more.
        state: Its state dict: tensors, and the plain values of parts with a state of another kind.
        images_seen: Real images the run had seen.
        weights: `ema` or `raw`.
        file: Where it is from.
    """

    config: DictConfig
    state: Mapping[str, Any]
    images_seen: int
    weights: str
    file: Path


def write_export(file: Path, state: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """Write an export: a reader sees all of it or nothing.

    Args:
        file: Ends with `.safetensors`; what is there is replaced.
        state: A state dict. Tensors that share memory are written once each; other values must be what JSON can hold.
        card: What the file says of itself, see `gan_lab.config.exporting`; it gets `state` and `sha256`.
    """
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items() if _is_tensor(value)}
    others = {key: value for key, value in state.items() if not _is_tensor(value)}
    text = json.dumps({**card, "state": others, "sha256": sha256(tensors)}, indent=2)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        save_file(tensors, temporary, metadata={CARD: text, CARD_SHA256: _sha256_of(text)})
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def read_export(file: Path, weights: str) -> Stored:
    """Read an export, on the CPU.

    Raises:
        CheckpointError: It is damaged, was changed, is something else, or holds other weights.
    """
    card, tensors = read_card(file)
    try:
        kept, images_seen, state, digest = card["weights"], int(card["images_seen"]), card["state"], card["sha256"]
        config = foreign_config(card["config"], file)
        everything = {**tensors, **state}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} has a card that cannot be used: {error} is missing or wrong.") from error
    if sha256(tensors) != digest:
        raise CheckpointError(f"{file} is damaged: its tensors are not those that its card has the SHA-256 of.")
    if kept != weights:
        raise CheckpointError(f"{file} holds the {kept} generator, not the {weights} one: give weights={kept}.")
    return Stored(config, everything, images_seen, weights, file)


def read_card(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The card and the tensors of an export.

    Raises:
        CheckpointError: It is damaged, was changed, or is something else.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file} cannot be read: it is cut short, damaged, or no .safetensors file.") from error
    if CARD not in metadata:
        raise CheckpointError(f"{file} has no card: it was not written by gan-lab export.")
    if _sha256_of(metadata[CARD]) != metadata.get(CARD_SHA256):
        raise CheckpointError(f"{file} is damaged: the card in it was changed after it was written.")
    try:
        card = json.loads(metadata[CARD])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} has a card that is no JSON.") from error
    if not isinstance(card, dict):
        raise CheckpointError(f"{file} has a card that is no mapping.")
    return card, tensors


def sha256(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, types, shapes and values, in hexadecimal digits. It does not depend on the order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f" {name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
