"""Checkpoints that hold plain data and are never half-written."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from gan_lab.callbacks.every import Every
from gan_lab.gans.base import AdversarialModule


class Checkpoints(Callback):
    """Writes `images_<images seen>.ckpt` every so many images and `last.ckpt` at each of those times and at the end.

    A checkpoint also carries the resolved config as YAML text under `gan_lab.config`, so that it can be rebuilt alone.

    Args:
        folder: Where the checkpoints go.
        config_file: The run's resolved config, copied into every checkpoint.
        budget_images: Length of the run in real images.
        every_images: Images from one checkpoint to the next; by default a fifth of the budget.
        keep: Numbered checkpoints that are kept, the newest.
    """

    def __init__(
        self, folder: str, config_file: str, budget_images: int, every_images: int | None = None, keep: int = 2
    ) -> None:
        self.folder = Path(folder)
        self.config_file = Path(config_file)
        self.keep = keep
        self._every = Every(every_images or budget_images // 5)
        self._saved_at = -1

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["gan_lab"] = {"config": self.config_file.read_text()}

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._every.start(module.images_seen)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        # The last batch is saved here and not when training has ended, for by then Lightning counts the epoch as whole.
        if self._every.due(module.images_seen) or trainer.should_stop:
            self._save(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if module.images_seen != self._saved_at:  # ended by something else than the budget
            self._save(trainer, module)

    def _save(self, trainer: Trainer, module: AdversarialModule) -> None:
        with module.profile("checkpoint"):
            numbered = self.folder / f"images_{module.images_seen:010d}.ckpt"
            trainer.save_checkpoint(numbered)
            self._saved_at = module.images_seen
            if trainer.is_global_zero:
                _same_file(numbered, self.folder / "last.ckpt")
                for old in sorted(self.folder.glob("images_*.ckpt"))[: -self.keep]:
                    old.unlink()


def _same_file(source: Path, target: Path) -> None:
    """Make `target` a second name of `source`, or a copy where the file system has no second names, in one step."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary name beside the target, flushes to the disk, and renames: a reader sees all of a file or none."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
