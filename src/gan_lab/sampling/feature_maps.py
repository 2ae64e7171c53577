"""Feature maps of a generator: the layer whose maps are dropped, and samples without some of them."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.layers.activations import ActivationShape, activation_shapes, shape_numbered
from gan_lab.runs.remote import named
from gan_lab.sampling.pretrained import PretrainedGenerator

Change = Callable[[Tensor], Tensor]
"""A change of the maps (n, maps, h, w) of a layer."""


def layer_of_maps(loaded: PretrainedGenerator, number: int | None = None) -> ActivationShape:
    """The activation of this number, by default the last but one with maps.

    Raises:
        ConfigError: There is none, or it has no maps.
    """
    latents, condition = loaded.draw(2)
    shapes = [shape for shape in activation_shapes(loaded.samples_of, latents, condition) if shape.height > 1]
    if not shapes:
        raise ConfigError(f"{named(loaded.path)} has a generator without feature maps, so no map can be dropped.")
    if number is None:
        return shapes[max(0, len(shapes) - 2)]
    return shape_numbered(shapes, number)


def without_maps(numbers: Tensor) -> Change:
    """The change that sets the maps with these numbers, int64 (k,), to zero."""

    def change(maps: Tensor) -> Tensor:
        kept = torch.ones(maps.shape[1], device=maps.device, dtype=maps.dtype)
        kept[numbers.to(maps.device)] = 0
        return maps * kept[:, None, None]

    return change
