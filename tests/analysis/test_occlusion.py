"""Occlusion of images for scores whose answer is known."""

import pytest
import torch

from gan_lab.analysis.occlusion import importance, log_odds, most_important


def test_log_odds_of_a_class() -> None:
    logits = torch.tensor([[2.0, 0.5, -1.0]])
    probability = logits.softmax(1)[0, 1].item()
    assert log_odds(logits, 1).item() == pytest.approx(torch.tensor(probability / (1 - probability)).log().item())
    assert log_odds(torch.tensor([[3.0, 1.0]]), 0).item() == 2.0  # of two classes the difference
    assert log_odds(torch.tensor([[200.0, 0.0]]), 0).item() == 200.0  # where the probability is 1 already


def test_a_linear_score_decreases_by_the_weighted_pixels_under_the_patch() -> None:
    weights = torch.zeros(8, 8)
    weights[:4, 4:] = 1.0  # a quarter counts
    images = torch.full((2, 1, 8, 8), 0.5)
    images[1] = -0.5

    def score(images: torch.Tensor) -> torch.Tensor:
        return (images.squeeze(1) * weights).sum((1, 2))

    found = importance(images, score, patch=4)
    assert found[0, 0, 7] == pytest.approx(0.5 * 16)  # the corner is under one patch only, which covers the quarter
    assert found[0, 7, 0] == 0 and found[0].argmax() in range(32)
    torch.testing.assert_close(found[1], -found[0])  # occlusion raises the score of the dark image
    masks = most_important(found, area=0.25)
    assert masks[0, :2, 6:].all() and not masks[0, 6:, :2].any() and masks[0].sum() == 16
    assert not masks[1].any()  # nothing that lowers the score is in it


def test_patches_reach_the_edges_and_change_no_image() -> None:
    images = torch.ones(1, 3, 5, 7)
    found = importance(images, lambda images: images.sum((1, 2, 3)), patch=3)
    torch.testing.assert_close(found, torch.full((1, 5, 7), 3.0 * 9))
    assert images.min() == 1
    covered = importance(images, lambda images: images.sum((1, 2, 3)), patch=50)
    torch.testing.assert_close(covered, torch.full((1, 5, 7), 105.0))
