"""Conditions of real and generated samples: labels, codes, and values from the data set."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import Codes, FromData, GeneratorNumbers, Labels
from gan_lab.noise import Noise

BATCH = {"image": torch.zeros(4, 1, 8, 8), "label": torch.tensor([3, 1, 0, 2]), "blurred": torch.randn(4, 1, 4, 4)}


def test_codes_are_one_hot_and_then_uniform() -> None:
    codes = Codes((10, 3), 2)
    assert (codes.dim, codes.num_classes, codes.needs_batch) == (15, None, False)
    drawn = codes.sample(Noise(1, 20_000))
    assert drawn.shape == (20_000, 15) and drawn.dtype == torch.float32
    for start, size in ((0, 10), (10, 3)):
        one_hot = drawn[:, start : start + size]
        assert set(one_hot.unique().tolist()) == {0.0, 1.0} and torch.equal(one_hot.sum(1), torch.ones(20_000))
        assert torch.allclose(one_hot.mean(0), torch.full((size,), 1 / size), atol=0.015)
    numbers = drawn[:, 13:]
    assert -1 <= numbers.min() < -0.999 and 0.999 < numbers.max() <= 1
    assert numbers.mean().abs() < 0.02 and numbers.square().mean().item() == pytest.approx(1 / 3, abs=0.01)
    assert numbers.T.corrcoef()[0, 1].abs() < 0.03


@pytest.mark.parametrize(("categories", "continuous", "dim"), [((2,), 0, 2), ((), 3, 3), ((4, 5), 1, 10)])
def test_either_kind_of_variable_may_be_missing(categories: tuple[int, ...], continuous: int, dim: int) -> None:
    codes = Codes(categories, continuous)
    assert codes.dim == dim and codes.sample(Noise(0, 6)).shape == (6, dim)


def test_codes_are_split_by_process() -> None:
    codes = Codes((10,), 2)
    all_rows, part = codes.sample(Noise(5, 8)), codes.sample(Noise(5, 8, slice(1, 8, 2)))
    assert torch.equal(all_rows[1::2], part)


def test_real_samples_have_no_codes_and_batches_change_none() -> None:
    codes = Codes()
    assert codes.of(BATCH) is None
    assert torch.equal(codes.sample(Noise(3, 4), BATCH), codes.sample(Noise(3, 4)))


def test_examples_of_codes_show_the_first_variable() -> None:
    found = Codes((10, 3), 2).examples(4)
    expected = torch.zeros(4, 15)
    expected[:, :4] = torch.eye(4)
    expected[:, 10] = 1
    assert torch.equal(found, expected)
    assert Codes((3,), 1).examples(10).shape == (3, 4) and Codes((), 2).examples(10) is None


def test_every_generator_makes_an_equal_part_of_a_batch() -> None:
    """In random order, over all processes; no generator makes more over many batches."""
    numbers = GeneratorNumbers(5)
    assert (numbers.num_classes, numbers.num_generators, numbers.needs_batch) == (None, 5, False)
    assert numbers.of(BATCH) is None
    draws = torch.stack([numbers.sample(Noise(seed, 13), BATCH) for seed in range(2000)])
    counts = torch.stack([torch.bincount(draw, minlength=5) for draw in draws])
    assert set(counts.unique().tolist()) == {2, 3}
    assert torch.allclose(counts.float().mean(0), torch.full((5,), 2.6), atol=0.05)
    assert torch.allclose(draws.float().mean(0), torch.full((13,), 2.0), atol=0.15)  # of each row
    parts = [numbers.sample(Noise(7, 13, slice(rank, 13, 2))) for rank in range(2)]
    assert torch.equal(torch.cat(parts).sort().values, numbers.sample(Noise(7, 13)).sort().values)
    assert GeneratorNumbers(1).sample(Noise(0, 3)).tolist() == [0, 0, 0]


def test_numbers_of_generators_in_grids_and_from_users() -> None:
    numbers = GeneratorNumbers(3)
    assert numbers.examples(10).tolist() == [0, 1, 2] and numbers.examples(2).tolist() == [0, 1]
    assert numbers.names(["cat", "dog"]) == ["generator 0", "generator 1", "generator 2"]
    assert numbers.parse(2, 3).tolist() == [2, 2, 2] and numbers.parse([0, 1], 2).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"^generator=3 is not allowed: numbers are whole numbers from 0 to 2$"):
        numbers.parse([0, 3], 2)
    with pytest.raises(ValueError, match=r"^generator has 2 entries for 3 samples: pass one number, or one for each$"):
        numbers.parse([0, 1], 3)
    with pytest.raises(ValueError, match=r"^conditioning\.generators=0 is not allowed: it must be at least 1$"):
        GeneratorNumbers(0)


@pytest.mark.parametrize(
    ("categories", "continuous", "sentence"),
    [
        ((1,), 2, "conditioning.categories=[1] is not allowed: it must be a list of whole numbers of at least 2"),
        (
            (10, 2.5),
            2,
            "conditioning.categories=[10, 2.5] is not allowed: it must be a list of whole numbers of at least 2",
        ),
        (
            (10,),
            -1,
            "conditioning.continuous=-1 is not allowed: it must be a whole number of at least 0, "
            "or of at least 1 without categories",
        ),
        (
            (),
            0,
            "conditioning.continuous=0 is not allowed: it must be a whole number of at least 0, "
            "or of at least 1 without categories",
        ),
    ],
)
def test_codes_that_are_refused(categories: tuple, continuous: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Codes(categories, continuous)


def test_labels() -> None:
    labels = Labels(7)
    assert (labels.num_classes, labels.needs_batch) == (7, False)
    assert torch.equal(labels.of(BATCH), BATCH["label"]) and labels.of({"image": BATCH["image"]}) is None
    assert torch.equal(labels.examples(3), torch.arange(3)) and torch.equal(labels.examples(10), torch.arange(7))
    assert Labels().examples(3) is None
    uniform = labels.sample(Noise(1, 4), {"image": BATCH["image"]})
    assert torch.equal(Labels(7, "data").sample(Noise(1, 4)), uniform)  # without labels of a batch


def test_conditions_from_the_data() -> None:
    blurred = FromData("blurred")
    assert (blurred.num_classes, blurred.needs_batch, blurred.examples(3)) == (None, True, None)
    assert blurred.of(BATCH) is blurred.sample(Noise(0, 4), BATCH) is BATCH["blurred"]
    with pytest.raises(
        ValueError, match=r"^conditioning\.key=edges is not in the batch, which has image, label, blurred$"
    ):
        FromData("edges").of(BATCH)
    with pytest.raises(
        ValueError, match=r"^samples of this generator need a condition, blurred; pass one for each sample$"
    ):
        blurred.sample(Noise(0, 4))


CODE = [0.0, 1.0, 0.0, 0.5]  # of Codes([3], 1)


@pytest.mark.parametrize("values", [CODE, [CODE, CODE], torch.tensor([CODE, CODE])], ids=["one", "each", "tensor"])
def test_codes_of_a_user(values: Any) -> None:
    assert torch.equal(Codes([3], 1).parse(values, 2), torch.tensor([CODE, CODE]))


@pytest.mark.parametrize(
    ("condition", "values", "sentence"),
    [
        (Codes([3], 1), 7, "condition has the shape"),
        (Codes([3], 1), "x", "condition=x is not allowed"),
        (Codes([3], 1), [1.0, 1.0, 0.0, 0.0], "condition is not a code"),
        (Codes([3], 1), [0.0, 0.0, 0.0, 0.0], "condition is not a code"),
        (Codes([3], 1), [0.0, 1.0, 0.0, float("nan")], "must be finite"),
        (Labels(3), "x", "labels=x is not allowed"),
        (Labels(3), 3, "from 0 to 2"),
        (Labels(3), torch.tensor(-1), "from 0 to 2"),
        (Labels(3), 0.5, "labels=0.5 is not allowed"),
        (Labels(3), [[1, 2]], "labels has 1 x 2 entries"),
        (Labels(), 0, "needs a run with conditioning"),
        (FromData("source"), torch.zeros(3, 1), "tensor with 2 rows"),
    ],
)
def test_conditions_that_are_refused(condition: Any, values: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        condition.parse(values, 2)


def test_labels_in_every_common_form() -> None:
    for one in (2, torch.tensor(2), np.int64(2), 2.0):
        assert Labels(3).parse(one, 2).tolist() == [2, 2]
    assert Labels(3).parse(np.array([0, 2]), 2).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("regularizer=[r1]", "regularizer.r1.player=generator"), "penalty needs a discriminator"),
        (("regularizer=[path_length]", "regularizer.path_length.player=discriminator"), "penalty needs a generator"),
        (("conditioning=codes", "wrapper.generator.conditioning.continuous=5"), "codes of 15 numbers"),
        (
            ("conditioning=codes", "regularizer.code_information_generator.categories=[4]"),
            r"categories=\[4\] differs from conditioning.categories=",
        ),
    ],
)
def test_parts_for_another_player_or_other_codes_are_refused(tiny, overrides: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(tiny("model=wgan_gp", "dataset.resolution=16", "architecture.generator.norm=none", *overrides))
