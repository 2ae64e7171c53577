"""Which samples top-k training keeps, and when."""

import pytest
import torch

from gan_lab.regularizers.selection import TopK

LOGITS = torch.tensor([0.3, -1.0, 2.0, 0.1])


@pytest.mark.parametrize(("images", "share"), [(0, 1.0), (50, 2**-0.5), (100, 0.5), (150, 0.4), (10**9, 0.4)])
def test_share_halves_down_to_its_end(images: int, share: float) -> None:
    assert TopK(share_end=0.4, half_life_images=100).share(images) == pytest.approx(share)


def test_default_is_ninety_nine_hundredths_of_an_epoch_of_cifar() -> None:
    assert TopK().share(50_000) == pytest.approx(0.99, abs=1e-5)
    assert TopK().share(10**8) == 0.5


@pytest.mark.parametrize(("images", "kept"), [(0, {0, 1, 2, 3}), (50, {0, 2, 3}), (100, {0, 2}), (10**6, {2})])
def test_keeps_the_most_realistic(images: int, kept: set[int]) -> None:
    """Shares 1, 0.71 (rounded up to three of four), 0.5, and at the end always one."""
    indices = TopK(share_end=0.01, half_life_images=100)(images, LOGITS)
    assert indices.dtype == torch.int64 and set(indices.tolist()) == kept


def test_gradient_reaches_the_kept_samples_only() -> None:
    logits = LOGITS.clone().requires_grad_()
    logits[TopK()(10**9, logits)].mean().backward()
    assert logits.grad is not None and logits.grad.tolist() == [0.5, 0, 0.5, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share_end": 0.0}, r"selection.share_end=0.0 .* in \(0, 1\]"),
        ({"share_end": 1.1}, "selection.share_end=1.1"),
        ({"half_life_images": 0}, "selection.half_life_images=0 .* greater than 0"),
    ],
)
def test_refuses_what_makes_no_sense(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopK(**settings)
