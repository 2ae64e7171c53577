"""What configs may name as `_target_`: the classes of gan_lab, a list of libraries, and what the user allows."""

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gan_lab
from gan_lab.config.build import instantiate
from gan_lab.config.schema import CONF
from gan_lab.config.targets import FAMILIES, LIGHTNING, allowing, find_target, is_within, shipped_targets
from gan_lab.errors import CheckpointError, ConfigError
from tests.conftest import TINY
from tests.helpers.attacks import NODES, armed, assert_refused

Command = Callable[..., Any]

SOURCES = sorted(Path(gan_lab.__file__).parent.rglob("*.py"))


def test_allowed_by_the_user(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's generator is trained, sampled and exported with allow_targets, and refused without."""
    (tmp_path / "my_networks.py").write_text(
        "from gan_lab.architectures.dcgan import DCGANGenerator\nclass Mine(DCGANGenerator):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    small = [override for override in TINY if override != "logger=[]" and "checkpoints" not in override]
    own = ("architecture.generator._target_=my_networks.Mine", "run.name=one", "dataset.max_images=16")
    refused = r"architecture.generator._target_=my_networks.Mine.* allow_targets=\[my_networks.Mine\]"
    assert_refused(command("train", *small, *own, "budget.images=8"), refused)
    assert command("train", *small, *own, "budget.images=8", "allow_targets=[my_networks]").status == 0
    for overrides in (("sample", "count=1", "device=cpu"), ("export",)):
        assert_refused(command(*overrides, "run=runs/one"), refused)
        assert command(*overrides, "run=runs/one", "allow_targets=[my_networks.Mine]").status == 0
    export = tmp_path / "runs/one/export_ema"
    with pytest.raises(CheckpointError, match=refused):
        gan_lab.load(export)
    assert gan_lab.load(export, allow_targets=["my_networks"]).sample(1).shape == (1, 1, 32, 32)


def test_targets_are_allowed_only_inside_the_block() -> None:
    node = {"_target_": "collections.OrderedDict"}
    with allowing(["collections"]):
        assert instantiate(node, "here") == {}
    with pytest.raises(ConfigError, match=r"here._target_=collections.OrderedDict is not allowed"):
        instantiate(node, "here")
    with allowing(["collection", "collections.Ordered"]), pytest.raises(ConfigError, match="not allowed"):
        instantiate(node, "here")


@pytest.mark.parametrize("name", NODES)
def test_configs_of_the_user_are_checked_too(
    name: str, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except for targets inside gan_lab, which the user has installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    node = armed(NODES[name], tmp_path)
    if name in ("our writer", "positional", "unresolved"):
        return
    with pytest.raises(ConfigError):
        instantiate(node, "here")


def test_every_target_of_our_configs_is_allowed() -> None:
    targets = shipped_targets()
    assert len(targets) > 100
    for target in targets:
        find_target(target, "here")
    special = {name for file in CONF.rglob("*.yaml") for name in re.findall(r"(?<!@)\b(_[a-z]+_):", file.read_text())}
    assert special == {"_target_", "_partial_"}


def test_targets_are_classes_of_listed_packages() -> None:
    """Configs may name classes of `FAMILIES` in their own module and functions named in `conf/`, nothing else."""
    named = 0
    for file in SOURCES:
        module = importlib.import_module(
            ".".join(("gan_lab", *file.relative_to(SOURCES[0].parent).with_suffix("").parts)).removesuffix(".__init__")
        )
        for name, value in vars(module).items():
            target = f"{module.__name__}.{name}"
            own = inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if target in shipped_targets() or (own and is_within(module.__name__, FAMILIES)):
                named += callable(find_target(target, "here"))
            else:
                with pytest.raises(ConfigError, match="not allowed"):
                    find_target(target, "here")
    assert 200 < named < 400, named


def test_targets_of_libraries() -> None:
    """Lightning's listed classes exist; none sends, loads or deletes data. Of PyTorch only networks and optimizers."""
    for target in LIGHTNING:
        assert inspect.isclass(find_target(target, "here"))
    for package, listed in {
        "lightning.pytorch.loggers": 2,
        "lightning.pytorch.callbacks": 8,
        "lightning.pytorch.strategies": 2,
    }.items():
        names = [name for name in vars(importlib.import_module(package)) if is_allowed(f"{package}.{name}")]
        assert len(names) == listed, names
    for target in ("torch.nn.Linear", "torch.nn.modules.linear.Linear", "torch.optim.Adam"):
        assert is_allowed(target)
    for target in (
        "torch.nn.init.normal_",
        "torch.nn.functional.relu",
        "torch.nn.Parameter",
        "torch.optim.lr_scheduler.StepLR",
        "torch.nn.Any",
        "torch.nn",
        "torch.hub.load",
        "lightning.pytorch.LightningModule",
        "lightning.pytorch.cli.LightningCLI",
    ):
        assert not is_allowed(target), target


def is_allowed(target: str) -> bool:
    try:
        return callable(find_target(target, "here"))
    except ConfigError:
        return False


def test_a_target_is_checked_before_its_module_is_imported(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    armed({}, tmp_path)
    for target in ("evil.Network", "gan_lab_evil.Network", "gan_lab.evil.Network", "torch.nn_evil.x"):
        assert not is_allowed(target)
