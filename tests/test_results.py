"""docs/results.md: every row has a command that composes, and a verdict; tools/results.py writes its files."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from gan_lab.config.compose import compose, initialized
from gan_lab.config.schema import CONF
from gan_lab.config.values_of_runs import with_values_of_runs
from gan_lab.training.fit import fit
from tests.helpers.evaluation_runs import MEASURED, settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/results.md").read_text()
COLUMNS = ("command", "theirs", "ours", "seeds", "hours", "verdict")
VERDICTS = ("reproduced", "better", "not", "cannot decide", "not run yet", "needs their files")


def rows() -> list[dict[str, str]]:
    """Rows of all tables beside a paper."""
    found, columns = [], []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and not columns:
            columns = cells
        elif not cells:
            columns = []
        elif tuple(columns) == COLUMNS and set(cells[0]) != {"-"}:
            found.append(dict(zip(columns, cells, strict=True)))
    return found


def first_run(command: str) -> tuple[str, list[str]]:
    """The command's name and the overrides of its first run, with x in place of `<folder>`."""
    program, name, *arguments = shlex.split(command)
    assert program == "gan-lab"
    given = dict(argument.replace("<folder>", "x").split("=", 1) for argument in arguments if argument != "-m")
    swept = {}
    if "sweep" in given:
        file = CONF / "sweep" / f"{given['sweep']}.yaml"
        swept = yaml.safe_load(file.read_text())["hydra"]["sweeper"]["params"]
    values = {key: re.sub(r"range\((\d+),.*\)", r"\1", str(value)) for key, value in (swept | given).items()}
    return name, [f"{key}={value if '[' in value else value.split(',')[0]}" for key, value in values.items()]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["command"][1:60])
def test_every_command_composes(row: dict[str, str]) -> None:
    (command,) = re.findall(r"^`(gan-lab .*)`$", row["command"])
    name, given = first_run(command)
    compose(*given, command=name)


def test_a_shell_reads_every_command() -> None:
    """Without quotes a shell does not take the parentheses of range(0,10)."""
    commands = "\n".join(row["command"].strip("`").replace("<folder>", "x") for row in rows())
    checked = subprocess.run(["bash", "-n", "-c", commands], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("command", [row["command"][1:-1] for row in rows() if " sweep=" in row["command"]])
def test_every_sweep_begins(command: str) -> None:
    """Hydra composes a config of the sweep itself, with the single values of the command."""
    arguments = shlex.split(command.replace("<folder>", "x"))[2:]
    with initialized():
        loader = GlobalHydra.instance().config_loader()
        loader.load_configuration("train", with_values_of_runs(arguments), RunMode.MULTIRUN)


@pytest.mark.parametrize("sweep", sorted(CONF.glob("sweep/*.yaml")), ids=lambda file: file.stem)
def test_a_figure_shows_all_evaluations(sweep: Path) -> None:
    """Whatever the machine's speed, which decides by default how many evaluations a run has."""
    text = sweep.read_text()
    if "figure" in text:
        experiment = yaml.safe_load(text)["hydra"]["sweeper"]["params"]["experiment"].split(",")[0]
        assert compose(f"sweep={sweep.stem}", f"experiment={experiment}").evaluation.max_time_fraction == 1


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["command"][1:60])
def test_every_row_has_a_verdict(row: dict[str, str]) -> None:
    """A verdict needs numbers of ours, and their seeds and hours."""
    verdict = row["verdict"].partition(":")[0]
    assert verdict.startswith(VERDICTS) and row["theirs"]
    if verdict in ("not run yet", "needs their files"):
        assert not row["ours"] and not row["seeds"]
    else:
        assert row["ours"] and row["seeds"].isdigit() and re.match(r"\d|about \d|unknown", row["hours"])


def test_every_paper_has_a_table() -> None:
    assert len(rows()) >= 30 and PAGE.count("| command | theirs | ours | seeds | hours | verdict |") >= 10


def test_files_of_results_are_small_and_linked() -> None:
    files = sorted((ROOT / "docs/results").glob("*"))
    assert all(file.suffix == ".csv" and file.stat().st_size < 100_000 for file in files)
    assert {f"results/{file.name}" for file in files} == set(re.findall(r"\((results/.*?)\)", PAGE))


def test_results_of_runs_become_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools import results

    fit(compose(*settings(tmp_path / "runs/a", *MEASURED)))
    monkeypatch.setattr(sys, "argv", ["results.py", str(tmp_path / "runs"), str(tmp_path / "x.csv"), "--last"])
    results.main()
    with open(tmp_path / "x.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["weights"] for row in found] == ["ema", "raw"] and all(row["images_seen"] == "96" for row in found)
    assert "bins=50" in found[0]["protocol"] and found[0]["state"] == "finished"
