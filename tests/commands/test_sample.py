"""Samples of a run that is conditioned on labels: the command, the grids, the loaded generator, its attention."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.figures import with_row_names
from gan_lab.sampling.rows import labels_in_rows
from gan_lab.training.fit import fit
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAGAN on digits, long enough for visible differences between classes."""
    folder = tmp_path_factory.mktemp("labels") / "run"
    small = ("dataset.resolution=16", "batch_size=32", "budget.images=640", "callbacks.sample_grids.count=250")
    divisors = (f"architecture.{name}.attention_divisor=2" for name in ("generator", "discriminator"))
    fit(compose(*SMALL, "model=sagan", *small, *divisors, f"run.dir={folder}"))
    return folder


@pytest.mark.parametrize(
    ("given", "count", "wanted"),
    [
        (None, 3, None),
        (2, 3, [2, 2, 2]),
        ([3, 7], 4, [3, 3, 7, 7]),
        ([3, 7], 5, [3, 3, 3, 7, 7]),
        ("all", 4, [0, 0, 1, 1]),
        ("dog", 2, [1, 1]),
        (["dog", 0], 2, [1, 0]),
    ],
)
def test_labels_in_rows(given, count: int, wanted: list[int] | None) -> None:
    assert labels_in_rows(given, count, 2, ["cat", "dog"]) == wanted


@pytest.mark.parametrize("given", [[], 1.5, [1, None], True])
def test_other_labels_are_refused(given) -> None:
    with pytest.raises(ConfigError, match="a number or name of a class, a list of them, all, or null"):
        labels_in_rows(given, 4, 2)


def test_unknown_names_of_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^labels=dgo is not known: did you mean dog\? Choose cat or dog\.$"):
        labels_in_rows([0, "dgo"], 4, 2, ["cat", "dog"])
    with pytest.raises(ConfigError, match="labels=dog is not allowed: the classes of this run have no names; give num"):
        labels_in_rows("dog", 4, 2)
    with pytest.raises(ConfigError, match="labels=dog needs a run with conditioning"):
        labels_in_rows("dog", 4, None, ["cat", "dog"])


def test_names_of_classes_in_python(run: Path) -> None:
    loaded = gan_lab.load(run)
    assert loaded.classes == [str(label) for label in range(10)]
    assert torch.equal(loaded.sample(2, condition="7"), loaded.sample(2, condition=7))
    assert torch.equal(loaded.sample(2, condition=["7", 3]), loaded.sample(2, condition=[7, 3]))
    with pytest.raises(ConfigError, match="labels=seven is not known: choose from 0, 1, "):
        loaded.sample(2, condition="seven")


