"""Spectra and accuracies over time, and the warning before a collapse."""

import csv
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gan_lab.callbacks.collapse_watch import FIRST, CollapseWatch, largest_growth
from gan_lab.config.build import Experiment, instantiate
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.layers.singular_values import weight_matrices
from gan_lab.training.fit import fit
from tests.conftest import TINY

HELD_OUT = (
    "callbacks.collapse_watch.held_out={_target_:gan_lab.data.image_data.ImageData,source:scikit-learn,"
    "reader:{_target_:gan_lab.data.digits.read_digits,_partial_:true},resolution:32,channels:1,num_classes:10,"
    "batch_size:8,max_images:50,seed:9}"
)
WATCHED = ("callbacks=monitored", "callbacks.collapse_watch.every_images=32", "callbacks.collapse_watch.images=40")


def run(folder: Path, *more: str) -> Experiment:
    overrides = [override for override in TINY if "logger" not in override]
    return fit(compose(*overrides, *WATCHED, "logger=[csv]", "budget.images=64", f"run.dir={folder}", *more))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, dict[str, float]]:
    """A small BigGAN, and the last logged row."""
    folder = tmp_path_factory.mktemp("run")
    experiment = run(folder, "model=biggan", HELD_OUT)
    with open(folder / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["accuracy/train"]]
    assert [float(row["progress/images_seen"]) for row in rows] == [32, 64]
    return experiment, {key: float(value) for key, value in rows[-1].items() if value}


def test_spectra_are_singular_values(watched: tuple[Experiment, dict[str, float]]) -> None:
    experiment, row = watched
    spectra = {key: value for key, value in row.items() if key.startswith("spectra/")}
    networks = {"generator": experiment.module.generator, "discriminator": experiment.module.discriminator}
    expected = {}
    for player, network in networks.items():
        for layer, weight in weight_matrices(network).items():
            values = [*torch.linalg.svdvals(weight)[:3].tolist(), 0.0, 0.0][:3]
            expected |= {f"spectra/{player}/{layer}/{k + 1}": value for k, value in enumerate(values)}
    assert spectra.keys() == expected.keys()
    assert len(spectra) == 3 * sum(len(weight_matrices(n)) for n in networks.values()) > 100
    for key, value in expected.items():
        assert spectra[key] == pytest.approx(value, rel=1e-5, abs=1e-6), key


def test_accuracies_are_fractions_classified_as_real(watched: tuple[Experiment, dict[str, float]]) -> None:
    """Recomputed with the final weights, on training images and on held-out ones."""
    experiment, row = watched
    network = experiment.module.discriminator.eval()
    cfg = compose(*TINY, *WATCHED, "model=biggan", HELD_OUT, "budget.images=64", "run.dir=x")
    held_out = instantiate(cfg.callbacks.collapse_watch.held_out, "held_out")
    held_out.prepare_data()
    held_out.setup("fit")
    for name, data in {"train": experiment.data, "held_out": held_out}.items():
        images, labels = next(iter(data.reals(40, 40)))
        with torch.no_grad():
            fraction = (network(images, labels) > 0).float().mean().item()
        assert row[f"accuracy/{name}"] == pytest.approx(fraction)


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return run(tmp_path_factory.mktemp("dcgan") / "run")


def test_training_is_not_affected(dcgan: Experiment, tmp_path: Path) -> None:
    a = dcgan.module.state_dict()
    b = fit(compose(*TINY, "budget.images=64", f"run.dir={tmp_path}/b")).module.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a if isinstance(a[key], torch.Tensor))


def test_channels_without_weights_are_dead(dcgan: Experiment) -> None:
    """3 of the 8 + 16 + 32 channels of the discriminator's layers."""
    rows: list[float] = []
    logger = SimpleNamespace(log_metrics=lambda row, step: rows.append(row["dead_channels/discriminator"]))
    trainer = SimpleNamespace(is_global_zero=True, loggers=[logger], datamodule=dcgan.data)
    weight = dcgan.module.get_parameter("discriminator.input.weight").data
    weight[:3] = 0
    CollapseWatch(64, every_images=1).on_train_batch_end(trainer, dcgan.module)
    assert rows == [pytest.approx(3 / 56)]


@pytest.mark.parametrize("settings", [("loss=wasserstein",), ("dataset=ring", "architecture=mlp"), ("model=d2gan",)])
def test_algorithms_without_accuracy_or_images(settings: tuple[str, ...], tmp_path: Path) -> None:
    """A loss that fixes only differences has no accuracy; points do; both discriminators of D2GAN have spectra."""
    run(tmp_path, *settings)
    with open(tmp_path / "metrics.csv") as file:
        keys = next(csv.reader(file))
    assert any(key.startswith("spectra/generator/") for key in keys)
    assert any(key.startswith("spectra/discriminator/1.") for key in keys) == ("model=d2gan" in settings)
    assert "dead_channels/discriminator" in keys
    assert ("accuracy/train" in keys) == ("loss=wasserstein" not in settings) and "accuracy/held_out" not in keys


def checks_above(values: list[float], growth: float) -> list[int]:
    """Numbers of the checks, at 100, 200, ... images, at which a layer with these values grew by more than `growth`."""
    history = [(100 * k, {"generator/project": value, "generator/output": 1.0}) for k, value in enumerate(values, 1)]
    return [k for k in range(1, len(values) + 1) if largest_growth(history[:k])[1] > growth]


def test_growth_since_half_as_many_images() -> None:
    values = [1 + 0.1 * k for k in range(20)] + [9, 20, 40]
    history = [(100 * k, {"generator/project": value, "generator/output": 1.0}) for k, value in enumerate(values, 1)]
    assert largest_growth(history[:21]) == ("generator/project", pytest.approx(9 / 1.9))  # against the tenth check
    assert checks_above(values, 4.0) == [21, 22, 23]


def test_one_warning_of_an_explosion(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Growth above 1 + 1e-6 at many checks is reported once, also by a run that resumes."""
    overrides = [override for override in TINY if "logger" not in override and "checkpoints" not in override]
    growth = ("callbacks.collapse_watch.growth=1.000001", "callbacks.collapse_watch.every_images=8", "logger=[]")
    with caplog.at_level(logging.WARNING):
        for budget in (200, 240):
            fit(compose(*overrides, *WATCHED[:1], *growth, f"budget.images={budget}", f"run.dir={tmp_path}"))
    messages = [record.getMessage() for record in caplog.records if "singular value" in record.getMessage()]
    assert len(messages) == 1
    assert re.fullmatch(
        r"After \d+ images the largest singular value of generator/\S+ is [\d.]+, 1\.\d times its value at half as "
        r"many images, which is a sign of collapse\. Check the samples, and resume from an earlier checkpoint\.",
        messages[0],
    )


@pytest.mark.parametrize(
    "values",
    [
        [float(k) for k in range(1, 60)],  # steady growth doubles
        [1.0] * 60,
        [1.0, 2.0, 4.0, 8.0, 16.0, *[16.0] * 20],  # leaves its initial weights, before the tenth check
        [0.0] * 30,
    ],
)
def test_no_warning_for_healthy_runs(values: list[float]) -> None:
    assert checks_above(values, 4.0) == [] and FIRST == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every_images": 0}, r"callbacks\.collapse_watch\.every_images=0 is not allowed"),
        ({"images": 0}, r"images=0 is not allowed"),
        ({"growth": 1.0}, r"growth=1\.0 is not allowed: it must be more than 1"),
    ],
)
def test_numbers_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CollapseWatch(1000, **settings)
