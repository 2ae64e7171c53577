"""Hardware, versions and command of a run, recorded at each start."""

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
from lightning.pytorch import Trainer

from gan_lab.callbacks.base import Callback
from gan_lab.files import read_text, write_text
from gan_lab.gans.base import AdversarialModule
from gan_lab.loggers.description import RunDescription
from gan_lab.runs.folder import RunFolder
from gan_lab.version import __version__, commit

FACTS = ("parameters", "training_images", "commit", "device", "processes", "precision", "gan_lab")
"""Parts of a record that loggers show beside the config."""


class EnvironmentRecord(Callback):
    """Append a record to `environment.json` in the run folder at each start of the run, and describe it to loggers.

    A record has the command, the time of the start, the images seen by then, host, device, number of processes,
    precision, parameters of each network, number of training images, and the versions of Python, gan_lab and libraries.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: str) -> None:
        self.file = Path(folder) / "environment.json"

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        if trainer.is_global_zero:
            record = _environment(trainer, module)
            write_text(self.file, json.dumps([*self._earlier_starts(), record], indent=2) + "\n")
            self._describe(trainer, {name: record[name] for name in FACTS if record[name] is not None})

    def _describe(self, trainer: Trainer, facts: dict[str, Any]) -> None:
        """Send the config, the choices and the facts to the loggers that show them."""
        loggers = [logger for logger in trainer.loggers if hasattr(logger, "describe")]
        if loggers:
            run = RunFolder(self.file.parent)
            for logger in loggers:
                logger.describe(RunDescription(run.config, run.choices, facts, run.typed))

    def _earlier_starts(self) -> list[dict[str, Any]]:
        """Records of earlier starts; empty if the file is missing or damaged."""
        try:
            starts = json.loads(read_text(self.file))
        except (OSError, ValueError, RecursionError):
            return []
        return starts if isinstance(starts, list) else []


def _environment(trainer: Trainer, module: AdversarialModule) -> dict[str, Any]:
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "images_seen": module.images_seen,
        "command": [*_command(Path(sys.argv[0])), *sys.argv[1:]],
        "host": socket.gethostname(),
        "device": _device_name(module.device),
        "processes": trainer.world_size,
        "precision": str(trainer.precision),
        "parameters": {
            name: sum(p.numel() for p in player.network.parameters()) for name, player in module.runner.players.items()
        },
        "training_images": getattr(getattr(trainer, "datamodule", None), "size", None),
        "cpu_cores": os.cpu_count(),
        "platform": platform.platform(),
        "gan_lab": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "cuda": torch.version.cuda,
    }


def _command(file: Path) -> list[str]:
    """The command as typed; commands of gan_lab run as files of the folder `cli`."""
    return ["gan-lab", file.stem] if file.parent.name == "cli" else [file.name]


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, threads: {torch.get_num_threads()})"
