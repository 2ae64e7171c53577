"""`gan-lab export`: writes the generator of a run, or its translators, for others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from gan_lab.commands.outputs import folder_of_outputs, refuse_used_folder
from gan_lab.config.command_rules import PROGRAMS
from gan_lab.config.overrides import allowing_again, to_paste
from gan_lab.errors import ConfigError
from gan_lab.figures import draw_by_class, draw_samples
from gan_lab.files import write_text
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import CONFIG, WEIGHTS, named
from gan_lab.sampling.card import card_of
from gan_lab.sampling.export_file import SUFFIX, Stored, read_card, write_export
from gan_lab.sampling.hub_folder import write_hub_folder
from gan_lab.sampling.pretrained import PretrainedGenerator, load
from gan_lab.sampling.programs import Program, portable_generator, portable_translator, write_program
from gan_lab.sampling.space_folder import app_command, write_space
from gan_lab.sampling.stored import read_stored
from gan_lab.sampling.translators import TRANSLATION, Translation, load_translator, translation_of

SHEET = 64
"""Number of samples on the sheet of a folder, or somewhat less for as many of each class."""

OTHER_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".json", ".zip", ".onnx", ".pt2", ".png")
"""Endings of files: `out` that has one of them is not the name of a folder."""


@dataclass(frozen=True)
class Exported:
    """A generator that was written for others.

    Attributes:
        file: The file of the weights, or of the program.
        card: Description in the file: model, data set, sample, config, measured numbers, versions.
        card_file: A readable copy of the card.
        checkpoint: The file of the generator.
        folder: The folder for the Hugging Face hub; None for a single file.
        program: The program in the file; None for weights.
        is_space: Whether the folder contains the page of `gan-lab explore`.
        allowed: The `allow_targets` without which the generator cannot be loaded.
    """

    file: Path
    card: dict[str, Any]
    card_file: Path
    checkpoint: Path
    folder: Path | None = None
    program: Program | None = None
    is_space: bool = False
    allowed: Sequence[str] = ()

    def __str__(self) -> str:
        weights = self.card["weights"]
        option = (f" weights={weights}" if weights != "ema" else "") + allowing_again(self.allowed)
        what = f"The {weights} generator of {named(self.checkpoint)} after {self.card['images_seen']:,} images is in"
        if self.program is not None:
            return f"{what} {self.file}, {_about(self.program)}. Its inputs and card are in {self.card_file}."
        if self.is_space:
            return (
                f"{what} {self.folder}, a folder that a model hub can host (Docker): upload it with hf upload "
                f"<user>/<name> {self.folder} . --repo-type=space, or serve it here: cd {self.folder} && "
                f"{app_command(weights)}"
            )
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
        loaded: The generator on the CPU; None for translators.
    """

    stored: Stored
    card: dict[str, Any]
    loaded: PretrainedGenerator | None

    def sheet(self) -> Image.Image | None:
        """A sheet of samples; None for translators, which need images."""
        return None if self.loaded is None else _sheet(self.loaded)


def export(cfg: DictConfig) -> Exported:
    """Write what a composed `export` config names: a folder for the Hugging Face hub, or one file.

    Raises:
        UserError: The run or the output cannot be used.
    """
    return replace(_write(cfg), allowed=cfg.get("allow_targets", ()))


def _write(cfg: DictConfig) -> Exported:
    path = run_named(cfg.run)
    out = None if cfg.out is None else Path(cfg.out)
    if out is not None:
        _check_out(out, cfg.format)
    if cfg.space is not None:
        refuse_used_folder(Path(cfg.space), "space")
    exportable = read_exportable(path, cfg.weights, cfg.license)
    if cfg.space is not None:
        return _write_space(Path(cfg.space), exportable)
    if cfg.format in PROGRAMS:
        file = out or folder_of_outputs(path) / f"generator_{cfg.weights}{PROGRAMS[cfg.format][0]}"
        return _write_program(file, exportable, cfg.format)
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
        return Exportable(stored, card_of(stored, _translated(stored, translation), translation, license), None)
    loaded = load(stored.file, stored.weights, "cpu")
    return Exportable(stored, card_of(stored, loaded.sample(1), None, license), loaded)


def _check_out(out: Path, format: str) -> None:
    if format in PROGRAMS or out.suffix == SUFFIX:
        if out.is_dir():
            raise ConfigError(f"out={out} is not allowed: it is a folder, whose name must not end with {out.suffix}.")
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


def _write_space(folder: Path, exportable: Exportable) -> Exported:
    """Write a folder that a model hub can host."""
    stored, card = exportable.stored, exportable.card
    if exportable.loaded is None or card["sample"].get("kind") != "image":
        raise ConfigError(f"space={folder} is not possible: gan-lab explore is for generators of images from latents.")
    written = write_space(folder, stored, card, exportable.sheet())
    return Exported(folder / WEIGHTS, written, folder / CONFIG, stored.file, folder, is_space=True)


def _write_program(file: Path, exportable: Exportable, format: str) -> Exported:
    """Write a program, and beside it a description of its inputs."""
    stored, card = exportable.stored, exportable.card
    if exportable.loaded is None:
        portable = portable_translator(load_translator(stored.file, None, stored.weights, "cpu"))
    else:
        portable = portable_generator(exportable.loaded)
    program = write_program(file, portable, format, card)
    beside = file.with_suffix(".json")
    described = {"inputs": program.inputs, "samples": program.output, "opset": program.opset, "card": card}
    write_text(beside, json.dumps(described, indent=2) + "\n")
    return Exported(file, card, beside, stored.file, program=program)


def _about(program: Program) -> str:
    """Kind, inputs and check of a program."""
    kind = "a program for torch.export.load" if program.opset is None else f"ONNX with opset {program.opset}"
    inputs = [f"{name} {each['type']} ({', '.join(map(str, each['shape']))})" for name, each in program.inputs.items()]
    return (
        f"{kind}: {', '.join(inputs)} to samples ({', '.join(map(str, program.output['shape']))}), which differ from "
        f"those of the generator by at most {program.difference:.1g} of their range"
    )


def _others(stored: Stored, translation: Translation) -> dict[str, Mapping[str, Any]]:
    """State dicts of the translators besides the generator."""
    names = [name for name in translation.networks.values() if name != "generator"]
    return {name: read_stored(stored.file, stored.weights, name).state for name in names}


def _translated(stored: Stored, translation: Translation) -> Tensor:
    """What a translator makes of a black image."""
    for direction in reversed(list(translation.networks)):  # the usual direction last
        translator = load_translator(stored.file, direction, stored.weights, "cpu")
        size = translator.resolution or translator.multiple
        sample = translator.translate([torch.zeros(translator.source_channels, size, size, dtype=torch.uint8)])
    return sample


def _sheet(loaded: PretrainedGenerator) -> Image.Image:
    """Samples of seed 0, by class or by generator if there are any."""
    classes = loaded.condition.num_classes or loaded.condition.num_generators
    if classes is None or classes > SHEET:
        return draw_samples(loaded.sample(SHEET))
    count = SHEET - SHEET % classes
    labels, numbers = ("all", None) if loaded.condition.num_classes else (None, "all")
    given = loaded.conditions_in_rows(labels, numbers, count)
    assert given is not None
    return draw_by_class(loaded.sample(count, 0, given), given, loaded.condition.names(loaded.classes))
