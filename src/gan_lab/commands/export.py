"""`gan-lab export`: writes the generator of a run as one file."""

import json
import logging
from dataclasses import dataclass
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
from gan_lab.sampling.pretrained import PretrainedGenerator, load, read_stored
from gan_lab.version import __version__

NEEDED = ("architecture.generator", "wrapper.generator", "latent", "conditioning", "data_content")
"""Config keys from which a generator is built and sampled. They contain no paths; other keys may."""

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
        return (
            f"The {weights} generator of {self.checkpoint} after {self.card['images_seen']:,} images is in "
            f"{self.file}, and a copy of its card in {self.card_file}. "
            f"Next: gan-lab sample {to_paste('run', self.file)}" + (f" weights={weights}" if weights != "ema" else "")
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
    generator = load(stored.file, cfg.weights, "cpu")
    sample = generator.sample(1, condition=_blank_source(generator))  # check that the generator works
    file.parent.mkdir(parents=True, exist_ok=True)
    write_export(file, stored.state, _card(stored, sample))
    card, _ = read_card(file)
    beside = file.with_suffix(".json")
    write_text(beside, json.dumps(card, indent=2) + "\n")
    return Exported(file, card, beside, stored.file)


def _blank_source(generator: PretrainedGenerator) -> Tensor | None:
    """A gray source image for a generator from images to images; None for another generator."""
    if not generator.condition.needs_batch:
        return None
    options = generator.config.architecture.generator
    return torch.zeros(1, options.source_channels, options.resolution, options.resolution)


def _card(stored: Stored, sample: Tensor) -> dict[str, Any]:
    """Description of an export, stored in its metadata."""
    choices = _choices(stored.file)
    entry = next((entry for entry in CATALOG if entry.name == choices.get("model")), None)
    weights = "" if stored.weights == "ema" else f', weights="{stored.weights}"'
    return {
        "about": "A generator of gan_lab. The .safetensors file contains this card; a .json file is a readable copy.",
        "load": f'import gan_lab; gan_lab.load("<this file>.safetensors"{weights}).sample(4)',
        "model": choices.get("model"),
        "paper": None if entry is None else f"{entry.title}, {entry.paper}, {entry.url}",
        "dataset": choices.get("dataset"),
        "classes": recorded_classes(stored.config),
        "weights": stored.weights,
        "images_seen": stored.images_seen,
        "sample": sample_format(sample),
        "config": _needed(stored.config),
        "measured": _measured(stored),
        "versions": {"gan_lab": __version__, "torch": str(torch.__version__)},
    }


def sample_format(samples: Tensor) -> dict[str, Any]:
    """Kind, size and range of one sample of (n, ...)."""
    if samples.dim() == 2:
        return {"kind": "point", "coordinates": samples.shape[1]}
    _, channels, resolution, _ = samples.shape
    return {"kind": "image", "channels": channels, "resolution": resolution, "range": [-1, 1]}


def _needed(config: DictConfig) -> dict[str, Any]:
    needed = OmegaConf.create()
    for key in NEEDED:
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
