"""Weights & Biases logger that never stops or delays a run: online if possible, else offline."""

import json
import logging
import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlparse

import yaml
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from gan_lab.errors import ConfigError
from gan_lab.files import read_text, write_text
from gan_lab.ranks import is_first_process

if TYPE_CHECKING:
    from wandb import Run

MODES = ("auto", "online", "offline", "disabled")
EXTRA_SECONDS = 2.0
"""Additional wait for W&B beyond its own time limit."""

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
    """Lightning logger of a W&B run whose horizontal axis is the images seen.

    A run that is resumed in its folder is resumed in W&B as well.

    Args:
        save_dir: Folder in which W&B creates its folder `wandb`.
        config_file: YAML file of the resolved config, which W&B shows.
        project: W&B project.
        name: Displayed name of the run.
        entity: User or team; None for the account's default.
        group: Group of runs that W&B shows together.
        tags: Tags for filtering.
        mode: `auto`: online if there is an API key and the server responds, else offline; or `online`, `offline`,
            `disabled`.
        timeout_seconds: Longest wait for the server at the start, after which the run is offline; and at the end for
            data that are not sent yet. `wandb sync --include-online` sends the rest.

    Raises:
        ConfigError: `mode` is not one of the four.
    """
    if mode not in MODES:
        raise ConfigError(f"logger.wandb.mode={mode} is not allowed: choose auto, online, offline or disabled.")
    if not is_first_process():
        return WandbLogger(save_dir=save_dir, project=project)
    start = _Start(save_dir, config_file, project, name, entity, group, tags, timeout_seconds)
    return ResumedRun(start.online_or_offline(mode), save_dir, project, timeout_seconds)


class ResumedRun(WandbLogger):
    """Lightning's W&B logger without duplicate rows after a resume, and without effect on training if W&B fails.

    W&B cannot delete rows. Rows that a resumed run logs again, because it was killed after logging them, are equal to
    the earlier ones and are not sent. The file `wandb_run.json` has the id of the run and the images seen of its last
    row.

    W&B's own process writes the log to the disk and sends it from there, so an unreachable server causes no delay
    before the end. If that process fails, one warning is logged and training continues without W&B.

    Args:
        run: The W&B run.
        save_dir: Folder of `wandb_run.json`.
        project: W&B project.
        timeout_seconds: Longest wait at the end for data that are not sent yet.
    """

    def __init__(self, run: "Run", save_dir: str, project: str, timeout_seconds: float) -> None:
        super().__init__(experiment=run, save_dir=save_dir, project=project)
        self._timeout_seconds = timeout_seconds
        self._ended = False
        self._file = _id_file(save_dir)
        saved = _saved_run(save_dir)
        if saved.get("id") != run.id:
            saved = {"images_seen": -1, "keys": []}
        self._seen: int = saved["images_seen"]
        self._keys: set[str] = set(saved["keys"])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send values and images (`wandb.Image`) at `progress/images_seen`."""
        seen = int(metrics["progress/images_seen"])
        if self._ended or seen < self._seen or (seen == self._seen and self._keys.issuperset(metrics)):
            return
        try:
            super().log_metrics(metrics, step)
        except Exception as error:  # training continues whatever W&B raises
            self._end()
            self._warn("W&B accepts no more data; training continues without it", error)
            return
        self._keys = set(metrics) | (self._keys if seen == self._seen else set())
        self._seen = seen
        saved = {"id": self.experiment.id, "images_seen": seen, "keys": sorted(self._keys)}
        write_text(self._file, json.dumps(saved))

    def finish(self) -> None:
        """End the W&B run; if the server has not received all data in time, log the command that sends the rest."""
        if not self._ended:
            error = self._end()
            if error is not None:
                self._warn("The W&B server has not received all data", error)

    def _end(self) -> Exception | None:
        """End the W&B run within the time limit; on failure end W&B's process and return the error."""
        self._ended = True
        try:
            # W&B ignores its own limit while it retries an alert or a setting. Its process then has the last rows of
            # the log in memory only; metrics.csv has these rows.
            _within(self._timeout_seconds + EXTRA_SECONDS, self.experiment.finish)
        except Exception as error:
            _end_process()
            return error
        return None

    def _warn(self, what: str, error: Exception) -> None:
        reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        folder = self.experiment.settings.sync_dir
        log.warning("%s (%s). To send the data on the disk: wandb sync --include-online %s", what, reason, folder)


