"""Builds objects from a config; the only module that calls Hydra's `instantiate`."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra.utils
import lightning.pytorch
import torch
from hydra.errors import InstantiationException
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from torch import nn

from gan_lab.architectures.freezing import freeze_from_image
from gan_lab.batch_loop import use_batch_loop
from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.budget import Budget
from gan_lab.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from gan_lab.config.checks import HARDWARE, budget_images, check_batch_division, check_size, check_values
from gan_lab.config.default_extractor import check_extractor, with_default_extractor
from gan_lab.config.interfaces import (
    check_augmentation,
    check_callback,
    check_data,
    check_discriminator,
    check_loss,
    check_regularizer,
)
from gan_lab.config.targets import allowing, check_node
from gan_lab.data.base import TrainingData
from gan_lab.data.image_data import ImageData
from gan_lab.data.raw import shortened
from gan_lab.errors import ConfigError, UserError, first_line
from gan_lab.files import atomic_write, write_text
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.compilation import CUDA_GRAPHS
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import OptimizerFactory
from gan_lab.optim.growth import Growth
from gan_lab.ranks import is_first_process
from gan_lab.strategies import BY_PLAYER, hold_back_signals_of_children, register_strategies

log = logging.getLogger(__name__)

SIZES = {"width", "max_width", "channels", "latent_dim", "resolution", "pieces"}
"""Options of networks that are at least 1."""

SHAPE_SAMPLES = 4
"""Samples, or packs of them, that the networks are tried with before a run."""


@dataclass(repr=False)
class Experiment:
    """Data, module and trainer of a run. `config` is resolved: its budget is in images, without interpolations."""

    config: DictConfig
    data: TrainingData
    module: AdversarialModule
    trainer: Trainer

    def __repr__(self) -> str:
        images = f"{self.module.images_seen:,} of {self.config.budget.images:,} images"
        stopped = f", stopped by {self.module.interrupted}" if self.module.interrupted else ""
        return f"Experiment({self.config.run.dir}: {images}{stopped})"


def instantiate(node: Any, key: str) -> Any:
    """Instantiate the node's `_target_`; lists and mappings inside become plain ones.

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
        raise ConfigError(_sentence(key, cause or error, config)) from error


def _built(node: Any, key: str, check: Callable[[Any], None]) -> Any:
    """`instantiate`, and a check of the component."""
    component = instantiate(node, key)
    check(component)
    return component


def instantiate_each(nodes: Any, key: str) -> dict[str, Any]:
    """Instantiate each node of a group, by name; null nodes are skipped.

    Raises:
        ConfigError: `nodes` is not a mapping, or a node cannot be built.
    """
    if not isinstance(nodes, (Mapping, DictConfig)):
        raise ConfigError(f"{key}={nodes} is not allowed: it must be a mapping of names to components.")
    return {str(name): instantiate(node, f"{key}.{name!s}") for name, node in nodes.items() if node is not None}


def _sentence(key: str, error: BaseException, options: Mapping[str, Any] | None = None) -> str:
    """An error of a constructor with the key of the component; the options if the error does not name one."""
    text = first_line(error)
    # as error messages of gan_lab do
    names_its_keys = isinstance(error, ValueError) and (re.search(r"\w=", text) or text.startswith(f"{key}."))
    if names_its_keys and key.startswith("regularizer.") and re.match(r"\w+=", text):
        return f"{key}.{text}."  # a regularizer does not know the name that a config gives it
    if names_its_keys:
        return f"{text}."
    given = ", ".join(f"{name}={value}" for name, value in (options or {}).items() if not name.startswith("_"))
    return f"{key} cannot be built{' with ' if given else ''}{given}: {text}."


def build(cfg: DictConfig, data: TrainingData | None = None) -> Experiment:
    """Check the config and build data, module and trainer from it.

    The two halves are `build_data` and `build_training`, for callers that need the resolved config between them.

    Args:
        cfg: A composed `train` config; it is not changed.
        data: Used instead of the configured data, so that a data set is decoded once for several runs.

    Raises:
        UserError: A value, a pair of components, or the data cannot be used. The message names what is allowed.
    """
    with allowing(cfg.get("allow_targets", ())):
        return build_training(*build_data(cfg, data))


