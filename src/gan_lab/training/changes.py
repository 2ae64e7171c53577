"""What has changed between a checkpoint and the run that resumes from it: settings, data, networks, hardware."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gan_lab.config.build import build_module
from gan_lab.config.overrides import to_paste
from gan_lab.config.untrusted import foreign_config
from gan_lab.data.content import changed_data, changes_labels, recorded_content
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import read_text, relative_path
from gan_lab.gans.base import AdversarialModule
from gan_lab.keys import leaves
from gan_lab.runs.training_keys import PATHS_OF_DATA
from gan_lab.training.resuming import Start

MAY_CHANGE = (
    "run.", "resume", "allow_changes", "allow_targets", "time_limit", "budget.", "logger.", "callbacks.", "evaluation.",
    "extractor", "hardware.", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy",
    "trainer.precision", "trainer.profiler", "trainer.detect_anomaly", "dataset.num_workers", "dataset.cache",
    "dataset.budget_images", "dataset.held_out", "data_content.", "trouble.",
)  # fmt: skip
"""Prefixes of keys that may change when a run is resumed: storage, logging, evaluation, budget, hardware and data
loading. If another setting is computed from the budget, such as growth, a change is detected in that key. The content
of the data is compared separately."""

KEPT = ("dataset.", "algorithm.", "loss.", "architecture.", "wrapper.", "conditioning.", "latent.")
"""Prefixes of the keys of data, model and labels. A run keeps them: with others it continues in another folder only."""

OF_TRAINING = ("dataset.batch_size", "dataset.seed")
"""Exceptions from `KEPT`: settings of training that the data set receives as well."""

SIZES = {
    "dataset.num_classes": "classes", "dataset.resolution": "pixels", "dataset.channels": "channels",
    "dataset.source_channels": "source channels",
}  # fmt: skip
"""Keys on which the shapes of the networks depend, and the unit of each."""

FROM_SCRATCH = "train from scratch, with all settings, without resume= and with another run.name"
"""What always works, for messages."""


def check_changes(cfg: DictConfig, resolved: DictConfig, start: Start) -> list[str]:
    """Changes of the data and of settings that affect training, each as text: `key=old (now new)`.

    Args:
        cfg: The composed config, not resolved: settings that are interpolated from other changed settings are omitted.
        resolved: The same config, resolved, with `data_content`.
        start: Checkpoint to resume from.

    Raises:
        ConfigError: Something has changed and `allow_changes` is false; or data, model or labels have changed, and the
            run would be resumed in its own folder; or its networks or optimizers cannot use the old state.
    """
    plain: Any = OmegaConf.to_container(resolved)
    before, now = dict(leaves(start.config)), dict(leaves(plain))
    contents = recorded_content(start.config), recorded_content(plain)
    data_changes = changed_data(*contents)
    free = PATHS_OF_DATA if all(contents) and not data_changes else ()
    keys = [
        key for key in dict.fromkeys([*now, *before])
        if before.get(key) != now.get(key) and not key.startswith(MAY_CHANGE) and key not in free
    ]  # fmt: skip
    causes = [key for key in keys if not _is_interpolated(cfg, key)] or keys
    changes = {key: f"{key}={before.get(key)} (now {now.get(key)})" for key in causes}
    if data_changes:
        changes["data_content"] = ", ".join(data_changes)
    _refuse_other_optimizers(keys, before, now, cfg, start)
    is_conditional = before.get("conditioning.num_classes") is not None
    is_mislabeled = is_conditional and changes_labels(*contents) and not (start.is_branch and cfg.allow_changes)
    is_another_run = not start.is_branch and bool(data_changes or any(map(_is_kept, keys)))
    new = {} if is_mislabeled or is_another_run or cfg.allow_changes else _unaccepted(changes, now, resolved, start)
    if is_mislabeled or is_another_run or new:
        load_weights(build_module(resolved), cfg, changes.values(), start)  # before a message advises to use them
    if is_mislabeled:
        raise ConfigError(_mislabeled(changes.values(), cfg, resolved, start))
    if is_another_run:
        raise ConfigError(_another_run(changes.values(), cfg, resolved, start))
    if new:
        raise ConfigError(_unaccepted_message(new.values(), cfg, resolved, start))
    return list(changes.values())


def _unaccepted(
    changes: Mapping[str, str], now: Mapping[str, Any], resolved: DictConfig, start: Start
) -> dict[str, str]:
    """Changes without those with which a command has trained in the folder since: its `config.yaml` has them."""
    accepted = None if start.is_branch else _settings_in(Path(resolved.run.dir) / "config.yaml")
    return {key: text for key, text in changes.items() if accepted is None or accepted.get(key) != now.get(key)}


def _settings_in(file: Path) -> dict[str, Any] | None:
    """Settings of a config file, by dotted key; None if it cannot be read."""
    try:
        return dict(leaves(OmegaConf.to_container(foreign_config(read_text(file), file))))
    except (OSError, ValueError, CheckpointError):
        return None


def _refuse_other_optimizers(
    keys: Sequence[str], before: Mapping[str, Any], now: Mapping[str, Any], cfg: DictConfig, start: Start
) -> None:
    """Refuse another class of an optimizer, such as RMSprop after Adam, and an optimizer of other weights."""
    for key in keys:
        if key == "freeze_discriminator" or (key.startswith("optimizer.") and key.endswith("._target_")):
            raise ConfigError(
                f"{start.run} was trained with {key}={before.get(key)} (now {now.get(key)}), and no optimizer can use "
                f"the state of another one: {_restoring(cfg, start)}, or {_from_scratch(start)}."
            )


def _trained_with(changes: Iterable[str], start: Start) -> str:
    return f"{start.run} was trained with {', '.join(changes)}"


def _mislabeled(changes: Iterable[str], cfg: DictConfig, resolved: DictConfig, start: Start) -> str:
    """The message for labels that belong to other classes than those that the weights were trained with."""
    return (
        f"{_trained_with(changes, start)}, and its weights would be mislabeled: restore the names of the classes; or "
        f"give new names that sort in the old order, and {_continuing(cfg, resolved, start)}; or "
        f"{_from_scratch(start)}."
    )


def _another_run(changes: Iterable[str], cfg: DictConfig, resolved: DictConfig, start: Start) -> str:
    """The message for other data, another model or other labels in the folder of a run, whose results they mislabel."""
    return (
        f"{_trained_with(changes, start)}, and a run keeps its data, model and labels: {_restoring(cfg, start)}; or "
        f"{_continuing(cfg, resolved, start)}; or {_from_scratch(start)}."
    )


def _unaccepted_message(changes: Iterable[str], cfg: DictConfig, resolved: DictConfig, start: Start) -> str:
    """The message for changed settings without `allow_changes`."""
    where = f" in {relative_path(resolved.run.dir)}" if start.is_branch else ""
    return (
        f"{_trained_with(changes, start)}: {_restoring(cfg, start)}, or add allow_changes=true to continue{where} with "
        "the new ones."
    )


def _from_scratch(start: Start) -> str:
    """How to train another run, with the old weights if they are wanted, for messages."""
    return f"{FROM_SCRATCH}; {to_paste('initialize', start.run)} gives it the weights that fit"


def _restoring(cfg: DictConfig, start: Start) -> str:
    """How to have the settings of the checkpoint again, for messages."""
    if not _is_named(start, cfg):
        return "restore them"
    folder = "" if Path(start.run) == start.file else f", unlike {to_paste('resume', start.run)}"
    return f"give its settings as well, since {to_paste('resume', cfg.resume)} repeats none{folder}"


def _is_named(start: Start, cfg: DictConfig) -> bool:
    """Whether `resume` is the file of this checkpoint."""
    return cfg.resume is not None and Path(cfg.resume).is_file() and Path(cfg.resume).samefile(start.file)


def _continuing(cfg: DictConfig, resolved: DictConfig, start: Start) -> str:
    """How to continue from the weights in a new folder, for messages; the names of folders can be pasted."""
    folder = relative_path(resolved.run.dir)
    if start.is_branch:
        return f"add allow_changes=true to continue in {folder}"
    added = [
        to_paste("resume", start.file if _is_named(start, cfg) else start.run),
        to_paste("run.dir", os.path.join(os.path.dirname(folder), "NEW_NAME")),
        "allow_changes=true",
    ]
    is_reached = start.images_seen >= resolved.budget.images
    budget = f" and {more_than(start.images_seen, cfg)}" if is_reached else ""
    return f"add {' '.join(added)}{budget} to this command to continue in a new folder"


def more_than(images: int, cfg: DictConfig) -> str:
    """The setting of a longer run, for messages."""
    others = [f"budget.{unit}" for unit in ("kimg", "epochs") if cfg.budget[unit] is not None]
    return f"budget.images above {images}{f' instead of {others[0]}' if others else ''}"


def _is_kept(key: str) -> bool:
    return key.startswith(KEPT) and key not in OF_TRAINING


def _is_interpolated(cfg: DictConfig, key: str) -> bool:
    """Whether the value is computed from other settings."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and name in node and OmegaConf.is_interpolation(node, name)


