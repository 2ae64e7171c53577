"""From a config to objects: the only place that calls Hydra's `instantiate`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra.utils
import torch
from hydra.errors import InstantiationException
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from torch import nn

from gan_lab.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from gan_lab.config.checks import budget_images, check_sharing, check_values
from gan_lab.config.targets import allowing, check_node
from gan_lab.data.base import TrainingData
from gan_lab.errors import ConfigError, UserError
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import OptimizerFactory
from gan_lab.metrics.cache import whole
from gan_lab.optim.growth import Growth
from gan_lab.processes import is_first_process
from gan_lab.strategies import register_strategies

HARDWARE = ("accelerator", "devices", "num_nodes", "strategy", "precision")
"""The keys of `hardware` that Lightning checks, each against the others and against the machine."""


@dataclass
class Experiment:
    """Everything a run needs, built. `config` is resolved: its budget is in images and it holds no interpolation."""

    config: DictConfig
    data: TrainingData
    module: AdversarialModule
    trainer: Trainer


def instantiate(node: Any, key: str) -> Any:
    """What the node's `_target_` makes; lists and mappings inside become plain ones.

    Raises:
        ConfigError: There is no such target, it does not take these options, or it refuses them; names `key`.
    """
    if not isinstance(node, (dict, DictConfig)) or "_target_" not in node:
        raise ConfigError(f"{key}={node} cannot be built: it must be a mapping with a _target_.")
    config = node if isinstance(node, DictConfig) else OmegaConf.create(node)
    check_node(OmegaConf.to_container(config, resolve=True, throw_on_missing=True), key)
    try:
        return hydra.utils.instantiate(config, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, (UserError, OSError)):
            raise cause from error
        raise ConfigError(_sentence(key, cause or error)) from error


def instantiate_each(nodes: Any, key: str) -> dict[str, Any]:
    """What the nodes of a group make, by name; a node that is null is left out."""
    return {name: instantiate(node, f"{key}.{name}") for name, node in nodes.items() if node is not None}


def _sentence(key: str, error: BaseException) -> str:
    text = str(error).splitlines()[0].rstrip(".!")
    names_its_keys = isinstance(error, ValueError) and re.search(r"\w=", text)  # as the refusals of gan_lab do
    return f"{text}." if names_its_keys else f"{key} cannot be built: {text}."


def build(cfg: DictConfig, data: TrainingData | None = None) -> Experiment:
    """Check the config and build data, module and trainer from it.

    The two halves are `build_data` and `build_training`, for those who look at the resolved config between them.

    Args:
        cfg: A composed `train` config; it is not changed.
        data: Use this and not what the config describes, so that a set is decoded once for several runs.

    Raises:
        UserError: A value, a pair of parts, or the data cannot be used. The message says what is allowed.
    """
    with allowing(cfg.get("allow_targets", ())):
        return build_training(*build_data(cfg, data))


def build_data(cfg: DictConfig, data: TrainingData | None = None) -> tuple[DictConfig, TrainingData]:
    """Check the config, and build its data. Returns the config resolved, and them.

    Raises:
        UserError: A value or the data cannot be used.
    """
    check_values(cfg)
    torch.set_float32_matmul_precision(cfg.hardware.float32_matmul_precision)
    if data is None:
        data = cast(TrainingData, instantiate(cfg.dataset, "dataset"))
        data.prepare_data()
        data.setup("fit")
    return _with_budget(cfg, data), data


def build_training(cfg: DictConfig, data: TrainingData) -> Experiment:
    """Module and trainer of a resolved config, which is written into the run folder as `config.yaml`.

    Raises:
        UserError: The parts do not fit each other, the data or the machine.
    """
    data.batch_sizes = _batch_sizes(cfg)
    data.resolutions = _resolutions(cfg)
    seed_everything(cfg.seed, workers=True, verbose=False)  # the same first weights however often it is called
    module = build_module(cfg)
    if is_first_process():
        with whole(Path(cfg.run.dir) / "config.yaml") as file:
            file.write(OmegaConf.to_yaml(cfg).encode())
    trainer = build_trainer(cfg)
    check_sharing(cfg, trainer.world_size)
    return Experiment(cfg, data, module, trainer)


def _with_budget(cfg: DictConfig, data: TrainingData) -> DictConfig:
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
    networks = {name: build_network(cfg, name) for name in cfg.architecture}
    parts = build_parts(cfg)
    for name, optimizer in parts.optimizers.items():
        _refuse_settings(optimizer, f"optimizer.{name}")
    try:
        # Hydra would turn the dataclasses among the parts into dictionaries, so it only prepares the call.
        module = instantiate({**cfg.game, "_partial_": True}, "game")(**networks, parts=parts)
        module.configure_optimizers()  # so that an optimizer refuses its settings here, and not in the first step
    except (ValueError, TypeError) as error:
        raise ConfigError(_sentence("game", error)) from error
    return module


def build_parts(cfg: DictConfig) -> Parts:
    """What the game of a resolved config is played with, beside its networks."""
    return Parts(
        loss=instantiate(cfg.loss, "loss"),
        optimizers=instantiate_each(cfg.optimizer, "optimizer"),
        latent=instantiate({**cfg.latent, "_target_": "gan_lab.gans.latents.LatentPrior"}, "latent"),
        labels=instantiate({**cfg.conditioning, "_target_": "gan_lab.gans.labels.LabelPrior"}, "conditioning"),
        augment=instantiate(cfg.augment, "augment"),
        penalties=instantiate_each(cfg.regularizer, "regularizer"),
        constraints=instantiate_each(cfg.constraint, "constraint"),
        schedules=instantiate_each(cfg.schedule, "schedule"),
        growth=build_growth(cfg),
        selection=instantiate(cfg.selection, "selection") if cfg.selection else None,
        averaging=instantiate({**cfg.averaging, "_target_": "gan_lab.optim.ema.Averaging"}, "averaging"),
        n_critic=cfg.n_critic,
        generator_batches=cfg.generator_batches,
        adversarial_weight=cfg.adversarial_weight,
        label_smoothing=cfg.label_smoothing,
        accumulate=cfg.accumulate,
        clip_norm=cfg.clip_norm,
        seed=cfg.seed,
        check_finite=cfg.check_finite,
    )


def build_growth(cfg: DictConfig) -> Growth | None:
    """When the networks of a resolved config grow; None if they do not."""
    return instantiate(cfg.growth, "growth") if cfg.get("growth") else None


def _batch_sizes(cfg: DictConfig) -> Callable[[int], int] | None:
    """Real images seen to the size of the next batch; None where all are equal."""
    growth = build_growth(cfg)
    if growth is None or not growth.batch_sizes:
        return None
    return partial(growth.batch_size, otherwise=cfg.batch_size)


def _resolutions(cfg: DictConfig) -> Callable[[int], int] | None:
    """Real images seen to the side that the next batch is used at; None where it is always the full one."""
    growth = build_growth(cfg)
    return None if growth is None else lambda images_seen: growth.stage(images_seen).resolution


def _refuse_settings(optimizer: OptimizerFactory, key: str) -> None:
    """An optimizer looks at its settings when it is given parameters: here one that is thrown away."""
    try:
        optimizer([nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError) as error:
        raise ConfigError(_sentence(key, error)) from error


def build_network(cfg: DictConfig, name: str) -> nn.Module:
    """One network of a resolved config with its wrappers, freshly initialized: `generator`, `discriminator`, ..."""
    key = f"architecture.{name}"
    wrappers = instantiate_each(cfg.get("wrapper", {}).get(name) or {}, f"wrapper.{name}")
    words = OmegaConf.to_container(cfg.architecture[name], resolve=True)
    try:
        for wrapper in reversed(
            wrappers.values()
        ):  # the outermost is the first to change what the network is built for
            words = wrapper.words(words)
        network = instantiate(words, key)
        for wrapper in wrappers.values():
            network = wrapper(network)
    except (ValueError, TypeError) as error:
        raise ConfigError(_sentence(key, error)) from error
    return network


def build_trainer(cfg: DictConfig) -> Trainer:
    """The trainer of a resolved config with its callbacks and loggers."""
    callbacks = list(instantiate_each(cfg.callbacks, "callbacks").values())
    callbacks.sort(key=lambda callback: isinstance(callback, Checkpoints))  # last: they hold what the others have done
    loggers = list(instantiate_each(cfg.logger, "logger").values())
    make_trainer = instantiate({**cfg.trainer, "_partial_": True}, "trainer")
    register_strategies()
    try:
        return make_trainer(callbacks=callbacks, logger=loggers or False, plugins=[AtomicCheckpointIO()])
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        settings = ", ".join(f"hardware.{name}={cfg.hardware[name]}" for name in HARDWARE)
        raise ConfigError(f"{settings} cannot be used: {str(error).splitlines()[0].rstrip('.!')}.") from error
