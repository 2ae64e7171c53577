"""Hydra's record of a command in the run folder, `.hydra`, which `resume=` repeats."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gan_lab.files import read_text, write_text
from gan_lab.runs.plain_yaml import parse_yaml

NOTES = Path(".hydra", "overrides.yaml")
"""File in a run folder with the overrides of the run."""

OF_ONE_COMMAND = {"run", "resume", "allow_changes", "time_limit"}
"""First parts of keys that concern one command and not the run: they are not repeated."""


def read_overrides(folder: Path) -> Any:
    """Contents of the file of overrides of a run folder, not trusted; None if it cannot be read or is too large."""
    try:
        return parse_yaml(read_text(folder / NOTES, errors="strict"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def record_command(cfg: DictConfig) -> None:
    """Make the command of this process the one that `resume=` repeats; call it when a resumed run was accepted.

    Hydra writes the command that resumes a run to `.hydra/resumed`, since it may still be refused. The name of the run
    stays as it was first typed. Nothing is written for a config that was composed in Python.

    Args:
        cfg: The config of the run in `run.dir`.
    """
    folder = Path(cfg.run.dir)
    if not HydraConfig.initialized() or not (folder / NOTES).parent.joinpath("resumed").is_dir():
        return
    hydra = HydraConfig.get()
    if Path(hydra.runtime.output_dir).resolve() != folder.resolve():
        return
    overrides = accepted_overrides(read_overrides(folder), hydra.overrides.task)
    write_text(folder / NOTES, yaml.safe_dump(overrides, allow_unicode=True, width=1_000_000))
    write_text((folder / NOTES).with_name("hydra.yaml"), OmegaConf.to_yaml({"hydra": hydra}))
    write_text((folder / NOTES).with_name("config.yaml"), OmegaConf.to_yaml(cfg))


def accepted_overrides(before: Any, now: Sequence[str]) -> list[str]:
    """Overrides for the record of a run.

    Args:
        before: Contents of its earlier record.
        now: Overrides of the accepted command, of which those of one command are left out.
    """
    known = [each for each in before if isinstance(each, str)] if isinstance(before, list) else []
    names = [[each for each in overrides if first_key(each) == "run"] for overrides in (known, now)]
    return [*(names[0] or names[1]), *(each for each in now if first_key(each) not in OF_ONE_COMMAND)]


def first_key(override: str) -> str:
    """First part of the key of an override."""
    return re.split("[./@=]", override.lstrip("+~"), maxsplit=1)[0]
