"""Hydra's record of a command in the run folder, `.hydra`, which `resume=` repeats."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gan_lab.files import read_text, write_text
from gan_lab.runs.plain_yaml import parse_yaml

NOTES = Path(".hydra", "overrides.yaml")
"""File in a run folder with the overrides of the run."""

OF_ONE_COMMAND = {"run", "resume", "allow_changes", "time_limit"}
"""First parts of keys that concern one command and not the run: they are not repeated."""


@dataclass(frozen=True)
class Command:
    """Arguments of `gan-lab train`, typed or as given to `gan_lab.compose`.

    Attributes:
        overrides: The overrides.
        hydra: The node `hydra` of the config that they compose, at least with `runtime.choices`: group to choice.
    """

    overrides: Sequence[str]
    hydra: Mapping[str, Any]


def read_overrides(folder: Path) -> Any:
    """Contents of the file of overrides of a run folder, not trusted; None if it cannot be read or is too large."""
    try:
        return parse_yaml(read_text(folder / NOTES, errors="strict"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def record_command(cfg: DictConfig, composed: Command | None = None) -> None:
    """Make a command the one that `resume=` repeats; call it when its run was accepted.

    Hydra writes the command that starts a run to `.hydra`, and here is nothing to do; the one that resumes it to
    `.hydra/resumed`, since it may still be refused. The name of the run stays as it was first typed.

    Args:
        cfg: The config of the run in `run.dir`.
        composed: What `cfg` was composed from in Python; None for the command of this process. Nothing is written if
            there is neither.
    """
    folder = Path(cfg.run.dir)
    command = composed or _resuming_command(folder)
    if command is None or (composed and _is_folder_of_hydra(folder)):  # of an application that trains in its own folder
        return
    overrides = accepted_overrides(read_overrides(folder), command.overrides)
    write_text(folder / NOTES, yaml.safe_dump(overrides, allow_unicode=True, width=1_000_000))
    write_text((folder / NOTES).with_name("hydra.yaml"), OmegaConf.to_yaml({"hydra": command.hydra}))
    write_text((folder / NOTES).with_name("config.yaml"), OmegaConf.to_yaml(cfg))


def _resuming_command(folder: Path) -> Command | None:
    """The command of this process if it resumes the run in the folder."""
    if not _is_folder_of_hydra(folder) or not (folder / NOTES).with_name("resumed").is_dir():
        return None
    hydra = cast(DictConfig, HydraConfig.get())
    return Command(cast(list[str], OmegaConf.to_container(hydra.overrides.task, resolve=False)), hydra)


def _is_folder_of_hydra(folder: Path) -> bool:
    """Whether this process is a Hydra application with this output folder; after a sweep it has none."""
    if not HydraConfig.initialized():
        return False
    output = OmegaConf.select(cast(DictConfig, HydraConfig.get()), "runtime.output_dir")
    return output is not None and Path(output).resolve() == folder.resolve()


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
