"""Gradients of features with respect to the image: guided backpropagation and the plain gradient.

Guided backpropagation (Springenberg et al., 2015) passes the gradient R of an activation function f back as
1[f > 0] 1[R > 0] R: where the unit is on, and only what raises it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_lab.layers.activations import AtActivations, activations

RULES = ("relu", "leaky", "plain")
"""`relu` treats leaky ReLUs like ReLUs; `leaky` keeps their slope below zero; `plain` is the gradient."""


@dataclass(frozen=True)
class Strongest:
    """The images that activate each map most.

    Attributes:
        images: Numbers of the images, int64 (maps, k), the strongest first.
        rows: Row of the maximum in the map, int64 (maps, k).
        columns: Its column.
        values: Its value.
    """

    images: Tensor
    rows: Tensor
    columns: Tensor
    values: Tensor


def guided_gradient(function: Callable[[Tensor], Tensor], images: Tensor, rule: str = "relu") -> Tensor:
    """Gradient of the sum of a function's values with respect to images, by a rule of `RULES`.

    Args:
        function: Images (n, C, H, W) to a tensor of any shape; applies networks.
        images: float32 (n, C, H, W).
        rule: How gradients pass activation functions.

    Returns:
        float32 (n, C, H, W). Gradients of parameters are not computed.
    """
    given = images.detach().clone().requires_grad_()

    def guide(_: int, output: Tensor) -> None:
        if rule == "plain" or not output.requires_grad:
            return
        on = output.detach() > 0
        if rule == "leaky":
            output.register_hook(lambda gradient: gradient.clamp(min=0))
        else:
            output.register_hook(lambda gradient: gradient.clamp(min=0) * on)

    with torch.enable_grad(), AtActivations(guide):
        total = function(given).sum()
    (gradient,) = torch.autograd.grad(total, given)
    return gradient


@torch.no_grad()
def strongest(features: Callable[[Tensor], Tensor], batches: Iterable[Tensor], number: int, count: int) -> Strongest:
    """For each map of an activation, the images with the largest spatial maximum.

    Args:
        features: Applies a network to images (n, C, H, W).
        batches: Images in their order.
        number: The activation, see `activations`; its maps are (n, channels, h, w).
        count: Images of each map.
    """
    maxima, places, width = [], [], 1
    for images in batches:
        (maps,) = activations(features, images, numbers=[number])
        width = maps.shape[3]
        value, place = maps.flatten(2).max(2)
        maxima.append(value.cpu())
        places.append(place.cpu())
    value, image = torch.cat(maxima).topk(count, dim=0)  # (count, channels)
    place = torch.cat(places).gather(0, image)
    return Strongest(image.T, (place // width).T, (place % width).T, value.T)


def unit(features: Callable[[Tensor], Tensor], number: int, channel: int, row: Tensor, column: Tensor) -> Callable:
    """Function from images (n, C, H, W) to the activation (n,) of a channel at one place of each."""

    def at_place(images: Tensor) -> Tensor:
        (maps,) = activations(features, images, numbers=[number])
        return maps[torch.arange(len(maps), device=maps.device), channel, row.to(maps.device), column.to(maps.device)]

    return at_place


def receptive_fields(features: Callable[[Tensor], Tensor], images: Tensor, number: int) -> Callable[[int, int], tuple]:
    """Function from row and column of a map to its receptive field: top, bottom, left, right in pixels.

    Found by which pixels have a gradient for any of these images, so it needs no knowledge of the network.

    Args:
        features: Applies a network.
        images: A few images (n, C, H, W), for instance noise.
        number: The activation.
    """
    known: dict[tuple[int, int], tuple[int, int, int, int]] = {}

    def field(row: int, column: int) -> tuple[int, int, int, int]:
        if (row, column) not in known:

            def place(given: Tensor) -> Tensor:
                return activations(features, given, numbers=[number])[0][:, :, row, column]

            seen = guided_gradient(place, images, "plain").abs().amax((0, 1)) > 0  # (H, W)
            rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
            known[row, column] = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        return known[row, column]

    return field


def purity(images: Tensor, labels: Tensor) -> float:
    """Mean fraction of the most frequent class among the images (maps, k) of each map.

    Args:
        images: Numbers of images, as in `Strongest`.
        labels: int64, class of each image.
    """
    classes = labels[images]  # (maps, k)
    counts = torch.nn.functional.one_hot(classes, int(labels.max()) + 1).sum(1)
    return (counts.max(1).values / classes.shape[1]).double().mean().item()