def test_a_label_decides_the_sample(run: Path) -> None:
    """The same latents under two labels differ; the same seed and label give the same images, singly or in a batch."""
    loaded = gan_lab.load(run)
    sevens, threes = loaded.sample(4, seed=5, condition=7), loaded.sample(4, seed=5, condition=3)
    assert sevens.shape == (4, 1, 16, 16) and not torch.allclose(sevens, threes, atol=1e-3)
    mixed = loaded.sample(4, seed=5, condition=[7, 3, 7, 3])
    assert torch.allclose(mixed[::2], sevens[::2], atol=1e-5) and torch.allclose(mixed[1::2], threes[1::2], atol=1e-5)
    drawn = loaded.sample(4, seed=5)
    assert torch.allclose(drawn, loaded.sample(4, seed=5, batch_size=3), atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [(10, "from 0 to 9"), (-1, "from 0 to 9"), ([1, 2], "2 entries for 4"), ([0.5] * 4, "whole number")],
)
def test_labels_that_do_not_exist(run: Path, labels, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        gan_lab.load(run).sample(4, condition=labels)


def width_of_names(names: Iterable[str], height: int) -> int:
    """Width of the names beside a grid of this height."""
    return with_row_names(Image.new("L", (1, height)), list(names)).width - 1


def test_command_draws_a_row_for_each_class(command: Callable, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = command("sample", f"run={run}", "count=6", "labels=[3,7]", f"out={out}", "device=cpu")
    assert outcome.status == 0, outcome.err
    width, height = Image.open(out / "grid.png").size
    assert (width - width_of_names(["3", "7"], height)) / height == pytest.approx(3 / 2, rel=0.02)
    first = torch.from_numpy(numpy.array(Image.open(out / "0.png"))).flatten().float()
    expected = gan_lab.load(run).sample(6, condition=[3, 3, 3, 7, 7, 7])[0].flatten().add(1).mul(127.5).round()
    assert (first - expected).abs().max() <= 1
    assert command("sample", f"run={run}", "labels=11", "device=cpu").status == 2
    outcome = command("sample", f"run={run}", "mixing=coarse", "device=cpu")
    assert outcome.status == 2 and "mixing=coarse needs a generator with styles, and that of " in outcome.err
    assert outcome.err.endswith(".ckpt has none; set mixing=null.\n")
    outcome = command("interpolate", f"run={run}", "labels=seven", "device=cpu")
    assert outcome.status == 2 and "labels=seven is not known: choose from 0, 1, 2" in outcome.err


def test_truncated_latents_of_a_loaded_generator(run: Path) -> None:
    """Towards 0 all samples of a class become G(0, y), and the seed's latents within the threshold stay."""
    loaded = gan_lab.load(run)
    center = loaded.generate(torch.zeros(1, 128), torch.tensor([3])).cpu()
    assert torch.allclose(loaded.sample(4, condition=3, truncation=0), center.expand(4, -1, -1, -1), atol=1e-6)
    assert not torch.allclose(loaded.sample(4, condition=3), center.expand(4, -1, -1, -1), atol=1e-2)
    plain, cut = loaded.draw(50, seed=2)[0], loaded.adjusted(truncation=1.0).draw(50, seed=2)[0]
    assert torch.equal(plain[plain.abs() <= 1], cut[plain.abs() <= 1]) and cut.abs().max() <= 1
    assert torch.equal(loaded.sample(3, truncation=0.5), loaded.sample(3, truncation=0.5, batch_size=3))
    assert torch.allclose(loaded.adjusted(truncation=0.5).sample(3), loaded.sample(3, truncation=0.5))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"truncation": -1.0}, r"truncation=-1\.0 is not allowed: it must be at least 0, or null"),
        ({"truncation": 0.5, "truncation_form": "cut"}, "truncation_form=cut is not known; choose resample or scale"),
        ({"batch_norm": "frozen"}, "batch_norm=frozen is not known: choose from running, standing, batch"),
    ],
)
def test_samples_cannot_be_adjusted_so(run: Path, settings: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        gan_lab.load(run).sample(2, **settings)


def test_standing_statistics_are_a_function_of_the_seed(run: Path) -> None:
    """The mean over 16 batches of the inputs' own moments, in the first norm; the loaded generator stays as it was."""
    loaded = gan_lab.load(run)
    before = loaded.sample(4, seed=1)
    standing = loaded.adjusted(batch_norm="standing", seed=1)
    first = next(m for m in standing.generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert first.num_batches_tracked == 16
    assert torch.equal(loaded.sample(4, seed=1, batch_norm="standing"), standing.sample(4, seed=1))
    assert not torch.allclose(standing.sample(4, seed=1), before, atol=1e-3)
    assert torch.equal(loaded.sample(4, seed=1), before)
    truncated = loaded.adjusted(truncation=0.1, batch_norm="standing", seed=1)
    narrow = next(m for m in truncated.generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert narrow.running_var.sum() < 0.1 * first.running_var.sum()  # of the samples that are made


@pytest.mark.parametrize(
    ("labels", "count", "shape", "names"),
    [
        ("3", 20, (5, 4), ""),
        ("[3,7]", 20, (5, 4), "37"),
        ("all", 20, (2, 10), "0123456789"),
        ("all", 10, (4, 3), ""),
    ],
)
def test_shape_of_the_grid(
    command: Callable, run: Path, tmp_path: Path, labels: str, count: int, shape: tuple, names: str
) -> None:
    """Near-square: two rows of each of two classes; without rows of classes for one class or one image each."""
    overrides = (f"run={run}", f"count={count}", "files=false", "device=cpu", f"out={tmp_path}/grid")
    assert command("sample", *overrides, f"labels={labels}").status == 0
    width, height = Image.open(tmp_path / "grid" / "grid.png").size
    beside = width_of_names(names, height) if names else 0
    assert (width - beside) / height == pytest.approx(shape[0] / shape[1], rel=0.02)


def test_command_truncates(command: Callable, run: Path, tmp_path: Path) -> None:
    overrides = (f"run={run}", "count=4", "files=false", "device=cpu")
    outcome = command("sample", *overrides, "truncation=0.01", "labels=3", "batch_norm=standing")
    folder = "samples/seed_0_labels_3_resample_0.01_standing"
    assert outcome.status == 0 and folder in outcome.out, outcome.err
    assert [file.name for file in (run / folder).iterdir()] == ["grid.png"]
    outcome = command("sample", *overrides, "truncation=-1")
    assert outcome.status == 2 and "truncation=-1" in outcome.err


def test_commands_do_not_mix_their_files(command: Callable, run: Path, tmp_path: Path) -> None:
    """The same command again gets a folder of its own, and a given folder with files is refused, as is a device."""
    overrides = (f"run={run}", "seed=5", "device=cpu")
    for count, folder in ((6, "samples/seed_5"), (4, "samples/seed_5-2")):
        assert command("sample", *overrides, f"count={count}").status == 0
        assert len(list((run / folder).iterdir())) == count + 1
    refused = command("sample", *overrides, f"out={run}/samples/seed_5")
    assert refused.status == 2 and "seed_5 contains files already" in refused.err
    refused = command("sample", f"run={run}", "device=quantum")
    assert refused.status == 2 and "device=quantum cannot be used" in refused.err


def test_each_class_has_rows_of_its_own(run: Path) -> None:
    """Two rows of 13 images, rather than one of 25."""
    width, height = Image.open(run / "samples/final.png").size
    assert (width - width_of_names(map(str, range(10)), height)) / height == pytest.approx(13 / 20, rel=0.02)
    assert Image.open(run / "samples/real.png").size == (width, height)


def test_attention_of_a_loaded_generator(run: Path, tmp_path: Path) -> None:
    loaded = gan_lab.load(run)
    maps = loaded.attention((2, 5), count=3, condition=1)
    assert maps.shape == (3, 4, 4)  # queries on 8x8, keys pooled
    assert torch.allclose(maps.sum((1, 2)), torch.ones(3), atol=1e-5) and (maps >= 0).all()
    assert not torch.equal(maps, loaded.attention((7, 0), count=3, condition=1))
    with pytest.raises(ConfigError, match="pixel"):
        loaded.attention((8, 0), count=1)
    fit(compose(*SMALL, f"run.dir={tmp_path}/plain"))
    with pytest.raises(ConfigError, match="attention"):
        gan_lab.load(tmp_path / "plain").attention((0, 0), count=1)
