"""Recovery from non-finite values, collapse and out-of-memory: rollback, smaller micro-batches, or an error."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import walk_tb

from omegaconf import DictConfig

from gan_lab.config.checks import check_batch_division
from gan_lab.config.overrides import to_paste
from gan_lab.errors import (
    CheckpointError,
    CollapseError,
    ConfigError,
    LostProcessError,
    TrainingError,
    is_lost_connection,
)
from gan_lab.files import relative_path
from gan_lab.runs.checkpoints import Checkpoint, numbered_checkpoints
from gan_lab.strategies import BY_PLAYER
from gan_lab.training.resuming import Start

log = logging.getLogger(__name__)


def rollback_start(error: TrainingError, cfg: DictConfig, rollbacks: int, begin: Start | None) -> Start | None:
    """Checkpoint to roll back to; None to restart from scratch.

    Args:
        error: The error that ended the run.
        cfg: Resolved config of the run.
        rollbacks: Number of earlier rollbacks.
        begin: Where the run began, which may be a checkpoint of another run; used if it has no earlier one of its own.

    Raises:
        TrainingError: Rollback is not enabled, its limit is reached, or all checkpoints are from the collapse. The
            message names the last good checkpoint.
    """
    collapsed = isinstance(error, CollapseError)
    key = "on_collapse" if collapsed else "on_non_finite"
    files = numbered_checkpoints(Path(cfg.run.dir) / "checkpoints")[::-1]
    healthy_at = error.healthy_at if isinstance(error, CollapseError) else None
    start = _newest_valid(files, healthy_at)
    if start is None and begin is not None and begin.file not in files:
        files.append(begin.file)
        start = _newest_valid([begin.file], healthy_at, begin.is_branch)
    none_good = bool(files) and start is None
    if cfg.trouble[key] == "rollback" and rollbacks < cfg.trouble.rollback.times and not none_good:
        return start
    cause = str(error).rstrip(".") if collapsed else f"Training stopped because {error}; no weights were updated"
    if none_good:
        good, action = "No good checkpoint is left", ""
    elif start:
        good, action = f"The last good checkpoint is {start.file}, after {start.images_seen:,} images", "resume from it"
    else:
        good, action = "There is no checkpoint yet", "restart"
    if none_good:
        advice = "set a larger callbacks.checkpoints.keep"
    elif cfg.trouble[key] != "rollback":
        advice = f"set trouble.{key}=rollback to {action} automatically with lower learning rates"
    else:
        advice = f"trouble.rollback.times={rollbacks} rollbacks have been used"
    raise TrainingError(f"{cause}. {good}; {advice}.") from error


def earlier_start(error: CheckpointError, cfg: DictConfig, start: Start) -> Start:
    """Next older checkpoint in the run folder, after the contents of `start` did not fit the run.

    Raises:
        CheckpointError: `error`, because `start` is not in the folder, was named by `resume`, or is the oldest.
    """
    files = numbered_checkpoints(Path(cfg.run.dir) / "checkpoints")[::-1]
    named = cfg.resume is not None and Path(cfg.resume).is_file()
    earlier = None if named or start.file not in files else _newest_valid(files, start.images_seen - 1)
    if earlier is None:
        raise error
    log.warning("%s Using an earlier one.", error)
    return earlier


def is_of_a_step(error: BaseException) -> bool:
    """Whether an error arose in a training step, and not in an evaluation, a figure or a checkpoint."""
    return any(frame.f_code.co_name == "training_step" for frame, _ in walk_tb(error.__traceback__))


def memory_error(cfg: DictConfig) -> TrainingError:
    """The error of a run whose memory is too small for something other than its training steps.

    Args:
        cfg: The resolved config of the run.
    """
    numbers = cfg.evaluation
    return TrainingError(
        "The memory is too small outside of a training step: set a smaller evaluation.batch_size "
        f"(now {numbers.batch_size}), evaluation.samples (now {numbers.samples}) or network; the same command with "
        f"{to_paste('run.dir', relative_path(cfg.run.dir))} then resumes from the last checkpoint."
    )


def smaller_micro_batches(cfg: DictConfig, processes: int) -> DictConfig:
    """Resolved config with the next larger `accumulate` that divides the batch, for use after running out of memory.

    The result of a step is the same, except for layers that use statistics of a micro-batch, such as batch norm.

    Args:
        cfg: Config with the `accumulate` that was too small.
        processes: Number of processes.

    Raises:
        TrainingError: `hardware.find_micro_batch` is false, the strategy cannot recover from it, or one image is too
            much.
    """
    # With the strategy of several processes that is the default, all stop if one runs out of memory.
    recoverable = processes == 1 or cfg.hardware.strategy in ("auto", BY_PLAYER)
    images = cfg.batch_size // (processes * cfg.accumulate)
    settings = f"batch_size={cfg.batch_size}, accumulate={cfg.accumulate}"
    problem = f"The memory is too small for {images} images at a time ({settings})"
    for accumulate in range(cfg.accumulate + 1, cfg.batch_size // processes + 1):
        smaller = cfg.copy()
        smaller.accumulate = accumulate
        with suppress(ConfigError):
            check_batch_division(smaller, processes)
            if recoverable and cfg.hardware.find_micro_batch:
                return smaller
            option = ", or hardware.find_micro_batch=true to find one that fits" if recoverable else ""
            raise TrainingError(
                f"{problem}: set accumulate={accumulate} and allow_changes=true{option}; the same command with "
                f"{to_paste('run.dir', relative_path(cfg.run.dir))} then resumes from the last checkpoint."
            )
    raise TrainingError(
        f"{problem}, the smallest micro-batch: set a smaller width or resolution, or hardware.precision=bf16-mixed."
    )


@contextmanager
def lost_process_reported(folder: Path, processes: int) -> Iterator[None]:
    """Turn errors of connections to other processes into an error that names how to resume the run.

    Args:
        folder: The run folder.
        processes: Number of processes of the run; with one, all errors pass unchanged.

    Raises:
        LostProcessError: Another process ended, for example because the system killed it.
    """
    try:
        yield
    except RuntimeError as error:
        if processes == 1 or not is_lost_connection(error):
            raise
        path = relative_path(folder)
        action = "there is no checkpoint yet, and the same command starts the run again"
        if (folder / "checkpoints" / "last.ckpt").is_file():
            action = f"the run resumes from its last checkpoint with gan-lab train {to_paste('resume', path)}"
        raise LostProcessError(
            "Another process of this run ended (connection closed), for example killed for lack of memory, unless it "
            f"reported another error: {action}."
        ) from error


def _newest_valid(files: Iterable[Path], limit: int | None, is_branch: bool = False) -> Start | None:
    """First valid checkpoint in `files` with at most `limit` images seen; None for no limit."""
    for file in files:
        try:
            checkpoint = Checkpoint(file, for_training=True)
        except CheckpointError:
            continue
        if limit is None or checkpoint.images_seen <= limit:
            return Start.from_checkpoint(checkpoint, is_branch)
    return None
