"""A single value of a sweep may be of a key that only its runs have, as the lists of the sweep may."""

import pytest
from omegaconf import OmegaConf

from gan_lab.config.values_of_runs import with_values_of_runs

QUICK = ("budget.images=512", "metrics=[]", "hydra.sweep.dir=sweep")


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep=unrolled_figure", "seed=0", "algorithm.unroll_steps=0"),
        ("-m", "model=unrolled_gan,unrolled_gan", "dataset=ring", "architecture=mlp", "algorithm.unroll_steps=0"),
    ],
)
def test_a_key_of_the_chosen_experiment_or_model(arguments, command, tmp_path):
    outcome = command("train", *arguments, *QUICK)
    assert outcome.status == 0, outcome.err
    assert OmegaConf.load(tmp_path / "sweep/0/config.yaml").algorithm.unroll_steps == 0
    assert "algorithm.unroll_steps=0" in OmegaConf.load(tmp_path / "sweep/0/.hydra/overrides.yaml")


def test_an_unknown_key_is_refused_before_the_first_run(command, tmp_path):
    outcome = command("train", "-m", "seed=0,1", "algorithm.unrolled=3", *QUICK)
    assert outcome.status == 2 and "algorithm.unrolled is not a key of this config" in outcome.err
    assert not (tmp_path / "sweep/0").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("algorithm.unroll_steps=3", "algorithm.unroll_steps=choice(3)"),
        ("algorithm.unroll_steps='a, b'", "algorithm.unroll_steps=choice('a, b')"),
        ("algorithm.unroll_steps=[0.5,0.9]", "algorithm.unroll_steps=choice([0.5,0.9])"),
        ("algorithm.unroll_steps=1,2", "algorithm.unroll_steps=1,2"),
        ("algorithm.unroll_steps=null", "algorithm.unroll_steps=null"),
        ("+algorithm.unroll_steps=3", "+algorithm.unroll_steps=3"),
        ("~algorithm.unroll_steps", "~algorithm.unroll_steps"),
        ("lr=1e-4", "lr=1e-4"),
        ("optimizer.generator.lr=true", "optimizer.generator.lr=true"),
        ("model=gan", "model=gan"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib"),
        ("hydra.sweep.dir=x", "hydra.sweep.dir=x"),
        ("hydra.swep.dir=x", "hydra.swep.dir=x"),
        ("run.root=x", "run.root=x"),
        ("--config-dir", "--config-dir"),
    ],
)
def test_only_single_values_of_keys_that_the_sweep_lacks_become_lists(given, expected):
    assert with_values_of_runs(["sweep=seeds", "-m", given]) == ["sweep=seeds", "-m", expected]


def test_a_key_of_the_model_of_the_sweep_is_left_alone():
    arguments = ["-m", "model=unrolled_gan", "algorithm.unroll_steps=3", "seed=0,1"]
    assert with_values_of_runs(arguments) == arguments


@pytest.mark.parametrize(
    "others",
    [
        [],
        ["-m", "--cfg", "job"],
        ["-m", "--help"],
        ["-m", "hydra/sweeper=optuna"],
        ["sweep=search"],
        ["sweep=unknown"],
        ["-m", "loss=x"],
    ],
    ids=" ".join,
)
def test_one_run_searches_and_mistakes_are_left_alone(others):
    assert with_values_of_runs([*others, "algorithm.unroll_steps=1"]) == [*others, "algorithm.unroll_steps=1"]


@pytest.mark.parametrize("sweep", ["sweep=seeds", "experiment=d2gan_grid", "hydra.mode=MULTIRUN", "--multirun"])
def test_every_way_to_begin_a_sweep(sweep):
    assert with_values_of_runs([sweep, "algorithm.unroll_steps=1"])[1] == "algorithm.unroll_steps=choice(1)"


def test_a_file_that_is_not_text_is_left_to_hydra(tmp_path, command):
    (tmp_path / "own/experiment").mkdir(parents=True)
    (tmp_path / "own/experiment/latin.yaml").write_bytes(b"# @package _global_\nlr: 1  # \xe9\n")
    outcome = command("train", "--config-dir=own", "experiment=latin", "-m", "seed=0,1", "algorithm.unroll_steps=1")
    assert outcome.status == 2 and "Traceback" not in outcome.err and "latin.yaml" in outcome.err
