"""Tiles of the explorer: a point of a latent space with its condition, as text that the page keeps."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialized
from safetensors.torch import save as serialized
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.figures import enlarged, png_address

_IMAGE = 192  # pixels of the longer side to which images are enlarged


@dataclass(frozen=True)
class Tiles:
    """Points with their condition.

    Attributes:
        points: float32 (n, dim), on the CPU.
        condition: With n rows, or None.
    """

    points: Tensor
    condition: Tensor | None

    def texts(self) -> list[str]:
        """Text of each tile: base64 of a safetensors file with `point` and, if there is one, `condition`."""
        texts = []
        for number, point in enumerate(self.points.cpu()):
            tensors = {"point": point.clone()}
            if self.condition is not None:
                tensors["condition"] = self.condition[number].cpu().clone()
            texts.append(base64.b64encode(serialized(tensors)).decode())
        return texts


def read_tiles(texts: Sequence[str], like: Tiles) -> Tiles:
    """The tiles of these texts.

    Args:
        texts: At least one, see `Tiles.texts`.
        like: A tile of the same generator.

    Raises:
        ConfigError: A text is damaged, or of another generator.
    """
    wanted = _kinds(like.points[0], None if like.condition is None else like.condition[0])
    points, conditions = [], []
    for text in texts:
        try:
            tensors = deserialized(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError, SafetensorError, KeyError) as error:
            raise ConfigError("A tile is damaged; reload the page.") from error
        point, condition = tensors.get("point"), tensors.get("condition")
        if point is None or _kinds(point, condition) != wanted or not point.isfinite().all():
            raise ConfigError("A tile is of another generator; reload the page.")
        points.append(point)
        conditions.append(condition)
    given = [each for each in conditions if each is not None]
    return Tiles(torch.stack(points), torch.stack(given) if given else None)


def _kinds(point: Tensor, condition: Tensor | None) -> list[Any]:
    return [(each.shape, each.dtype) if each is not None else None for each in (point, condition)]


def image_texts(images: Tensor) -> list[str]:
    """Images (n, C, H, W) in [-1, 1] as addresses that a page can show, enlarged by an integer factor."""
    return [png_address(enlarged(image, _IMAGE)) for image in images.cpu()]
