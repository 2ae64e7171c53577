"""The extractor that is used where none is chosen."""

import pytest
from omegaconf import OmegaConf

from gan_lab.config import default_extractor as module
from gan_lab.config.compose import compose
from gan_lab.config.default_extractor import check_extractor, default_extractor, with_default_extractor
from gan_lab.errors import ConfigError

Installed = pytest.MonkeyPatch


@pytest.fixture
def installed(monkeypatch: Installed) -> set[str]:
    """Names of the packages that count as installed."""
    names: set[str] = set()
    monkeypatch.setattr(module, "find_spec", lambda name: name if name in names else None)
    return names


@pytest.mark.parametrize(
    ("dataset", "without", "with_packages"),
    [
        ("digits", "digits", "digits"),
        ("mnist", "mnist", "mnist"),
        ("fashion_mnist", None, "efflite0"),
        ("stacked_digits", None, "efflite0"),
        ("cifar10", None, "efflite0"),
        ("ring", None, None),
    ],
)
def test_the_extractor_fits_the_data(
    installed: set[str], dataset: str, without: str | None, with_packages: str | None
) -> None:
    node = compose(f"dataset={dataset}", "architecture=mlp").dataset
    assert default_extractor(node) == without
    installed.update(module.NATURAL_PACKAGES)
    assert default_extractor(node) == with_packages


def test_a_folder_of_mnist_is_mnist(installed: set[str]) -> None:
    assert default_extractor(compose("dataset=mnist", "dataset.source=/data/MNIST").dataset) == "mnist"


def test_metrics_get_it(installed: set[str]) -> None:
    cfg = compose("metrics=[fd,pr]")
    complete = with_default_extractor(cfg)
    expected = compose("metrics=[fd,pr]", "extractor=digits")
    assert OmegaConf.to_container(complete.evaluation.metrics, resolve=True) == OmegaConf.to_container(
        expected.evaluation.metrics, resolve=True
    )
    assert cfg.extractor is None
    for unchanged in (compose("metrics=[swd]"), compose(), expected):
        assert with_default_extractor(unchanged) is unchanged


def test_where_there_is_none(installed: set[str]) -> None:
    with pytest.raises(ConfigError, match=r"^extractor is not given.*metrics=\[fd\], as in extractor=efflite0, which"):
        cfg = compose("metrics=[fd]", "dataset=cifar10")
        check_extractor(cfg, cfg.dataset)
    cfg = compose(command="memorization")
    check_extractor(cfg, None)  # the data set is not known yet
    with pytest.raises(ConfigError, match="choose the space of the distances"):
        check_extractor(cfg, compose("dataset=cifar10").dataset)


def test_an_extractor_must_be_a_component(installed: set[str]) -> None:
    with pytest.raises(ConfigError, match=r"^extractor=\{a: 1\} is not allowed: choose one by name"):
        check_extractor(compose("metrics=[fd]", "extractor={a: 1}"), compose().dataset)
