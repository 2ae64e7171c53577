"""Runs that are elsewhere, by names with a scheme such as `hf:user/name`. Light to import: no torch."""

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

SCHEMES = {"hf": "gan_lab.runs.hub", "wandb": "gan_lab.runs.wandb_models"}
"""Module by scheme. It has three functions: `check_name(name)`, which refuses a wrong form, without a network;
`download(name)`, the path of a local copy, a run folder or a file of weights; `name_of_copy(path)`, a name for outputs
of a copy that `download` made, and None for other paths. The names are without `<scheme>:`."""


WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
"""Files of a folder of `gan-lab export`: weights, readable copy of their card, page of the model hub."""


_NAMES: dict[Path, str] = {}
"""Names of the copies that this process has downloaded."""


def is_remote(path: str | PathLike[str]) -> bool:
    """Whether this is a name with a scheme, rather than a path."""
    return _split(path) is not None


def check_remote(path: str | PathLike[str]) -> None:
    """Refuse a name with a scheme whose form is wrong, without a network.

    Raises:
        CheckpointError: Names the form.
    """
    if (parts := _split(path)) is not None:
        _module(parts[0]).check_name(parts[1])


def local_path(path: str | PathLike[str]) -> Path:
    """The path itself; the weights in a folder of `gan-lab export`; or for a name with a scheme that of a local copy.

    The copy is downloaded if it is not there yet.

    Raises:
        CheckpointError: It is not there, is not a model of gan_lab, or cannot be reached.
    """
    if (parts := _split(path)) is None:
        return Path(path, WEIGHTS) if is_export_folder(Path(path)) else Path(path)
    downloaded: Path = _module(parts[0]).download(parts[1])
    _NAMES[downloaded] = str(path)
    return downloaded


def named(path: Path) -> str:
    """A file in messages: the name that the user gave of a download, such as `hf:user/name`; else the path."""
    return _NAMES.get(path, str(path))


def name_of_copy(path: Path) -> str | None:
    """A name for what is made of a downloaded copy, such as `user--name`; None for other paths."""
    found = (_module(scheme).name_of_copy(path) for scheme in SCHEMES)
    return next((name for name in found if name is not None), None)


def is_export_folder(path: Path) -> bool:
    """Whether this is a folder of `gan-lab export`, and not that of a run."""
    return (path / WEIGHTS).is_file() and (path / CONFIG).is_file()


def _split(path: str | PathLike[str]) -> tuple[str, str] | None:
    """Scheme and name; None for a path."""
    scheme, _, name = str(path).partition(":")
    return (scheme, name) if str(path).startswith(f"{scheme}:") and scheme in SCHEMES else None


def _module(scheme: str) -> Any:
    return import_module(SCHEMES[scheme])
