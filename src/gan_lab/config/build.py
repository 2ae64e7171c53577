"""From a config to objects: the only place that calls Hydra's `instantiate`."""

import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hydra.utils
import torch
from hydra.errors import InstantiationException
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf
from torch import nn

from gan_lab.callbacks.checkpoints import AtomicCheckpointIO
from gan_lab.config.checks import budget_images, check_sharing, check_values
from gan_lab.errors import ConfigError, UserError
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.latents import LatentPrior
from gan_lab.optim.ema import Averaging


@dataclass
class Experiment:
    """Everything a run needs, built. `config` is resolved: its budget is in images and it holds no interpolation."""

    config: DictConfig
    data: LightningDataModule
    module: AdversarialModule
    trainer: Trainer


def instantiate(node: Any, key: str) -> Any:
    """What the node's `_target_` makes; lists and mappings inside become plain ones.

    Raises:
        ConfigError: The target does not exist, or does not take these options; names `key`.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise ConfigError(_sentence(node, key, error)) from error


def _sentence(node: Any, key: str, error: InstantiationException) -> str:
    cause = error.__cause__
    if isinstance(cause, UserError) or (isinstance(cause, ValueError) and "=" in str(cause)):
        return str(cause)  # our own sentences name their key
    where = str(error).partition("full_key: ")[2].strip() or key
    if isinstance(cause, TypeError) and "unexpected keyword argument" in str(cause):
        option = str(cause).partition("keyword argument ")[2].split("'")[1]
        target = OmegaConf.select(node, "_target_") or where
        return f"{where}.{option} is not an option of {target}; it takes {_options(target)}."
    return f"{where} cannot be built: {str(cause or error).splitlines()[0]}."


def _options(target: str) -> str:
    try:
        parameters = inspect.signature(hydra.utils.get_object(target)).parameters
    except Exception:
        return "other options"
    return ", ".join(parameters)


def build(cfg: DictConfig) -> Experiment:
    """Check the config and build data, module and trainer from it.

    Args:
        cfg: A composed `train` config; it is not changed.

    Raises:
        UserError: A value, a pair of parts, or the data cannot be used. The message says what is allowed.
    """
    check_values(cfg)
    torch.set_float32_matmul_precision(cfg.hardware.float32_matmul_precision)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data = instantiate(cfg.dataset, "dataset")
    data.prepare_data()
    data.setup("fit")
    cfg = _with_budget(cfg, data)
    module = build_module(cfg)
    trainer = build_trainer(cfg)
    check_sharing(cfg, trainer.world_size)
    return Experiment(cfg, data, module, trainer)


def _with_budget(cfg: DictConfig, data: Any) -> DictConfig:
    images = budget_images(cfg, data.size, data.budget_images)
    plain = OmegaConf.to_container(cfg, resolve=False)  # leaves the schema's types behind
    resolved = cast(DictConfig, OmegaConf.create(plain))
    resolved.budget = {"images": images, "kimg": None, "epochs": None}
    OmegaConf.resolve(resolved)
    return resolved


def build_module(cfg: DictConfig) -> AdversarialModule:
    """The game of a resolved config, with its networks freshly initialized.

    Raises:
        ConfigError: The parts do not fit each other.
    """
    parts = {
        "loss": instantiate(cfg.loss, "loss"),
        "latent": LatentPrior(**cast("dict[str, Any]", OmegaConf.to_container(cfg.latent))),
        "averaging": Averaging(**cast("dict[str, Any]", OmegaConf.to_container(cfg.averaging))),
        "penalties": instantiate(cfg.regularizer, "regularizer"),
        "constraints": instantiate(cfg.constraint, "constraint"),
        "schedules": instantiate(cfg.schedule, "schedule"),
        "optimizers": instantiate(cfg.optimizer, "optimizer"),
        **{name: build_network(cfg, name) for name in cfg.architecture},
    }
    try:
        # Hydra would turn the dataclasses among the parts into dictionaries, so it only prepares the call.
        module = instantiate({**cfg.game, "_partial_": True}, "game")(**parts)
        module.configure_optimizers()  # so that an optimizer refuses its settings here, and not in the first step
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error).rstrip(".") + ".") from error
    return module


def build_network(cfg: DictConfig, name: str) -> nn.Module:
    """One network of a resolved config, freshly initialized: `generator`, `discriminator`, ..."""
    return instantiate(cfg.architecture[name], f"architecture.{name}")


def build_trainer(cfg: DictConfig) -> Trainer:
    """The trainer of a resolved config with its callbacks and loggers; makes the run folder and writes `config.yaml`."""
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        folder = Path(cfg.run.dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    callbacks = [instantiate(node, f"callbacks.{name}") for name, node in cfg.callbacks.items() if node is not None]
    loggers = [instantiate(node, f"logger.{name}") for name, node in cfg.logger.items() if node is not None]
    make_trainer = instantiate({**cfg.trainer, "_partial_": True}, "trainer")
    try:
        return make_trainer(callbacks=callbacks, logger=loggers or False, plugins=[AtomicCheckpointIO()])
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # Lightning's own checks of accelerator, devices, precision, ...
        raise ConfigError(f"trainer cannot be built: {str(error).splitlines()[0]}") from error
