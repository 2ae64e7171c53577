"""Run folder shared by the processes that torchrun starts. Imports torch only under torchrun."""

import os
from typing import Any

from gan_lab.ranks import is_first_process

KEY = "gan_lab/run.dir"
FOLDER_KEYS = ("run.dir=", "run.name=")
PRINTS_ONLY = (
    "-c",
    "--cfg",
    "-i",
    "--info",
    "-h",
    "--help",
    "--hydra-help",
    "-m",
    "--multirun",
    "--version",
    "--resolve",
)
"""Flags with which a command creates no run folder."""


def with_shared_folder(overrides: list[str]) -> list[str]:
    """The overrides with `run.dir=` of the first process, unless they name a folder or this is the first process.

    After torchrun has restarted the processes, the first one resumes in its earlier folder, too.
    """
    names_a_folder = any(override.startswith(FOLDER_KEYS) for override in overrides)
    if (
        not _under_torchrun()
        or names_a_folder
        or any(override.partition("=")[0] in PRINTS_ONLY for override in overrides)
    ):
        return overrides
    store = _store()
    if is_first_process() and not store.check([KEY]):
        return overrides
    return [*overrides, f"run.dir='{store.get(KEY).decode()}'"]  # waits for the first process


def publish_folder(folder: str) -> None:
    """Send the run folder to the other processes, if this is the first of several."""
    if _under_torchrun() and is_first_process():
        _store().set(KEY, folder)


def _under_torchrun() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _store() -> Any:
    """The key-value store by which torchrun's processes find each other."""
    from torch.distributed import TCPStore

    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