def build_data(cfg: DictConfig, data: TrainingData | None = None) -> tuple[DictConfig, TrainingData]:
    """Check the config and build its data. Returns the resolved config and the data.

    Raises:
        UserError: A value or the data cannot be used.
    """
    check_values(cfg)
    check_extractor(cfg, cfg.dataset)
    cfg = with_default_extractor(cfg)
    torch.set_float32_matmul_precision(cfg.hardware.float32_matmul_precision)
    if data is not None:
        return _with_budget(cfg, budget_images(cfg, data.size, data.budget_images)), data
    data = cast(TrainingData, _built(cfg.dataset, "dataset", check_data))
    cfg = _with_sizes(cfg, data)
    usual = cfg.dataset.get("budget_images") or 1_000_000  # a budget in epochs is not known before the data
    resolved = _with_budget(cfg, budget_images(cfg, usual, usual))
    _check_labels(resolved, data)
    _check_components(resolved, data)
    data.prepare_data()
    data.setup("fit")
    data.find_unusable()
    check_size(resolved, data.size)
    _warn_of_empty_classes(resolved, data)
    images = budget_images(cfg, data.size, data.budget_images)
    return resolved if images == resolved.budget.images else _with_budget(cfg, images), data


def build_training(
    cfg: DictConfig, data: TrainingData, load: Callable[[AdversarialModule], None] | None = None
) -> Experiment:
    """Module and trainer of a resolved config; writes `config.yaml` into the run folder.

    Args:
        cfg: The resolved config.
        data: Its data.
        load: Called with the new module before anything is written, to load weights; it may refuse the run.

    Raises:
        UserError: The components do not fit each other, the data or the machine; or what `load` raises.
    """
    data.batch_sizes = _batch_sizes(cfg)
    data.resolutions = _resolutions(cfg)
    seed_everything(cfg.seed, workers=True, verbose=False)  # the same initial weights in every call
    module = build_module(cfg)
    if load is not None:
        load(module)
    file = Path(cfg.run.dir) / "config.yaml"
    before = file.read_bytes() if file.is_file() else None
    if is_first_process():
        write_text(file, OmegaConf.to_yaml(cfg))  # loggers read it
    try:
        trainer = build_trainer(cfg)
        check_batch_division(cfg, trainer.world_size)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Callback):
                callback.check(module, data)
        if cfg.hardware.compile:
            module.compile_networks(trainer.strategy.root_device, graphs=cfg.hardware.compile == CUDA_GRAPHS)
    except UserError:
        if is_first_process():  # a refused run leaves everything as it was
            _restore(file, before)
        raise
    return Experiment(cfg, data, module, trainer)


def _restore(file: Path, content: bytes | None) -> None:
    """Give a file its earlier content; None if there was no such file."""
    if content is None:
        file.unlink()
        return
    with atomic_write(file) as target:
        target.write(content)


def _with_sizes(cfg: DictConfig, data: TrainingData) -> DictConfig:
    """The config with the name and the sizes of the data where it leaves them open, as `dataset=python` does."""
    found = {"source": data.source, "resolution": data.spec.resolution, "channels": data.spec.channels}
    cfg = cfg.copy()
    for key, value in found.items():
        if key in cfg.dataset and cfg.dataset.get(key) is None:
            cfg.dataset[key] = value
    return cfg


def _check_labels(cfg: DictConfig, data: TrainingData) -> None:
    """Refuse networks that take labels without `dataset.num_classes`, with the classes that the images have.

    Raises:
        ConfigError: Names the classes and what to give.
    """
    networks = [OmegaConf.select(cfg, f"wrapper.{name}.conditioning") for name in ("generator", "discriminator")]
    take_labels = any(isinstance(node, DictConfig) and node.get("num_classes", 1) is None for node in networks)
    if take_labels and isinstance(data, ImageData) and data.spec.num_classes is None:
        raise ConfigError(f"The conditioning needs labels, and dataset.num_classes=null: {data.label_advice()}.")


def _warn_of_empty_classes(cfg: DictConfig, data: TrainingData) -> None:
    """Log a warning of classes without images for a generator that takes labels, which samples them all the same."""
    empty = data.empty_classes() if OmegaConf.select(cfg, "conditioning.num_classes") is not None else []
    if not empty or not is_first_process():
        return
    wanted = "a larger dataset.max_images" if cfg.dataset.get("max_images") else "usable images of each"
    log.warning(
        f"{data.source} has {data.size:,} usable images, and none of the {'class' if len(empty) == 1 else 'classes'} "
        f"{shortened(empty)}, of which the generator makes samples as well: give {wanted}, or conditioning=none."
    )


