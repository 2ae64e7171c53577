"""Every file in conf/ composes, and every target in it exists and takes what the file gives it."""

import inspect
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from gan_lab.config import resolvers
from gan_lab.config.compose import compose
from gan_lab.config.groups import groups
from gan_lab.config.schema import CONF, SCHEMAS, Hardware, Train
from gan_lab.data.pyramid import DESCRIPTION, Pyramid


def group_of(file: Path) -> str:
    """`loss`, or `wrapper/generator`."""
    folder = file.relative_to(CONF).parent.as_posix()
    return folder if folder in groups() else folder.partition("/")[0]


def choice_of(file: Path) -> str:
    """`sngan_a`, or `ring/gan` for a file in a folder of the group."""
    return file.relative_to(CONF / group_of(file)).with_suffix("").as_posix()


FILES = sorted(file for file in CONF.glob("*/**/*.yaml") if group_of(file) not in ("hydra", "local"))
LISTS = ("logger", "metrics", "regularizer", "wrapper/discriminator", "wrapper/generator")
"""Groups with any number of choices in a run."""
FINISHED_BY_THE_BUILDER = ("algorithm", "trainer")
"""Nodes to which `config.build` adds the parts."""


@pytest.fixture(autouse=True)
def _prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dataset=prepared` asks of its source, at the path x that every data set without a source is given."""
    monkeypatch.chdir(tmp_path)
    Path("x").mkdir()
    Pyramid("y", "z", {"channels": 1}, [4, 8], 3).write(Path("x") / DESCRIPTION)


def test_a_prepared_set_gives_its_channels_and_classes() -> None:
    cfg = compose("dataset=prepared", "dataset.source=x")
    assert (cfg.dataset.resolution, cfg.dataset.channels) == (8, 1) == (cfg.architecture.generator.resolution, 1)
    assert (
        compose("dataset=prepared", "dataset.source=x", "dataset.resolution=4").architecture.generator.resolution == 4
    )


def composed(file: Path) -> DictConfig:
    """`gan-lab train <group>=<file>`, with a source for the data sets that name none."""
    group, choice = group_of(file), choice_of(file)
    override = f"{group}=[{choice}]" if group in LISTS else f"{group}={choice}"
    networks = ("model=pggan",) if group == "growth" else ()  # only these have the options of its presets
    cfg = compose(*networks, override)
    return compose(override, "dataset.source=x") if OmegaConf.is_missing(cfg.dataset, "source") else cfg


def targets(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and content of every mapping with a `_target_`."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, child in node.items():
            yield from targets(child, f"{key}.{name}".lstrip("."))


def imported(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def test_there_are_files_of_every_group() -> None:
    found = {group_of(file).partition("/")[0] for file in FILES}
    assert found >= {field.name for field in fields(Train) if field.type == dict[str, Any]} - {"trainer"}
    assert {group_of(file) for file in FILES} == set(groups())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{group_of(file)}={choice_of(file)}")
def test_composes_and_binds(file: Path) -> None:
    plain = OmegaConf.to_container(composed(file), resolve=True, throw_on_missing=True)
    found = dict(targets(plain))
    assert found.keys() >= {
        "algorithm",
        "loss",
        "dataset",
        "trainer",
        "architecture.generator",
        "optimizer.discriminator",
    }
    for key, node in found.items():
        signature = inspect.signature(imported(node["_target_"]))
        options = {name: value for name, value in node.items() if not name.startswith("_")}
        # Both raise a TypeError that names the option.
        if node.get("_partial_") or key in FINISHED_BY_THE_BUILDER:
            signature.bind_partial(**options)
        else:
            signature.bind(**options)
        for name, value in options.items() if node["_target_"].startswith("gan_lab.") else ():
            if name not in signature.parameters:  # one of **options
                continue
            default = signature.parameters[name].default
            if type(default) in (bool, int, float, str) and value is not None:
                number = type(default) is float and type(value) is int
                assert type(value) is type(default) or number, f"{key}.{name}={value!r}, but {default!r} in Python"


EVALUATED = [file for file in FILES if group_of(file) in ("metrics", "extractor", "dataset", "evaluation")]
"""Groups of `gan-lab evaluate`."""


@pytest.mark.parametrize("file", EVALUATED, ids=lambda file: f"{group_of(file)}={choice_of(file)}")
def test_composes_and_binds_for_evaluate(file: Path) -> None:
    group, choice = group_of(file), choice_of(file)
    chosen = {"dataset": "digits", "metrics": "[fd,pr]", "extractor": "efflite0"}
    chosen[group] = f"[{choice}]" if group in LISTS else choice
    overrides = [f"{key}={value}" for key, value in chosen.items()]
    resolvers.register()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("evaluate", overrides)
        if OmegaConf.is_missing(cfg.dataset, "source"):
            cfg = hydra.compose("evaluate", [*overrides, "dataset.source=x"])
    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    found = dict(targets(plain))
    measured = {key for key in found if key.startswith("evaluation.metrics.")}
    assert measured and {"dataset", "extractor"} <= found.keys()
    for node in found.values():
        options = {name: value for name, value in node.items() if not name.startswith("_")}
        signature = inspect.signature(imported(node["_target_"]))
        (signature.bind_partial if node.get("_partial_") else signature.bind)(**options)
    for key, node in targets(plain["evaluation"]["metrics"]):
        if "extractor" in node and choice not in ("fid", "kid"):
            assert node["extractor"] == plain["extractor"] or key.endswith(".extractor"), key


def test_evaluate_has_the_settings_of_training() -> None:
    resolvers.register()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        evaluate = hydra.compose("evaluate", ["metrics=[kd,ms_ssim]", "extractor=efflite0"])
    own = "~evaluation.metrics.label_accuracy"  # of the default data set
    assert evaluate.evaluation == compose("metrics=[kd,ms_ssim]", "extractor=efflite0", own).evaluation
    assert evaluate.extractor == compose("extractor=efflite0").extractor
    assert compose().extractor is None and compose("metrics=[fd]").evaluation.metrics.fd.extractor is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{group_of(file)}={choice_of(file)}")
def test_has_a_description(file: Path) -> None:
    """The first comment is the description in `gan-lab list`; a file for the root declares it in its first line."""
    first, *rest = file.read_text().splitlines()
    if first.startswith("# @package"):
        first = rest[0]
    assert first.startswith("# ") and len(first) > 8
    if group_of(file) in ("model", "for_dataset", "preset", "conditioning", "metrics", "experiment", "debug"):
        assert file.read_text().startswith("# @package _global_\n")


FREE = {"for_dataset", "metrics", "model", "preset", "experiment", "sweep", "debug"}
"""Groups whose files are for the root, or for a node of another group."""


@pytest.mark.parametrize("command", sorted(set(SCHEMAS) - {"bench"}))
def test_schema_and_file_have_the_same_keys(command: str) -> None:
    file = yaml.safe_load((CONF / f"{command}.yaml").read_text())
    names = set(file) | {group.partition("/")[0] for group in groups(command)}
    assert names - FREE - {"defaults", "hydra"} == {field.name for field in fields(SCHEMAS[command])}


def test_nodes_of_train_have_the_keys_of_their_schema() -> None:
    train = yaml.safe_load((CONF / "train.yaml").read_text())
    nodes = {name: train[name] for name in ("run", "budget", "latent", "trouble", "averaging", "objective")}
    nodes["evaluation"] = yaml.safe_load((CONF / "evaluation/default.yaml").read_text())
    for name, node in nodes.items():
        part = next(field.default_factory for field in fields(Train) if field.name == name)
        assert set(node) == {field.name for field in fields(part)}


def test_hardware_files_have_the_same_keys() -> None:
    for file in CONF.glob("hardware/*.yaml"):
        assert list(compose(f"hardware={file.stem}").hardware) == [field.name for field in fields(Hardware)], file
        assert file.stem == "auto" or 2 <= len(yaml.safe_load(file.read_text())) <= 6, file


def test_command_line_wins_over_model_and_model_over_base() -> None:
    assert compose("model=wgan_gp").n_critic == 5
    assert compose("model=wgan_gp", "n_critic=2", "loss=hinge").n_critic == 2
    assert compose("model=wgan_gp", "loss=hinge").loss._target_.endswith("Hinge")
    cfg = compose("lr=0.25", "optimizer.generator.lr=0.5")
    assert (cfg.optimizer.generator.lr, cfg.optimizer.discriminator.lr) == (0.5, 0.25)
