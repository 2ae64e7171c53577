"""Weights & Biases that never stops or delays a run: online where it can be, offline elsewhere."""

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
from gan_lab.processes import is_first_process

if TYPE_CHECKING:
    from wandb import Run

MODES = ("auto", "online", "offline", "disabled")
GRACE_SECONDS = 2.0
"""For what W&B does after its own limit."""

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

    A run that goes on in its folder goes on in W&B as well.

    Args:
        save_dir: Folder in which W&B makes its own folder `wandb`.
        config_file: The run's resolved config, YAML; shown as the run's config.
        project: W&B project.
        name: Shown name of the run.
        entity: User or team; None for the account's default.
        group: Runs of one group are shown together.
        tags: Words to filter by.
        mode: `auto` is online when there is a key and the server answers, else offline; `online`, `offline`, `disabled`.
        timeout_seconds: Longest wait for the server at the start; then the run goes on offline. Also at the end, for
            what is still to be sent; `wandb sync --include-online` sends the rest.

    Raises:
        ConfigError: `mode` is none of the four words.
    """
    if mode not in MODES:
        raise ConfigError(f"logger.wandb.mode={mode} is not known: choose auto, online, offline or disabled.")
    if not is_first_process():
        return WandbLogger(save_dir=save_dir, project=project)
    start = _Start(save_dir, config_file, project, name, entity, group, tags, timeout_seconds)
    return ContinuedRun(start.online_or_offline(mode), save_dir, project, timeout_seconds)


class ContinuedRun(WandbLogger):
    """Lightning's logger for W&B, which sends nothing twice, and which the training outlives.

    W&B takes nothing back. What a run logs again, since it was killed after it had logged it, is left out: it is the same.
    The file `wandb_run.json` has the run's id and how far its log is.

    W&B's own process writes the log to the disk and sends it from there, so a server that vanishes costs no time until the
    end. If that process takes nothing any more, one warning says so, and the training goes on without it.

    Args:
        run: The W&B run.
        save_dir: The folder of the file.
        project: W&B project.
        timeout_seconds: Longest wait at the end for what is still to be sent.
    """

    def __init__(self, run: "Run", save_dir: str, project: str, timeout_seconds: float) -> None:
        super().__init__(experiment=run, save_dir=save_dir, project=project)
        self._timeout_seconds = timeout_seconds
        self._ended = False
        self._file = _id_file(save_dir)
        known = _known_run(save_dir)
        if known.get("id") != run.id:
            known = {"images_seen": -1, "keys": []}
        self._seen: int = known["images_seen"]
        self._keys: set[str] = set(known["keys"])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send values, and pictures as `wandb.Image`, of the time when `progress/images_seen` images had been seen."""
        seen = int(metrics["progress/images_seen"])
        if self._ended or seen < self._seen or (seen == self._seen and self._keys.issuperset(metrics)):
            return
        try:
            super().log_metrics(metrics, step)
        except Exception as error:  # whatever W&B raises, the training matters more
            self._end()
            self._warn("W&B takes nothing any more, and the run goes on without it", error)
            return
        self._keys = set(metrics) | (self._keys if seen == self._seen else set())
        self._seen = seen
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps({"id": self.experiment.id, "images_seen": seen, "keys": sorted(self._keys)}))
        draft.replace(self._file)

    def finish(self) -> None:
        """End the W&B run, and say how to send what the server has not got within the time."""
        if not self._ended:
            error = self._end()
            if error is not None:
                self._warn("The server of W&B has not got everything", error)

    def _end(self) -> Exception | None:
        """End the W&B run in the time that it has; else the error, and W&B's process is gone."""
        self._ended = True
        try:
            # W&B has a limit of its own, which does not count while it repeats an alert or a setting that no server takes.
            # Its process then still has the last rows of the log in memory: metrics.csv has these rows.
            _within(self._timeout_seconds + GRACE_SECONDS, self.experiment.finish)
        except Exception as error:
            _end_process()
            return error
        return None

    def _warn(self, what: str, error: Exception) -> None:
        reason = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        folder = self.experiment.settings.sync_dir
        log.warning("%s (%s). To send what is on the disk: wandb sync --include-online %s", what, reason, folder)


