"""A training run, from the composed config to the last log message."""

import gc
import logging
import os
import shlex
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import cast

import torch
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.callbacks.checkpoints import AtomicCheckpointIO
from gan_lab.callbacks.new_settings import NewSettings
from gan_lab.callbacks.preemption import Preemption, StopSignals
from gan_lab.callbacks.rollback_learning_rates import RollbackLearningRates
from gan_lab.callbacks.warning_log import early_warnings_kept
from gan_lab.config.build import Experiment, build_data, build_growth, build_module, build_trainer, build_training
from gan_lab.config.checks import check_launch
from gan_lab.config.compose import command_of
from gan_lab.config.groups import flags_of_config_folders
from gan_lab.config.messages import reason
from gan_lab.config.notes import NOTES, Command, record_command
from gan_lab.config.overrides import allowing_again, to_paste
from gan_lab.config.targets import allowing
from gan_lab.config.unused_keys import unused_keys
from gan_lab.data.base import TrainingData
from gan_lab.ensemble.members import current_member
from gan_lab.errors import LostProcessError, TrainingError, is_out_of_memory
from gan_lab.files import relative_path, write_text
from gan_lab.loggers.wandb_run import ResumedRun, forget_run
from gan_lab.ranks import is_first_process
from gan_lab.reports.run_page import report_ended_run
from gan_lab.runs.folder import INITIALIZATION, RunFolder
from gan_lab.runs.state import FAILED, FINISHED, RUNNING, STOPPED, RunState
from gan_lab.training.accepting import unusable_settings_undone
from gan_lab.training.changes import FROM_SCRATCH, check_budget, check_changes, hardware_change, load_weights, more_than
from gan_lab.training.initializing import WeightFile, random_frozen_tensors
from gan_lab.training.recovering import (
    earlier_start,
    is_of_a_step,
    lost_process_reported,
    memory_error,
    rollback_start,
    smaller_micro_batches,
)
from gan_lab.training.restoring import UnfitCheckpoint, restoring
from gan_lab.training.resuming import Start, find_start, lock_run_folder

log = logging.getLogger(__name__)


def fit(cfg: DictConfig) -> Experiment:
    """Build and train the run of a composed `train` config, from the newest checkpoint in its folder if there is one.

    A finished run is not trained again. If a signal or `time_limit` stopped the run, `interrupted` of its module is the
    reason.

    Raises:
        UserError: The config is invalid and nothing was trained, or a checkpoint cannot be written.
        TrainingError: The run collapsed, or a loss or gradient is not finite.
        Interrupted: A signal arrived before training began; nothing was changed.
        KeyboardInterrupt: A second Ctrl-C.
    """
    quiet_lightning()
    command = command_of(cfg)
    allowed = allowing(cfg.get("allow_targets", ()))
    check_launch(cfg)
    with StopSignals() as signals, lock_run_folder(Path(cfg.run.dir)), allowed:
        with early_warnings_kept():
            resolved, data = build_data(cfg)
        resolved.data_content = None if data.content is None else data.content.to_config()
        start = find_start(cfg)
        if start is not None and cfg.hardware.find_micro_batch:
            cfg = cfg.copy()
            cfg.accumulate = resolved.accumulate = start.config["accumulate"]  # the value that was found
        changed = [] if start is None else check_changes(cfg, resolved, start)
        if start is not None:
            check_budget(cfg, resolved, start)
        state = RunState(Path(resolved.run.dir))
        if start is not None and start.images_seen >= resolved.budget.images and state.finished:
            return _finished(resolved, data, start, more_than(start.images_seen, cfg))
        signals.begin_training()
        build = partial(_build_experiment, data=data, changed=changed, signals=signals, command=command)
        folder = Path(resolved.run.dir)
        with nullcontext() if start is None else unusable_settings_undone(folder, start.images_seen):
            experiment = _train_with_recovery(resolved, start, state, build)
    for callback in _preemptions(experiment):
        if experiment.module.interrupted:
            callback.after_training(experiment.module.interrupted)
    return experiment


