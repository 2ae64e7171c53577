"""Configs from Python, for notebooks and tests."""

import hydra
from omegaconf import DictConfig

from gan_lab.config import schema


def compose(*overrides: str) -> DictConfig:
    """The config that `gan-lab train <overrides>` would run; `fit` and `build` take it.

    Args:
        overrides: As on the command line: `model=wgan_gp`, `lr=1e-4`, ...
    """
    schema.register()
    name = [] if any(override.startswith("run.name=") for override in overrides) else [f"run.name={schema.run_id()}"]
    with hydra.initialize_config_dir(str(schema.CONF), version_base="1.3"):
        return hydra.compose("train", overrides=[*name, *overrides])
