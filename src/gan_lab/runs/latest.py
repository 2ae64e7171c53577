"""Runs by name: the newest run or sweep in a folder, and what is at a path. Light to import: no torch."""

from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import did_you_mean, read_text
from gan_lab.runs.plain_yaml import parse_yaml
from gan_lab.runs.remote import check_remote, is_remote, local_path

ROOT = Path("runs")
"""Default of `run.root`."""

WEIGHTS = (".ckpt", ".safetensors")
"""Suffixes of checkpoints and exports."""

RUN, RUNS = "the folder of a run of gan-lab train", "one that contains run folders"
"""What a path of one or of several runs must be, for messages."""


def newest_sweep(root: Path) -> Path:
    """Newest folder in `root`/multirun.

    Raises:
        ConfigError: There is none.
    """
    sweeps = [folder for folder in (root / "multirun").glob("*") if folder.is_dir()]
    if not sweeps:
        raise ConfigError(
            f"runs=latest finds no sweep in {root}/multirun, the default: name runs to compare, or a folder "
            "that contains some, as in gan-lab compare runs/a runs/b."
        )
    return max(sweeps, key=lambda folder: folder.stat().st_mtime)


def newest_run(root: Path) -> Path:
    """Run below `root` with the newest checkpoint.

    Raises:
        CheckpointError: There is none.
    """
    checkpoints = sorted(root.rglob("checkpoints/last.ckpt"), key=lambda file: file.stat().st_mtime)
    if not checkpoints:
        raise CheckpointError(
            f"run=latest finds no run under {root}: train one, or give run=<run folder or checkpoint>."
        )
    return checkpoints[-1].parents[1]


def newest_folder(root: Path) -> Path:
    """Run below `root` that started last, with or without a checkpoint.

    Raises:
        ConfigError: There is none.
    """
    configs = sorted(root.rglob("config.yaml"), key=lambda file: file.stat().st_mtime)
    runs = [file.parent for file in configs if file.parent.name != ".hydra"]
    if not runs:
        raise ConfigError(f"run=latest finds no run under {root}: train one, or give run=<run folder>.")
    return runs[-1]


def run_named(name: str) -> Path:
    """Path of a run folder or of a file of weights, see `local_path`; `latest` is the newest run below `runs`.

    Raises:
        CheckpointError: There is no run, or it cannot be downloaded.
    """
    return newest_run(ROOT) if name == "latest" else local_path(name)


def check_run(name: str) -> None:
    """Refuse a run that does not exist. What is elsewhere is not asked for yet: only the form of its name is checked.

    Raises:
        CheckpointError: Names the run, and a similar one.
    """
    if is_remote(name):
        check_remote(name)
    else:
        check_exists(run_named(name))


def check_exists(path: Path) -> None:
    """Refuse the path of a run or checkpoint that does not exist.

    Raises:
        CheckpointError: Names the path, and a similar one.
    """
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist: give a checkpoint file or a run folder.{did_you_mean(path, ROOT)}"
        )


def check_weights(name: str | PathLike[str]) -> None:
    """Refuse a path that has no weights for `initialize`, as far as its name shows; see `check_run`.

    Raises:
        CheckpointError: Names the path, and what to give instead.
    """
    if is_remote(name):
        return check_remote(name)
    path = local_path(name)
    if not path.exists():
        raise CheckpointError(
            f"initialize={path} does not exist: give a run folder, a checkpoint or an export.{did_you_mean(path, ROOT)}"
        )
    if (path / "multirun.yaml").is_file():
        raise CheckpointError(f"initialize={path} is the folder of a sweep: give one of its runs, as in {path}/0.")
    if path.is_file() and path.suffix not in WEIGHTS:
        raise CheckpointError(
            f"initialize={path} is neither a run folder nor a file that ends with {' or '.join(WEIGHTS)}: give one, or "
            "convert published weights with gan-lab import first."
        )


def check_directory(key: str, path: Path, wanted: str) -> None:
    """Refuse a path that is not a directory.

    Args:
        key: Key of the config with this path.
        path: The path.
        wanted: The end of the message: what to give instead.

    Raises:
        ConfigError: Names the key and the path, and a similar one.
    """
    if not path.is_dir():
        raise ConfigError(f"{key}={path} is not a directory: give {wanted}.{did_you_mean(path, ROOT)}")


def folder_of_run(name: str) -> Path | None:
    """Folder of a run, or of the run of a checkpoint; None if it is not on this machine."""
    if is_remote(name):
        return None
    path = run_named(name)
    return path if path.is_dir() else path.parent.parent


def dataset_of_run(name: str) -> Any:
    """The `dataset` node in `config.yaml` of a run folder, or of the run of a checkpoint, as plain data; else None."""
    folder = folder_of_run(name)
    if folder is None:
        return None
    with suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
        config = parse_yaml(read_text(folder / "config.yaml"))
        return config.get("dataset") if isinstance(config, dict) else None
    return None
