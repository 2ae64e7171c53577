"""Runs of `gan_lab.fit`: `resume=` repeats their settings as those of a command, also settings changed in Python."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

import gan_lab
from gan_lab.config.compose import command_of
from gan_lab.errors import ConfigError
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.state import read_state
from tests.conftest import TINY

POINTS = (*(option for option in TINY[3:] if "checkpoints" not in option), "dataset=ring", "architecture=mlp",
          "model=lsgan", "budget.images=16", "logger=[csv]", "run.name=one")  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/one`, whose learning rate and grid were set after `compose`."""
    folder = tmp_path_factory.mktemp("python")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = gan_lab.compose(*POINTS, seed=3)
        config.lr = 1e-3
        config.callbacks.train_log.every_batches = 1
        gan_lab.fit(config)
    return folder


def test_the_command_of_a_run_of_python_is_recorded(trained: Path) -> None:
    run = RunFolder(trained / "runs/one")
    assert run.typed["lr"] == "0.001" and run.typed["seed"] == "3"
    assert run.choices["model"] == "lsgan" and run.choices["dataset"] == "ring"
    (listed,) = gan_lab.list_runs(trained / "runs")
    assert (listed.model, listed.dataset) == ("lsgan", "ring")
    assert "callbacks.train_log.every_batches=1" in (trained / "runs/one/report.html").read_text()


def test_it_is_resumed_by_the_command_and_by_compose(command: Callable, trained: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(trained)
    outcome = command("train", f"resume={trained}/runs/one", "budget.images=24")
    assert outcome.status == 0, outcome.err
    summary = RunFolder(trained / "runs/one").summary()  # the same in the log, in the report and in the list
    assert summary.startswith("24 of 24 images seen in ") and summary.endswith(" of training")
    assert f"Done: {summary}. " in outcome.err and summary in (trained / "runs/one/report.html").read_text()
    experiment = gan_lab.fit(gan_lab.compose(resume=f"{trained}/runs/one", **{"budget.images": 32}))
    assert (experiment.module.images_seen, experiment.config.lr, experiment.config.seed) == (32, 1e-3, 3)
    recorded = yaml.safe_load((trained / "runs/one/.hydra/overrides.yaml").read_text())
    assert [each for each in recorded if each.startswith(("budget", "resume", "run."))] == [
        "run.name=one",
        "budget.images=32",
    ]


def change(config: DictConfig) -> None:
    config.lr = 0.5
    config.conditioning.prior = "it's ${seed}, {a}"
    config.betas = [0.1, 0.9]
    config.logger = {"csv": None}


def add(config: DictConfig) -> None:
    with open_dict(config):
        config.callbacks.mine = {"_target_": "a.B", "list": [1, {"x": None}]}


def delete(config: DictConfig) -> None:
    with open_dict(config):
        del config.callbacks["budget"]


@pytest.mark.parametrize("edit", [change, add, delete])
def test_a_config_that_was_edited_is_composed_by_its_command(edit: Callable[[DictConfig], None]) -> None:
    config = gan_lab.compose("dataset=ring", "architecture=mlp").copy()  # a copy keeps its command
    edit(config)
    found = command_of(config)
    assert found is not None
    again = gan_lab.compose(*found.overrides)
    again.run = config.run  # generated names differ
    assert again == config and OmegaConf.to_yaml(again) == OmegaConf.to_yaml(config)


def test_a_change_that_no_override_makes_is_not_recorded(tmp_path: Path) -> None:
    config = gan_lab.compose(*POINTS)
    config.dataset._target_ = Path("x")
    assert command_of(config) is None


def test_a_run_whose_settings_are_unknown(command: Callable, trained: Path, tmp_path: Path) -> None:
    """Composed by Hydra alone. The message names no settings as changed."""
    with initialize_config_dir(gan_lab.config_dir(), version_base="1.3"):
        config = hydra_compose("train", overrides=[*POINTS, f"run.dir={tmp_path}/two"])
    gan_lab.fit(config)
    assert not (tmp_path / "two/.hydra").exists()
    outcome = command("train", "resume=two")
    assert outcome.status == 2 and "two has no .hydra/overrides.yaml with its settings to repeat" in outcome.err
    assert "resume it with gan_lab.fit and the same config" in outcome.err and "was trained with" not in outcome.err


def test_a_failure_is_recorded_with_its_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("\n  the \x1b[1mfirst\tline" + "x" * 400 + "\nsecond")

    monkeypatch.setattr("gan_lab.callbacks.budget.Budget.on_train_batch_end", fail)
    with pytest.raises(RuntimeError):
        gan_lab.fit(gan_lab.compose(*POINTS, f"run.dir={tmp_path}/one"))
    found = read_state(tmp_path / "one")["reason"]
    assert (
        found.startswith("RuntimeError: the \\x1b[1mfirst linexxx") and found.endswith("xxx...") and len(found) == 300
    )


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("refused", ["lr=-1", "dataset=image_folder"])
def test_a_refused_run_of_python_leaves_no_folder(refused: str, existed: bool, tmp_path: Path) -> None:
    if existed:
        (tmp_path / "one").mkdir()
    with pytest.raises(ConfigError):
        gan_lab.fit(gan_lab.compose(*TINY, refused, f"run.dir={tmp_path}/one"))
    assert (tmp_path / "one").exists() is existed
