"""A whole training run, from config to the last line on the screen."""

import logging
import os
import time
import warnings

from omegaconf import DictConfig

from gan_lab.config.build import Experiment, build, build_growth
from gan_lab.config.load import find_checkpoint, read_checkpoint

log = logging.getLogger(__name__)


def fit(cfg: DictConfig) -> Experiment:
    """Build and train what a composed `train` config describes.

    Raises:
        UserError: Something in the config cannot be used; nothing was trained.
    """
    quiet_lightning()
    resume = None
    if cfg.resume is not None:
        resume = find_checkpoint(cfg.resume)
        read_checkpoint(resume)  # tells a damaged file before anything is built
    experiment = build(cfg)
    _announce(experiment)
    start = time.perf_counter()
    try:
        experiment.trainer.fit(
            experiment.module, datamodule=experiment.data, ckpt_path=resume, weights_only=True if resume else None
        )
    finally:
        for logger in experiment.trainer.loggers:
            _finish(logger)
    _conclude(experiment, time.perf_counter() - start)
    return experiment


def _finish(logger: object) -> None:
    """A W&B run stays open for the next job of a sweep unless it is finished."""
    finish = getattr(getattr(logger, "experiment", None), "finish", None)
    if callable(finish):
        try:
            finish()
        except Exception as error:  # the server may be gone by now; what was logged is on the disk
            log.warning("%s could not send everything: %s", type(logger).__name__, error)


def quiet_lightning() -> None:
    """Leave Lightning's warnings on and its chatter out."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers.clear()  # the root logger has one
    for message in (
        ".*does not have many workers.*",  # the loaders need none
        ".*in eval mode at the start of training.*",  # the averaged generator
        ".*exists and is not empty. Previous log files.*",  # the run folder, which holds more than the log
        ".*is deprecated, use `isinstance.*",  # Lightning's own use of torch
    ):
        warnings.filterwarnings("ignore", message=message)


def _announce(experiment: Experiment) -> None:
    if not experiment.trainer.is_global_zero:
        return
    counts = " and ".join(
        f"{name} {sum(p.numel() for p in player.network.parameters()):,}"
        for name, player in experiment.module.runner.players.items()
    )
    config = experiment.config
    epochs = config.budget.images / experiment.data.size
    log.info(
        f"{_shown(config.run.dir)}: {config.budget.images:,} images in batches of {config.batch_size}, "
        f"{epochs:.3g} epochs; parameters: {counts}."
    )
    growth = build_growth(config)
    if growth is not None and config.budget.images < growth.grown_images:
        last = growth.stage(config.budget.images).resolution
        log.warning(
            f"budget.images={config.budget.images} ends before the networks have grown, at {last} of {growth.resolution} "
            f"pixels: that takes {growth.grown_images} images; set a longer budget, or growth=even, which fits any."
        )


def _conclude(experiment: Experiment, seconds: float) -> None:
    if not experiment.trainer.is_global_zero:
        return
    folder = _shown(experiment.config.run.dir)
    log.info(
        f"Done: {experiment.module.images_seen:,} images seen in {seconds // 60:.0f}:{seconds % 60:02.0f} min. "
        f"{folder} has samples/final.png, metrics.csv and checkpoints/last.ckpt. Next: gan-lab sample run={folder}"
    )


def _shown(folder: str) -> str:
    """The folder as a user would type it: relative, if it is below the working directory."""
    relative = os.path.relpath(folder)
    return folder if relative.startswith("..") else relative
