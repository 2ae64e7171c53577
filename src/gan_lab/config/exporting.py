"""`gan-lab export`: the generator of a run as one file to give away."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lab import __version__
from gan_lab.config.exports import SUFFIX, Stored, read_card, write_export
from gan_lab.config.inputs import run_named
from gan_lab.config.load import load, read_stored
from gan_lab.config.run_folders import choices_of
from gan_lab.errors import ConfigError
from gan_lab.gans.catalogue import CATALOGUE

NEEDED = ("architecture.generator", "wrapper.generator", "latent", "conditioning")
"""Keys of a run's config that a generator is built and sampled from. They hold no path; the rest may."""

log = logging.getLogger(__name__)


def export(cfg: DictConfig) -> str:
    """Do what a composed `export` config says: write the file, and beside it a copy of its card for readers.

    Returns:
        What to print.

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
    sample = load(stored.file, cfg.weights, "cpu").sample(1)  # so that nothing is given away that cannot be used
    file.parent.mkdir(parents=True, exist_ok=True)
    write_export(file, stored.state, _card(stored, sample))
    card, _ = read_card(file)
    beside = file.with_suffix(".json")
    beside.write_text(json.dumps(card, indent=2) + "\n")
    return (
        f"The {cfg.weights} generator of {stored.file} after {stored.images_seen:,} images is in {file}, and a copy of its card "
        f"in {beside}. Next: gan-lab sample run={file}" + (f" weights={cfg.weights}" if cfg.weights != "ema" else "")
    )


def _card(stored: Stored, sample: Tensor) -> dict[str, Any]:
    """What an export says of itself."""
    choices = _choices(stored.file)
    entry = next((entry for entry in CATALOGUE if entry.name == choices.get("model")), None)
    weights = "" if stored.weights == "ema" else f', weights="{stored.weights}"'
    return {
        "about": "A generator of gan_lab. The card that counts is in the .safetensors file; a .json file is a copy to read.",
        "load": f'import gan_lab; gan_lab.load("<this file>.safetensors"{weights}).sample(4)',
        "model": choices.get("model"),
        "paper": None if entry is None else f"{entry.title}, {entry.paper}, {entry.url}",
        "dataset": choices.get("dataset"),
        "weights": stored.weights,
        "images_seen": stored.images_seen,
        "sample": _described(sample),
        "config": _needed(stored.config),
        "measured": _measured(stored),
        "versions": {"gan_lab": __version__, "torch": str(torch.__version__)},
    }


def _described(samples: Tensor) -> dict[str, Any]:
    """What one sample of these (n, ...) is."""
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
    """The groups that were chosen for the run of a checkpoint, where it lies in its folder and came from the command line."""
    return choices_of(checkpoint.parents[1]) if checkpoint.parent.name == "checkpoints" else {}


def _measured(stored: Stored) -> dict[str, Any]:
    """The numbers in the run's `results.json` that belong to these weights."""
    file = stored.file.parents[1] / "results.json"
    if stored.file.parent.name != "checkpoints" or not file.is_file():
        return {}
    try:
        records = json.loads(file.read_text())
        return {key: record for key, record in records.items() if _belongs(record, stored)}
    except (ValueError, AttributeError) as error:
        log.warning("%s cannot be read, so the card has no numbers: %s.", file, error)
        return {}


def _belongs(record: Any, stored: Stored) -> bool:
    return (record.get("images_seen"), record.get("weights")) == (stored.images_seen, stored.weights)
