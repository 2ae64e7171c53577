"""Which feature maps of a generator draw a concept: separation by logistic regression, and agreement of single maps.

Radford et al. (2016), section 6.3.1, find the maps that draw windows by a logistic regression on activation vectors;
Bau et al. (2019), "GAN Dissection", by the agreement (intersection over union) of each map with segmentation masks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.data.sampler import shuffle
from gan_lab.noise import mix

COVERAGE = 0.5
"""Fraction of a cell of a map above which it counts as part of the concept."""

RULES = ("bright", "dark", "red", "green", "blue", "different")
"""Rules that make a mask of the pixels, see `mask_by_rule`."""

_MOST_STEPS = 50
_TAILS = 100  # thresholds of a map, as tail fractions from 1e-3 to 1


@dataclass(frozen=True)
class Separation:
    """A logistic regression that separates activation vectors inside a concept from those outside.

    Attributes:
        weight: float64 (maps,), of maps divided by their standard deviation: the larger, the more the map is active
            inside the concept only.
        auc: Area under the ROC curve for images that were not used for fitting: 0.5 for chance, 1 for perfect.
    """

    weight: Tensor
    auc: float

    @property
    def order(self) -> Tensor:
        """Numbers of the maps by weight, the largest first."""
        return self.weight.argsort(descending=True, stable=True)


def mask_by_rule(images: Tensor, rule: str, threshold: float, mean: Tensor | None = None) -> Tensor:
    """Mask bool (n, H, W) of images (n, C, H, W) in [-1, 1].

    Args:
        images: Gray or RGB; a color needs RGB.
        rule: `bright`: the mean over channels is above the threshold; `dark`: below it; a color: its channel is larger
            than each other one by more than the threshold; `different`: the mean absolute difference from the mean
            image is above it.
        threshold: In units of the range [-1, 1].
        mean: The mean image (C, H, W) of `different`; None for that of these images.

    Raises:
        ValueError: The rule does not exist, or needs colors that the images do not have.
    """
    if rule in ("bright", "dark"):
        gray = images.mean(1)
        return gray > threshold if rule == "bright" else gray < threshold
    if rule == "different":
        return (images - (images.mean(0) if mean is None else mean)).abs().mean(1) > threshold
    if rule not in RULES:
        raise ValueError(f"concept.rule={rule} is not known; choose from {', '.join(RULES)}")
    if images.shape[1] < 3:
        raise ValueError(f"concept.rule={rule} needs images in color; choose bright, dark or different")
    channel = ("red", "green", "blue").index(rule)
    others = [images[:, other] for other in range(3) if other != channel]
    return images[:, channel] > torch.maximum(*others) + threshold


def fraction_by_rule(images: Tensor, rule: str, threshold: float) -> Tensor:
    """Fraction of the pixels of each image that a rule finds, float32 (n,); see `mask_by_rule`."""
    return mask_by_rule(images, rule, threshold).flatten(1).float().mean(1)


def rectangle_mask(rectangle: tuple[float, float, float, float], count: int, height: int, width: int) -> Tensor:
    """The same rectangle in every mask, bool (count, height, width).

    Args:
        rectangle: Left, top, right, bottom as fractions of width and height.
        count: Number of masks.
        height: Of a mask.
        width: Of a mask.
    """
    left, top, right, bottom = rectangle
    mask = torch.zeros(count, height, width, dtype=torch.bool)
    mask[:, round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
    return mask


def coverage(masks: Tensor, height: int, width: int) -> Tensor:
    """Fraction of each cell of a height x width grid that masks (n, H, W) cover, float32 (n, height, width)."""
    return F.adaptive_avg_pool2d(masks[:, None].float(), (height, width)).squeeze(1)


def separate(maps: Tensor, masks: Tensor, held_out: int, cost: float = 1.0, seed: int = 0) -> Separation:
    """Fit a logistic regression on activation vectors inside and outside of a concept.

    A vector is positive where the mask covers more than half of its cell, negative where it covers nothing. In each
    image there are at most as many negatives as positives, chosen by the seed. Maps are divided by their standard
    deviation, which keeps the signs of weights.

    Args:
        maps: float (n, maps, h, w).
        masks: bool (n, H, W).
        held_out: Number of images, the last ones, for the AUC.
        cost: C of the regression: its penalty is |w|^2 / 2C.
        seed: Key of the choice of negatives.

    Raises:
        ValueError: One of the parts has no positives or no negatives.
    """
    covered = coverage(masks, *maps.shape[2:]).to(maps.device)
    positive, negative = covered > COVERAGE, covered == 0
    scale = maps.std((0, 2, 3)).clamp(min=1e-12).double()  # (maps,)
    vectors, targets = [], []
    parts = {f"first {len(maps) - held_out}": slice(None, -held_out), f"last {held_out}": slice(-held_out, None)}
    for name, part in parts.items():
        inside, outside = _chosen(maps[part], positive[part], negative[part], seed)
        if not (len(inside) and len(outside)):
            raise ValueError(
                f"the concept is in none of the {name} samples, or covers all of each; change its threshold or place, "
                f"or samples and held_out (now {held_out}, the last ones)"
            )
        vectors.append(torch.cat([inside, outside]).double() / scale)
        targets.append(torch.cat([torch.ones(len(inside)), torch.zeros(len(outside))]).double().to(maps.device))
    weight, bias = logistic_regression(vectors[0], targets[0], cost)
    return Separation(weight.cpu(), area_under_curve(vectors[1] @ weight + bias, targets[1]))


def _chosen(maps: Tensor, positive: Tensor, negative: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Activation vectors (k, maps) inside, and at most as many of each image outside."""
    inside, outside = [], []
    for number, (each, yes, no) in enumerate(zip(maps, positive, negative, strict=True)):
        rows, others = each[:, yes].T, each[:, no].T
        order = shuffle(len(others), mix(seed, number)).to(maps.device)
        inside.append(rows)
        outside.append(others[order[: len(rows)]])
    return torch.cat(inside), torch.cat(outside)


