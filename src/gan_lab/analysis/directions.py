"""Directions of a latent space: GANSpace (Härkönen et al., 2020), SeFa (Shen & Zhou, 2021), InterFaceGAN (Shen, 2020).

All directions are unit vectors, float32 (k, dim), in the space of the latents or styles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_lab.analysis.linear_svm import fit_dual
from gan_lab.data.sampler import shuffle


@dataclass(frozen=True)
class Directions:
    """Unit vectors, the most important first.

    Attributes:
        vectors: float32 (k, dim).
        importance: float32 (k,): fraction of the variance (pca) or squared singular value (sefa).
    """

    vectors: Tensor
    importance: Tensor


@dataclass(frozen=True)
class Boundary:
    """A hyperplane between latents with low and with high scores.

    Attributes:
        vector: Its unit normal, float32 (dim,), towards high scores.
        accuracy: Accuracy on held-out latents of both ends; 0.5 for chance.
        accuracy_of_rest: Accuracy on all other latents, against the median score.
    """

    vector: Tensor
    accuracy: float
    accuracy_of_rest: float


def principal_directions(points: Tensor, count: int) -> Directions:
    """Principal components of points (n, dim), such as styles.

    Args:
        points: float (n, dim).
        count: Components; at most min(n, dim) are there.
    """
    centered = (points - points.mean(0)).double()
    _, singular, components = torch.linalg.svd(centered, full_matrices=False)
    variance = singular.square() / singular.square().sum()
    return Directions(components[:count].float(), variance[:count].float())


def regressed_directions(latents: Tensor, maps: Tensor, count: int) -> Directions:
    """Directions of the latents that follow the principal components of activations (GANSpace, section 3.1).

    The activations' coordinates in units of their standard deviation predict the latents by least squares; the rows of
    the solution, normalized, are the directions.

    Args:
        latents: float (n, dim).
        maps: float (n, ...), activations of these latents.
        count: Components.
    """
    flat = maps.flatten(1).double()
    found = principal_directions(flat, count)
    coordinates = (flat - flat.mean(0)) @ found.vectors.double().T
    coordinates = coordinates / coordinates.std(0).clamp(min=1e-12)
    solution = torch.linalg.lstsq(coordinates, latents.double() - latents.double().mean(0)).solution  # (k, dim)
    return Directions(nn.functional.normalize(solution, dim=1).float(), found.importance)


def factorized_directions(weight: Tensor, count: int) -> Directions:
    """Eigenvectors of A^T A for the first weight A that the latents or styles meet (SeFa, section 3).

    As in the authors' code the rows of A are normalized first.

    Args:
        weight: float (outputs, dim).
        count: Directions with the largest eigenvalues.
    """
    rows = nn.functional.normalize(weight.double(), dim=1)
    values, vectors = torch.linalg.eigh(rows.T @ rows)  # ascending
    return Directions(vectors.T.flip(0)[:count].float(), values.flip(0)[:count].float())


def boundary(latents: Tensor, scores: Tensor, tail: float = 0.02, seed: int = 0) -> Boundary:
    """Normal of a linear SVM between the latents with the lowest and the highest scores (InterFaceGAN).

    Args:
        latents: float (n, dim).
        scores: float (n,).
        tail: Fraction of the latents at either end; 70 % of them are for fitting.
        seed: Key of this choice.

    Raises:
        ValueError: There are too few latents, or all scores are equal.
    """
    count = int(tail * len(scores))
    if count < 4:
        raise ValueError(f"tail={tail:g} of {len(scores):,} samples are fewer than 4 at either end; give more samples")
    order = scores.argsort(stable=True)
    if scores[order[0]] == scores[order[-1]]:
        raise ValueError("all samples have the same score, so there is nothing to separate; choose another one")
    ends = torch.cat([latents[order[:count]], latents[order[-count:]]])
    labels = torch.arange(2).repeat_interleave(count)
    mixed = shuffle(2 * count, seed)
    fitted, held_out = mixed[: int(0.7 * 2 * count)], mixed[int(0.7 * 2 * count) :]
    (svm,) = fit_dual(ends[fitted], labels[fitted], 2, [1.0])
    normal = svm.weight[:, 1] - svm.weight[:, 0]
    offset = svm.bias[1] - svm.bias[0]

    def accuracy(points: Tensor, high: Tensor) -> float:
        return ((points @ normal + offset > 0) == high).double().mean().item()

    rest = order[count:-count]
    high = scores[rest] > scores.median()
    vector = normal / normal.norm().clamp(min=1e-12)
    return Boundary(vector, accuracy(ends[held_out], labels[held_out] == 1), accuracy(latents[rest], high))


def conditioned(vector: Tensor, others: Sequence[Tensor]) -> Tensor:
    """The unit vector nearest to `vector` that is orthogonal to all others: edits along it keep their scores.

    Args:
        vector: float (dim,), a unit vector.
        others: Vectors (dim,); none changes nothing.

    Raises:
        ValueError: The vector is a combination of the others.
    """
    if not others:
        return vector
    basis, _ = torch.linalg.qr(torch.stack(list(others), 1).double())
    rest = vector.double() - basis @ (basis.T @ vector.double())
    if rest.norm() < 1e-6:
        raise ValueError("the direction is a combination of those that it should not change")
    return (rest / rest.norm()).float()
