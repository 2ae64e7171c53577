"""Directions of a generator's latents or styles, by GANSpace or SeFa."""

import torch
from torch import Tensor, nn

from gan_lab.analysis.directions import Directions, factorized_directions, principal_directions, regressed_directions
from gan_lab.errors import ConfigError
from gan_lab.layers.activations import activation_shapes, output_and_activation, shape_numbered
from gan_lab.layers.modulated_conv import ModulatedConv2d
from gan_lab.progress import progress
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.sampling.spaces import Space


def find_directions(
    space: Space, method: str, points: Tensor, condition: Tensor | None, count: int, layer: int, batch_size: int
) -> Directions:
    """Directions along which samples change, without scores of samples.

    Args:
        space: Space of the points.
        method: `pca` (GANSpace) or `sefa`.
        points: Points of samples (n, dim), for pca.
        condition: Their condition, or None.
        count: Directions.
        layer: Of pca in z: the activation whose principal components are used.
        batch_size: Samples at a time.

    Raises:
        ConfigError: The generator has no such layer, or no linear layer for sefa.
    """
    if method == "sefa":
        return factorized_directions(_first_weight(space, points.shape[1]), count)
    if space.name == "w":
        return principal_directions(points, count)
    return regressed_directions(points, _maps(space.loaded, points, condition, layer, batch_size), count)


def _first_weight(space: Space, dim: int) -> Tensor:
    """The weight (outputs, dim) of the first layer that the latents meet, or of all layers that the styles meet.

    Raises:
        ConfigError: The first layer of the latents is not linear.
    """
    modules = list(space.loaded.generator.modules())
    if space.name == "w":
        return torch.cat([module.affine.weight for module in modules if isinstance(module, ModulatedConv2d)]).cpu()
    for module in modules:
        if isinstance(module, nn.Linear) and module.in_features >= dim:
            return module.weight[:, :dim].detach().cpu()
    raise ConfigError("method=sefa needs a linear layer that takes the latents, which this generator lacks; use pca.")


def _maps(loaded: PretrainedGenerator, points: Tensor, condition: Tensor | None, layer: int, batch_size: int) -> Tensor:
    """Activations of the chosen layer for all points, on the CPU.

    Raises:
        ConfigError: There is no such layer.
    """
    shape_numbered(activation_shapes(loaded.samples_of, *_rows(points, condition, slice(2))), layer)
    maps = []
    for k in progress(range(0, len(points), batch_size), "activations"):
        inputs = _rows(points, condition, slice(k, k + batch_size))
        _, found = output_and_activation(loaded.samples_of, layer, *inputs)
        maps.append(found.float().cpu())
    return torch.cat(maps)


def _rows(points: Tensor, condition: Tensor | None, rows: slice) -> tuple[Tensor, Tensor | None]:
    return points[rows], None if condition is None else condition[rows]