def logistic_regression(x: Tensor, y: Tensor, cost: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weights (d,) and bias (0-dim) that minimize |w|^2 / 2C + sum log(1 + exp(-t f(x))), t = 2y - 1; by Newton steps.

    Args:
        x: float64 (n, d).
        y: float64 (n,), 0 or 1.
        cost: C.
    """
    rows = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    penalty = torch.full((rows.shape[1],), 1 / cost, dtype=x.dtype, device=x.device)
    penalty[-1] = 0  # the bias is free
    weight = torch.zeros_like(penalty)
    ridge = torch.diag(penalty) + 1e-9 * torch.eye(len(penalty), dtype=x.dtype, device=x.device)

    def objective(at: Tensor) -> Tensor:
        return (penalty * at.square()).sum() / 2 + F.binary_cross_entropy_with_logits(rows @ at, y, reduction="sum")

    value = objective(weight)
    for _ in range(_MOST_STEPS):
        p = torch.sigmoid(rows @ weight)
        gradient = rows.T @ (p - y) + penalty * weight
        change = torch.linalg.solve((rows.T * (p * (1 - p))) @ rows + ridge, gradient)
        size = 1.0
        while (after := objective(weight - size * change)) > value and size > 1e-6:
            size /= 2
        weight = weight - size * change
        if value - after <= 1e-10 * value.abs():
            break
        value = after
    return weight[:-1], weight[-1]


def area_under_curve(scores: Tensor, targets: Tensor) -> float:
    """Area under the ROC curve: probability that a positive has a higher score than a negative; ties count half."""
    positive, negative = scores[targets > 0], scores[targets <= 0].sort().values
    below = torch.searchsorted(negative, positive) + torch.searchsorted(negative, positive, right=True)
    return (below.double().mean() / (2 * len(negative))).item()


@dataclass(frozen=True)
class Agreement:
    """Agreement of thresholded maps with masks.

    Attributes:
        iou: Intersection over union, summed over all images, float64 (maps,).
        threshold: Threshold of each map, float64 (maps,): the one with the largest information quality ratio.
    """

    iou: Tensor
    threshold: Tensor


def agreement(maps: Tensor, masks: Tensor) -> Agreement:
    """Intersection over union of each map, enlarged to the masks and thresholded, with masks.

    The threshold maximizes the information quality ratio of map and mask, I(A; B) / H(A, B), over 100 tail fractions of
    the map from 0.001 to 1 (Bau et al., 2019, code).

    Args:
        maps: float (n, maps, h, w).
        masks: bool (n, H, W).
    """
    ious, thresholds = [], []
    truth = masks.flatten()
    tails = torch.logspace(-3, 0, _TAILS)
    for number in range(maps.shape[1]):
        enlarged = F.interpolate(
            maps[:, number : number + 1].float().cpu(), masks.shape[1:], mode="bilinear", align_corners=False
        )
        values = enlarged.flatten()
        ordered, places = values.sort(descending=True)
        found = truth[places].cumsum(0)
        kept = (tails * len(values)).round().long().clamp(1, len(values))
        both = found[kept - 1].double()
        total = torch.tensor(float(len(values)), dtype=torch.float64)
        active, inside = kept.double(), truth.sum().double()
        ratio = information_quality_ratio(both / total, active / total, inside / total)
        best = int(ratio.argmax())
        ious.append(both[best] / (active[best] + inside - both[best]).clamp(min=1))
        thresholds.append(ordered[kept[best] - 1].double())
    return Agreement(torch.stack(ious), torch.stack(thresholds))


def information_quality_ratio(both: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """I(A; B) / H(A, B) of two events; 0 if the joint entropy is 0.

    Args:
        both: Probability of A and B.
        first: Probability of A.
        second: Probability of B.
    """
    joint = torch.stack([both, first - both, second - both, 1 - first - second + both]).clamp(min=0)
    a, b = torch.stack([first, 1 - first]), torch.stack([second.expand_as(first), 1 - second.expand_as(first)])
    entropies = [torch.special.entr(each).sum(0) for each in (joint, a, b)]
    return torch.where(entropies[0] > 0, (entropies[1] + entropies[2] - entropies[0]) / entropies[0], 0.0)


def random_maps(count: int, of: int, sets: int, seed: int) -> list[Tensor]:
    """Several random choices of `count` of `of` maps."""
    return [shuffle(of, mix(seed, number))[:count] for number in range(sets)]


def doses(wanted: list[int], positive: int, maps: int) -> list[int]:
    """Numbers of maps to drop in ascending order: the wanted ones that exist, and all with a positive weight."""
    return sorted({number for number in [*wanted, positive] if 0 < number <= maps})
