"""Files of directions: unit vectors of a latent space with the standard deviation of samples along each."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor

from gan_lab.errors import ConfigError, DataError
from gan_lab.files import atomic_write

_KIND = "gan_lab_directions"


@dataclass(frozen=True)
class DirectionFile:
    """Directions as stored in a file.

    Attributes:
        vectors: float32 (k, dim), of length 1.
        deviations: float32 (k,), standard deviation of samples along each.
        space: `z` or `w`.
        method: How they were found.
    """

    vectors: Tensor
    deviations: Tensor
    space: str
    method: str

    def along(self, number: int) -> Tensor:
        """One standard deviation along a direction, float32 (dim,).

        Raises:
            ConfigError: There is no direction of this number.
        """
        if not 0 <= number < len(self.vectors):
            raise ConfigError(f"number={number} is not allowed: directions are numbered 0 to {len(self.vectors) - 1}.")
        return self.deviations[number] * self.vectors[number]


def write_directions(file: Path, found: DirectionFile) -> None:
    """Write a `.safetensors` file atomically."""
    tensors = {"vectors": found.vectors.contiguous(), "deviations": found.deviations.contiguous()}
    metadata = {_KIND: json.dumps({"space": found.space, "method": found.method})}
    with atomic_write(file) as target:
        target.write(serialized(tensors, metadata=metadata))


def read_directions(file: Path, space: str, dim: int) -> DirectionFile:
    """Read a file of directions for a space with `dim` coordinates.

    Raises:
        DataError: It is missing, damaged, of another kind, or its directions are of another space.
    """
    found = _read(file)
    if found.space != space or found.vectors.shape[1] != dim:
        raise DataError(
            f"{file} has directions of {found.space} with {found.vectors.shape[1]} coordinates, but {space} of this "
            f"generator has {dim}."
        )
    return found


def space_of_directions(file: Path) -> str:
    """The space of the directions in a file, `z` or `w`.

    Raises:
        DataError: It is missing, damaged or of another kind.
    """
    return _read(file).space


def _read(file: Path) -> DirectionFile:
    try:
        with safe_open(file, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {})[_KIND])
            vectors, deviations = opened.get_tensor("vectors"), opened.get_tensor("deviations")
            found = DirectionFile(vectors, deviations, str(facts["space"]), str(facts["method"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{file} is not a file of gan-lab directions.") from error
    if vectors.dim() != 2 or deviations.shape != vectors.shape[:1]:
        raise DataError(f"{file} is not a file of gan-lab directions.")
    return found
