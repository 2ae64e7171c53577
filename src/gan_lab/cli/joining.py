"""Processes that torchrun started find the run folder of the first one. Imports torch only where there are such."""

import os
from typing import Any

KEY = "gan_lab/run.dir"
WORDS_OF_A_FOLDER = ("run.dir=", "run.name=")
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
"""Flags of commands that make no run folder."""


def with_shared_folder(words: list[str]) -> list[str]:
    """The words of a command with `run.dir=` of the first process, unless they name a folder or this is that process.

    After torchrun has started the processes anew, the first one goes on in its earlier folder, too.
    """
    names_a_folder = any(word.startswith(WORDS_OF_A_FOLDER) for word in words)
    if not _under_torchrun() or names_a_folder or any(word.partition("=")[0] in PRINTS_ONLY for word in words):
        return words
    store = _store()
    if _is_first() and not store.check([KEY]):
        return words
    return [*words, f"run.dir='{store.get(KEY).decode()}'"]  # waits for the first process


def tell_folder(folder: str) -> None:
    """Tell the other processes where this run is kept, if this is the first of several."""
    if _under_torchrun() and _is_first():
        _store().set(KEY, folder)


def _under_torchrun() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _is_first() -> bool:
    return os.environ["RANK"] == "0"


def _store() -> Any:
    """What torchrun keeps for the processes to find each other."""
    from torch.distributed import TCPStore

    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
