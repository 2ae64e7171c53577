"""A Weights & Biases run that is resumed together with its training, and never stops it."""

import json
import logging
import math
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lightning.pytorch.loggers import WandbLogger

from gan_lab.errors import first_line
from gan_lab.files import read_text, write_text
from gan_lab.loggers.description import RunDescription
from gan_lab.ranks import is_first_process
from gan_lab.runs.wandb_models import MODEL, MODEL_FILE

if TYPE_CHECKING:
    from wandb import Artifact, Run

EXTRA_SECONDS = 2.0
"""Additional wait for W&B beyond its own time limit."""

log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., None])


def _never_stops_training(method: Method) -> Method:
    """Decorate a method of `ResumedRun`: for the first process, until W&B has ended; if W&B raises, it ends."""

    @wraps(method)
    def attempt(logger: "ResumedRun", *args: Any, **kwargs: Any) -> None:
        if logger.has_ended or not is_first_process():
            return
        try:
            method(logger, *args, **kwargs)
        except Exception as error:
            logger.end_with_warning(error)

    return cast(Method, attempt)


class ResumedRun(WandbLogger):
    """Lightning's W&B logger without duplicate rows after a resume, and without effect on training if W&B fails.

    W&B cannot delete rows. Rows that a resumed run logs again, because it was killed after logging them, are equal to
    the earlier ones and are not sent. The file `wandb_run.json` has the id of the run, the images seen of its last row,
    and the best metrics so far.

    The summary has the last value of each key, and of a metric with a known direction also `best/<metric>` and
    `best/<metric>_images`. `define_metric(summary="min")` is not used for it: it replaces the last value by a mapping,
    and a sweep of W&B cannot optimize an entry of one.

    W&B's own process writes the log to the disk and sends it from there, so an unreachable server causes no delay
    before the end. If that process fails, one warning is logged and training continues without W&B.

    Args:
        run: The W&B run.
        save_dir: The run folder, with `wandb_run.json` and the files that become artifacts.
        project: W&B project.
        timeout_seconds: Longest wait at the end for data that are not sent yet.
        tag: Whether the names of the run's parts become its tags.
        checkpoints: See `wandb_logger`.
    """

    def __init__(
        self,
        run: "Run",
        save_dir: str,
        project: str,
        timeout_seconds: float,
        tag: bool = True,
        checkpoints: str = "none",
    ) -> None:
        super().__init__(experiment=run, save_dir=save_dir, project=project)
        self._timeout_seconds = timeout_seconds
        self._tag = tag
        self._checkpoints = checkpoints
        self.has_ended = False
        self._folder = Path(save_dir)
        saved = saved_run(save_dir)
        if saved.get("id") != run.id:
            saved = {"images_seen": -1, "keys": []}
        self._seen: int = saved["images_seen"]
        self._keys: set[str] = set(saved["keys"])
        self._best: dict[str, Any] = saved.get("best", {})  # entries of the summary
        self._hidden: set[str] = set()
        self._uploads: list[threading.Thread] = []

    @_never_stops_training
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send values and images (`wandb.Image`) at `progress/images_seen`."""
        seen = int(metrics["progress/images_seen"])
        if seen < self._seen or (seen == self._seen and self._keys.issuperset(metrics)):
            return
        self._hide(metrics)
        self.experiment.log(dict(metrics))  # without Lightning's trainer/global_step
        self._keys = set(metrics) | (self._keys if seen == self._seen else set())
        self._seen = seen
        self._save()

    def leave_history(self, images_seen: int) -> None:
        """Report that W&B has rows of weights which the run has dropped to continue differently, and forget their best.

        Args:
            images_seen: Where the run resumes, with other settings than those of the later rows.
        """
        if images_seen >= self._seen:
            return
        log.warning(
            "W&B cannot delete rows: those after %d images, up to %d, are of weights that the run has dropped, and the "
            "run's new rows begin after them. metrics.csv has the run's own rows only.", images_seen, self._seen,
        )  # fmt: skip
        later = {name for name in self._best if self._best.get(f"{name}_images", 0) > images_seen}
        self._best = {k: v for k, v in self._best.items() if k.removesuffix("_images") not in later}
        self._save()

    def _hide(self, metrics: Mapping[str, Any]) -> None:
        """Keep the fractions of the time from a panel each; they can be shown in one panel of their own."""
        for key in set(metrics) - self._hidden:
            if key.startswith("time/"):
                self.experiment.define_metric(key, step_metric="progress/images_seen", hidden=True)
                self._hidden.add(key)

    @_never_stops_training
    def log_best(self, values: Mapping[str, float], higher: Mapping[str, bool | None], images_seen: int) -> None:
        """Put the best values so far into the summary.

        Args:
            values: Metrics by log key.
            higher: Whether higher values are better, by log key; None if that is unknown.
            images_seen: By the weights that were measured.
        """
        for key, value in values.items():
            name, sign = f"best/{key.removeprefix('eval/')}", 1 if higher[key] else -1
            if higher[key] is not None and sign * value > sign * self._best.get(name, -sign * math.inf):
                self._best |= {name: value, f"{name}_images": images_seen}
        self.experiment.summary.update(self._best)
        self._save()

    @_never_stops_training
    def log_hyperparams(self, params: Any) -> None:
        """Add to W&B's config."""
        super().log_hyperparams(params)

    @_never_stops_training
    def describe(self, description: RunDescription) -> None:
        """Send the config with the names of the parts, and the tags."""
        super().log_hyperparams(description.as_config())
        if self._tag:
            self.experiment.tags = tuple(dict.fromkeys([*(self.experiment.tags or ()), *description.tags()]))

    @_never_stops_training
    def log_checkpoint(self, file: Path, images_seen: int) -> None:
        """Store a checkpoint as an artifact in the background, if all are wanted."""
        if self._checkpoints == "all":
            artifact = self._artifact(f"model-{self.experiment.id}", MODEL, {MODEL_FILE: file})  # copies the file
            # A thread, since W&B asks the server, which may be unreachable, before its own process takes over.
            upload = threading.Thread(target=self._send, args=(artifact, f"images-{images_seen}"), daemon=True)
            upload.start()
            self._uploads.append(upload)

    def _send_results(self) -> None:
        """Store `report.html`, `config.yaml` and the last and best checkpoint, if they are wanted, as artifacts."""
        for upload in self._uploads:
            upload.join()
        files = [self._folder / name for name in ("report.html", "config.yaml")]
        found = {file.name: file for file in files if file.is_file()}
        if found:
            self._send(self._artifact(f"report-{self.experiment.id}", "report", found))
        for name in ("last", "best"):
            file = self._folder / "checkpoints" / f"{name}.ckpt"
            if self._checkpoints in (name, "all") and file.is_file():
                self._send(self._artifact(f"model-{self.experiment.id}", MODEL, {MODEL_FILE: file}), name)

    def _artifact(self, name: str, kind: str, files: Mapping[str, Path]) -> "Artifact":
        import wandb

        artifact = wandb.Artifact(name, kind)
        for name_in_artifact, file in files.items():
            artifact.add_file(str(file), name_in_artifact)
        return artifact

    def _send(self, artifact: "Artifact", *aliases: str) -> None:
        self.experiment.log_artifact(artifact, aliases=["latest", *aliases])

    def finish(self) -> None:
        """Store the results and end the W&B run.

        If the server has not received all data in time, the command that sends the rest is logged.
        """
        if not self.has_ended:
            error = self._end(with_results=True)
            if error is not None:
                self._warn("The W&B server has not received all data", error)

    def end_with_warning(self, error: Exception) -> None:
        """End the W&B run after an error of W&B."""
        self._end(with_results=False)
        self._warn("W&B accepts no more data; training continues without it", error)

    def _end(self, with_results: bool) -> Exception | None:
        """End the W&B run within the time limit; on failure end W&B's process and return the error."""
        self.has_ended = True

        def end() -> None:
            try:
                if with_results:
                    self._send_results()
            finally:
                self.experiment.finish()

        try:
            # W&B ignores its own limit while it retries an alert or a setting. Its process then has the last rows of
            # the log in memory only; metrics.csv has these rows.
            _within(self._timeout_seconds + EXTRA_SECONDS, end)
        except Exception as error:
            _end_process()
            return error
        return None

    def _save(self) -> None:
        saved = {"id": self.experiment.id, "images_seen": self._seen, "keys": sorted(self._keys), "best": self._best}
        write_text(_id_file(str(self._folder)), json.dumps(saved))

    def _warn(self, what: str, error: Exception) -> None:
        folder = self.experiment.settings.sync_dir
        advice = "To send the data on the disk: wandb sync --include-online"
        log.warning("%s (%s). %s %s", what, first_line(error), advice, folder)


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


def saved_run(save_dir: str) -> dict[str, Any]:
    """Contents of `wandb_run.json`; empty without the file, or if it is damaged."""
    try:
        saved = json.loads(read_text(_id_file(save_dir)))
    except (OSError, ValueError, RecursionError):
        return {}
    return saved if isinstance(saved, dict) else {}
