"""What a run ran on."""

import json
import os
import platform
import socket
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, Trainer

from gan_lab import __version__
from gan_lab.gans.base import AdversarialModule


class Surroundings(Callback):
    """Writes `surroundings.json` in the run folder: a record for each start of the run.

    A record has the command, the time of the start, the images seen by then, host, device, number of processes, precision, and the
    versions of Python and of the libraries.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: str) -> None:
        self.file = Path(folder) / "surroundings.json"

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            temporary = self.file.with_suffix(".tmp")
            temporary.write_text(json.dumps([*self._earlier(), _surroundings(trainer, module)], indent=2) + "\n")
            temporary.replace(self.file)

    def _earlier(self) -> list[dict[str, Any]]:
        """The starts so far; none where somebody has damaged the file."""
        try:
            starts = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return []
        return starts if isinstance(starts, list) else []


def _surroundings(trainer: Trainer, module: AdversarialModule) -> dict[str, Any]:
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "images_seen": module.images_seen,
        "command": [*_program(Path(sys.argv[0])), *sys.argv[1:]],
        "host": socket.gethostname(),
        "device": _name(module.device),
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
        "cpu_cores": os.cpu_count(),
        "platform": platform.platform(),
        "gan_lab": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "cuda": torch.version.cuda,
    }


def _program(file: Path) -> list[str]:
    """What was typed to start it: the commands of gan_lab run as files of `cli`."""
    return ["gan-lab", file.stem] if file.parent.name == "cli" else [file.name]


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, threads: {torch.get_num_threads()})"
