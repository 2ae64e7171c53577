"""Tiles of the explorer: a point of a latent space with its condition, as text that the page keeps."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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
        points: float32 (n, dim), or (n, layers, dim) with a style for each layer, on the CPU.
        condition: With n rows, or None; weights of the classes, float32 (n, classes), for mixtures.
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


def read_tiles(texts: Sequence[str], like: Tiles, labels: int = 0, mixtures: bool = False, layers: int = 0) -> Tiles:
    """The tiles of these texts; if some have a style for each layer or weights of the classes, all get them.

    Args:
        texts: At least one, see `Tiles.texts`.
        like: A tile of the same generator.
        labels: Number of labels if the condition is a label; else 0.
        mixtures: Whether it may be weights of all labels.
        layers: Number of layers that may have styles of their own; 0 if points are not styles.

    Raises:
        ConfigError: A text is damaged, or of another generator.
    """
    point, condition = _kind(like.points[0]), _kind(None if like.condition is None else like.condition[0])
    allowed_points = [point] + [((layers, *like.points.shape[1:]), like.points.dtype)] * (layers > 0)
    allowed_conditions = [condition] + [((labels,), torch.float32)] * mixtures
    tiles = [_read(text) for text in texts]
    for each, given in tiles:
        known = _kind(each) in allowed_points and _kind(given) in allowed_conditions
        if not (known and each.isfinite().all() and _is_condition(given, labels)):
            raise ConfigError("A tile is of another generator; reload the page.")
    points, conditions = zip(*tiles, strict=True)
    most = max(points, key=torch.Tensor.dim)
    stacked = torch.stack([each.expand_as(most) for each in points])
    found = [each for each in conditions if each is not None]
    if len({each.dtype for each in found}) > 1:
        found = [F.one_hot(each, labels).float() if each.dim() == 0 else each for each in found]
    return Tiles(stacked, torch.stack(found) if found else None)


def _read(text: str) -> tuple[Tensor, Tensor | None]:
    """Point and condition of a text.

    Raises:
        ConfigError: It is damaged.
    """
    try:
        tensors = deserialized(base64.b64decode(text, validate=True))
        return tensors["point"], tensors.get("condition")
    except (binascii.Error, ValueError, SafetensorError, KeyError) as error:
        raise ConfigError("A tile is damaged; reload the page.") from error


def _is_condition(condition: Tensor | None, labels: int) -> bool:
    """Whether labels are those of a class, and other conditions finite."""
    if condition is None:
        return True
    if labels and condition.dim() == 0:
        return 0 <= condition.item() < labels
    return bool(condition.isfinite().all())


def _kind(value: Tensor | None) -> tuple[tuple[int, ...], torch.dtype] | None:
    return None if value is None else (tuple(value.shape), value.dtype)


def image_texts(images: Tensor) -> list[str]:
    """Images (n, C, H, W) in [-1, 1] as addresses that a page can show, enlarged by an integer factor."""
    return [png_address(enlarged(image, _IMAGE)) for image in images.cpu()]
