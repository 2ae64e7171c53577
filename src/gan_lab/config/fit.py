"""A whole training run, from config to the last line on the screen."""

import gc
import logging
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from gan_lab.callbacks.new_settings import NewSettings
from gan_lab.callbacks.preemption import Preemption, StopSignals
from gan_lab.callbacks.rates import Rates
from gan_lab.config.build import Experiment, build_data, build_growth, build_module, build_trainer, build_training
from gan_lab.config.checkpoint_files import read_checkpoint
from gan_lab.config.recovering import smaller_micro_batches, way_back
from gan_lab.config.resuming import RunState, Start, alone_in, check_changes, find_start
from gan_lab.config.run_folders import FAILED, FINISHED, RUNNING, STOPPED
from gan_lab.config.run_report import reported
from gan_lab.config.targets import allowing
from gan_lab.data.base import TrainingData
from gan_lab.errors import TrainingError
from gan_lab.loggers.wandb import forget_run
from gan_lab.processes import is_first_process

log = logging.getLogger(__name__)


@reported
def fit(cfg: DictConfig) -> Experiment:
    """Build and train what a composed `train` config describes, from the newest checkpoint of its folder if there is one.

    A run that is finished is not trained again. One that was stopped by a signal or by `time_limit` has the reason in
    `interrupted` of its module.

    Raises:
        UserError: Something in the config cannot be used, and nothing was trained; or a checkpoint cannot be written.
        TrainingError: The run cannot go on as it is: it collapsed, or met a number that is not finite.
    """
    quiet_lightning()
    allowed = allowing(cfg.get("allow_targets", ()))
    with StopSignals() as signals, alone_in(Path(cfg.run.dir)), allowed:
        resolved, data = build_data(cfg)
        start = find_start(cfg)
        if start is not None and cfg.hardware.find_micro_batch:
            cfg = cfg.copy()
            cfg.accumulate = resolved.accumulate = start.config["accumulate"]  # that was found
        changed = [] if start is None else check_changes(cfg, resolved, start)
        state = RunState(Path(resolved.run.dir))
        if start is not None and start.images_seen >= resolved.budget.images and state.finished:
            return _finished(resolved, data, start)
        experiment = _train_to_the_end(resolved, data, start, changed, signals, state)
    for callback in _preemptions(experiment):
        if experiment.module.interrupted:
            callback.conclude(experiment.module.interrupted)
    return experiment


def _finished(cfg: DictConfig, data: TrainingData, start: Start) -> Experiment:
    """The experiment as it was in the end, without its loggers."""
    if is_first_process():
        log.info(
            f"{_shown(cfg.run.dir)} is finished, with {start.images_seen:,} images seen. A larger budget goes on with it; "
            "another run.name begins anew."
        )
    with open_dict(cfg):
        cfg.logger = {}
    module = build_module(cfg)
    module.load_state_dict(read_checkpoint(start.file)["state_dict"])
    return Experiment(cfg, data, module, build_trainer(cfg))


def _begin(
    cfg: DictConfig, data: TrainingData, start: Start | None, changed: list[str], signals: StopSignals
) -> Experiment:
    """The experiment, with loggers that go on where it does."""
    if start is None and is_first_process():
        forget_run(cfg.run.dir)
    experiment = build_training(cfg, data)
    for logger in experiment.trainer.loggers:
        if hasattr(logger, "go_on_from"):
            logger.go_on_from(-1 if start is None else start.images_seen)
    for callback in _preemptions(experiment):
        callback.signals = signals
    if changed:
        experiment.trainer.callbacks.append(NewSettings())  # type: ignore[attr-defined]
    _announce(experiment, start, changed)
    return experiment


def _train_to_the_end(
    cfg: DictConfig,
    data: TrainingData,
    start: Start | None,
    changed: list[str],
    signals: StopSignals,
    state: RunState,
) -> Experiment:
    """Train, and go back to a checkpoint before a trouble as often as the settings allow."""
    rates = Rates(cfg.rollback.rate)
    while True:
        experiment = _begin(cfg, data, start, changed, signals)
        experiment.trainer.callbacks.append(rates)  # type: ignore[attr-defined]
        try:
            _train(experiment, start, state)
            return experiment
        except TrainingError as error:
            start = way_back(error, cfg, rates.rollbacks)
            rates.rollbacks += 1
        except torch.OutOfMemoryError:
            cfg = smaller_micro_batches(cfg, experiment.trainer.world_size)
            start = find_start(cfg)
            log.warning("The memory of the device is too small: the run goes on with accumulate=%d.", cfg.accumulate)
        del experiment  # so that what it holds on the device is given back before the next is made
        gc.collect()
        torch.cuda.empty_cache()


def _train(experiment: Experiment, start: Start | None, state: RunState) -> None:
    module, trainer, budget = experiment.module, experiment.trainer, experiment.config.budget.images
    state.write(RUNNING, 0 if start is None else start.images_seen, budget)
    begin = time.perf_counter()
    try:
        trainer.fit(
            module,
            datamodule=experiment.data,
            ckpt_path=None if start is None else start.file,
            weights_only=None if start is None else True,
        )
    except BaseException as error:
        with suppress(OSError):  # such as a full disk, which is why the run ends
            state.write(FAILED, module.images_seen, budget, type(error).__name__)
        raise
    finally:
        for logger in trainer.loggers:
            _finish(logger)
    state.write(STOPPED if module.interrupted else FINISHED, module.images_seen, budget, module.interrupted)
    _conclude(experiment, time.perf_counter() - begin)


def _preemptions(experiment: Experiment) -> list[Preemption]:
    return [callback for callback in experiment.trainer.callbacks if isinstance(callback, Preemption)]  # type: ignore[attr-defined]


def _finish(logger: object) -> None:
    """A W&B run stays open for the next job of a sweep unless it is finished."""
    finish = getattr(logger, "finish", None) or getattr(getattr(logger, "experiment", None), "finish", None)
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


def _announce(experiment: Experiment, start: Start | None, changed: list[str]) -> None:
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
    if start is not None:
        log.info(f"It goes on from {_shown(str(start.file))}, after {start.images_seen:,} images.")
    if changed:
        log.warning(f"It goes on with changed settings, as allow_changes=true: {', '.join(changed)}.")
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
    if experiment.module.interrupted:
        log.info(
            f"{experiment.module.interrupted}: stopped after {experiment.module.images_seen:,} images, which "
            f"{folder}/checkpoints/last.ckpt holds. To go on: gan-lab train resume={folder}"
        )
        return
    log.info(
        f"Done: {experiment.module.images_seen:,} images seen in {seconds // 60:.0f}:{seconds % 60:02.0f} min. "
        f"{folder} has samples/final.png, metrics.csv and checkpoints/last.ckpt. Next: gan-lab sample run={folder}"
    )


def _shown(folder: str) -> str:
    """The folder as a user would type it: relative, if it is below the working directory."""
    relative = os.path.relpath(folder)
    return folder if relative.startswith("..") else relative
