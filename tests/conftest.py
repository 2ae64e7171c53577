"""Shared fixtures: a tiny run in a temporary folder, and the command line in this process."""

import copy
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra._internal import defaults_list
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

os.environ.setdefault("WANDB_SILENT", "true")
torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # several processes, which have the cores among them, and so have the programs they start
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests in the background of a shell script; commands inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # tests that are started with nohup; commands inherit it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")

TINY = (
    "model=dcgan",  # a later model=... wins
    "architecture.generator.width=8",
    "architecture.discriminator.width=8",
    "hardware=cpu",
    "logger=[]",
    "batch_size=8",
    "~callbacks.progress",
    "~callbacks.sample_grids",
    "~callbacks.stage_grids",
    "~callbacks.collapse",
    "~callbacks.checkpoints",
    "++evaluation.metrics.label_accuracy=null",
)
"""Overrides that make any model quick to train and silent."""

SMALL = (
    "model=dcgan",
    "debug=fast",
    "budget.images=32",
    "architecture.generator.width=8",
    "architecture.discriminator.width=8",
    "hardware=cpu",
    "~callbacks.progress",
)
"""The shortest run that writes everything, for the command line."""


LONGEST = ("test_documents.py", "test_notebooks.py", "test_processes.py", "test_launching.py")
"""Files that take a minute or more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order of the files for several test processes: the longest first, so that all end at about the same time."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Keep the imported modules and the tests themselves out of garbage collections, which would visit them again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(scope="session", autouse=True)
def _quick_composing() -> Iterator[None]:
    """Spare half the time of composing, which many tests do and little else: they compose thousands of configs.

    Each text of a config file is parsed once; Hydra does not copy its store of schemas, which it only reads, and maps
    the choices only where a defaults list has interpolations, which alone read them.
    """
    load, parsed = OmegaConf.load, {}

    def load_once(file: Any) -> Any:
        if not hasattr(file, "read"):
            return load(file)
        text = file.read()
        if text not in parsed:
            file.seek(0)
            parsed[text] = load(file)
        return copy.deepcopy(parsed[text])

    interpolation_map = defaults_list._create_interpolation_map

    def map_if_read(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        read = any(not default.is_self() and default.is_interpolation() for default in defaults)
        return interpolation_map(overrides, defaults, self_added) if read else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load_once))
        patch.setattr(ConfigStore, "__deepcopy__", lambda store, memo: store, raising=False)
        patch.setattr(defaults_list, "_create_interpolation_map", map_if_read)
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache of real statistics for the tests only."""
    os.environ["GAN_LAB_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes a tiny run in a temporary folder from additional overrides."""
    from gan_lab.config.compose import compose

    def make(*arguments: str) -> DictConfig:
        chosen = any(argument.startswith("experiment=") for argument in arguments)  # which chooses a model
        return compose(*TINY[1 if chosen else 0 :], f"run.dir={tmp_path}/run", *arguments)

    return make


@dataclass
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Runs `gan-lab <arguments>` in this process, in an empty working directory."""
    from gan_lab.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["gan-lab", *arguments])
        capfd.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            if "joblib.externals.loky" in sys.modules:  # keeps its processes for the next sweep
                sys.modules["joblib.externals.loky"].get_reusable_executor().shutdown(wait=True)
        captured = capfd.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run
