"""Reader of checkpoints, and choice of the newest valid checkpoint of a run."""

import logging
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from gan_lab.errors import CheckpointError, EarlierVersionError
from gan_lab.files import refuse_links
from gan_lab.runs.latest import check_exists

log = logging.getLogger(__name__)

OLD_PREFIX = "generator_ema."
"""Prefix of the averaged generator's keys in earlier versions, before networks were averaged by name."""

TOO_OLD = "was written by an earlier version of gan_lab with other names of networks and settings: train again."

LAST, NUMBERED = "last.ckpt", r"images_\d+\.ckpt"

MOST_IMAGES = 2**53
"""Most images seen that are believed; floats count exactly up to here."""

LOOPS = {"epoch_progress", "epoch_loop.batch_progress", "epoch_loop.state_dict"}
"""Entries of Lightning's state of the training loop, without which it would start the epoch again."""

COUNTERS = ("images_seen", "batches_seen", "averaged_at")
"""Entries of the algorithm's extra state: whole numbers."""


class Checkpoint:
    """A checkpoint file that was read and verified, and its contents until they are taken.

    Args:
        file: The file.
        for_training: Whether training is to be resumed from it, so that the state of optimizers, loops and callbacks is
            required as well.

    Attributes:
        images_seen: Real images that the run had seen when it wrote the file.
        config: The resolved config of the run, as text.
        rows: Number of rows of `metrics.csv` when it wrote the file; None without that log.
        hardware: Type of the `device` and number of `processes` of the run; empty if unknown.

    Raises:
        CheckpointError: The file is damaged or not a checkpoint.
    """

    def __init__(self, file: Path, for_training: bool = False) -> None:
        self.file = file
        contents = read_checkpoint(file)
        problem = _problem(contents) or (_training_problem(contents) if for_training else None)
        if problem:
            raise CheckpointError(f"{file} is not a valid gan_lab checkpoint: {problem}.")
        self.config: Any = contents["gan_lab"]["config"]
        self.images_seen: int = contents["state_dict"]["_extra_state"]["images_seen"]
        self.rows: int | None = contents["gan_lab"].get("rows")
        hardware = contents["gan_lab"].get("hardware")
        self.hardware: dict[str, Any] = hardware if isinstance(hardware, dict) else {}
        self._contents: dict[str, Any] | None = contents

    def state_dict(self) -> dict[str, Any]:
        """Weights and counters of the algorithm, on the CPU."""
        contents = read_checkpoint(self.file) if self._contents is None else self._contents
        weights: dict[str, Any] = contents["state_dict"]
        return weights

    def take(self) -> dict[str, Any]:
        """Contents, on the CPU. They are then released: a second call reads the file again."""
        contents, self._contents = self._contents, None
        return read_checkpoint(self.file) if contents is None else contents


def find_checkpoint(path: str | Path, for_training: bool = False) -> Checkpoint:
    """Checkpoint in a file, or the newest valid checkpoint of a run folder; see `Checkpoint`.

    Raises:
        CheckpointError: There is none, or the file is damaged.
        DataError: The run folder contains a link to a target outside of it.
    """
    path = Path(path)
    if path.is_file():
        if path.parent.name == "checkpoints":
            refuse_links(path.parent.parent)
        return Checkpoint(path, for_training)
    check_exists(path)
    refuse_links(path)
    folder = path / "checkpoints"
    newest = newest_checkpoint(folder, for_training=for_training)
    if newest is None:
        raise CheckpointError(f"{path} is not a run folder with a checkpoint: {folder / LAST} is missing.")
    return newest


def newest_checkpoint(*folders: Path, for_training: bool = False) -> Checkpoint | None:
    """Newest valid checkpoint in the first folder that has one; None if there are no checkpoints.

    A warning is logged for each damaged checkpoint.

    Raises:
        CheckpointError: All checkpoints are damaged.
    """
    damaged = []
    for file in (file for folder in folders for file in _newest_first(folder)):
        try:
            return Checkpoint(file, for_training)
        except EarlierVersionError:
            raise
        except CheckpointError as error:
            log.warning("%s Using an earlier one.", error)
            damaged.append((file, str(error)))
    if damaged:
        file, reason = damaged[0]
        raise CheckpointError(
            f"{file.parent} has no checkpoint that can be read: {reason} To train from scratch, give another run.name, "
            "without resume=; no file was changed."
        )
    return None


