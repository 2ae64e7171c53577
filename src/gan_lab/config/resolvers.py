"""Resolvers of the config: names and folders of runs, properties of prepared data sets. Light to import: no torch."""

import functools
import itertools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gan_lab.config.schema import SCHEMAS, Search
from gan_lab.errors import DataError
from gan_lab.files import refuse_links
from gan_lab.layers.pyramid_resolutions import latent_dim
from gan_lab.runs.new_folders import NOTES, OF_A_RUN, note_if_new, note_new

_generated: set[str] = set()  # ids that this process has generated
_claimed: dict[str, str] = {}  # folder names with such an id to the folders created for them


_choices: ContextVar[Mapping[str, Any] | None] = ContextVar("_choices", default=None)


@contextmanager
def with_choices(choices: Mapping[str, Any]) -> Iterator[None]:
    """Let `choice` return these choices inside the block, where no Hydra application runs."""
    token = _choices.set(choices)
    try:
        yield
    finally:
        _choices.reset(token)


def choice(group: str, default: str) -> str:
    """The choice of a config group, as by Hydra's own resolver, or `default` outside a Hydra application.

    Configs that were composed in Python have no `HydraConfig`.
    """
    choices = _choices.get()
    if choices is None and HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
    return str((choices or {}).get(group) or default)


def run_id() -> str:
    """Date, time and six random digits; in a SLURM job step the ids of job and step, which a requeued job keeps."""
    job, step = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_STEP_ID", "")
    if job and step.isdigit():
        return f"slurm-{job}-{step}"
    generated = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}"
    _generated.add(generated)
    return generated


def run_folder(path: str) -> str:
    """The run folder for Hydra. A folder with a generated name is created here, atomically, for one run only."""
    if not any(generated in path for generated in _generated):
        note_if_new(path)
        return path
    if path not in _claimed:
        _claimed[path] = _create(path)
    return _claimed[path]


def _create(path: str) -> str:
    for number in itertools.count(1):
        folder = path if number == 1 else f"{path}-{number}"
        try:
            os.makedirs(os.path.dirname(folder) or ".", exist_ok=True)
            os.mkdir(folder)
        except OSError as error:
            if not os.path.isdir(folder):  # else another process was faster
                raise DataError(f"{error.filename} cannot be written: {error.strerror}.") from error
        else:
            note_new(folder)
            return folder
    raise AssertionError("unreachable")


def notes_folder(path: str) -> str:
    """Folder for Hydra's record of the overrides: a separate one where there is a record already."""
    refuse_links(Path(path))  # Hydra writes there next
    is_run = any(os.path.exists(os.path.join(path, name)) for name in OF_A_RUN)
    notes = f"{NOTES}/resumed" if is_run or os.path.exists(os.path.join(path, NOTES)) else NOTES
    if not is_run:
        note_if_new(os.path.join(path, notes))
    return notes


def first(*values: Any) -> Any:
    """The first value that is not null."""
    return next((value for value in values if value is not None), None)


def r1_gamma(resolution: int | None, batch_size: int) -> float:
    """Weight of R1 for a resolution, 0.0002 resolution^2 / batch_size (Karras et al., 2020b, code); 1 for points."""
    return 1.0 if resolution is None else 0.0002 * resolution**2 / batch_size


def fraction(images: int | None, part: float) -> int | None:
    """A part of a number of images, at least 1; null if the number is not known yet."""
    return None if images is None else max(1, round(part * images))


def changed(node: DictConfig, values: Mapping[str, Any]) -> DictConfig:
    """A copy of a mapping with other values of some keys: the same network for images of other channels."""
    plain: dict[str, Any] = {**cast(dict[str, Any], OmegaConf.to_container(node, resolve=True)), **values}
    return OmegaConf.create(plain)


def prepared(source: str, key: str) -> Any:
    """Property of a prepared data set: `resolution`, the largest one, or `channels`."""
    from gan_lab.data.pyramid import read_description

    pyramid = read_description(source)
    return {"resolution": pyramid.resolutions[-1], "channels": pyramid.channels}[key]


def register() -> None:
    """Register the schemas and resolvers with Hydra. May be called again."""
    OmegaConf.register_new_resolver("run_id", run_id, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("choice", choice, replace=True)
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
    OmegaConf.register_new_resolver("notes_folder", notes_folder, replace=True)
    OmegaConf.register_new_resolver("first", first, replace=True)
    OmegaConf.register_new_resolver("r1_gamma", r1_gamma, replace=True)
    OmegaConf.register_new_resolver("fraction", fraction, replace=True)
    OmegaConf.register_new_resolver("pyramid_latent_dim", latent_dim, replace=True)
    OmegaConf.register_new_resolver("changed", changed, replace=True)
    OmegaConf.register_new_resolver("prepared", prepared, replace=True)
    _store_schemas()


@functools.cache  # the conversion is a good part of the time of composing
def _store_schemas() -> None:
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=schema)
    store.store(group="hydra/sweeper", name="optuna_schema", node=Search)
