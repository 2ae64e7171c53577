"""Configs of a basic sweep are composed once, for the check before the first run and for the run."""

from types import SimpleNamespace

from omegaconf import OmegaConf

from gan_lab.sweeps.launcher import MAX_CHECKED, ComposedOnce


def counting_loader():
    composed = []

    def load_sweep_config(master_config, sweep_overrides):
        composed.append(tuple(sweep_overrides))
        return OmegaConf.create({"overrides": list(sweep_overrides)})

    return composed, ComposedOnce(SimpleNamespace(load_sweep_config=load_sweep_config, name="inner"))


def checked_by(loader, seeds):
    with loader.checking():
        return [loader.load_sweep_config(None, [f"seed={seed}"]) for seed in seeds]


def test_a_checked_config_is_that_of_the_run_and_is_given_once():
    composed, loader = counting_loader()
    checked = checked_by(loader, range(3))
    assert [loader.load_sweep_config(None, [f"seed={seed}"]) for seed in range(3)] == checked
    assert len(composed) == 3
    assert loader.load_sweep_config(None, ["seed=0"]) is not checked[0]  # a run may have changed it
    assert len(composed) == 4


def test_runs_with_the_same_overrides_have_configs_of_their_own():
    composed, loader = counting_loader()
    checked = checked_by(loader, [0, 0])
    first, second = (loader.load_sweep_config(None, ["seed=0"]) for _ in range(2))
    assert first is checked[0] and second is checked[1] and len(composed) == 2


def test_a_hundred_configs_are_kept():
    composed, loader = counting_loader()
    seeds = range(MAX_CHECKED + 5)
    checked_by(loader, seeds)
    assert [loader.load_sweep_config(None, [f"seed={seed}"]).overrides for seed in seeds] == [
        [f"seed={n}"] for n in seeds
    ]
    assert len(composed) == MAX_CHECKED + 10


def test_everything_else_is_that_of_the_loader():
    assert counting_loader()[1].name == "inner"
