"""`gan-lab export`: writes the generator of a run, or its translators, as one file."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lab.config.overrides import to_paste
from gan_lab.data.content import recorded_classes
from gan_lab.errors import ConfigError, DataError
from gan_lab.files import write_text
from gan_lab.gans.catalog import CATALOG
from gan_lab.metrics.protocol import Measurement, MeasurementProtocol, read_results
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.latest import run_named
from gan_lab.sampling.export_file import SUFFIX, Stored, read_card, write_export
from gan_lab.sampling.pretrained import load
from gan_lab.sampling.stored import read_stored
from gan_lab.sampling.translators import TRANSLATION, Translation, load_translator, translation_of
from gan_lab.version import __version__

NEEDED = ("latent", "conditioning", "data_content")
"""Config keys, beside those of the networks, from which generators are built and sampled. They contain no paths; other
keys may."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """A generator in one file.

    Attributes:
        file: The `.safetensors` file.
        card: Description in the file: model, data set, sample, config, measured numbers, versions.
        card_file: A readable copy of the card.
        checkpoint: The file of the generator.
    """

    file: Path
    card: dict[str, Any]
    card_file: Path
    checkpoint: Path

    def __str__(self) -> str:
        weights = self.card["weights"]
        use = "translate source=<images>" if TRANSLATION in self.card["config"] else "sample"
        return (
            f"The {weights} generator of {self.checkpoint} after {self.card['images_seen']:,} images is in "
            f"{self.file}, and a copy of its card in {self.card_file}. "
            f"Next: gan-lab {use} {to_paste('run', self.file)}" + (f" weights={weights}" if weights != "ema" else "")
        )


def export(cfg: DictConfig) -> Exported:
    """Write the file of a composed `export` config, and beside it a readable copy of its card.

    Raises:
        UserError: The run or the file cannot be used.
    """
    path = run_named(cfg.run)
    stored = read_stored(path, cfg.weights)
    if stored.file.suffix == SUFFIX:
        raise ConfigError(f"run={cfg.run} is an export already: give a run folder or a checkpoint file.")
    folder = path if path.is_dir() else path.parent
    file = Path(cfg.out) if cfg.out is not None else folder / f"generator_{cfg.weights}{SUFFIX}"
    if file.suffix != SUFFIX or file.is_dir():
        raise ConfigError(f"out={cfg.out} is not allowed: it must be a file name that ends with {SUFFIX}.")
    if cfg.out is not None and file.exists():
        raise ConfigError(f"out={cfg.out} exists already: give another file name, or delete the file.")
    translation = translation_of(stored)
    others = {} if translation is None else _others(stored, translation)
    sample = _sample(stored, translation)  # check that the generator works
    file.parent.mkdir(parents=True, exist_ok=True)
    write_export(file, stored.state, _card(stored, sample, translation), others)
    card, _ = read_card(file)
    beside = file.with_suffix(".json")
    write_text(beside, json.dumps(card, indent=2) + "\n")
    return Exported(file, card, beside, stored.file)


def _others(stored: Stored, translation: Translation) -> dict[str, Mapping[str, Any]]:
    """State dicts of the translators besides the generator."""
    names = [name for name in translation.networks.values() if name != "generator"]
    return {name: read_stored(stored.file, stored.weights, name).state for name in names}


def _sample(stored: Stored, translation: Translation | None) -> Tensor:
    """A sample of the generator: for a translator, of a black image."""
    if translation is None:
        return load(stored.file, stored.weights, "cpu").sample(1)
    for direction in reversed(list(translation.networks)):  # the usual direction last
        translator = load_translator(stored.file, direction, stored.weights, "cpu")
        size = translator.resolution or translator.multiple
        sample = translator.translate([torch.zeros(translator.source_channels, size, size, dtype=torch.uint8)])
    return sample


def _card(stored: Stored, sample: Tensor, translation: Translation | None) -> dict[str, Any]:
    """Description of an export, stored in its metadata."""
    choices = _choices(stored.file)
    entry = next((entry for entry in CATALOG if entry.name == choices.get("model")), None)
    weights = "" if stored.weights == "ema" else f', weights="{stored.weights}"'
    return {
        "about": "A generator of gan_lab. The .safetensors file contains this card; a .json file is a readable copy.",
        "load": _how_to_load(weights, translation is not None),
        "model": choices.get("model"),
        "paper": None if entry is None else f"{entry.title}, {entry.paper}, {entry.url}",
        "dataset": choices.get("dataset"),
        "classes": recorded_classes(stored.config),
        "weights": stored.weights,
        "images_seen": stored.images_seen,
        "sample": sample_format(sample),
        "config": _needed(stored.config, translation),
        "measured": _measured(stored),
        "versions": {"gan_lab": __version__, "torch": str(torch.__version__)},
    }


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


def _choices(checkpoint: Path) -> dict[str, str]:
    """Choices of config groups of the checkpoint's run, if it is in a run folder; empty otherwise."""
    return RunFolder(checkpoint.parents[1]).choices if checkpoint.parent.name == "checkpoints" else {}


def _measured(stored: Stored) -> dict[str, Any]:
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
