"""Bad values of the keys of all commands: each is refused with a message that names the key, or it is used.

The complete enumeration takes long and runs with `make slow`; the default tests try a part of it.
"""

import contextlib
import copy
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.config.groups import groups
from gan_lab.config.overrides import override
from gan_lab.errors import UserError
from gan_lab.keys import entries
from gan_lab.training.fit import fit
from tests.conftest import SMALL, Outcome
from tests.helpers.published_files import stylegan2_snapshot, write_pickle
from tests.helpers.translators import write_translator
from tests.published.test_stylegan2 import networks

VALUES: list[Any] = [math.nan, -1, "xyzzy", [1, 2], math.inf, 0, "", {"a": 1}, True, None, 1e30]
"""Values of every kind; the default tests try the first `PART`."""
PART = 4

NETWORKS = ("architecture.generator.width=4", "architecture.discriminator.width=4")
SET = ("dataset.resolution=16", "dataset.max_images=32", "batch_size=8", "budget.images=64", "hardware=cpu")
TRAIN = {
    "wgan_gp": ("model=wgan_gp", *NETWORKS, *SET, "logger=[csv]"),
    "ada": ("model=dcgan", *NETWORKS, *SET, "augment=ada", "schedule=linear_decay", "logger=[csv]"),
    "pggan": ("model=pggan", *NETWORKS, *SET),
    "penalties": ("model=sngan", *NETWORKS, *SET, "regularizer=[r1,lecam,top_k,consistency]"),
    "points": ("model=gan", "dataset=ring", "architecture=mlp", "metrics=[points]", "hardware=cpu", "batch_size=8"),
    "metrics": ("model=dcgan", *NETWORKS, *SET, "metrics=[fd,kd,pr]", "extractor=digits"),
    "infogan": ("model=infogan", *NETWORKS, *SET),
    "stylegan2": ("model=stylegan2", "latent.dim=8", *NETWORKS, *SET),
}
"""Configs whose keys are tried: together they have most components with options. A key of the same component with the
same value is tried in the first config that has it."""
FREE = {"run.name", "run.dir", "run.root", "resume", "minutes", "dry_run"}
"""Keys of folders, see test_run_names.py and test_resuming.py; how long the page of gan-lab explore is served; and
whether gan-lab push asks the hub."""

COMMANDS = {
    "sample": ("run=run", "count=2"),
    "interpolate": ("run=run", "count=2", "seconds=0.2"),
    "translate": ("run=translator.safetensors", "source=image.png"),
    "export": ("run=run",),
    "push": ("run=run", "repo=me/digits", "dry_run=true"),
    "import": ("source=published.pkl",),
    "evaluate": ("run=run", "metrics=[pr]", "extractor=digits", "evaluation.samples=8", "evaluation.batch_size=8"),
    "memorization": ("run=run", "extractor=digits", "samples=8", "count=2"),
    "probe": ("run=run", "labels_per_class=1", "validation=10", "test=10", "draws=1", "search_draws=1", "costs=[0.1]"),
    "visualize": ("run=run", "images=20", "count=2"),
    "forget": (
        "run=run",
        "concept.rectangle=[0,0,0.5,0.5]",
        "samples=8",
        "held_out=3",
        "test_samples=4",
        "drop=[2]",
        "random_sets=1",
    ),
    "directions": ("run=run", "samples=20", "directions=2", "count=2", "distances=[1]"),
    "invert": ("run=run", "count=2", "steps=2", "starts=1"),
    "arithmetic": ("run=run", "a=[0]", "b=[1]", "c=[2]"),
    "explore": ("run=run", "minutes=0.0001", "port=0"),
    "prepare": ("dataset=digits", "dataset.max_images=8", "dataset.resolution=8", "out=prepared"),
    "duplicates": ("dataset=digits", "dataset.max_images=8", "dataset.resolution=8"),
    "runs": ("root=.",),
    "report": ("run=run",),
    "compare": ("runs=.",),
    "list": ("what=loss",),
    "new": ("kind=loss", "name=mine"),
}
SUFFIXES = {"interpolate": ".gif", "export": ".safetensors", "import": ".safetensors"}
"""Endings of the output files of commands that write one."""
NO_OUT = ("explore", "push", "runs", "list", "new")


def keys_of(cfg: Any) -> Iterator[tuple[str, Any]]:
    """Dotted key and shipped value of every entry that is not a mapping."""
    plain = OmegaConf.to_container(cfg, resolve=False)
    for key, value in entries(plain):
        if not isinstance(value, dict) and key not in FREE:
            yield key, _resolved(cfg, key, value)


def _resolved(cfg: Any, key: str, value: object) -> object:
    """A value without interpolations, if what it refers to is in the config."""
    try:
        return OmegaConf.select(cfg, key) if isinstance(value, str) and "${" in value else value
    except OmegaConfBaseException:
        return value


