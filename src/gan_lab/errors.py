"""Errors that the user can fix: the command line prints their message without a traceback."""

import difflib
from collections.abc import Iterable

_OUT_OF_MEMORY = (
    "out of memory",  # CUDA, MPS, XPU: torch.OutOfMemoryError is a RuntimeError
    "can't allocate memory",  # PyTorch's allocator of the CPU
    "could not create a primitive",  # oneDNN, for its own buffers
    "could not create a memory",
)

_LOST_CONNECTION = (
    "Connection reset by peer",  # gloo
    "Connection closed by peer",
    "Broken pipe",
    "remote process exited",  # NCCL
    "ncclRemoteError",
    "NCCL communicator was aborted",
)


class UserError(Exception):
    """Invalid input from the user. The message is one sentence that names the key or file and what is allowed."""


class ConfigError(UserError):
    """A config value, or a combination of values, that cannot be trained."""


class DataError(UserError):
    """A data source, or a file in it, that cannot be read."""


class CheckpointError(UserError):
    """A file that is not a usable checkpoint."""


class EarlierVersionError(CheckpointError):
    """A complete checkpoint of an earlier version that is not supported any more."""


class TrainingError(Exception):
    """Training failed although the user's input was valid. The message is one or two sentences."""


class NonFiniteError(TrainingError):
    """A loss term or gradient is infinite or NaN. No weights were updated with it."""


class LostProcessError(TrainingError):
    """Another process of the run ended without reporting an error."""


class CollapseError(TrainingError):
    """A run shows signs of collapse and is to stop.

    Attributes:
        healthy_at: Real images seen at the last check without signs of collapse.
    """

    def __init__(self, message: str, healthy_at: int) -> None:
        super().__init__(message)
        self.healthy_at = healthy_at


def unknown_choice(key: str, value: object, options: Iterable[str]) -> str:
    """The message for a value that is not one of `options`, with the most similar one."""
    options = list(options)
    allowed = " or ".join(options) if len(options) == 2 else f"from {', '.join(options)}"
    near = difflib.get_close_matches(str(value), options, n=1)
    return f"{key}={value} is not known: {f'did you mean {near[0]}? Choose' if near else 'choose'} {allowed}."


def first_line(error: BaseException) -> str:
    """The first line of an error's text without a mark at its end; the name of its class if it has no text.

    The text of a KeyError is only the key, so the class precedes it.
    """
    name = type(error).__name__
    line = next(iter(str(error).strip().splitlines()), name).rstrip(".:! ")
    return f"{name}: {line}" if type(error) is KeyError and line != name else line


def original(error: BaseException) -> BaseException:
    """The first error of a chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of a device or of the host ran out, as PyTorch and Python report it."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in _OUT_OF_MEMORY)
    )


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error of a collective operation means that another process of the run ended."""
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _LOST_CONNECTION)
