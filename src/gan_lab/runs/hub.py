"""Models of the Hugging Face hub as runs: `hf:user/name` or `hf:user/name@revision`. Nothing from it runs code."""

import json
import re
from pathlib import Path
from typing import Any

from gan_lab.errors import CheckpointError
from gan_lab.files import read_text
from gan_lab.hub_client import asking_hub, hub_is_reachable
from gan_lab.runs.remote import CONFIG, WEIGHTS

LIBRARY = "gan_lab"
"""Value of `library_name` in `config.json` and in the page, by which the hub and `download` know our models."""

_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_CACHED = re.compile(r"models--(?P<name>.+)")


def check_name(name: str) -> None:
    """Refuse what is not the name of a repository, without asking the hub.

    Raises:
        CheckpointError: Names the form.
    """
    _parsed(name)


def download(name: str) -> Path:
    """Path of `model.safetensors` in the client's cache, which asks the hub whether its copy is the newest.

    The small `config.json` is read first, so that files of another library are never downloaded.

    Raises:
        CheckpointError: The repository is not there, is not accessible, or was not written by `gan-lab export`.
    """
    from huggingface_hub import HfApi

    repo, revision = _parsed(name)
    local = not hub_is_reachable()
    with asking_hub(f"hf:{name}", CheckpointError):
        hf_hub_download = HfApi().hf_hub_download
        config = hf_hub_download(repo, CONFIG, revision=revision, local_files_only=local)
        if not is_ours(Path(config)):
            raise CheckpointError(f"hf:{name} was not written by gan-lab export: its {CONFIG} is of another library.")
        return Path(hf_hub_download(repo, WEIGHTS, revision=revision, local_files_only=local))


def is_ours(config: Path) -> bool:
    """Whether this file is a `config.json` of `gan-lab export`."""
    try:
        content: Any = json.loads(read_text(config))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("library_name") == LIBRARY


def name_of_copy(path: Path) -> str | None:
    """`user--name` for a file in the cache of the hub's client, in which nothing else may be written."""
    if len(path.parts) < 4 or path.parts[-3] != "snapshots":
        return None
    found = _CACHED.fullmatch(path.parts[-4])
    return None if found is None else found["name"]


def _parsed(name: str) -> tuple[str, str | None]:
    """Repository and revision."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise CheckpointError(
            f"hf:{name} is not the name of a model: write hf:<user>/<name>, and @<revision> behind it for a branch, "
            "a tag or a commit."
        )
    return found["repo"], found["revision"]