def _end_process() -> None:
    """End W&B's own process, for which the end of the program and the next run of a sweep would wait."""
    import wandb

    with suppress(Exception):  # there is no public way; without it they wait
        wandb.setup()._connection._proc._process.kill()  # type: ignore[union-attr]
    with suppress(Exception, SystemExit):
        _within(GRACE_SECONDS, wandb.teardown)


def _within(seconds: float, act: Callable[[], object]) -> None:
    """Do it, or raise what it raises, or a `TimeoutError` after this time; then it goes on in its own thread."""
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
        raise TimeoutError(f"no end within {seconds:g} seconds")
    if raised:
        raise raised[0]


def forget_run(save_dir: str) -> None:
    """Let the next run of this folder be a new one in W&B."""
    _id_file(save_dir).unlink(missing_ok=True)


def _id_file(save_dir: str) -> Path:
    return Path(save_dir) / "wandb_run.json"


def _known_run(save_dir: str) -> dict[str, Any]:
    """What an earlier part of the run left, or nothing."""
    file = _id_file(save_dir)
    return json.loads(file.read_text()) if file.is_file() else {}


@dataclass(frozen=True)
class _Start:
    """What a W&B run is started with; the arguments of `wandb_logger`."""

    save_dir: str
    config_file: str
    project: str
    name: str | None
    entity: str | None
    group: str | None
    tags: list[str] | None
    timeout_seconds: int

    def online_or_offline(self, mode: str) -> "Run":
        """A new run in this mode, or offline where that fails."""
        if mode == "disabled":
            return self._init("disabled")
        if mode == "online" and not _has_key():
            log.warning("W&B has no key, which `wandb login` stores.")  # and its own question would stop the run
        elif mode == "online" or (mode == "auto" and _has_key() and _server_answers()):
            try:
                return self._init("online")
            except Exception as error:  # whatever W&B raises, the training matters more
                log.warning("W&B cannot be reached (%s).", (str(error).splitlines() or [type(error).__name__])[0])
        try:
            run = self._init("offline")
        except Exception as error:  # its own service may fail to start
            log.warning("W&B cannot write (%s): this run goes on without it.", type(error).__name__)
            return self._init("disabled")
        log.info("W&B is offline: `wandb sync` sends the run from %s later.", self.save_dir)
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
            config=yaml.safe_load(Path(self.config_file).read_text()),
            reinit="create_new",  # a sweep trains several runs in one process
            id=_known_run(self.save_dir).get("id"),
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


def _has_key() -> bool:
    """Whether W&B knows a key: from the environment, its settings, or the netrc file that `wandb login` writes."""
    import wandb

    settings = wandb.setup().settings
    return any(
        (
            os.environ.get("WANDB_API_KEY"),
            os.environ.get("WANDB_IDENTITY_TOKEN_FILE"),
            settings.api_key,
            _in_netrc(urlparse(settings.base_url).hostname or ""),
        )
    )


def _in_netrc(host: str) -> bool:
    home = Path.home()
    for path in [Path(os.environ["NETRC"])] if "NETRC" in os.environ else [home / ".netrc", home / "_netrc"]:
        try:
            return netrc.netrc(path.expanduser()).authenticators(host) is not None
        except FileNotFoundError:
            continue
        except (OSError, netrc.NetrcParseError) as error:
            log.warning("%s cannot be read for a key of W&B: %s.", path, error)
    return False


def _server_answers(seconds: float = 4.0) -> bool:
    """Whether there is any HTTP answer in that time, proxies included. A thread waits, as looking up a name has no limit."""
    import wandb

    url = wandb.setup().settings.base_url
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an answer, too
        except (OSError, ValueError):
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()
