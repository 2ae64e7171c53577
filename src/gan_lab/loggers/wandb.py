"""Weights & Biases logger that never stops or delays a run: online if possible, else offline."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from lightning.pytorch.loggers import WandbLogger

from gan_lab.errors import ConfigError, first_line
from gan_lab.loggers.wandb_run import ResumedRun, saved_run
from gan_lab.ranks import is_first_process
from gan_lab.wandb_client import has_key, server_responds

if TYPE_CHECKING:
    from wandb import Run

MODES = ("auto", "online", "offline", "disabled")
CHECKPOINTS = ("none", "last", "best", "all")

log = logging.getLogger(__name__)


def wandb_logger(
    save_dir: str,
    config_file: str,
    project: str = "gan_lab",
    name: str | None = None,
    entity: str | None = None,
    group: str | None = None,
    job_type: str | None = "train",
    tags: list[str] | None = None,
    checkpoints: str = "none",
    mode: str = "auto",
    timeout_seconds: int = 15,
) -> WandbLogger:
    """Lightning logger of a W&B run whose horizontal axis is the images seen.

    A run that is resumed in its folder is resumed in W&B as well.

    Args:
        save_dir: Folder in which W&B creates its folder `wandb`.
        config_file: YAML file of the resolved config.
        project: W&B project.
        name: Displayed name of the run.
        entity: User or team; None for the account's default.
        group: Group of runs that W&B shows together; None for the sweep, of gan_lab or of W&B, that the run belongs to.
        job_type: Kind of the run within its group.
        tags: Tags for filtering; None for the names of model, data set, loss, preset and experiment.
        checkpoints: What is stored as artifacts `model-<id of the run>`: `last` or `best` at the end, with these
            aliases; `all`: both, and each checkpoint when it is written; `none`.
        mode: `auto`: online if there is an API key and the server responds, else offline; or `online`, `offline`,
            `disabled`.
        timeout_seconds: Longest wait for the server at the start, after which the run is offline; and at the end for
            data that are not sent yet. `wandb sync --include-online` sends the rest.

    Raises:
        ConfigError: `mode` or `checkpoints` is not one of those.
    """
    for key, value, allowed in (("mode", mode, MODES), ("checkpoints", checkpoints, CHECKPOINTS)):
        if value not in allowed:
            names = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
            raise ConfigError(f"logger.wandb.{key}={value} is not allowed: choose {names}.")
    if not is_first_process():
        return WandbLogger(save_dir=save_dir, project=project)
    group = group or os.environ.get("WANDB_RUN_GROUP") or _sweep(config_file)
    start = _Start(save_dir, project, name, entity, group, job_type, tags, timeout_seconds)
    return ResumedRun(start.online_or_offline(mode), save_dir, project, timeout_seconds, tags is None, checkpoints)


def _sweep(config_file: str) -> str | None:
    """The sweep that a run belongs to: of a W&B agent, or the folder of a sweep of gan_lab, as in `<sweep>/3`."""
    config = yaml.safe_load(Path(config_file).read_text(encoding="utf-8"))
    sweep, _, number = str((config.get("run") or {}).get("name")).rpartition("/")
    return os.environ.get("WANDB_SWEEP_ID") or (sweep if number.isdigit() else None) or None


@dataclass(frozen=True)
class _Start:
    """Arguments of a W&B run; see `wandb_logger`."""

    save_dir: str
    project: str
    name: str | None
    entity: str | None
    group: str | None
    job_type: str | None
    tags: list[str] | None
    timeout_seconds: int

    def online_or_offline(self, mode: str) -> "Run":
        """Start a run in this mode, or offline if that fails."""
        if mode == "disabled":
            return self._init("disabled")
        if mode != "offline":
            _refuse_settings_file_in(Path(self.save_dir))
        if mode == "online" and not has_key():
            log.warning("W&B has no API key; `wandb login` stores one.")  # wandb.init would prompt for it
        elif mode == "online" or (mode == "auto" and has_key() and server_responds()):
            try:
                return self._init("online")
            except Exception as error:  # training continues whatever W&B raises
                log.warning("W&B cannot be reached (%s).", first_line(error))
        try:
            run = self._init("offline")
        except Exception as error:  # the W&B service may fail to start
            log.warning("W&B cannot write files (%s): training continues without it.", type(error).__name__)
            return self._init("disabled")
        log.info("W&B is offline: `wandb sync` sends the run in %s later.", self.save_dir)
        return run

    def _init(self, mode: Literal["online", "offline", "disabled"]) -> "Run":
        import wandb

        run = wandb.init(
            project=self.project,
            name=self.name,
            entity=self.entity,
            group=self.group,
            job_type=self.job_type,
            tags=self.tags,
            mode=mode,
            dir=self.save_dir,
            reinit="create_new",  # a sweep trains several runs in one process
            id=saved_run(self.save_dir).get("id"),
            resume="allow",
            settings=wandb.Settings(
                init_timeout=self.timeout_seconds,
                finish_timeout=self.timeout_seconds,
                finish_timeout_raises=True,
                silent=True,
            ),
        )
        run.define_metric("progress/images_seen", hidden=True)
        run.define_metric("*", step_metric="progress/images_seen")
        return run


def _refuse_settings_file_in(folder: Path) -> None:
    """Refuse a file `wandb/settings` inside the run folder: it can name the server to which W&B sends the API key.

    Raises:
        ConfigError: There is such a file.
    """
    import wandb

    file = Path(wandb.setup().settings.settings_workspace).resolve()
    if file.is_file() and file.is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{file} is inside the run folder and can name the server that receives your W&B key: run the command in "
            "another folder, or set logger.wandb.mode=offline."
        )
