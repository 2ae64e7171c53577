"""Composes configs in Python, for scripts, notebooks and tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.config import resolvers, schema
from gan_lab.config.groups import check_choices
from gan_lab.config.messages import mistakes_raised
from gan_lab.config.overrides import names_as_typed, override

_NAMED = ("run.name", "out")
"""Keys whose defaults contain choices of config groups."""


def compose(*overrides: str, command: str = "train", **settings: Any) -> DictConfig:
    """The config that `gan-lab <command> <overrides>` would run.

    Args:
        overrides: As on the command line: `"model=wgan_gp"`, `"lr=1e-4"`, ...
        command: The command; `fit` and `build` take the config of `train`.
        settings: Overrides as Python values, as in `model="wgan_gp"` or `**{"optimizer.generator.lr": 1e-4}`.

    Raises:
        UserError: A key, a choice or a value is not allowed.
    """
    given = names_as_typed([*overrides, *(override(key, value) for key, value in settings.items())])
    resolvers.register()
    with mistakes_raised(command, given), initialized():
        check_choices(command, given)
        cfg = hydra.compose(command, overrides=given, return_hydra_config=True)
        choices = cfg.hydra.runtime.choices
        with open_dict(cfg):
            del cfg["hydra"]
        with resolvers.with_choices(choices):
            for key in _NAMED:
                if (value := OmegaConf.select(cfg, key)) is not None:
                    OmegaConf.update(cfg, key, value)
    return cfg


@contextmanager
def initialized() -> Iterator[None]:
    """Initialize Hydra with the configs of gan_lab, also inside a block in which the user has initialized it."""
    before, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with hydra.initialize_config_dir(config_dir(), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = before  # Hydra has replaced the instance


def config_dir() -> str:
    """The folder of gan_lab's configs, for Hydra's own `initialize_config_dir`."""
    return str(schema.CONF)
