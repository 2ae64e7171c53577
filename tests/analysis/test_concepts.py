"""Concepts in feature maps: masks, separation and agreement in closed form."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from gan_lab.analysis.concepts import (
    agreement,
    area_under_curve,
    coverage,
    information_quality_ratio,
    logistic_regression,
    mask_by_rule,
    rectangle_mask,
    separate,
)


def test_rules_on_pixels() -> None:
    gray = torch.tensor([[-1.0, 0.5]]).reshape(1, 1, 1, 2)
    assert mask_by_rule(gray, "bright", 0).tolist() == [[[False, True]]]
    assert mask_by_rule(gray, "dark", 0).tolist() == [[[True, False]]]
    color = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.1, 0.3]]).T.reshape(1, 3, 1, 2)
    assert mask_by_rule(color, "red", 0.15).tolist() == [[[True, False]]]
    assert mask_by_rule(color, "blue", 0.15).tolist() == [[[False, True]]]
    assert mask_by_rule(color, "blue", 0.25).tolist() == [[[False, False]]]
    two = torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(2, 1, 1, 2)
    assert mask_by_rule(two, "different", 0.2).tolist() == [[[False, True]], [[False, True]]]
    assert mask_by_rule(two, "different", 0.2, mean=two[0]).tolist() == [[[False, False]], [[False, True]]]
    with pytest.raises(ValueError, match="needs images in color"):
        mask_by_rule(gray, "red", 0)


def test_a_rectangle_and_the_cells_that_it_covers() -> None:
    mask = rectangle_mask((0.25, 0, 0.75, 0.5), 1, 4, 8)
    assert mask[0].sum() == 8 and mask[0, :2, 2:6].all()
    assert coverage(mask, 2, 4)[0].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert coverage(mask, 1, 1).item() == pytest.approx(0.25)


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator, dtype=torch.float64)
    y = (
        x @ torch.tensor([1.0, -2, 0, 0.5], dtype=torch.float64) + torch.randn(300, generator=generator) > 0.3
    ).double()
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(x.numpy(), y.numpy())
    weight, bias = logistic_regression(x, y, 0.5)
    assert weight.numpy() == pytest.approx(reference.coef_[0], abs=1e-5)
    assert bias.item() == pytest.approx(reference.intercept_[0], abs=1e-5)


def test_area_under_the_curve_with_ties() -> None:
    scores, targets = torch.tensor([0.1, 0.4, 0.4, 0.8, 0.4]), torch.tensor([0.0, 0, 1, 1, 0])
    assert area_under_curve(scores, targets) == pytest.approx(roc_auc_score(targets.numpy(), scores.numpy()))


def test_the_map_that_is_active_inside_has_the_largest_weight() -> None:
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(30, 1, 1, generator=generator).expand(30, 4, 4) > 0.5
    masks = masks.clone()
    masks[:, :, 2:] = False
    maps = torch.rand(30, 3, 4, 4, generator=generator)
    maps[:, 1] += 2 * masks
    maps[:, 2] = 7  # the same everywhere
    found = separate(maps, masks, held_out=10)
    assert found.order[0] == 1 and found.weight[1] > 0.5 and abs(found.weight[2]) < 0.1
    assert found.auc > 0.99
    with pytest.raises(ValueError, match="in none of the first"):
        separate(maps, torch.zeros_like(masks), held_out=10)


def test_agreement_of_equal_and_independent_masks() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    unrelated = torch.zeros(2, 4, 4)
    unrelated[:, :, ::2] = 1
    found = agreement(torch.stack([masks.float(), unrelated], 1), masks)
    assert found.iou[0] == 1
    assert found.iou[1] <= 0.5  # of densities 1/2 and 1/2 a third at the threshold between, a half for all pixels


def test_information_quality_ratio_in_closed_form() -> None:
    both, first, second = (torch.tensor(each, dtype=torch.float64) for each in (0.4, 0.5, 0.5))
    assert information_quality_ratio(both, first, second).item() == pytest.approx(0.192745 / 1.193550, abs=1e-5)
    assert information_quality_ratio(first * second, first, second).item() == pytest.approx(0, abs=1e-12)
    assert information_quality_ratio(first, first, first).item() == pytest.approx(1)


def test_cells_at_the_edge_of_a_concept_are_neither_inside_nor_outside() -> None:
    masks = torch.zeros(20, 4, 4, dtype=torch.bool)
    masks[:, :2, :2] = True  # the first cell of 2 x 2
    masks[:, 2, 0] = True  # a quarter of the third
    maps = torch.rand(20, 2, 2, 2, generator=torch.Generator().manual_seed(2))
    maps[:, 0, 1, 0] = 50.0
    separated = separate(maps, masks, held_out=5)
    maps[:, 0, 1, 0] = -50.0
    again = separate(maps, masks, held_out=5)
    assert separated.auc == again.auc and max(abs(each.weight[0]) for each in (separated, again)) < 0.2
