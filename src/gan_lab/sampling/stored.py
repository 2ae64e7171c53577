"""What a checkpoint or an export stores of a generator: weights, and configs of networks, prior and condition."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from torch import nn

from gan_lab.config.build import build_network, instantiate
from gan_lab.config.targets import check_options
from gan_lab.config.untrusted import check_parts, foreign_config
from gan_lab.errors import CheckpointError, ConfigError, EarlierVersionError, unknown_choice
from gan_lab.gans.conditions import Condition
from gan_lab.gans.latents import LatentPrior
from gan_lab.runs.checkpoints import TOO_OLD, find_checkpoint
from gan_lab.runs.remote import local_path, named
from gan_lab.sampling.export_file import SUFFIX, Stored, read_export

WEIGHTS = {"ema": "averaged.", "raw": ""}
"""Values of `weights`, and the prefixes of their networks in a checkpoint's state dict."""


def network_of(stored: Stored, name: str, state: Mapping[str, Any]) -> nn.Module:
    """The network of this name that the config describes, with these weights.

    Raises:
        CheckpointError: The config cannot be used, or does not fit the weights.
    """
    for group in ("architecture", "wrapper"):
        check_parts(OmegaConf.select(stored.config, f"{group}.{name}"), f"{group}.{name}", named(stored.file))
    if OmegaConf.select(stored.config, f"architecture.{name}") is None:
        raise CheckpointError(f"{named(stored.file)} has a config without architecture.{name}.")
    network = build_network(stored.config, name)
    try:
        network.load_state_dict(state)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{named(stored.file)} does not fit the {name} that its own config describes.") from error
    return network


def encoder_of(stored: Stored) -> nn.Module | None:
    """The encoder that the config describes; None without one, and for an export."""
    name = encoder_name(stored.config)
    return network_of(stored, name, stored.encoder) if name is not None and stored.encoder else None


def encoder_name(config: DictConfig) -> str | None:
    """Name of the network that is an encoder, by its wrapper; None if there is none."""
    wrappers = config.get("wrapper")
    named = wrappers.items() if isinstance(wrappers, DictConfig) else ()
    return next((str(name) for name, node in named if isinstance(node, DictConfig) and node.get("encoding")), None)


def condition_of(stored: Stored) -> Condition:
    """The condition that the config describes.

    Raises:
        CheckpointError: The config cannot be used.
    """
    node = stored.config.get("conditioning") or OmegaConf.create()
    if "_target_" not in node:
        raise EarlierVersionError(f"{named(stored.file)} {TOO_OLD}")
    check_parts(node, "conditioning", named(stored.file))
    try:
        return cast(Condition, instantiate(node, "conditioning"))
    except ConfigError as error:
        raise CheckpointError(
            f"{named(stored.file)} has a config that cannot be used: {str(error).rstrip('.')}."
        ) from error


def prior_of(stored: Stored) -> LatentPrior:
    """The prior of the latents that the config describes.

    Raises:
        CheckpointError: The config cannot be used.
    """
    try:
        options = cast(dict[str, Any], OmegaConf.to_container(stored.config.get("latent", OmegaConf.create())))
        check_options(LatentPrior, options, "latent")
        return LatentPrior(**options)
    except (ConfigError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{named(stored.file)} has a config that cannot be used: {str(error).rstrip('.')}."
        ) from error


def read_stored(path: str | Path, weights: str, network: str = "generator") -> Stored:
    """Weights and config of a generator; see `gan_lab.load` for the arguments.

    Args:
        path: The file or run folder.
        weights: `ema` or `raw`.
        network: Name of the generator, in a model that has several networks of this kind.

    Raises:
        CheckpointError: The file does not contain this generator, is damaged, or is of another kind.
    """
    if weights not in WEIGHTS:
        raise CheckpointError(unknown_choice("weights", weights, WEIGHTS))
    file = local_path(path)
    if file.is_file() and file.suffix == SUFFIX:
        stored = read_export(file, weights)
        return stored if network == "generator" else replace(stored, state=stored.others.get(network, {}))
    checkpoint = find_checkpoint(file)
    file, values = checkpoint.file, checkpoint.take()["state_dict"]
    state = _with_prefix(values, f"{WEIGHTS[weights]}{network}.")
    if not state:
        raise CheckpointError(f"{file} has no {weights} {network}: choose the other of weights=ema and weights=raw.")
    config = foreign_config(checkpoint.config, file)
    encoder = _with_prefix(values, f"{WEIGHTS[weights]}{encoder_name(config)}.")
    return Stored(config, state, checkpoint.images_seen, weights, file, encoder=encoder)


def _with_prefix(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values whose keys have a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in values.items() if str(key).startswith(prefix)}
