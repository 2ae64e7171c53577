"""Composes configs in Python, for scripts, notebooks and tests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.config import resolvers, schema
from gan_lab.config.groups import check_choices, with_dataset_keys
from gan_lab.config.messages import mistakes_raised
from gan_lab.config.notes import OF_ONE_COMMAND, Command
from gan_lab.config.overrides import names_as_typed, override, overrides_between
from gan_lab.config.resumed_overrides import with_overrides_of_run
from gan_lab.errors import ConfigError, UserError

_NAMED = ("run.name", "out")
"""Keys whose defaults contain choices of config groups."""

_ORIGIN = "gan_lab.compose"
"""Entry of OmegaConf's cache of a config, which is copied with the config: its `Command`, and what that composed."""


def compose(*overrides: str, command: str = "train", **settings: Any) -> DictConfig:
    """The config that `gan-lab <command> <overrides>` would run; `resume=<run folder>` repeats the settings of a run.

    Args:
        overrides: As on the command line: `"model=wgan_gp"`, `"lr=1e-4"`, ...
        command: The command; `fit` and `build` take the config of `train`.
        settings: Overrides as Python values, as in `model="wgan_gp"` or `**{"optimizer.generator.lr": 1e-4}`.

    Raises:
        UserError: A key, a choice or a value is not allowed.
    """
    for each in overrides:
        if not isinstance(each, str):
            raise ConfigError(
                f"gan_lab.compose takes overrides as texts, such as 'model=wgan_gp', or by name, as in "
                f"model='wgan_gp', not a {type(each).__name__}."
            )
    given = names_as_typed([*overrides, *(override(key, value) for key, value in settings.items())])
    return _composed(with_overrides_of_run(given) if command == "train" else with_dataset_keys(command, given), command)


def _composed(overrides: Sequence[str], command: str) -> DictConfig:
    resolvers.register()
    with mistakes_raised(command, overrides), initialized():
        check_choices(command, overrides)
        cfg = hydra.compose(command, overrides=list(overrides), return_hydra_config=True)
        choices = cfg.hydra.runtime.choices
        with open_dict(cfg):
            del cfg["hydra"]
        with resolvers.with_choices(choices):
            for key in _NAMED:
                if (value := OmegaConf.select(cfg, key)) is not None:
                    OmegaConf.update(cfg, key, value)
    origin = Command(overrides, {"runtime": {"choices": dict(choices)}})
    OmegaConf.get_cache(cfg)[_ORIGIN] = origin, _plain(cfg)
    return cfg


def command_of(cfg: DictConfig) -> Command | None:
    """The command that composes a config: that of `compose`, with one more override for each value changed since.

    None for a config of another origin, and if the changes cannot be written as overrides.
    """
    command, before = OmegaConf.get_cache(cfg).get(_ORIGIN, (None, {}))
    now = _plain(cfg)
    if command is None or before == now:
        return cast("Command | None", command)
    try:
        composed = _composed([*command.overrides, *overrides_between(before, now)], "train")
    except UserError:
        return None
    return command_of(composed) if _plain(composed) == now else None


def _plain(cfg: DictConfig) -> dict[str, Any]:
    """The content of a config, without the keys of one command."""
    content = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    return {key: value for key, value in content.items() if key not in OF_ONE_COMMAND}


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
