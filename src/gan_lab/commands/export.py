"""`gan-lab export`: writes the generator of a run, or its translators, for others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.commands.outputs import folder_of_outputs, refuse_used_folder
from gan_lab.config.overrides import to_paste
from gan_lab.errors import ConfigError
from gan_lab.figures import draw_by_class, draw_samples
from gan_lab.files import write_text
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import CONFIG, WEIGHTS
from gan_lab.sampling.card import card_of
from gan_lab.sampling.export_file import SUFFIX, Stored, read_card, write_export
from gan_lab.sampling.hub_folder import write_hub_folder
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.stored import read_stored
from gan_lab.sampling.translators import TRANSLATION, Translation, load_translator, translation_of

SHEET = 64
"""Number of samples on the sheet of a folder."""

OTHER_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".json", ".zip", ".onnx", ".pt2", ".png")
"""Endings of files: `out` that has one of them is not the name of a folder."""


@dataclass(frozen=True)
class Exported:
    """A generator that was written for others.

    Attributes:
        file: The `.safetensors` file.
        card: Description in the file: model, data set, sample, config, measured numbers, versions.
        card_file: A readable copy of the card.
        checkpoint: The file of the generator.
        folder: The folder for the Hugging Face hub; None for a single file.
    """

    file: Path
    card: dict[str, Any]
    card_file: Path
    checkpoint: Path
    folder: Path | None = None

    def __str__(self) -> str:
        weights = self.card["weights"]
        option = f" weights={weights}" if weights != "ema" else ""
        what = f"The {weights} generator of {self.checkpoint} after {self.card['images_seen']:,} images is in"
        use = "translate source=<images>" if TRANSLATION in self.card["config"] else "sample"
        if self.folder is None:
            return (
                f"{what} {self.file}, and a copy of its card in {self.card_file}. "
                f"Next: gan-lab {use} {to_paste('run', self.file)}{option}"
            )
        return (
            f"{what} {self.folder}, a folder for the Hugging Face hub: "
            f"{', '.join(sorted(path.name for path in self.folder.iterdir() if path.is_file()))}. "
            f"Next: gan-lab {use} {to_paste('run', self.folder)}{option}, "
            f"gan-lab push {to_paste('run', self.folder)} repo=<user>/<name>{option}"
        )


@dataclass(frozen=True)
class Exportable:
    """What is exported.

    Attributes:
        stored: The generator with its weights, and other networks of its file.
        card: Its description.
        translation: Its translators, if it is one.
        allow_targets: See `gan_lab.load`.
    """

    stored: Stored
    card: dict[str, Any]
    translation: Translation | None

    def sheet(self) -> Image.Image | None:
        """A sheet of samples; None for translators, which need images."""
        if self.translation is not None:
            return None
        return _sheet(load(self.stored.file, self.stored.weights, "cpu"))


def export(cfg: DictConfig) -> Exported:
    """Write what a composed `export` config names: a folder for the Hugging Face hub, or one file.

    Raises:
        UserError: The run or the output cannot be used.
    """
    path = run_named(cfg.run)
    out = None if cfg.out is None else Path(cfg.out)
    if out is not None:
        _check_out(out)
    exportable = read_exportable(path, cfg.weights, cfg.license)
    if out is not None and out.suffix == SUFFIX:
        return _write_file(out, exportable)
    folder = out or folder_of_outputs(path) / f"export_{cfg.weights}"
    card = write_hub_folder(folder, exportable.stored, exportable.card, exportable.sheet())
    return Exported(folder / WEIGHTS, card, folder / CONFIG, exportable.stored.file, folder)


def read_exportable(path: Path, weights: str, license: str | None) -> Exportable:
    """Read a generator and describe it; one of its samples shows that it works.

    Raises:
        UserError: The file cannot be used.
    """
    stored = read_stored(path, weights)
    translation = translation_of(stored)
    if translation is not None:
        stored = replace(stored, others=_others(stored, translation))
    return Exportable(stored, card_of(stored, _sample(stored, translation), translation, license), translation)


def _check_out(out: Path) -> None:
    if out.suffix == SUFFIX:
        if out.is_dir():
            raise ConfigError(f"out={out} is not allowed: it is a folder, whose name must not end with {SUFFIX}.")
        if out.exists():
            raise ConfigError(f"out={out} exists already: give another file name, or delete the file.")
    elif out.suffix in OTHER_SUFFIXES:
        raise ConfigError(f"out={out} is not allowed: it must be a folder, or a file name that ends with {SUFFIX}.")
    else:
        refuse_used_folder(out)


def _write_file(file: Path, exportable: Exportable) -> Exported:
    """Write one file, and beside it a readable copy of its card."""
    write_export(file, exportable.stored.state, exportable.card, exportable.stored.others)
    card, _ = read_card(file)
    beside = file.with_suffix(".json")
    write_text(beside, json.dumps(card, indent=2) + "\n")
    return Exported(file, card, beside, exportable.stored.file)


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


def _sheet(loaded: PretrainedGenerator) -> Image.Image:
    """Samples of seed 0, by class or by generator if there are any."""
    classes = loaded.condition.num_classes or loaded.condition.num_generators
    rows = "all" if classes is not None and classes <= SHEET else None
    of_classes = loaded.condition.num_classes is not None
    given = loaded.conditions_in_rows(rows if of_classes else None, None if of_classes else rows, SHEET)
    samples = loaded.sample(SHEET, 0, given)
    if given is None:
        return draw_samples(samples)
    return draw_by_class(samples, given, loaded.condition.names(loaded.classes))
