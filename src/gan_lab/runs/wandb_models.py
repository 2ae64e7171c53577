"""Checkpoints in Weights & Biases as runs: `wandb:entity/project/run` or `wandb:entity/project/run:best`."""

import os
import re
from pathlib import Path
from typing import Any

from gan_lab.errors import CheckpointError, first_line
from gan_lab.wandb_client import has_key, server_responds

MODEL, MODEL_FILE = "model", "model.ckpt"
"""Type of the artifacts of checkpoints, `model-<id of the run>`, and the name of the file in them."""

FOLDER = "gan_lab_models"
"""Folder of downloaded checkpoints in W&B's cache."""

TIMEOUT_SECONDS = 30

_NAME = re.compile(r"(?P<entity>[\w.-]+)/(?P<project>[\w.-]+)/(?P<run>[\w.-]+)(:(?P<alias>[\w.-]+))?")


def check_name(name: str) -> None:
    """Refuse what does not name a run, without asking the server.

    Raises:
        CheckpointError: Names the form.
    """
    _parsed(name)


def download(name: str) -> Path:
    """Path of a checkpoint that `logger.wandb.checkpoints` stored, in W&B's cache.

    Raises:
        CheckpointError: It is not there, is not accessible, is not a checkpoint, or the server cannot be reached.
    """
    import wandb

    entity, project, run, alias = _parsed(name)
    if not has_key():
        raise CheckpointError(f"wandb:{name} needs an account: run wandb login, or set WANDB_API_KEY.")
    if not server_responds():
        raise CheckpointError(
            f"wandb:{name}: the W&B server cannot be reached: check the network, or give a local checkpoint."
        )
    try:
        artifact = wandb.Api(timeout=TIMEOUT_SECONDS).artifact(f"{entity}/{project}/model-{run}:{alias}")
        entry = _entry_of_checkpoint(name, artifact)
        folder = _cache() / FOLDER / f"{entity}--{project}--{run}" / str(artifact.version)
        return Path(entry.download(str(folder)))
    except (wandb.Error, OSError, ValueError) as error:
        raise CheckpointError(
            f"wandb:{name} cannot be loaded: {first_line(error)}; check entity, project, id of the run and alias, and "
            "that the run had logger.wandb.checkpoints=last, best or all."
        ) from error


def _entry_of_checkpoint(name: str, artifact: Any) -> Any:
    """Entry of the checkpoint in the artifact's list of files.

    Raises:
        CheckpointError: It is another kind of artifact, or has a link in place of the file.
    """
    entry = artifact.manifest.entries.get(MODEL_FILE)
    if artifact.type != MODEL or entry is None or entry.ref is not None:
        raise CheckpointError(
            f"wandb:{name} is an artifact of type {artifact.type} without {MODEL_FILE}: give a run of gan_lab with "
            "logger.wandb.checkpoints=last, best or all."
        )
    return entry


def name_of_copy(path: Path) -> str | None:
    """`entity--project--run` for a downloaded checkpoint."""
    return path.parts[-3] if len(path.parts) > 3 and path.parts[-4] == FOLDER else None


def _cache() -> Path:
    return Path(os.environ.get("WANDB_CACHE_DIR") or Path.home() / ".cache" / "wandb")


def _parsed(name: str) -> tuple[str, str, str, str]:
    """Entity, project, run and alias."""
    found = _NAME.fullmatch(name)
    if found is None or any(set(part) <= {"."} for part in found.group("entity", "project", "run")):
        raise CheckpointError(
            f"wandb:{name} is not the name of a run: write wandb:<entity>/<project>/<id of the run>, and :last or "
            ":best behind it."
        )
    return found["entity"], found["project"], found["run"], found["alias"] or "latest"
