"""Closed forms of InfoGAN's regularizer, and its samples for either player."""

import math

import pytest
import torch

from gan_lab.gans.conditions import Codes
from gan_lab.noise import Noise
from gan_lab.regularizers.functional import code_information
from gan_lab.regularizers.information import CodeInformation
from tests.helpers.critic_steps import linear, points, step

CODES = Codes((10, 3), 2).sample(Noise(2, 50_000))


def certain(codes: torch.Tensor) -> torch.Tensor:
    """Predictions of these codes with certainty."""
    return torch.cat([1000 * codes[:, :13], codes[:, 13:]], 1)


@pytest.mark.parametrize("size", [2, 10, 37])
def test_uniform_logits_give_the_logarithm_of_the_number_of_values(size: int) -> None:
    """So the lower bound of the mutual information, log k minus the loss, is 0."""
    codes = Codes((size,), 0).sample(Noise(0, 8))
    assert code_information(torch.zeros(8, size), codes, (size,)).item() == pytest.approx(math.log(size), rel=1e-6)


def test_perfect_predictions_give_zero() -> None:
    assert code_information(certain(CODES), CODES, (10, 3)).item() == 0


def test_a_mean_of_zero_adds_a_sixth_for_each_continuous_variable() -> None:
    """E c^2 / 2 = 1/6 for c ~ U(-1, 1); the logarithms of the categorical ones are added."""
    value = code_information(torch.zeros_like(CODES), CODES, (10, 3)).item()
    assert value == pytest.approx(math.log(10) + math.log(3) + 2 / 6, abs=0.01)
    only = CODES[:, 13:]
    assert code_information(torch.zeros_like(only), only, ()).item() == pytest.approx(2 / 6, abs=0.01)


def test_codes_of_other_samples_give_more_than_uniform_predictions() -> None:
    """Confident predictions that are right before a permutation of the rows, and wrong nine times of ten after it."""
    codes = CODES[:, :10]
    logits = 5 * codes
    assert code_information(logits, codes, (10,)) < 0.1
    assert code_information(logits, codes.roll(1, 0), (10,)) > math.log(10)


def test_variables_are_added_in_the_order_of_the_code() -> None:
    """By hand: the second variable and the second number are wrong."""
    codes = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.5, -0.5]])
    predicted = torch.tensor([[50.0, 0.0, 2.0, 0.0, 0.5, 0.5]])
    expected = math.log(1 + math.exp(-50)) + math.log(1 + math.exp(2)) + 0.5
    assert code_information(predicted, codes, (2, 2)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_generated_samples_are_used_for_either_player(player: str) -> None:
    """Features are the predictions: perfect on generated samples, NaN on real ones."""
    codes = CODES[:4]
    outputs = step(linear(), torch.full((4, 15), math.nan), certain(codes), codes)
    assert CodeInformation((10, 3), player=player)(outputs).item() == 0


def test_codes_are_required() -> None:
    with pytest.raises(ValueError, match=r"^regularizer=code_information needs codes; set conditioning=codes$"):
        CodeInformation((10,))(step(linear(), points(4, 2), points(4, 2)))