def _finished(cfg: DictConfig, data: TrainingData, start: Start, longer: str) -> Experiment:
    """Experiment of a finished run, without loggers; `longer` is the setting that continues it."""
    if is_first_process():
        log.info(
            f"{relative_path(cfg.run.dir)} is finished, with {start.images_seen:,} images seen. Nothing was trained: "
            f"give {longer} to continue it, or {FROM_SCRATCH}."
        )
    with open_dict(cfg):
        cfg.logger = {}
    module = build_module(cfg)
    module.load_state_dict(start.checkpoint.take()["state_dict"])
    return Experiment(cfg, data, module, build_trainer(cfg))


def _build_experiment(
    cfg: DictConfig,
    start: Start | None,
    data: TrainingData,
    changed: list[str],
    signals: StopSignals,
    command: Command | None,
) -> Experiment:
    """Experiment with the weights of `initialize`, if it is new; loggers resume at the same number of images."""
    source = WeightFile.read(cfg.initialize) if start is None and cfg.initialize is not None else None
    if start is None and is_first_process():
        forget_run(cfg.run.dir)
    load = None if source is None else source.load_into
    if start is not None and changed:
        load = partial(load_weights, cfg=cfg, changes=changed, start=start)
    experiment = build_training(cfg, data, load)
    if is_first_process():
        record_command(cfg, command)
    if start is None and is_first_process():
        _record_initialization(experiment, source)
    in_folder = start is not None and start.file.resolve().is_relative_to(Path(cfg.run.dir).resolve())
    rows = start.checkpoint.rows if start is not None and in_folder else None  # a branch starts its own log
    for logger in experiment.trainer.loggers:
        if hasattr(logger, "resume_from"):
            logger.resume_from(-1 if start is None else start.images_seen, rows)
    for callback in _preemptions(experiment):
        callback.signals = signals
    if (member := current_member()) is not None:
        member.join(experiment.module, experiment.trainer)
    if changed:
        experiment.trainer.callbacks.append(NewSettings())  # type: ignore[attr-defined]
    _log_start(experiment, start, changed)
    return experiment


def _record_initialization(experiment: Experiment, source: WeightFile | None) -> None:
    """Log what a new run took from a file, and write all names into its folder."""
    file = Path(experiment.config.run.dir) / INITIALIZATION
    found = None if source is None else source.compare(experiment.module)
    if random := random_frozen_tensors(experiment.module, found):
        log.warning(
            f"freeze_discriminator={experiment.config.freeze_discriminator} leaves {len(random)} tensors at their "
            f"random values, such as {random[0]}: give initialize= with weights for them, or freeze_discriminator=0."
        )
    if found is None:
        file.unlink(missing_ok=True)  # of a run that was stopped before its first checkpoint
        return
    write_text(file, found.to_json())
    log.info(f"Initialized from {found.source}; all names are in {relative_path(file)}:")
    for network in found.networks:
        log.log(logging.WARNING if network.is_little else logging.INFO, f"- {network}.")


def _train_with_recovery(
    cfg: DictConfig, start: Start | None, state: RunState, build: Callable[[DictConfig, Start | None], Experiment]
) -> Experiment:
    """Train; after a failure, roll back or use smaller micro-batches if the settings allow it."""
    learning_rates = RollbackLearningRates(cfg.trouble.rollback.lr_factor)
    begin = start
    while True:
        experiment = build(cfg, start)
        if start is not None and (learning_rates.rollbacks or _has_new_settings(experiment)):
            for logger in experiment.trainer.loggers:
                if isinstance(logger, ResumedRun):
                    logger.leave_history(start.images_seen)
        experiment.trainer.callbacks.append(learning_rates)  # type: ignore[attr-defined]
        try:
            _train(experiment, start, state)
            return experiment
        except LostProcessError:  # a rollback would wait for this process
            raise
        except TrainingError as error:
            start = rollback_start(error, cfg, learning_rates.rollbacks, begin)
            learning_rates.rollbacks += 1
        except UnfitCheckpoint as error:
            start = earlier_start(error, cfg, cast(Start, start))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if not is_of_a_step(error):
                raise memory_error(cfg) from error
            cfg = smaller_micro_batches(cfg, experiment.trainer.world_size)
            start = find_start(cfg)
            log.warning("Out of memory: resuming with accumulate=%d.", cfg.accumulate)
        del experiment  # frees its device memory before the next one is built
        gc.collect()
        torch.cuda.empty_cache()