def _check_components(cfg: DictConfig, data: TrainingData) -> None:
    """Build everything that needs no data and discard it, so that a refusal comes before a data set is decoded."""
    with torch.random.fork_rng(devices=[]):
        module = build_module(cfg)
        _check_pairs(module, data)
        pack = OmegaConf.select(cfg, "wrapper.discriminator.packing.size") or 1
        _check_shapes(module, data.spec.shape, SHAPE_SAMPLES * pack)
        build_callbacks(cfg)


def _check_pairs(module: AdversarialModule, data: TrainingData) -> None:
    """Refuse penalties of pairs with a data set without pairs.

    Raises:
        ConfigError: There is such a penalty.
    """
    for player in module.players().values():
        for name, penalty in player.penalties.items():
            if getattr(penalty, "needs_pairs", False) and not data.has_pairs:
                raise ConfigError(
                    f"regularizer={name} needs pairs of images, and this data set has none; set dataset=paired, or "
                    f"remove {name} from regularizer."
                )


def _check_shapes(module: AdversarialModule, shape: tuple[int, ...], count: int) -> None:
    """Pass a few latents through generator and discriminator, whose sizes the config may set separately.

    Raises:
        ConfigError: A network cannot take its input, or the samples do not have the shape of the data.
    """
    if module.condition.needs_batch:  # conditions come from real samples
        return
    module.view.advance(0)  # growing networks begin with their first stage
    latents, condition = module.sample_inputs(count, 0)
    given = f"latent.dim={module.latent.dim}"
    with _misfits("generator", given):
        samples = module.generate(latents, condition)
    if not isinstance(samples, torch.Tensor):
        raise ConfigError(
            f"architecture.generator is a {type(module.generator).__name__} that returned a "
            f"{type(samples).__name__}: its forward must return the samples as a tensor (n, "
            f"{', '.join(map(str, shape))})."
        )
    if samples.shape[1:] != shape:
        raise ConfigError(
            f"architecture.generator makes samples of {_by(samples.shape[1:])}, and the data set has {_by(shape)}."
        )
    with _misfits("discriminator", f"samples of {_by(shape)}"):
        module.score(module.view(samples), condition)


