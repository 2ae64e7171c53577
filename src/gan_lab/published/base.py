"""Parts of an import: the tensors of a file by name, and networks of gan_lab as config and state."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.errors import CheckpointError


class Weights:
    """Tensors of a published network by name, each of which is taken once.

    Args:
        tensors: The tensors, on the CPU.
        network: Name of the network, for messages.
        file: Its file.
    """

    def __init__(self, tensors: Mapping[str, Any], network: str, file: Path) -> None:
        self.network = network
        self.file = file
        if not isinstance(tensors, Mapping):
            raise CheckpointError(f"{file} has no tensors by name in its {network}.")
        self._left = dict(tensors)
        wrong = next((name for name, value in self._left.items() if not isinstance(value, Tensor)), None)
        if wrong is not None:
            raise CheckpointError(f"{file} has {wrong!s:.80} in its {network}, which is not a tensor.")

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def __iter__(self) -> Iterator[str]:
        """Names of the tensors that were not taken yet."""
        return iter(list(self._left))

    def take(self, name: str, dims: int | None = None) -> Tensor:
        """A tensor, as float32 if it has floating point numbers; `dims` is its number of dimensions.

        Raises:
            CheckpointError: It is missing, or has other dimensions.
        """
        if name not in self._left:
            raise CheckpointError(f"{self.file} has no tensor {name} in its {self.network}, and cannot be imported.")
        value = self._left.pop(name)
        if dims is not None and value.dim() != dims:
            raise CheckpointError(
                f"{self.file} has a tensor {name} of shape {tuple(value.shape)} in its {self.network}, which must have "
                f"{dims} dimensions."
            )
        return value.float() if value.is_floating_point() else value

    def shape(self, name: str, dims: int) -> tuple[int, ...]:
        """Shape of a tensor, which stays.

        Raises:
            CheckpointError: It is missing, or has other dimensions.
        """
        value = self.take(name, dims)
        self._left[name] = value
        return tuple(value.shape)

    def drop(self, *endings: str) -> None:
        """Leave out tensors with these endings, which gan_lab does not need."""
        self._left = {name: value for name, value in self._left.items() if not name.endswith(endings)}

    def finish(self) -> None:
        """Refuse tensors that are left.

        Raises:
            CheckpointError: There are any.
        """
        if self._left:
            raise CheckpointError(
                f"{self.file} has tensors in its {self.network} that are not part of this format, such as "
                f"{next(iter(self._left))!s:.80}: it is another network, which cannot be imported."
            )


@dataclass(frozen=True)
class Source:
    """What is converted.

    Attributes:
        content: Content of a file, as plain data.
        file: The file.
        weights: `ema` for the averaged generator or `raw` for the trained one, if the file has both.
        truncation: Truncation of the latents whose statistics of the batch norms are taken, if the file has several.
        discriminator: Content of the discriminator's file, if that is another one.
        discriminator_file: This file.
    """

    content: Any
    file: Path
    weights: str = "ema"
    truncation: float = 1.0
    discriminator: Any = None
    discriminator_file: Path | None = None


@dataclass(frozen=True)
class Network:
    """A network of gan_lab.

    Attributes:
        config: Its node in a config, with `_target_`.
        state: Its state dict.
        wrapper: The wrappers around it, as in a config.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    wrapper: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """Published networks as networks of gan_lab.

    Attributes:
        format: Name of the format.
        generator: The generator.
        latent: Its prior, as in a config.
        num_classes: Number of labels; None for an unconditional network.
        license: License of the published weights, as far as it is known for the format.
        url: Code that wrote the file.
        conversion: What was changed, in sentences.
        discriminator: The discriminator, if the file has one.
        needs_statistics: The file has no statistics of the generator's batch norms.
    """

    format: str
    generator: Network
    latent: dict[str, Any]
    num_classes: int | None
    license: str
    url: str
    conversion: list[str]
    discriminator: Network | None = None
    needs_statistics: bool = False


def state_dict(content: Any) -> dict[str, Any]:
    """A state dict by name, without the prefix that `DataParallel` gives all names; empty for other content."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}
    parallel = content and all(name.startswith("module.") for name in content)
    return {name.removeprefix("module.") if parallel else name: value for name, value in content.items()}


def plain_latents(dim: int) -> dict[str, Any]:
    """The prior of independent N(0, 1) latents, as in a config."""
    return {"dim": dim, "distribution": "normal", "bound": 1.0}


@contextmanager
def refused(file: Path, what: str) -> Iterator[None]:
    """Report errors of a conversion of shapes that do not fit as those of the file."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file} is not a {what}: the shapes of its tensors do not fit each other.") from error
