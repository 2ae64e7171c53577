"""Experiments that are sweeps: they run all of their trials, several at once, and end in a comparison."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import OmegaConf

from gan_lab.config import resolvers
from gan_lab.config.compose import compose
from gan_lab.config.schema import CONF
from gan_lab.reports.objective import objective_mode
from gan_lab.sweeps.compare_at_end import CompareAtEnd
from gan_lab.training.fit import fit

SWEEPS = sorted(file for file in CONF.glob("experiment/*.yaml") if "mode: MULTIRUN" in file.read_text())
POINTS = ("evaluation.metrics.wasserstein.points=10",)
QUICK = (
    "budget.images=64", "batch_size=8", "evaluation.samples=64", "evaluation.times=2", "evaluation.max_time_fraction=1",
    "architecture.generator.width=8", "architecture.discriminator.width=8", "callbacks.checkpoints=null",
)  # fmt: skip


def swept(file: Path) -> dict[str, str]:
    return yaml.safe_load(file.read_text())["hydra"]["sweeper"]["params"]


def test_there_are_sweeps() -> None:
    assert {file.stem for file in SWEEPS} >= {"d2gan_grid", "stacked_mnist"}


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_value_composes(file: Path) -> None:
    for key, values in swept(file).items():
        for value in values.split(","):
            compose(f"experiment={file.stem}", f"{key}={value}")


@pytest.mark.parametrize("choice", swept(CONF / "sweep/ring_methods.yaml")["experiment"].split(","))
def test_every_method_of_the_ring_trains(choice: str, tiny) -> None:
    experiment = fit(
        tiny("metrics=points", "evaluation.samples=20", "budget.images=16", f"experiment={choice}", *POINTS)
    )
    assert experiment.module.images_seen == 16
    assert all(torch.isfinite(value).all() for value in experiment.module.parameters())


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_a_sweep_ends_in_a_table_and_a_figure(launcher: str, command, tmp_path: Path) -> None:
    outcome = command(
        "train", "sweep=ring_methods", "experiment=ring/gan,ring/d2gan", "seed=0,1", f"hydra/launcher={launcher}",
        *QUICK, *POINTS, "callbacks.sample_grids.points=100",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    rows = re.findall(r"^\| (\d, \d) +\| (experiment=\S+) ", outcome.out, re.MULTILINE)
    assert rows == [("0, 1", "experiment=ring/gan"), ("2, 3", "experiment=ring/d2gan")]
    (folder,) = (tmp_path / "runs/multirun").iterdir()
    page, best = f"{folder.relative_to(tmp_path)}/sweep.html", rf"{folder.relative_to(tmp_path)}/\d"
    assert re.fullmatch(rf"Next: open {page}, or gan-lab sample run={best}", outcome.out.splitlines()[-1])
    assert {"comparison.md", "comparison.csv", "curves.png", "sheet.png", "sweep.html"} < {
        path.name for path in folder.iterdir()
    }


def test_a_failed_comparison_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    CompareAtEnd().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert "The runs could not be compared" in caplog.text and "contains no finished run" in caplog.text


def test_runs_with_different_protocols_are_logged(
    monkeypatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    from gan_lab.reports.comparison import Comparison
    from gan_lab.sweeps import compare_at_end

    mixed = Comparison([], ["eval/kl"], {}, [], [], ["bins of eval/kl is 50 in 0 and 25 in 1"])
    monkeypatch.setattr("gan_lab.reports.compare.compare", lambda *_: mixed)
    compare_at_end.CompareAtEnd().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "mixed_protocols=true" in record.message
    assert "bins of eval/kl is 50 in 0 and 25 in 1" in record.message


def first_of(override: Override) -> str:
    """The override with the first of its values; of an interval the lower end."""
    if not override.is_sweep_override():
        return override.input_line
    interval = override.value()
    first = interval.start if isinstance(interval, IntervalSweep) else next(override.sweep_string_iterator())
    return f"{override.get_key_element()}={first}"


@pytest.mark.parametrize("file", sorted((CONF / "sweep").glob("*.yaml")), ids=lambda file: file.stem)
def test_ready_sweeps_are_sweeps_whose_settings_exist(file: Path) -> None:
    """Every key is set to the first value that it may have, as in the first run of the sweep."""
    from hydra import compose as compose_all
    from hydra import initialize_config_dir

    resolvers.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        complete = compose_all("train", [f"sweep={file.stem}", "run.name=x"], return_hydra_config=True)
    sweeper = complete.hydra.sweeper
    assert complete.hydra.mode.name == "MULTIRUN" and len(sweeper.params) >= 1
    parser = OverridesParser.create()
    overrides = [parser.parse_override(f"{key}={values}") for key, values in sweeper.params.items()]
    assert any(override.is_sweep_override() for override in overrides)
    compose(f"sweep={file.stem}", *map(first_of, overrides))
    if "search" in file.stem:
        assert sweeper._target_ == "hydra_plugins.gan_lab_optuna.OptunaSweeper"


def test_the_sweep_of_wandb_composes() -> None:
    """The command of an agent, with the first and the last value of each parameter, and a logged key."""
    text = (Path(__file__).parents[2] / "docs/sweeps.md").read_text()
    (block,) = (found for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "parameters:" in found)
    sweep = yaml.safe_load(block)
    assert sweep["command"][:2] == ["gan-lab", "train"] and sweep["command"][-1] == "${args_no_hyphens}"
    fixed = sweep["command"][2:-1]
    ends = {
        key: (node["values"][0], node["values"][-1]) if "values" in node else (node["min"], node["max"])
        for key, node in sweep["parameters"].items()
    }
    for end in range(2):
        cfg = compose(*fixed, *(f"{key}={values[end]}" for key, values in ends.items()))
        assert set(cfg.logger) == {"csv", "wandb"} and cfg.lr == ends["lr"][end]
    cfg.objective.metric = sweep["metric"]["name"]
    assert {"min": "minimize", "max": "maximize"}[objective_mode(cfg)] == sweep["metric"]["goal"]
    samples = cfg.evaluation.samples
    assert sweep["metric"]["name"].endswith(f"_{samples // 1000}k")
