"""What a run does that cannot go on as it is: it ends with a sentence, or goes back to a checkpoint before the trouble."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gan_lab.config.checkpoint_files import NUMBERED, images_seen, read_checkpoint
from gan_lab.config.checks import check_sharing
from gan_lab.config.resuming import Start
from gan_lab.errors import CheckpointError, CollapseError, ConfigError, TrainingError
from gan_lab.strategies import BY_PLAYER


def way_back(error: TrainingError, cfg: DictConfig, rollbacks: int) -> Start | None:
    """The checkpoint to go back to; None for the very beginning.

    Args:
        error: What the run ended with.
        cfg: Its resolved config.
        rollbacks: How often it went back already.

    Raises:
        TrainingError: The settings do not ask for it, it was done often enough, or only checkpoints of the collapse are
            left; the message says where the last good one is.
    """
    collapsed = isinstance(error, CollapseError)
    key = "on_collapse" if collapsed else "on_non_finite"
    files = sorted((Path(cfg.run.dir) / "checkpoints").glob(NUMBERED), reverse=True)
    start = _newest(files, error.healthy_at if isinstance(error, CollapseError) else None)
    lost = bool(files) and start is None
    if cfg[key] == "rollback" and rollbacks < cfg.rollback.times and not lost:
        return start
    what = str(error).rstrip(".") if collapsed else f"Training stopped, for {error}: nobody has moved by it"
    if lost:
        good, again = "No good checkpoint is left", ""
    elif start:
        good, again = f"The last good checkpoint is {start.file}, after {start.images_seen:,} images", "goes back to it"
    else:
        good, again = "There is no checkpoint yet", "begins again"
    if lost:
        advice = "give callbacks.checkpoints.keep a larger number"
    elif cfg[key] != "rollback":
        advice = f"{key}=rollback {again} by itself, with lower rates"
    else:
        advice = f"it has gone back {rollbacks} times, as rollback.times allows"
    raise TrainingError(f"{what}. {good}; {advice}.") from error


def smaller_micro_batches(cfg: DictConfig, processes: int) -> DictConfig:
    """The resolved config with the next `accumulate` that shares the batch evenly, when memory has run out.

    The result of a step is the same, but for layers that look at a whole micro-batch, as batch norm does.

    Args:
        cfg: With the `accumulate` that was too small.
        processes: That share the batch.

    Raises:
        TrainingError: `hardware.find_micro_batch` is false, the strategy knows nothing of memory, or one image is too much.
    """
    together = processes == 1 or cfg.hardware.strategy == BY_PLAYER  # where one runs out, all stop
    images = cfg.batch_size // (processes * cfg.accumulate)
    what = f"The memory of the device is too small for {images} images at a time (batch_size={cfg.batch_size}, accumulate={cfg.accumulate})"
    for accumulate in range(cfg.accumulate + 1, cfg.batch_size // processes + 1):
        smaller = cfg.copy()
        smaller.accumulate = accumulate
        with suppress(ConfigError):
            check_sharing(smaller, processes)
            if together and cfg.hardware.find_micro_batch:
                return smaller
            found = ", and hardware.find_micro_batch=true finds what fits" if together else ""
            raise TrainingError(
                f"{what}: accumulate={accumulate} needs less{found}; the same command goes on from the last checkpoint."
            )
    raise TrainingError(
        f"{what}, and they cannot be fewer: set a smaller width or resolution, or hardware.precision=bf16-mixed."
    )


def _newest(files: Iterable[Path], limit: int | None) -> Start | None:
    """The first that is whole and has seen no more than `limit` images."""
    for file in files:
        try:
            checkpoint = read_checkpoint(file)
        except CheckpointError:
            continue
        if limit is None or images_seen(checkpoint) <= limit:
            config = OmegaConf.to_container(OmegaConf.create(checkpoint["gan_lab"]["config"]))
            return Start(file, images_seen(checkpoint), config)  # type: ignore[arg-type]
    return None
