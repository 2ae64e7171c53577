"""Card of an export: what a generator is, how it was trained, what was measured, and how to load it."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lab.config.overrides import command_to_paste
from gan_lab.data.content import recorded_classes
from gan_lab.data.published import PUBLISHED
from gan_lab.errors import CheckpointError, DataError
from gan_lab.gans.catalog import CATALOG
from gan_lab.metrics.protocol import Measurement, MeasurementProtocol, read_results
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.remote import named
from gan_lab.sampling.export_file import SUFFIX, Stored, read_card
from gan_lab.sampling.translators import TRANSLATION, Translation
from gan_lab.version import __version__

NEEDED = ("latent", "conditioning", "data_content")
"""Config keys, beside those of the networks, from which generators are built and sampled. They contain no paths; other
keys may."""

_TYPES: dict[str, type] = {
    "about": str, "measured": dict, "versions": dict, "sample": dict, "data": dict, "source": dict, "classes": list,
    "paper": str, "model": str, "dataset": str, "command": str, "license": str,
}  # fmt: skip
"""Entries of a card that others read, and their types; each may be None."""

OF_THE_FILE = ("state", "networks", "sha256")
"""Entries that `write_export` adds."""

NOT_IN_COMMAND = ("run.", "hydra.", "logger", "resume", "time_limit", "allow_targets", "callbacks.checkpoints.copy_to")
"""Beginnings of overrides that concern the machine of a run, and not what it trained."""

_FOLDERS = re.compile(r"(?<![\w.-])(?:[~/]|\.\.?/)[^\[\]{},'\"]*/")
"""The folders of a path in an override that begins with `/`, `~`, `./` or `../`."""

_PLACES = re.compile(r"[+~]*(?:.*\.)?(?:source|folder|file|path|initialize)=")
"""Beginning of an override whose value is a path, or the name of a data set on the hub."""

log = logging.getLogger(__name__)


def card_of(stored: Stored, sample: Tensor, translation: Translation | None, license: str | None) -> dict[str, Any]:
    """Description of a generator, stored in the metadata of its export; that of an export or an import is kept.

    Args:
        stored: The generator.
        sample: One of its samples (1, ...).
        translation: Its translators, if it is one.
        license: Of the weights; None for that of an earlier card, or if it is unknown.
    """
    if stored.file.suffix == SUFFIX:
        return _earlier(stored) | ({} if license is None else {"license": license})
    run = RunFolder(stored.file.parents[1]) if stored.file.parent.name == "checkpoints" else None
    choices = {} if run is None else run.choices
    entry = next((entry for entry in CATALOG if entry.name == choices.get("model")), None)
    weights = "" if stored.weights == "ema" else f', weights="{stored.weights}"'
    return {
        "about": "A generator of gan_lab. The .safetensors file contains this card; a .json file is a readable copy.",
        "load": _how_to_load(weights, translation is not None),
        "model": choices.get("model"),
        "paper": None if entry is None else f"{entry.title}, {entry.paper}, {entry.url}",
        "dataset": choices.get("dataset"),
        "data": _data(stored.config, choices.get("dataset")),
        "classes": recorded_classes(stored.config),
        "command": None if run is None else shared_command(run.overrides, _hub(stored.config)),
        "license": license,
        "weights": stored.weights,
        "images_seen": stored.images_seen,
        "sample": sample_format(sample),
        "config": _needed(stored.config, translation),
        "measured": _measured(stored),
        "versions": {"gan_lab": __version__, "torch": str(torch.__version__)},
    }


def _earlier(stored: Stored) -> dict[str, Any]:
    """The card of a file, which may be of another person or version.

    Raises:
        CheckpointError: An entry has another type.
    """
    card = {key: value for key, value in read_card(stored.file)[0].items() if key not in OF_THE_FILE}
    for key, kind in _TYPES.items():
        if not isinstance(card.get(key), kind | None):
            raise CheckpointError(f"{named(stored.file)} has a card that cannot be used: {key} is missing or wrong.")
    return {"about": "A generator.", "measured": {}, "versions": {}} | card | {"images_seen": stored.images_seen}


def sample_format(samples: Tensor) -> dict[str, Any]:
    """Kind, size and range of one sample of (n, ...)."""
    if samples.dim() == 2:
        return {"kind": "point", "coordinates": samples.shape[1]}
    _, channels, resolution, _ = samples.shape
    return {"kind": "image", "channels": channels, "resolution": resolution, "range": [-1, 1]}


def _how_to_load(weights: str, translates: bool) -> str:
    """The lines of Python that use the file."""
    if translates:
        return (
            f'import gan_lab, PIL.Image; gan_lab.load_translator("<this file>.safetensors"{weights})'
            '(PIL.Image.open("<image>"))'
        )
    return f'import gan_lab; gan_lab.load("<this file>.safetensors"{weights}).sample(4)'


def _data(config: DictConfig, choice: str | None) -> dict[str, Any]:
    """Name, number of images and license of the training data, and its place on the hub; None for what is unknown."""
    folder = OmegaConf.select(config, "dataset.reader._target_") == "gan_lab.data.image_folder.read_image_folder"
    published = PUBLISHED.get(str(OmegaConf.select(config, "dataset.reader.published")))
    source = OmegaConf.select(config, "dataset.source")
    name = None if source is None else Path(str(source)).name
    return {
        "name": name if folder else (choice or name) if published is None else published.title,
        "hub": _hub(config),
        "images": OmegaConf.select(config, "data_content.images"),
        "license": None if published is None else published.license,
    }


def _hub(config: DictConfig) -> str | None:
    """Name of the training data on the hub; None if they are from elsewhere."""
    published = PUBLISHED.get(str(OmegaConf.select(config, "dataset.reader.published")))
    source = str(OmegaConf.select(config, "dataset.source"))
    of_hub = published is not None and re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not Path(source).exists()
    return source if of_hub else None


def shared_command(overrides: list[str], hub: str | None = None) -> str:
    """The command of a run as others may read it: without its own folders, and with the last parts of other paths.

    Args:
        overrides: Of the run.
        hub: Name of the training data on the hub, which stays.
    """
    kept = [each for each in overrides if not each.lstrip("+~").startswith(NOT_IN_COMMAND)]
    return command_to_paste(["gan-lab", "train", *(_shared_override(each, hub) for each in kept)])


def _shared_override(override: str, hub: str | None) -> str:
    key, _, value = override.partition("=")
    if not _PLACES.match(override):
        return _FOLDERS.sub("", override)
    if value.strip("'\"") == hub:
        return override
    if value[:1] in ("'", '"'):  # one path, which may contain any character
        return f"{key}={value[0]}{value.rpartition('/')[2]}"
    return f"{key}=" + re.sub(r"[^\[\]{},'\"]*/", "", value)


def _needed(config: DictConfig, translation: Translation | None) -> dict[str, Any]:
    names = ["generator"] if translation is None else list(translation.networks.values())
    networks = [f"{group}.{name}" for group in ("architecture", "wrapper") for name in names]
    needed = OmegaConf.create({} if translation is None else {TRANSLATION: asdict(translation)})
    for key in (*networks, *NEEDED):
        if (node := OmegaConf.select(config, key)) is not None:
            OmegaConf.update(needed, key, node)
    plain = OmegaConf.to_container(needed)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _measured(stored: Stored) -> Mapping[str, Any]:
    """Numbers in the run's `results.json` that were measured with these weights."""
    if stored.file.parent.name != "checkpoints":
        return {}
    try:
        found = read_results(stored.file.parents[1] / "results.json")
    except DataError as error:
        log.warning("The card has no numbers: %s", error)
        return {}
    return {key: _without_folders(each) for key, each in found.items() if _belongs(each.protocol, stored)}


def _without_folders(measurement: Measurement) -> dict[str, Any]:
    """A measurement for the card, which other people read: the real images have the name of their folder only."""
    entries = measurement.to_json()
    return entries | {key: Path(entries[key]).name for key in ("real_source",) if key in entries}


def _belongs(protocol: MeasurementProtocol, stored: Stored) -> bool:
    return (protocol.images_seen, protocol.weights) == (stored.images_seen, stored.weights)
