"""Top-k training: the selected samples, and how many of them over the run."""

import pytest
import torch

from gan_lab.regularizers.selection import TopK

LOGITS = torch.tensor([0.3, -1.0, 2.0, 0.1])


@pytest.mark.parametrize(("images", "fraction"), [(0, 1.0), (50, 2**-0.5), (100, 0.5), (150, 0.4), (10**9, 0.4)])
def test_fraction_halves_down_to_its_minimum(images: int, fraction: float) -> None:
    assert TopK(min_fraction=0.4, half_life_images=100).fraction(images) == pytest.approx(fraction)


def test_default_is_a_factor_of_0_99_for_each_epoch_of_cifar() -> None:
    assert TopK().fraction(50_000) == pytest.approx(0.99, abs=1e-5)
    assert TopK().fraction(10**8) == 0.5


@pytest.mark.parametrize(
    ("images", "kept"), [(0, {0, 1, 2, 3}), (41, {0, 2, 3}), (50, {0, 2}), (100, {0, 2}), (10**6, {2})]
)
def test_keeps_the_highest_logits(images: int, kept: set[int]) -> None:
    """Fractions 1, 0.753 and 0.71 (3.01 and 2.83 of four, rounded down), 0.5, and at the end always one sample."""
    indices = TopK(min_fraction=0.01, half_life_images=100)(images, LOGITS)
    assert indices.dtype == torch.int64 and set(indices.tolist()) == kept


def test_gradient_reaches_the_kept_samples_only() -> None:
    logits = LOGITS.clone().requires_grad_()
    logits[TopK()(10**9, logits)].mean().backward()
    assert logits.grad is not None and logits.grad.tolist() == [0.5, 0, 0.5, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_fraction": 0.0}, r"min_fraction=0.0 .* in \(0, 1\]"),
        ({"min_fraction": 1.1}, "min_fraction=1.1"),
        ({"half_life_images": 0}, "half_life_images=0 .* greater than 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopK(**options)
