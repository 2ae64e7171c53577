"""The config of a command is composed once, and is that which Hydra composes."""

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf

from gan_lab.cli.composing import OnceLoader
from gan_lab.config import resolvers
from gan_lab.config.schema import CONF


def asked_and_run(loader: ConfigLoaderImpl, overrides: list[str]):
    """The config with the mode, and that of the run, as Hydra asks for them."""
    resolvers.register()
    asked = loader.load_configuration("train", overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
    mode = asked.hydra.mode
    return mode, loader.load_configuration("train", [*overrides, "hydra.mode=RUN"], RunMode.RUN)


def loader(kind: type[ConfigLoaderImpl]) -> ConfigLoaderImpl:
    return kind(create_config_search_path(str(CONF)))


@pytest.mark.parametrize("overrides", [[], ["model=wgan_gp", "lr=1e-4", "hydra.verbose=true"], ["experiment=ring/gan"]])
def test_the_config_of_a_run_is_that_of_hydra(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = asked_and_run(loader(ConfigLoaderImpl), overrides)
    composed = []
    compose = ConfigLoaderImpl._load_configuration_impl
    monkeypatch.setattr(
        ConfigLoaderImpl, "_load_configuration_impl", lambda *a, **k: composed.append(1) or compose(*a, **k)
    )
    mode, found = asked_and_run(loader(OnceLoader), overrides)
    assert mode is expected[0] is None and len(composed) == 1
    assert OmegaConf.to_container(found) == OmegaConf.to_container(expected[1])
    assert found.hydra.mode == RunMode.RUN


def test_another_config_is_composed_again() -> None:
    once = loader(OnceLoader)
    once.load_configuration("train", ["lr=1e-4"], RunMode.MULTIRUN, validate_sweep_overrides=False)
    assert once.load_configuration("train", ["lr=2e-4", "hydra.mode=RUN"], RunMode.RUN).lr == 2e-4
    assert once.load_configuration("train", ["lr=1e-4", "hydra.mode=RUN"], RunMode.RUN).hydra.overrides.hydra == [
        "hydra.mode=RUN"
    ]


@pytest.mark.parametrize("overrides", [["seed=0,1"], ["sweep=seeds"]])
def test_a_sweep_is_one(overrides: list[str]) -> None:
    resolvers.register()
    for kind in (ConfigLoaderImpl, OnceLoader):
        asked = loader(kind).load_configuration("train", overrides, RunMode.MULTIRUN, validate_sweep_overrides=False)
        assert asked.hydra.mode == (RunMode.MULTIRUN if overrides == ["sweep=seeds"] else None)