def _newest_first(folder: Path) -> Iterator[Path]:
    """Numbered checkpoints, newest first, then `last.ckpt` if it is not a hard link to one of them."""
    numbered = numbered_checkpoints(folder)[::-1]
    yield from numbered
    last = folder / LAST
    if last.is_file() and not any(last.samefile(file) for file in numbered):
        yield last


def numbered_checkpoints(folder: Path) -> list[Path]:
    """Files `images_<images seen>.ckpt` of a folder, oldest first; files with other names are ignored."""
    return sorted(file for file in folder.glob("images_*.ckpt") if re.fullmatch(NUMBERED, file.name) and file.is_file())


def _problem(contents: Mapping[str, Any]) -> str | None:
    """What is wrong with the config or the weights in a checkpoint; None if they are well-formed."""
    weights, extra = contents["state_dict"], _mapping(_mapping(contents["state_dict"]).get("_extra_state"))
    if not isinstance(_mapping(contents["gan_lab"]).get("config"), str):
        return "the config is missing"
    if not _is_count(extra.get("images_seen")):
        return "the number of images seen is missing or not a whole number from 0 to 2^53"
    strangers = [key for key in weights if not isinstance(key, str)]
    return f"{strangers[0]!r:.40} is not the name of a weight" if strangers else None


def _training_problem(contents: Mapping[str, Any]) -> str | None:
    """What is wrong with the state of training in a checkpoint; None if its structure is that of a written one."""
    extra, optimizers = contents["state_dict"]["_extra_state"], contents.get("optimizer_states")
    rows, version = contents["gan_lab"].get("rows"), contents.get("pytorch-lightning_version")
    valid = {
        **{f"the counter {name}": _is_count(extra.get(name)) for name in COUNTERS},
        "the number of rows of the log": rows is None or _is_count(rows),
        "pytorch-lightning_version": isinstance(version, str) and bool(re.match(r"\d+\.\d+", version)),
        "the state of the loops": _mapping(_mapping(contents.get("loops")).get("fit_loop")).keys() >= LOOPS,
        "the state of the callbacks": isinstance(contents.get("callbacks"), Mapping),
        "the state of the schedulers": isinstance(contents.get("lr_schedulers"), list),
        "the state of the optimizers": isinstance(optimizers, list) and all(map(_is_optimizer_state, optimizers)),
    }
    wrong = [name for name, is_valid in valid.items() if not is_valid]
    return f"{wrong[0]} is missing or damaged" if wrong else None


def _is_optimizer_state(state: Any) -> bool:
    groups, of_parameters = _mapping(state).get("param_groups"), _mapping(state).get("state")
    return (
        isinstance(groups, list)
        and all(isinstance(_mapping(group).get("params"), list) for group in groups)
        and isinstance(of_parameters, Mapping)
        and all(isinstance(each, Mapping) for each in of_parameters.values())
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_IMAGES


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def read_archive(file: Path) -> Any:
    """Contents of any PyTorch checkpoint, on the CPU; plain data only.

    `torch.save` writes a zip archive with a CRC-32 of every record, which `torch.load` does not check. It is checked
    here, so no separate file with a checksum is needed.

    Raises:
        CheckpointError: The file is damaged or not a checkpoint.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(broken)
        return torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}.") from error
    except MemoryError:  # nothing is wrong with the file
        raise
    except Exception as error:  # what the reader of a crafted file raises is not known
        raise CheckpointError(f"{file} cannot be read: it is incomplete, damaged, or not a checkpoint.") from error


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Contents of a gan_lab checkpoint, on the CPU.

    Raises:
        CheckpointError: The file is damaged, not a gan_lab checkpoint, or from an earlier version.
    """
    checkpoint = read_archive(file)
    if not isinstance(checkpoint, dict) or "gan_lab" not in checkpoint or "state_dict" not in checkpoint:
        raise CheckpointError(f"{file} is not a gan_lab checkpoint: it has no config.")
    if any(str(key).startswith(OLD_PREFIX) for key in _mapping(checkpoint["state_dict"])):
        raise EarlierVersionError(f"{file} {TOO_OLD}")
    return checkpoint