def component(cfg: DictConfig, key: str) -> str:
    """The `_target_` that a key belongs to; the key itself at the top."""
    parents = [key.rpartition(".")[0]]
    while parents[-1]:
        if target := OmegaConf.select(cfg, f"{parents[-1]}._target_"):
            return str(target)
        parents.append(parents[-1].rpartition(".")[0])
    return key


def tried(cfg: DictConfig) -> set[tuple[str, str, str]]:
    """Key, shipped value and component of all entries."""
    return {(key, str(shipped), component(cfg, key)) for key, shipped in keys_of(cfg)}


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def tries(cfg: Any, values: list[Any], step: int = 1) -> list[tuple[str, Any, Any]]:
    """Key, shipped value and bad value."""
    return [(key, shipped, value) for key, shipped in [*keys_of(cfg)][::step] for value in values]


def problem(key: str, shipped: object, value: object, refusal: str | None) -> str | None:
    """What is wrong with the answer to `key=value`; `refusal` is None if the value was accepted."""
    given = override(key, value)
    if refusal is None:
        if is_number(shipped) and is_number(value) and abs(value) > 1e18:
            return f"{given} was accepted"
        may_be_negative = key.endswith(("seed", "num_sanity_val_steps"))  # Lightning's -1 is for all
        negative = is_number(shipped) and shipped >= 0 and value == -1 and not may_be_negative
        nonsense = negative or (is_number(shipped) and isinstance(value, (str, float)))
        return f"{given} was accepted" if nonsense else None
    if key.rpartition(".")[2] not in refusal or len(refusal.strip().splitlines()) > 3:
        return f"{given}: {refusal}"
    return None


def answer(base: tuple[str, ...], shipped: DictConfig, key: str, value: object) -> str | None:
    """The message of a refused config of `gan-lab train`; None if everything before the first batch was built.

    The value is set in the composed config, which is faster than composing it again, and the same to `build`. Values
    that Hydra refuses are composed.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            build(changed(shipped, key, value) or compose(*base, override(key, value)))
    except UserError as error:
        return str(error)
    return None


def changed(shipped: DictConfig, key: str, value: object) -> DictConfig | None:
    """A config with another value; None if it is the choice of a group, or has the wrong type."""
    cfg = copy.deepcopy(shipped)
    if key in groups():
        return None
    try:
        OmegaConf.update(cfg, key, value)
    except OmegaConfBaseException:
        return None
    return cfg


def problems_of_train(name: str, values: list[Any], folder: Path, step: int = 1) -> list[str]:
    base = (*TRAIN[name], f"run.dir={folder}")
    cfg = compose(*base)
    names = [*TRAIN]
    before = set[tuple[str, str, str]]().union(
        *(tried(compose(*TRAIN[each], f"run.dir={folder}")) for each in names[: names.index(name)])
    )
    found = []
    for key, shipped, value in tries(cfg, values, step):
        if (key, str(shipped), component(cfg, key)) in before:
            continue
        try:
            found.append(problem(key, shipped, value, answer(base, cfg, key, value)))
        except Exception as error:
            found.append(f"{override(key, value)}: {type(error).__name__}: {error}")
    return [text for text in found if text]


@pytest.fixture
def run_folder(tmp_path: Path) -> None:
    """A run, a translator, an image and published weights, below the working directory of the commands."""
    write_pickle(tmp_path / "published.pkl", stylegan2_snapshot(*networks()))
    write_translator(tmp_path / "translator.safetensors", both=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    small = ("dataset.resolution=8", "dataset.max_images=16", "batch_size=8", "~callbacks.collapse")
    fit(compose(*SMALL, *small, "budget.images=16", f"run.dir={tmp_path}/run"))


def problems_of_command(
    name: str, values: list[Any], command: Callable[..., Outcome], tmp_path: Path, step: int = 1
) -> list[str]:
    found = []
    given = COMMANDS[name]
    for number, (key, shipped, value) in enumerate(tries(compose(*given, command=name), values, step)):
        out = (f"out=out/{number}{SUFFIXES.get(name, '')}",) if key != "out" and name not in NO_OUT else ()
        outcome = command(name, *given, *out, override(key, value))
        refusal = outcome.err if outcome.status else None
        text = problem(key, shipped, value, refusal)
        if outcome.status not in (0, 2) or "Traceback" in outcome.err:
            text = f"{override(key, value)}: status {outcome.status}: {outcome.err[-300:]}"
        found.append(text)
    return [f"{name} {text}" for text in found if text]


@pytest.mark.parametrize("number", range(PART))
def test_some_values_of_train(number: int, tmp_path: Path) -> None:
    """Every 16th key, another kind of value in each test."""
    assert problems_of_train("wgan_gp", VALUES[number : number + 1], tmp_path / "run", step=16) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAIN)
def test_every_value_of_train(name: str, tmp_path: Path) -> None:
    assert problems_of_train(name, VALUES, tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.usefixtures("run_folder")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_value_of_a_command(name: str, command: Callable[..., Outcome], tmp_path: Path) -> None:
    assert problems_of_command(name, VALUES, command, tmp_path) == []
