"""Weights & Biases that never stops or delays a run: online where it can be, offline elsewhere."""

import logging
import os
import socket
from pathlib import Path
from urllib.parse import urlparse

import yaml
from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)


def wandb_logger(
    save_dir: str,
    config_file: str,
    project: str = "gan_lab",
    name: str | None = None,
    entity: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    mode: str = "auto",
    timeout_seconds: int = 15,
) -> WandbLogger:
    """A Lightning logger around a W&B run whose x-axis is the images seen.

    Args:
        save_dir: Folder in which W&B makes its own folder `wandb`.
        config_file: The run's resolved config, YAML; shown as the run's config.
        project: W&B project.
        name: Shown name of the run.
        entity: User or team; None for the account's default.
        group: Runs of one group are shown together.
        tags: Words to filter by.
        mode: `auto` is online when there is a key and the server answers, else offline; `online`, `offline`, `disabled`.
        timeout_seconds: Longest wait for the server at the start; then the run goes on offline.

    Raises:
        ValueError: `mode` is none of the four words.
    """
    if mode not in ("auto", "online", "offline", "disabled"):
        raise ValueError(f"logger.wandb.mode={mode} is not known; choose auto, online, offline or disabled")
    experiment = None
    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) == 0:
        experiment = _start(save_dir, config_file, project, name, entity, group, tags, mode, timeout_seconds)
    return WandbLogger(experiment=experiment, save_dir=save_dir, project=project)


def _start(save_dir, config_file, project, name, entity, group, tags, mode, timeout_seconds):  # type: ignore[no-untyped-def]
    import wandb

    if mode == "auto":
        mode = "online" if _has_key() and _server_answers() else "offline"

    def init(mode: str) -> "wandb.Run":
        return wandb.init(
            project=project,
            name=name,
            entity=entity,
            group=group,
            tags=tags,
            mode=mode,  # type: ignore[arg-type]
            dir=save_dir,
            config=yaml.safe_load(Path(config_file).read_text()),
            settings=wandb.Settings(init_timeout=timeout_seconds, finish_timeout=60, silent=True),
        )

    try:
        run = init(mode)
    except Exception as error:  # whatever W&B raises, the training matters more
        log.warning("W&B cannot be reached (%s): this run is logged offline.", str(error).splitlines()[0])
        run = init("offline")
    if mode == "offline":
        log.info("W&B is offline: `wandb sync` sends the run from %s later.", save_dir)
    run.define_metric("progress/images_seen")
    run.define_metric("*", step_metric="progress/images_seen")
    return run


def _has_key() -> bool:
    import wandb

    return bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)


def _server_answers(seconds: float = 3.0) -> bool:
    import wandb

    url = urlparse(wandb.setup().settings.base_url)
    try:
        with socket.create_connection((url.hostname, url.port or (443 if url.scheme == "https" else 80)), seconds):
            return True
    except OSError:
        return False
