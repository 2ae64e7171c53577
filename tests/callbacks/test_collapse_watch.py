"""Spectra and accuracies over time, and the warning before a collapse."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import TINY

from gan_lab.callbacks.collapse_watch import FIRST, CollapseWatch
from gan_lab.config.build import Experiment, instantiate
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.errors import ConfigError
from gan_lab.layers.singular_values import weights_of

HELD_OUT = (
    "callbacks.collapse_watch.held_out={_target_:gan_lab.data.image_data.ImageData,source:digits,"
    "reader:{_target_:gan_lab.data.digits.read_digits,_partial_:true},resolution:32,channels:1,num_classes:10,"
    "batch_size:8,max_images:50,seed:9}"
)
WATCHED = ("callbacks=monitored", "callbacks.collapse_watch.every_images=32", "callbacks.collapse_watch.images=40")


def run(folder: Path, *more: str) -> Experiment:
    words = [word for word in TINY if "logger" not in word]
    return fit(compose(*words, *WATCHED, "logger=[csv]", "budget.images=64", f"run.dir={folder}", *more))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, dict[str, float]]:
    """A small BigGAN, and the last line of its watch."""
    folder = tmp_path_factory.mktemp("run")
    experiment = run(folder, "model=biggan", HELD_OUT)
    with open(folder / "metrics.csv") as file:
        lines = [row for row in csv.DictReader(file) if row["accuracy/train"]]
    assert [float(line["progress/images_seen"]) for line in lines] == [32, 64]
    return experiment, {key: float(value) for key, value in lines[-1].items() if value}


def test_values_are_those_of_a_decomposition(watched: tuple[Experiment, dict[str, float]]) -> None:
    experiment, line = watched
    spectra = {key: value for key, value in line.items() if key.startswith("spectra/")}
    networks = {"generator": experiment.module.generator, "discriminator": experiment.module.discriminator}
    expected = {}
    for player, network in networks.items():
        for layer, weight in weights_of(network).items():
            values = [*torch.linalg.svdvals(weight)[:3].tolist(), 0.0, 0.0][:3]
            expected |= {f"spectra/{player}/{layer}/{k + 1}": value for k, value in enumerate(values)}
    assert spectra.keys() == expected.keys()
    assert len(spectra) == 3 * sum(len(weights_of(n)) for n in networks.values()) > 100
    for key, value in expected.items():
        assert spectra[key] == pytest.approx(value, rel=1e-5, abs=1e-6), key


def test_accuracies_are_shares_that_are_called_real(watched: tuple[Experiment, dict[str, float]]) -> None:
    """By the weights at the end, on training images and on others."""
    experiment, line = watched
    network = experiment.module.discriminator.eval()
    cfg = compose(*TINY, *WATCHED, "model=biggan", HELD_OUT, "budget.images=64", "run.dir=x")
    held_out = instantiate(cfg.callbacks.collapse_watch.held_out, "held_out")
    held_out.prepare_data()
    held_out.setup("fit")
    for name, data in {"train": experiment.data, "held_out": held_out}.items():
        images, labels = next(iter(data.reals(40, 40)))
        with torch.no_grad():
            share = (network(images, labels) > 0).float().mean().item()
        assert line[f"accuracy/{name}"] == pytest.approx(share)


def test_watching_changes_nothing(tmp_path: Path) -> None:
    a = run(tmp_path / "a").module.state_dict()
    b = fit(compose(*TINY, "budget.images=64", f"run.dir={tmp_path}/b")).module.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a if isinstance(a[key], torch.Tensor))


@pytest.mark.parametrize("settings", [("loss=wasserstein",), ("dataset=ring", "architecture=mlp"), ("model=d2gan",)])
def test_games_that_have_no_accuracy_or_no_images(settings: tuple[str, ...], tmp_path: Path) -> None:
    """A loss that fixes only differences has no accuracy; points do; both discriminators of D2GAN have spectra."""
    run(tmp_path, *settings)
    with open(tmp_path / "metrics.csv") as file:
        keys = next(csv.reader(file))
    assert any(key.startswith("spectra/generator/") for key in keys)
    assert any(key.startswith("spectra/discriminator/1.") for key in keys) == ("model=d2gan" in settings)
    assert ("accuracy/train" in keys) == ("loss=wasserstein" not in settings) and "accuracy/held_out" not in keys


def history(values: list[float]) -> tuple[CollapseWatch, list[int]]:
    """A watch that saw these largest values at 100, 200, ... images, and the looks at which it warned."""
    watch, warned = CollapseWatch(10_000), []
    for number, value in enumerate(values, 1):
        watch._history.append((100 * number, {"generator/project": value, "generator/output": 1.0}))
        before = watch._warned
        watch._warn(100 * number, watch._history[-1][1])
        if watch._warned and not before:
            warned.append(number)
    return watch, warned


def test_an_explosion_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        watch, warned = history([1 + 0.1 * k for k in range(20)] + [9, 20, 40])
    assert warned == [21]  # 9 is 4.7 times the value at the tenth look, 1.9
    (record,) = caplog.records
    assert record.getMessage() == (
        "After 2,100 images the largest singular value of generator/project is 9, 4.7 times that after half as many, which is "
        "a sign of collapse: look at the samples, and go back to a checkpoint before it."
    )
    again = CollapseWatch(10_000)
    again.load_state_dict(watch.state_dict())
    again._warn(2400, {"generator/project": 99.0, "generator/output": 1.0})
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "values",
    [
        [float(k) for k in range(1, 60)],  # steady growth doubles
        [1.0] * 60,
        [1.0, 2.0, 4.0, 8.0, 16.0, *[16.0] * 20],  # leaves its initial weights, before the tenth look
        [0.0] * 30,
    ],
)
def test_healthy_runs_are_left_alone(values: list[float]) -> None:
    assert history(values)[1] == [] and FIRST == 10


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"every_images": 0}, r"callbacks\.collapse_watch\.every_images=0 is not allowed"),
        ({"images": 0}, r"images=0 is not allowed"),
        ({"growth": 1.0}, r"growth=1\.0 is not allowed: it must be more than 1"),
    ],
)
def test_numbers_out_of_range(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        CollapseWatch(1000, **settings)
