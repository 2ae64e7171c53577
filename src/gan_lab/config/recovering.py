"""What a run does that cannot go on as it is: it ends with a sentence, or goes back to a checkpoint before the trouble."""

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gan_lab.config.checkpoint_files import NUMBERED, images_seen, read_checkpoint
from gan_lab.config.resuming import Start
from gan_lab.errors import CheckpointError, CollapseError, TrainingError


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
    good = (
        f"The last good checkpoint is {start.file}, after {start.images_seen:,} images"
        if start
        else "No good one is left"
    )
    if cfg[key] != "rollback":
        advice = f"{key}=rollback goes back to it by itself, with lower rates"
    elif lost:
        advice = "give callbacks.checkpoints.keep a larger number"
    else:
        advice = f"it has gone back {rollbacks} times, as rollback.times allows"
    raise TrainingError(f"{what}. {good}; {advice}.") from error


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