@contextmanager
def _misfits(network: str, given: str) -> Iterator[None]:
    """Raise PyTorch's errors on sizes as a ConfigError that names the network and its input."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise ConfigError(f"architecture.{network} does not fit {given}: {first_line(error)}.") from error


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _with_budget(cfg: DictConfig, images: int) -> DictConfig:
    plain = OmegaConf.to_container(cfg, resolve=False)  # drops the types of the schema
    resolved = cast(DictConfig, OmegaConf.create(plain))
    resolved.budget = {"images": images, "kimg": None, "epochs": None}
    resolved.run = OmegaConf.to_container(cfg.run, resolve=True)  # a copy would generate another name
    resolved.run.name = run_name(resolved.run)
    OmegaConf.resolve(resolved)
    return resolved


def run_name(run: DictConfig) -> str:
    """Name of a run from its folder: the path below `run.root`, or its own name; `<sweep>/<number>` for a trial."""
    folder, root = Path(run.dir).resolve(), Path(run.root).resolve()
    parts = folder.relative_to(root).parts if root in folder.parents else folder.parts[-1:]
    if parts[-1].isdigit() and folder.parent not in (root, Path("/")):
        parts = (folder.parent.name, parts[-1])
    return "/".join(parts)


def build_module(cfg: DictConfig) -> AdversarialModule:
    """The algorithm of a resolved config, with its networks freshly initialized.

    Raises:
        ConfigError: The components do not fit each other.
    """
    parts = build_parts(cfg)
    if parts.latent.dim == 0 and "source_channels" not in (cfg.architecture.generator or ()):
        raise ConfigError("latent.dim=0 is not allowed: it must be at least 1 for a generator that takes no images.")
    networks = {name: build_network(cfg, name) for name in cfg.architecture}
    _freeze(networks, cfg)
    for name, optimizer in parts.optimizers.items():
        _check_optimizer(optimizer, f"optimizer.{name}", cfg.optimizer[name])
    try:
        # Hydra would turn dataclasses into dictionaries, so it only prepares the call.
        module = instantiate({**cfg.algorithm, "_partial_": True}, "algorithm")(**networks, parts=parts)
        module.configure_optimizers()  # so that an optimizer rejects its options here, and not in the first step
    except (ValueError, TypeError) as error:
        raise ConfigError(_sentence("algorithm", error)) from error
    return module


def _freeze(networks: Mapping[str, nn.Module], cfg: DictConfig) -> None:
    """Freeze layers of the discriminators.

    Raises:
        ConfigError: They do not have these layers, or grow.
    """
    count = cfg.freeze_discriminator
    if count and cfg.get("growth"):
        raise ConfigError(
            f"freeze_discriminator={count} cannot be combined with networks that grow, whose first layer changes: set "
            "growth=none or freeze_discriminator=0."
        )
    try:
        for name, network in networks.items():
            if count and name.endswith("discriminator"):
                freeze_from_image(network, count)
    except ValueError as error:
        raise ConfigError(f"{error}.") from error


def build_parts(cfg: DictConfig) -> Parts:
    """Components of the algorithm of a resolved config, without the networks."""
    regularizers = build_regularizers(cfg)
    try:
        return Parts(
            loss=_built(cfg.loss, "loss", check_loss),
            optimizers=instantiate_each(cfg.optimizer, "optimizer"),
            latent=instantiate({**cfg.latent, "_target_": "gan_lab.gans.latents.LatentPrior"}, "latent"),
            condition=instantiate(cfg.conditioning, "conditioning"),
            augment=_built(cfg.augment, "augment", check_augmentation),
            penalties=regularizers["penalty"],
            constraints=regularizers["constraint"],
            schedules=instantiate_each(cfg.schedule, "schedule"),
            growth=build_growth(cfg),
            selection=next(iter(regularizers["selection"].values()), None),
            averaging=instantiate({**cfg.averaging, "_target_": "gan_lab.optim.ema.Averaging"}, "averaging"),
            n_critic=cfg.n_critic,
            generator_batches=cfg.generator_batches,
            adversarial_weight=cfg.adversarial_weight,
            label_smoothing=cfg.label_smoothing,
            accumulate=cfg.accumulate,
            clip_norm=cfg.clip_norm,
            seed=cfg.seed,
            check_finite=cfg.trouble.check_finite,
        )
    except ValueError as error:
        raise ConfigError(f"{error}.") from error


def build_regularizers(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """The penalties, constraints and selections of a resolved config: kind to name to object.

    Raises:
        ConfigError: One cannot be built or has an unknown kind, or there are two selections.
    """
    found: dict[str, dict[str, Any]] = {"penalty": {}, "constraint": {}, "selection": {}}
    for name, regularizer in instantiate_each(cfg.regularizer, "regularizer").items():
        kind = getattr(regularizer, "kind", "penalty")
        if kind not in found:
            raise ConfigError(
                f"regularizer.{name} is a {type(regularizer).__name__} of kind {kind}: "
                f"its kind must be {', '.join(found)}."
            )
        check_regularizer(regularizer, f"regularizer.{name}", kind)
        found[kind][name] = regularizer
    if len(found["selection"]) > 1:
        keys = " and ".join(f"regularizer.{name}" for name in found["selection"])
        raise ConfigError(f"{keys} both select the samples that the generator's loss counts: choose one of them.")
    return found


def build_growth(cfg: DictConfig) -> Growth | None:
    """Growth schedule of a resolved config; None if the networks do not grow."""
    return instantiate(cfg.growth, "growth") if cfg.get("growth") else None


def _batch_sizes(cfg: DictConfig) -> Callable[[int], int] | None:
    """Real images seen to the size of the next batch; None where all are equal."""
    growth = build_growth(cfg)
    if growth is None or not growth.batch_sizes:
        return None
    return partial(growth.batch_size, default=cfg.batch_size)


def _resolutions(cfg: DictConfig) -> Callable[[int], int] | None:
    """Real images seen to the resolution that the next batch is used at; None where it is always the full one."""
    growth = build_growth(cfg)
    return None if growth is None else lambda images_seen: growth.stage(images_seen).resolution


def _check_optimizer(optimizer: OptimizerFactory, key: str, options: Mapping[str, Any]) -> None:
    """Build the optimizer with a temporary parameter, since it checks its options only then."""
    try:
        optimizer([nn.Parameter(torch.zeros(1))])
    except (ValueError, TypeError) as error:
        raise ConfigError(_sentence(key, error, options)) from error


def build_network(cfg: DictConfig, name: str) -> nn.Module:
    """One network of a resolved config with its wrappers, freshly initialized: `generator`, `discriminator`, ..."""
    key = f"architecture.{name}"
    node = cfg.get("wrapper", {}).get(name)
    wrappers = instantiate_each({} if node is None else node, f"wrapper.{name}")
    if not isinstance(cfg.architecture[name], DictConfig):
        raise ConfigError(f"{key}={cfg.architecture[name]} is not allowed: it must be a mapping with a _target_.")
    kwargs = OmegaConf.to_container(cfg.architecture[name], resolve=True)
    _check_sizes(kwargs, key)
    try:
        for wrapper in reversed(wrappers.values()):  # the outermost wrapper changes the arguments first
            kwargs = wrapper.network_kwargs(kwargs)
        network = instantiate(kwargs, key)
        if name in ("generator", "discriminator") and not isinstance(network, nn.Module):
            raise ConfigError(f"{key} is a {type(network).__name__}: it must be a torch.nn.Module.")
        if name == "discriminator":
            check_discriminator(network)
        for wrapper in wrappers.values():
            network = wrapper(network)
    except (ValueError, TypeError) as error:
        raise ConfigError(_sentence(key, error)) from error
    return network


def _check_sizes(kwargs: Any, key: str) -> None:
    """Refuse sizes of networks below 1, which PyTorch reports without a key, or not at all.

    A generator that takes a source image needs no latents.
    """
    for name in (SIZES - {"latent_dim"} if "source_channels" in kwargs else SIZES) & kwargs.keys():
        if type(kwargs[name]) in (int, float) and kwargs[name] < 1:
            raise ConfigError(f"{key}.{name}={kwargs[name]} is not allowed: it must be at least 1.")


def build_callbacks(cfg: DictConfig) -> list[lightning.pytorch.Callback]:
    """The callbacks of a resolved config.

    Raises:
        ConfigError: One cannot be built, or is not a callback of Lightning.
    """
    callbacks = instantiate_each(cfg.callbacks, "callbacks")
    for name, callback in callbacks.items():
        check_callback(callback, f"callbacks.{name}")
    return list(callbacks.values())


def build_trainer(cfg: DictConfig) -> Trainer:
    """The trainer of a resolved config with its callbacks and loggers."""
    callbacks = build_callbacks(cfg)
    if not any(
        isinstance(callback, Budget) for callback in callbacks
    ):  # ~callbacks.budget: else the run would never end
        callbacks.append(Budget(cfg.budget.images))
    callbacks.sort(key=lambda callback: isinstance(callback, Checkpoints))  # last: they contain the state of the others
    loggers = list(instantiate_each(cfg.logger, "logger").values())
    make_trainer = instantiate({**cfg.trainer, "_partial_": True}, "trainer")
    register_strategies()
    options = {"callbacks": callbacks, "logger": loggers or False, "plugins": [AtomicCheckpointIO()]}
    try:
        trainer = make_trainer(**options)
        if trainer.world_size > 1 and cfg.trainer.get("strategy") == "auto":  # PyTorch's wrapper would fail
            trainer = make_trainer(**options, strategy=BY_PLAYER)
    except (ValueError, TypeError, RuntimeError, MemoryError, MisconfigurationException) as error:
        values = {f"hardware.{name}": cfg.hardware[name] for name in HARDWARE}
        chosen = {key: value for key, value in values.items() if value not in ("auto", 1, "32-true")} or values
        settings = ", ".join(f"{key}={value}" for key, value in chosen.items())
        raise ConfigError(f"{settings} cannot be used: {first_line(error)}.") from error
    if trainer.precision != cfg.hardware.precision:  # Lightning takes another one with a warning
        raise ConfigError(
            f"hardware.precision={cfg.hardware.precision} needs a GPU: choose bf16-mixed or 32-true for "
            f"{trainer.strategy.root_device.type}."
        )
    use_batch_loop(trainer)
    hold_back_signals_of_children(trainer)
    return trainer