def check_budget(cfg: DictConfig, resolved: DictConfig, start: Start) -> None:
    """Refuse a branch from a checkpoint that has reached the budget, in which nothing would be trained.

    Raises:
        ConfigError: It has.
    """
    if start.is_branch and start.images_seen >= resolved.budget.images:
        raise ConfigError(
            f"Nothing was trained: {start.run} has seen {start.images_seen:,} images already, and "
            f"budget.images={resolved.budget.images}: give {more_than(start.images_seen, cfg)}."
        )


def load_weights(module: AdversarialModule, cfg: DictConfig, changes: Iterable[str], start: Start) -> None:
    """Load the weights of the checkpoint into the new networks, before anything is written.

    Args:
        module: The new module.
        cfg: Its config.
        changes: What has changed since the checkpoint, see `check_changes`.
        start: The checkpoint.

    Raises:
        ConfigError: They do not fit.
    """
    weights = start.checkpoint.state_dict()
    try:
        module.load_state_dict(weights)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        ours, theirs = _shapes(module.state_dict()), _shapes(weights)
        differing = next((name for name in [*ours, *theirs] if ours.get(name) != theirs.get(name)), None)
        example = "" if differing is None else f", for example {differing}"
        raise ConfigError(
            f"{_trained_with(changes, start)}, and its weights do not fit this run{example}"
            f"{_other_sizes(cfg, start)}: {_restoring(cfg, start)}; or {_from_scratch(start)}."
        ) from error


