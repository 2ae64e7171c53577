"""Linear SVMs against scikit-learn's, and identities of their objective."""

from collections.abc import Callable

import numpy
import pytest
import torch
from sklearn.svm import LinearSVC

from gan_lab.analysis.linear_svm import fit_all, fit_dual, fit_primal
from gan_lab.data.digits import read_digits

COSTS = (1e-3, 0.1)
SOLVERS = pytest.mark.parametrize("solver", [fit_dual, fit_primal])


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """400 digits as rows in [0, 1]."""
    data = read_digits()
    return torch.from_numpy(data.items[:400]).float().flatten(1) / 255, torch.as_tensor(data.labels[:400]).long()


@pytest.mark.parametrize("cost", COSTS)
def test_solutions_are_those_of_scikit_learn(digits: tuple[torch.Tensor, torch.Tensor], cost: float) -> None:
    x, labels = digits
    reference = LinearSVC(C=cost, dual=True, tol=1e-8, max_iter=100000).fit(x.double().numpy(), labels.numpy())
    (exact,) = fit_dual(x, labels, 10, [cost])
    numpy.testing.assert_allclose(exact.weight.T.numpy(), reference.coef_, atol=1e-5)
    numpy.testing.assert_allclose(exact.bias.numpy(), reference.intercept_, atol=1e-5)
    (close,) = fit_primal(x, labels, 10, [cost])
    numpy.testing.assert_allclose(close.scores(x).numpy(), exact.scores(x).numpy(), atol=2e-2)
    assert (close.scores(x).argmax(1) == exact.scores(x).argmax(1)).double().mean() >= 0.995


@SOLVERS
def test_every_row_twice_and_half_of_c_is_the_same(digits: tuple[torch.Tensor, torch.Tensor], solver: Callable) -> None:
    x, labels = digits
    (once,) = solver(x, labels, 10, [0.01])
    (twice,) = solver(torch.cat([x, x]), torch.cat([labels, labels]), 10, [0.005])
    torch.testing.assert_close(once.scores(x), twice.scores(x), atol=2e-3, rtol=0)


def test_scaled_features_with_a_scaled_c_make_the_same_decisions(digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, labels = digits
    x = torch.cat([x, torch.ones(len(x), 1)], 1) - 0.5
    # The constant feature is not scaled with the others, so b must be free of the penalty to be exactly equal.
    (plain,) = fit_dual(100 * x, labels, 10, [0.01])
    (scaled,) = fit_dual(1000 * x, labels, 10, [0.0001])
    assert (plain.scores(100 * x).argmax(1) == scaled.scores(1000 * x).argmax(1)).all()


@SOLVERS
def test_separable_points_and_constant_features(solver: Callable) -> None:
    points = torch.tensor([[0.0, 0], [0, 1], [5, 5], [5, 6], [9, 0], [9, 1]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    (separated,) = solver(points, labels, 3, [100.0])
    assert separated.error(points, labels) == 0
    (constant,) = solver(torch.ones(5, 2), torch.tensor([0, 1, 1, 1, 2]), 3, [1.0])
    assert constant.scores(torch.ones(1, 2)).argmax().item() == 1


def test_shuffled_labels_are_not_predicted(digits: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, labels = digits
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    (found,) = fit_all(x[:200], shuffled[:200], 10, [0.1])
    assert found.error(x[200:], shuffled[200:]) >= 0.9 - 3 * (0.09 / 200) ** 0.5
