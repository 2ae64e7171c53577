"""Groups of runs of a sweep that can train at once in one process."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lab.sweeps.signals import stop_signal

OWN = (
    "hydra", "seed", "lr", "betas", "run", "budget", "schedule", "averaging", "callbacks", "logger", "evaluation",
    "metrics", "extractor", "objective", "initialize", "resume", "allow_changes", "time_limit",
)  # fmt: skip
"""Nodes of a config in which the runs of a group may differ."""

OWN_OF_EACH = {"optimizer": ("lr", "betas", "eps", "weight_decay"), "regularizer": ("weight",)}
"""Keys of each component below a node, in which they may differ as well."""


def train_group(jobs: Sequence[Callable[[], JobReturn]]) -> list[JobReturn]:
    """Train runs of one group at once, each as its job would alone.

    Raises:
        SystemExit: One of them was interrupted and can be resumed.
        KeyboardInterrupt: A second Ctrl-C.
    """
    from gan_lab.ensemble.members import train_together  # which loads torch

    full_error = os.environ.get("HYDRA_FULL_ERROR")  # which every job sets and restores, but not in turn
    members = [_swept_member(job) for job in jobs]
    try:
        train_together(members, stop_signal)
    finally:
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error
    for member in members:
        if member.error is not None:
            raise member.error
    return [member.result for member in members]


def _swept_member(job: Callable[[], JobReturn]) -> Any:
    """A member of an ensemble with its own config of Hydra, which is global."""
    from gan_lab.ensemble.members import Member

    state = {"own": HydraConfig.instance().cfg}

    @contextmanager
    def own_hydra() -> Iterator[None]:
        hydra = HydraConfig.instance()
        outer, hydra.cfg = hydra.cfg, state["own"]
        try:
            yield
        finally:
            state["own"], hydra.cfg = hydra.cfg, outer

    return Member(job, own_hydra)


def groups(configs: Sequence[DictConfig], size: int) -> list[list[int]]:
    """Positions of the configs, in groups of at most `size` runs that have all in common but seeds and numbers."""
    by_structure: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        by_structure.setdefault(_structure(config) or f"run {number}", []).append(number)
    return [found[start : start + size] for found in by_structure.values() for start in range(0, len(found), size)]


def _structure(config: DictConfig) -> str | None:
    """What the runs of a group have in common, as text; None if the config cannot be resolved."""
    hydra = HydraConfig.instance()
    outer = hydra.cfg
    try:
        hydra.set_config(config)
        nodes = {key: _plain(config, key) for key in config if key not in OWN}
    except OmegaConfBaseException:  # the run reports it
        return None
    finally:
        hydra.cfg = outer
    if isinstance(nodes.get("dataset"), dict):
        nodes["dataset"].pop("seed", None)
    for node, names in OWN_OF_EACH.items():
        for component in filter(None, nodes[node].values()):
            for name in names:
                component.pop(name, None)
    return json.dumps(nodes, sort_keys=True, default=str)


def _plain(config: DictConfig, key: Any) -> Any:
    value = config[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