def _other_sizes(cfg: DictConfig, start: Start) -> str:
    """Why networks differ, as ` (runs/a has 2 classes and this run 3: their networks differ)`; empty if unknown."""
    pairs = {unit: _both(key, start.config, cfg) for key, unit in SIZES.items()}
    sizes = [f"{old or 'no'} {unit} and this run {new or 'none'}" for unit, (old, new) in pairs.items() if old != new]
    return f" ({start.run} has {', '.join(sizes)}: their networks differ)" if sizes else ""


def _both(key: str, before: Mapping[str, Any], now: DictConfig) -> tuple[Any, Any]:
    return dict(leaves(before)).get(key), OmegaConf.select(now, key)


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...] | None]:
    return {name: tuple(value.shape) if isinstance(value, Tensor) else None for name, value in state.items()}


def hardware_change(trainer: Trainer, resolved: DictConfig, start: Start) -> str | None:
    """What is not bit-exact since the checkpoint was written on other hardware, as a sentence; None if nothing is."""
    devices = {"device": trainer.strategy.root_device.type, "processes": trainer.world_size}
    changes = [
        f"{name} {start.checkpoint.hardware[name]} (now {value})"
        for name, value in devices.items() if start.checkpoint.hardware.get(name, value) != value
    ]  # fmt: skip
    precision = _both("hardware.precision", start.config, resolved)
    if precision[0] != precision[1]:
        changes.append(f"precision {precision[0]} (now {precision[1]})")
    if not changes:
        return None
    return (
        f"The checkpoint was written with {', '.join(changes)}. Batches, latents and labels are the same as before; "
        "rounding is not, nor are statistics of a batch in each process, such as batch norm's, so the run does not "
        "continue to the last bit."
    )