def _train(experiment: Experiment, start: Start | None, state: RunState) -> None:
    module, trainer, budget = experiment.module, experiment.trainer, experiment.config.budget.images
    state.write(RUNNING, 0 if start is None else start.images_seen, budget)
    _log_waiting(trainer)
    if start is not None:
        cast(AtomicCheckpointIO, trainer.strategy.checkpoint_io).preloaded = start.checkpoint
    try:
        with restoring(trainer, start), lost_process_reported(Path(experiment.config.run.dir), trainer.world_size):
            trainer.fit(
                module,
                datamodule=experiment.data,
                ckpt_path=None if start is None else start.file,
                weights_only=None if start is None else True,
            )
    except BaseException as error:
        is_interrupted = isinstance(error, KeyboardInterrupt | SystemExit)  # Lightning exits after a second Ctrl-C
        ending = (STOPPED, "SIGINT") if is_interrupted else (FAILED, reason(error, "train"))
        with suppress(OSError):  # for example a full disk, which may be why the run ends
            state.write(ending[0], module.images_seen, budget, ending[1])
        if isinstance(error, SystemExit):
            raise KeyboardInterrupt from None
        raise
    else:
        early = "a callback" if module.images_seen < budget else None  # such as Lightning's EarlyStopping
        cause = module.interrupted or early
        state.write(STOPPED if cause else FINISHED, module.images_seen, budget, cause)
    finally:
        report_ended_run(Path(experiment.config.run.dir))  # before W&B ends, and before a SLURM job is requeued
        for logger in trainer.loggers:
            _finish_logger(logger)
    _log_end(experiment, 0 if start is None else start.images_seen)


def _preemptions(experiment: Experiment) -> list[Preemption]:
    return [callback for callback in experiment.trainer.callbacks if isinstance(callback, Preemption)]  # type: ignore[attr-defined]


def _has_new_settings(experiment: Experiment) -> bool:
    return any(isinstance(callback, NewSettings) for callback in experiment.trainer.callbacks)  # type: ignore[attr-defined]


def _finish_logger(logger: object) -> None:
    """Finish a logger: a W&B run would otherwise stay open for the next job of a sweep."""
    finish = getattr(logger, "finish", None) or getattr(getattr(logger, "experiment", None), "finish", None)
    if callable(finish):
        try:
            finish()
        except Exception as error:  # the server may be unavailable; all data are on the disk
            log.warning("%s could not send all data: %s", type(logger).__name__, error)


