"""Sweeps with failed runs, stopped and resumed searches, and their objective."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.reports.objective import objective_mode, objective_value
from gan_lab.runs.state import note_failure
from gan_lab.training import fit as fitting
from tests.conftest import SMALL

RING = (
    "dataset=ring", "architecture=mlp", "metrics=points", "budget.images=32", "batch_size=8", "evaluation.samples=50",
    "evaluation.times=1", "evaluation.max_time_fraction=1", "evaluation.metrics.wasserstein=null",
    "callbacks.checkpoints=null", "callbacks.sample_grids=null", "callbacks.progress=null", "hardware=cpu",
    "architecture.generator.width=8", "architecture.discriminator.width=8",
)  # fmt: skip
"""Overrides that give a search an objective and make its runs short."""

KEPT = (
    "train", "-m", "hydra/sweeper=optuna", "hydra.sweep.dir=kept", "hydra.sweeper.storage=kept/search.journal", *RING,
)  # fmt: skip
"""A search in a file."""


def state(run: Path) -> dict:
    return json.loads((run / "state.json").read_text())


def test_a_sweep_continues_after_a_refused_run(command, tmp_path: Path) -> None:
    outcome = command(
        "train", "-m", "batch_size=15,16", "accumulate=2", "hydra.sweep.dir=sweep", "budget.images=32",
        *SMALL, "+hydra.callbacks.compare.show=[train/*/*]",
    )  # fmt: skip
    assert outcome.status == 1
    assert "1 of 2 runs of this sweep failed:" in outcome.err
    assert re.search(r"  sweep/0: batch_size=15 does not divide by 1 process\(es\) x accumulate=2", outcome.err)
    assert "Traceback" not in outcome.err
    assert state(tmp_path / "sweep/0")["reason"].startswith("batch_size=15 does not divide")
    assert (tmp_path / "sweep/1/samples/final.png").is_file()
    assert "comparison.md" in outcome.out  # other callbacks had their turn


@pytest.mark.parametrize("value", ["lr=1e-4,fast", "+fast=1,2", "architecture=mlp,fast"])
def test_a_sweep_that_cannot_begin_leaves_no_folder(value: str, command, tmp_path: Path) -> None:
    """Otherwise `gan-lab compare` would take it for the newest sweep."""
    outcome = command("train", "-m", *RING, value)
    assert outcome.status == 2 and "fast" in outcome.err
    assert not list(tmp_path.rglob("multirun.yaml"))


def test_a_crash_is_recorded_and_its_traceback_printed(command, tmp_path: Path, monkeypatch) -> None:
    real = fitting.fit

    def crash(cfg):
        return real(cfg) if cfg.seed else {}["no such key"]

    monkeypatch.setattr(fitting, "fit", crash)
    outcome = command("train", "-m", "seed=0,1", "hydra.sweep.dir=sweep", *SMALL)
    assert outcome.status == 1
    found = state(tmp_path / "sweep/0")
    assert (found["state"], found["reason"], found["process"]) == ("failed", "KeyError: 'no such key'", os.getpid())
    assert "Traceback" in outcome.err and "  sweep/1: " not in outcome.err
    assert (tmp_path / "sweep/1/samples/final.png").is_file()


def test_a_sweep_does_not_reach_other_machines(command, tmp_path: Path) -> None:
    outcome = command("train", "-m", "seed=0,1", "hardware.num_nodes=2", "hydra.sweep.dir=sweep", *SMALL)
    assert outcome.status == 1 and "2 of 2 runs of this sweep failed" in outcome.err
    assert (
        "hardware.num_nodes=2 in a sweep needs hydra/launcher=submitit_slurm" in state(tmp_path / "sweep/1")["reason"]
    )


def test_a_sweep_without_failures_ends_well(command, tmp_path: Path) -> None:
    """Also if a run failed before the sweep was started again in its folder."""
    note_failure(tmp_path / "sweep/7", "long ago")
    (tmp_path / "sweep/7/.hydra").mkdir()
    os.utime(tmp_path / "sweep/7/state.json", (0, 0))
    outcome = command("train", "-m", "seed=0", "hydra.sweep.dir=sweep", *SMALL)
    assert outcome.status == 0, outcome.err


def trials(file: Path) -> list:
    optuna = pytest.importorskip("optuna")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    return optuna.load_study(study_name="search", storage=storage).trials


def test_a_search_records_failed_trials_and_resumes_from_its_file(command, tmp_path: Path) -> None:
    """Three trials; then two more with the same command, which repeats none."""
    pytest.importorskip("optuna")
    overrides = (
        *KEPT, "lr=tag(log,interval(1e-4,1e-2))", "accumulate=1,3", "objective.metric=eval/kl_symmetric",
        "hydra.sweeper.sampler=random",
    )  # fmt: skip
    first = command(*overrides, "hydra.sweeper.trials=3")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("?/metrics.csv")}
    again = command(*overrides, "hydra.sweeper.trials=5")
    found = trials(tmp_path / "kept/search.journal")
    assert [trial.number for trial in found] == [0, 1, 2, 3, 4]
    assert {path.stat().st_mtime_ns for path in kept} == set(kept.values())
    assert len({trial.params["lr"] for trial in found}) == 5, "a seed was used twice"
    for trial in found:
        run = tmp_path / "kept" / str(trial.number)
        if trial.params["accumulate"] == "3":  # 8 does not divide by 3
            assert trial.state.name == "FAIL" and "accumulate=3" in state(run)["reason"]
        else:
            config = yaml.safe_load((run / "config.yaml").read_text())
            assert config["lr"] == trial.params["lr"]
            assert trial.value == json.loads((run / "results.json").read_text())["eval/kl_symmetric_50"]["value"]
    states = [trial.state.name for trial in found]
    assert {"FAIL", "COMPLETE"} == set(states)
    assert [first.status, again.status] == ["FAIL" in states[:3], "FAIL" in states[3:]]
    best = min((trial for trial in found if trial.value is not None), key=lambda trial: trial.value)
    note = yaml.safe_load((tmp_path / "kept/search.yaml").read_text())
    assert note["best"] == {"run": f"kept/{best.number}", "objective": best.value, "settings": best.params}
    assert f"Best of 5 trials: kept/{best.number} with" in again.err


def begun_trial(file: Path) -> Any:
    """The trial of a new search that was begun with a value of `lr` alone, in a journal."""
    optuna = pytest.importorskip("optuna")
    file.parent.mkdir()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    study = optuna.create_study(study_name="search", storage=storage, direction="maximize")
    return study.ask({"lr": optuna.distributions.FloatDistribution(1e-4, 1e-3)})


def test_an_unfinished_trial_is_resumed_in_its_folder(command, tmp_path: Path) -> None:
    """As after `kill -9`: the file contains an unfinished trial."""
    asked = begun_trial(tmp_path / "kept/search.journal")
    outcome = command(*KEPT, "lr=interval(1e-4,1e-3)", "hydra.sweeper.trials=1")
    assert outcome.status == 0, outcome.err
    assert "Resuming 1 started trials." in outcome.err
    (trial,) = trials(tmp_path / "kept/search.journal")
    assert trial.state.name == "COMPLETE" and trial.params == asked.params
    assert yaml.safe_load((tmp_path / "kept/0/config.yaml").read_text())["lr"] == asked.params["lr"]


def test_a_trial_without_all_of_its_values_is_replaced(command, tmp_path: Path) -> None:
    """As after a kill while they were stored: the defaults would take the place of the others."""
    begun_trial(tmp_path / "kept/search.journal")
    search = (*KEPT, "lr=interval(1e-4,1e-3)", "width=4,8", "hydra.sweeper.trials=1")
    for outcome in (command(*search), command(*search)):  # the second has nothing to do
        assert outcome.status == 0, outcome.err
        first, second = trials(tmp_path / "kept/search.journal")
        assert first.state.name == "FAIL" and second.state.name == "COMPLETE" and set(second.params) == {"lr", "width"}
    assert [path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()] == ["1"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    {
        (
            "evaluation.metrics.kl=null",
            "evaluation.metrics.coverage=null",
        ): "objective.metric=null .*nothing is measured.*metrics=",
        ("objective.metric=train/generator/adversarial",): "objective.mode to min or max",
        ("hydra.sweeper.params=null",): "nothing to search",
        ("hydra.sweeper.sampler=grid",): "hydra.sweeper.sampler=grid .*tpe",
        ("hydra.sweeper.trials=0",): "hydra.sweeper.trials=0 .*at least 1",
        ("lr=interval(1,0)",): "lr=interval.* cannot be searched",
        ("lr=glob(*)",): "lr=glob.* cannot be searched",
        ("objective.mode=up", "objective.metric=eval/kl"): "objective.mode=up is not allowed: .*min, max",
    }.items(),
)
def test_a_search_that_cannot_begin(overrides: tuple[str, ...], message: str, command) -> None:
    pytest.importorskip("optuna")
    outcome = command("train", "sweep=search", *RING, *overrides)
    assert outcome.status == 2, outcome.err
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("gan-lab train:")]
    assert re.search(message, line) and "Traceback" not in outcome.err


def test_one_search_at_a_time(command, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from filelock import FileLock

    (tmp_path / "kept").mkdir()
    with FileLock(tmp_path / "kept/.search.journal.in_use"):
        outcome = command("train", "sweep=kept_search", *RING, "hydra.sweep.dir=kept")
    assert outcome.status == 2 and "search.journal is in use by another search" in outcome.err


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("lr=interval(0,1)", "FloatDistribution(high=1.0, log=False, low=0.0, step=None)"),
        ("lr=interval(0.5,1)", "FloatDistribution(high=1.0, log=False, low=0.5, step=None)"),
        ("lr=tag(log,interval(1e-5,1e-2))", "FloatDistribution(high=0.01, log=True, low=1e-05, step=None)"),
        ("lr=int(interval(1,64))", "IntDistribution(high=64, log=False, low=1, step=1)"),
        ("lr=tag(log,int(interval(1,64)))", "IntDistribution(high=64, log=True, low=1, step=1)"),
        ("lr=range(1,8)", "IntDistribution(high=7, log=False, low=1, step=1)"),
        ("lr=range(0,10,2)", "IntDistribution(high=8, log=False, low=0, step=2)"),
        ("lr=1e-4,1e-3", "CategoricalDistribution(choices=('0.0001', '0.001'))"),
        ("lr=a,[1,2],null", "CategoricalDistribution(choices=('a', '[1,2]', 'null'))"),
    ],
)
def test_what_hydra_writes_is_what_optuna_searches(sweep: str, expected: str) -> None:
    pytest.importorskip("optuna")
    from hydra_plugins.gan_lab_optuna import distribution

    assert repr(distribution(OverridesParser.create().parse_override(sweep))) == expected


@pytest.mark.parametrize(
    ("overrides", "mode"),
    [
        (("metrics=points",), "max"),  # the fraction of modes comes first
        (("metrics=points", "objective.metric=eval/kl_symmetric"), "min"),
        (("metrics=points", "objective.metric=eval/raw/wasserstein_distance_10k"), "min"),
        (("metrics=points", "objective.metric=eval/coverage_modes"), "max"),
        (("metrics=points", "objective.metric=eval/kl_symmetric", "objective.mode=max"), "max"),
        (("metrics=stacked_digits", "dataset=stacked_digits", "objective.metric=eval/stacked_reverse_kl"), "min"),
        (("metrics=stacked_digits", "dataset=stacked_digits", "objective.metric=eval/stacked_modes"), "max"),
    ],
)
def test_the_direction_follows_from_the_metric(overrides: tuple[str, ...], mode: str) -> None:
    cfg = compose("dataset=ring", "architecture=mlp", *overrides)
    assert objective_mode(cfg) == mode


def test_the_objective_is_the_last_number(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("progress/images_seen,train/a,eval/kl_10k\n8,1.0,3.0\n16,2.0,\n")

    def value(metric: str | None) -> float | None:
        return objective_value(OmegaConf.create({"run": {"dir": str(tmp_path)}, "objective": {"metric": metric}}))

    assert value("train/a") == 2.0 and value("eval/kl") == 3.0 and value("eval/kl_10k") == 3.0 and value(None) == 3.0
    with pytest.raises(ConfigError, match=r"objective.metric=eval/k was never logged: choose from eval/kl_10k, "):
        value("eval/k")
    results = {"eval/fd_10k": {"value": 5.0}, "eval/kl_10k": {"value": None}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert value(None) == 5.0
    with pytest.raises(ConfigError, match="is nan at the end of the run"):
        value("eval/kl")
    (tmp_path / "results.json").unlink()
    (tmp_path / "metrics.csv").unlink()
    assert value(None) is None
    with pytest.raises(ConfigError, match="nothing, since the run has no log"):
        value("train/a")


def test_a_note_that_cannot_be_written_hides_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the error that ended the run is reported."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    note_failure(tmp_path / "run", "the reason")
    assert list((tmp_path / "run").iterdir()) == []
