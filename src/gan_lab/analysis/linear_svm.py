"""Linear support vector machines with the squared hinge loss, one against the rest: an exact and an iterative solver.

Both minimize 1/2 |w|^2 + C sum_i max(0, 1 - y_i (w x_i + b))^2 for each class, with b as the weight of a constant
feature 1, so that it is penalized too: the objective of scikit-learn's `LinearSVC` with its defaults.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_ROWS_OF_DUAL = 4000
"""Rows up to which the dual is solved: its matrix has rows^2 numbers of 8 bytes."""

_MOST_STEPS = 200
_CHUNK = 4096  # rows that are converted to float32 at once


@dataclass(frozen=True)
class LinearSVM:
    """A classifier.

    Attributes:
        weight: float32 (d, classes).
        bias: float32 (classes,).
    """

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Decision values (n, classes) of features (n, d)."""
        chunks = [chunk.float() @ self.weight + self.bias for chunk in features.split(_CHUNK)]
        return torch.cat(chunks)

    def error(self, features: Tensor, labels: Tensor) -> float:
        """Fraction of wrong classes for features (n, d) and labels (n,)."""
        return (self.scores(features).argmax(1) != labels).double().mean().item()


def fit_all(features: Tensor, labels: Tensor, classes: int, costs: Sequence[float]) -> list[LinearSVM]:
    """A classifier for each C, by the exact solver for up to `MOST_ROWS_OF_DUAL` rows and the iterative one for many.

    Args:
        features: float (n, d).
        labels: int64 (n,) from 0 on.
        classes: Number of classes.
        costs: The values of C, greater than 0.
    """
    solver = fit_dual if len(features) <= MOST_ROWS_OF_DUAL else fit_primal
    return list(solver(features, labels, classes, costs))


def fit_dual(features: Tensor, labels: Tensor, classes: int, costs: Iterable[float]) -> Iterator[LinearSVM]:
    """Exact: Newton's method on the set of rows inside the margin, in float64 (Keerthi & DeCoste, 2005).

    With K = X X^T + 1 and S the rows with y_i f_i < 1, the solution for a fixed S is a = (K_SS + I / 2C)^-1 y_S. All C
    use the same K. See `fit_all` for the arguments.
    """
    x = features.double()
    kernel = x @ x.T + 1
    signs = _signs(labels, classes).double()
    duals = [torch.zeros_like(column) for column in signs.T]
    for cost in costs:
        # The next C begins at the solution of this one, which has nearly the same rows inside the margin.
        duals = [_newton(kernel, column, cost, start) for column, start in zip(signs.T, duals, strict=True)]
        dual = torch.stack(duals, 1)  # (n, classes)
        yield LinearSVM((x.T @ dual).float(), dual.sum(0).float())


def _newton(kernel: Tensor, signs: Tensor, cost: float, dual: Tensor) -> Tensor:
    """Dual variables (n,) of one class, from those of another C."""
    scores = kernel @ dual
    inside = signs * scores < 1
    value = _objective(dual, scores, signs, cost)
    for _ in range(_MOST_STEPS):
        rows = inside.nonzero().squeeze(1)
        target = torch.zeros_like(signs)
        system = kernel[rows][:, rows] + torch.eye(len(rows), dtype=kernel.dtype, device=kernel.device) / (2 * cost)
        target[rows] = torch.cholesky_solve(signs[rows, None], torch.linalg.cholesky(system)).squeeze(1)
        step = 1.0  # halved until the primal objective falls; the full step is nearly always taken
        while True:
            tried = dual + step * (target - dual)
            scores = kernel @ tried
            after = _objective(tried, scores, signs, cost)
            if after <= value or step < 1e-6:
                break
            step /= 2
        new = signs * scores < 1
        if step == 1.0 and torch.equal(new, inside):
            return tried
        dual, value, inside = tried, after, new
    return dual


def _objective(dual: Tensor, scores: Tensor, signs: Tensor, cost: float) -> float:
    margin = (1 - signs * scores).clamp(min=0)
    return (dual @ scores / 2 + cost * margin.square().sum()).item()


def fit_primal(features: Tensor, labels: Tensor, classes: int, costs: Iterable[float]) -> Iterator[LinearSVM]:
    """Iterative: full-batch L-BFGS in float32, each C from the solution of the one before.

    Memory: the features, in whatever precision they are, and the weights. See `fit_all` for the arguments.
    """
    signs = _signs(labels, classes).float()
    weight = torch.zeros(features.shape[1] + 1, classes, device=features.device)
    for cost in costs:
        weight = _lbfgs(features, signs, weight, cost)
        yield LinearSVM(weight[:-1].clone(), weight[-1].clone())


def _lbfgs(features: Tensor, signs: Tensor, start: Tensor, cost: float) -> Tensor:
    weight = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight], max_iter=2 * _MOST_STEPS, tolerance_grad=1e-6, tolerance_change=1e-12, line_search_fn="strong_wolfe",
        history_size=20,
    )  # fmt: skip

    def closure() -> Tensor:
        """The objective of all classes and, by hand, its gradient, so that one chunk is in float32 at a time."""
        with torch.no_grad():
            loss, gradient = weight.square().sum() / 2, weight.clone()
            for x, y in zip(features.split(_CHUNK), signs.split(_CHUNK), strict=True):
                x = x.float()
                margin = (1 - y * (x @ weight[:-1] + weight[-1])).clamp(min=0)
                loss = loss + cost * margin.square().sum()
                slope = -2 * cost * y * margin
                gradient[:-1] += x.T @ slope
                gradient[-1] += slope.sum(0)
        weight.grad = gradient
        return loss

    optimizer.step(closure)
    return weight.detach()


def _signs(labels: Tensor, classes: int) -> Tensor:
    """1 for the class of a row, -1 for the others: (n, classes)."""
    return 2 * torch.nn.functional.one_hot(labels, classes) - 1