def quiet_lightning() -> None:
    """Silence Lightning's information messages and harmless warnings."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.handlers.clear()  # the root logger has a handler
    for message in (
        ".*does not have many workers.*",  # the loaders need no workers
        ".*in eval mode at the start of training.*",  # the averaged generator
        ".*exists and is not empty. Previous log files.*",  # the run folder, which contains more than the log
        ".*is deprecated, use `isinstance.*",  # Lightning's own use of torch
    ):
        warnings.filterwarnings("ignore", message=message)
    if "SLURM_JOB_ID" not in os.environ:  # a machine that can submit jobs, on which runs may start without srun
        warnings.filterwarnings("ignore", message=".*`srun` command is available on your system.*")


def _log_start(experiment: Experiment, start: Start | None, changed: list[str]) -> None:
    if not experiment.trainer.is_global_zero:
        return
    counts = " and ".join(
        f"{name} {sum(p.numel() for p in player.network.parameters()):,}"
        for name, player in experiment.module.runner.players.items()
    )
    config = experiment.config
    epochs = config.budget.images / experiment.data.size
    log.info(
        f"{relative_path(config.run.dir)}: {config.budget.images:,} images in batches of {config.batch_size}, "
        f"{epochs:.3g} epochs; parameters: {counts}."
    )
    if found := experiment.data.summary():
        log.info(f"Data: {found}.")
    if config.dataset.get("resolution") and config.dataset.get("num_classes") and not _uses_labels(config):
        log.info("The labels are not used: choose a conditioning, such as conditioning=concat, or model=acgan.")
    for message in unused_keys("train", config):
        log.info(message)
    if start is not None:
        log.info(f"Resuming from {relative_path(str(start.file))}, after {start.images_seen:,} images.")
        if changed_hardware := hardware_change(experiment.trainer, config, start):
            log.info(changed_hardware)
    if changed:
        log.warning(f"Resuming with changed settings: {', '.join(changed)}.")
    growth = build_growth(config)
    if growth is not None and config.budget.images < growth.grown_images:
        last = growth.stage(config.budget.images).resolution
        log.warning(
            f"budget.images={config.budget.images} ends before the networks have grown, at {last} of "
            f"{growth.resolution} pixels: growing takes {growth.grown_images} images. Set a larger budget, or "
            "growth=even, which fits any budget."
        )


def _uses_labels(config: DictConfig) -> bool:
    keys = ("conditioning.num_classes", "wrapper.discriminator.class_head")
    return any(OmegaConf.select(config, key) is not None for key in keys)


def _log_waiting(trainer: Trainer) -> None:
    """Report which processes of other machines Lightning waits for, which it does not report."""
    if trainer.num_nodes == 1 or trainer.local_rank != 0:
        return
    machines = trainer.strategy.cluster_environment  # type: ignore[attr-defined]
    log.info(
        f"Waiting for the processes of {trainer.num_nodes} machines (hardware.num_nodes) at {machines.main_address}:"
        f"{machines.main_port}: start the same command on each, with NODE_RANK=0, 1, ... and the MASTER_ADDR and "
        "MASTER_PORT of the first machine, or use torchrun."
    )


WRITTEN = ("report.html", "samples/final.png", "metrics.csv", "checkpoints/last.ckpt")
"""Files of a finished run that its last message names, unless it has none of them."""


def _stop(folder: str, seen: int, allowed: Sequence[str]) -> str:
    """Where an interrupted run stopped, and how to resume it; a signal may come before the first checkpoint."""
    if not Path(folder, "checkpoints", "last.ckpt").is_file():
        return f"after {seen:,} images, and {folder} has no checkpoint yet: the same command starts it again."
    has_record = Path(folder, NOTES).is_file()
    own = flags_of_config_folders(), to_paste("resume", folder), allowing_again(allowed)
    command = "gan-lab train {}{}{}".format(*own) if has_record else "gan_lab.fit with the same config"
    return f"after {seen:,} images with the checkpoint {folder}/checkpoints/last.ckpt. To resume: {command}"


def _log_end(experiment: Experiment, first_images: int) -> None:
    """Log how the run ended, which had seen `first_images` images at its start."""
    if not experiment.trainer.is_global_zero:
        return
    folder = relative_path(experiment.config.run.dir)
    if experiment.module.interrupted:
        stop = _stop(folder, experiment.module.images_seen, experiment.config.allow_targets)
        log.info(f"{experiment.module.interrupted}: stopped {stop}")
        return
    seen, budget = experiment.module.images_seen, experiment.config.budget.images
    done = f"Done: {RunFolder(Path(experiment.config.run.dir)).summary()}. "
    if seen < budget:
        done = f"A callback ended the run after {seen:,} of {budget:,} images. "
    elif seen == first_images:
        done = f"Nothing was trained: budget.images={budget} is reached, with {seen:,} seen. "
    use = "translate source=<images>" if experiment.module.condition.needs_batch else "sample"
    own = allowing_again(experiment.config.allow_targets)  # own networks, without which the run cannot be loaded
    written = [name for name in WRITTEN if Path(experiment.config.run.dir, name).is_file()]
    next_steps = {
        "report.html": f"open {shlex.quote(f'{folder}/report.html')}",
        "checkpoints/last.ckpt": f"gan-lab {use} {to_paste('run', folder)}{own}",
    }
    steps = ", or ".join(text for name, text in next_steps.items() if name in written)
    files = " and ".join(filter(None, [", ".join(written[:-1]), *written[-1:]]))
    log.info(f"{done}{f'{folder} has {files}.' if files else ''}{f' Next: {steps}' if steps else ''}")