def _end_process() -> None:
    """Kill W&B's own process: the end of the program and the next run of a sweep would wait for it."""
    import wandb

    with suppress(Exception):  # there is no public function for this
        wandb.setup()._connection._proc._process.kill()  # type: ignore[union-attr]
    with suppress(Exception, SystemExit):
        _within(EXTRA_SECONDS, wandb.teardown)


def _within(seconds: float, act: Callable[[], object]) -> None:
    """Call `act` in a thread and wait; raise its error, or `TimeoutError` while it is still running."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"not finished within {seconds:g} seconds")
    if raised:
        raise raised[0]


def forget_run(save_dir: str) -> None:
    """Remove the id of the W&B run, so that the next run in this folder is a new one."""
    _id_file(save_dir).unlink(missing_ok=True)


def _id_file(save_dir: str) -> Path:
    return Path(save_dir) / "wandb_run.json"


def _saved_run(save_dir: str) -> dict[str, Any]:
    """Contents of `wandb_run.json`; empty without the file, or if it is damaged."""
    try:
        saved = json.loads(read_text(_id_file(save_dir)))
    except (OSError, ValueError, RecursionError):
        return {}
    return saved if isinstance(saved, dict) else {}


@dataclass(frozen=True)
class _Start:
    """Arguments of a W&B run; see `wandb_logger`."""

    save_dir: str
    config_file: str
    project: str
    name: str | None
    entity: str | None
    group: str | None
    tags: list[str] | None
    timeout_seconds: int

    def online_or_offline(self, mode: str) -> "Run":
        """Start a run in this mode, or offline if that fails."""
        if mode == "disabled":
            return self._init("disabled")
        if mode != "offline":
            _refuse_settings_file_in(Path(self.save_dir))
        if mode == "online" and not _has_key():
            log.warning("W&B has no API key; `wandb login` stores one.")  # wandb.init would prompt for it
        elif mode == "online" or (mode == "auto" and _has_key() and _server_responds()):
            try:
                return self._init("online")
            except Exception as error:  # training continues whatever W&B raises
                log.warning("W&B cannot be reached (%s).", (str(error).splitlines() or [type(error).__name__])[0])
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
            tags=self.tags,
            mode=mode,
            dir=self.save_dir,
            config=yaml.safe_load(Path(self.config_file).read_text(encoding="utf-8")),
            reinit="create_new",  # a sweep trains several runs in one process
            id=_saved_run(self.save_dir).get("id"),
            resume="allow",
            settings=wandb.Settings(
                init_timeout=self.timeout_seconds,
                finish_timeout=self.timeout_seconds,
                finish_timeout_raises=True,
                silent=True,
            ),
        )
        run.define_metric("progress/images_seen")
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


def _has_key() -> bool:
    """Whether there is an API key: in the environment, W&B's settings, or the netrc file that `wandb login` writes."""
    import wandb

    settings = wandb.setup().settings
    return any(
        (
            os.environ.get("WANDB_API_KEY"),
            os.environ.get("WANDB_IDENTITY_TOKEN_FILE"),
            settings.api_key,
            _is_in_netrc(urlparse(settings.base_url).hostname or ""),
        )
    )


def _is_in_netrc(host: str) -> bool:
    home = Path.home()
    for path in [Path(os.environ["NETRC"])] if "NETRC" in os.environ else [home / ".netrc", home / "_netrc"]:
        try:
            return netrc.netrc(path.expanduser()).authenticators(host) is not None
        except FileNotFoundError:
            continue
        except (OSError, netrc.NetrcParseError) as error:
            log.warning("%s cannot be read for a W&B API key: %s.", path, error)
    return False


def _server_responds(seconds: float = 4.0) -> bool:
    """Whether the server or a proxy responds in that time; in a thread, since name resolution has no time limit."""
    import wandb

    url = wandb.setup().settings.base_url
    responded = threading.Event()

    def request() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # a response as well
        except (OSError, ValueError):
            return
        responded.set()

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(seconds)
    return responded.is_set()
