"""Samples of a run that is conditioned on labels: the command, the grids, the loaded generator, its attention."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.config.sampling import spread
from gan_lab.errors import ConfigError
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAGAN on digits, long enough for the classes to look different."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    small = ("dataset.resolution=16", "batch_size=32", "budget.images=640", "callbacks.sample_grids.count=40")
    divisors = (f"architecture.{name}.attention_divisor=2" for name in ("generator", "discriminator"))
    fit(compose("model=sagan", *SMALL, *small, *divisors, f"run.dir={folder}"))
    return folder


@pytest.mark.parametrize(
    ("given", "count", "wanted"),
    [
        (None, 3, None),
        (2, 3, [2, 2, 2]),
        ([3, 7], 4, [3, 3, 7, 7]),
        ([3, 7], 5, [3, 3, 3, 7, 7]),
        ("all", 4, [0, 0, 1, 1]),
    ],
)
def test_labels_are_spread_in_rows(given, count: int, wanted: list[int] | None) -> None:
    assert spread(given, count, 2) == wanted


@pytest.mark.parametrize("given", ["foo", [], ["a"], 1.5, [1, None], True])
def test_other_labels_are_refused(given) -> None:
    with pytest.raises(ConfigError, match="a number, a list of numbers, all, or null"):
        spread(given, 4, 2)


def test_a_label_decides_the_sample(run: Path) -> None:
    """The same latents under two labels differ; the same seed and label give the same images, one by one or together."""
    loaded = gan_lab.load(run)
    sevens, threes = loaded.sample(4, seed=5, labels=7), loaded.sample(4, seed=5, labels=3)
    assert sevens.shape == (4, 1, 16, 16) and not torch.allclose(sevens, threes, atol=1e-3)
    mixed = loaded.sample(4, seed=5, labels=[7, 3, 7, 3])
    assert torch.allclose(mixed[::2], sevens[::2], atol=1e-5) and torch.allclose(mixed[1::2], threes[1::2], atol=1e-5)
    drawn = loaded.sample(4, seed=5)
    assert torch.allclose(drawn, loaded.sample(4, seed=5, batch_size=3), atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [(10, "from 0 to 9"), (-1, "from 0 to 9"), ([1, 2], "2 entries for 4"), ([0.5] * 4, "whole")],
)
def test_labels_that_do_not_exist(run: Path, labels, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        gan_lab.load(run).sample(4, labels=labels)


def test_command_draws_a_row_for_each_class(command: Callable, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = command("sample", f"run={run}", "count=6", "labels=[3,7]", f"out={out}", "device=cpu")
    assert outcome.status == 0, outcome.err
    width, height = Image.open(out / "grid.png").size
    assert width / height == pytest.approx(3 / 2, rel=0.02)
    first = torch.from_numpy(numpy.array(Image.open(out / "0.png"))).flatten().float()
    expected = gan_lab.load(run).sample(6, labels=[3, 3, 3, 7, 7, 7])[0].flatten().add(1).mul(127.5).round()
    assert (first - expected).abs().max() <= 1
    assert command("sample", f"run={run}", "labels=11", "device=cpu").status == 2


def test_grids_have_a_row_for_each_class(run: Path) -> None:
    width, height = Image.open(run / "samples/final.png").size
    assert width / height == pytest.approx(4 / 10, rel=0.02)


def test_attention_of_a_loaded_generator(run: Path, tmp_path: Path) -> None:
    loaded = gan_lab.load(run)
    maps = loaded.attention((2, 5), count=3, labels=1)
    assert maps.shape == (3, 4, 4)  # queries on 8x8, keys pooled
    assert torch.allclose(maps.sum((1, 2)), torch.ones(3), atol=1e-5) and (maps >= 0).all()
    assert not torch.equal(maps, loaded.attention((7, 0), count=3, labels=1))
    with pytest.raises(ConfigError, match="pixel"):
        loaded.attention((8, 0), count=1)
    fit(compose(*SMALL, f"run.dir={tmp_path}/plain"))
    with pytest.raises(ConfigError, match="attention"):
        gan_lab.load(tmp_path / "plain").attention((0, 0), count=1)
