"""A run has the name of its folder, in its config and everywhere else."""

from pathlib import Path

import pytest
import yaml

from gan_lab.config.build import build_data
from gan_lab.config.compose import compose

SHORT = (
    "budget.images=32",
    "batch_size=16",
    "width=4",
    "dataset.resolution=8",
    "hardware=cpu",
    "debug=fast",
    "~callbacks.progress",
)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("run.name=a", "a"),
        ("run.name=a/b", "a/b"),
        ("run.dir=runs/a/b", "a/b"),
        ("run.dir=elsewhere/a", "a"),
        ("run.dir=runs/2026", "2026"),
        ("run.dir=runs/multirun/20260102-030405-abcdef/7", "20260102-030405-abcdef/7"),
        ("run.dir=sweep/7", "sweep/7"),
    ],
)
def test_name_of_a_folder(typed: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    resolved, _ = build_data(compose(typed, "hardware=cpu", "logger=wandb", "logger.wandb.mode=disabled"))
    assert resolved.run.name == name == resolved.logger.wandb.name


def config(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())["run"]


def test_an_unnamed_run_and_its_branch(command, tmp_path: Path) -> None:
    assert command("train", *SHORT).status == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert config(run)["name"] == run.name
    assert f"<title>{run.name}" in (run / "report.html").read_text()
    assert command("train", f"resume={run}", "run.name=branch", "budget.images=64").status == 0
    assert config(tmp_path / "runs" / "branch")["name"] == "branch"
    assert command("train", f"resume={run}", "budget.images=64").status == 0
    assert config(run)["name"] == run.name


def test_the_runs_of_a_sweep(command, tmp_path: Path) -> None:
    assert command("train", "-m", *SHORT, "seed=0,1", "hydra.sweep.dir=both").status == 0
    assert [config(tmp_path / "both" / number)["name"] for number in "01"] == ["both/0", "both/1"]
