"""Runs that meet trouble in one of two gloo processes; each writes what became of it. Started twice by test_recovering.py."""

import json
import sys
from pathlib import Path

import torch

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.errors import TrainingError
from gan_lab.gans.gan import GAN
from tests.test_recovering import RUN, WATCH, WORDS

RANK = 1
"""The process that meets the trouble; the other one only hears of it."""


def spoiled(self: GAN, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The discriminator's loss, which is no number in one process after 80 images, at the first rate."""
    first_rate = self.runner.optimizer("discriminator").param_groups[0]["lr"] == 1e-3
    here = self.images_seen >= 80 and first_rate and self.trainer.global_rank == RANK
    return LOSS(self, real, fake) * (float("nan") if here else 1.0)


def forgetful(self: GAN, batch: object, batch_idx: int) -> None:
    """A step after which, from 72 images on at the first rate, the generator of both has forgotten its latents."""
    STEP(self, batch, batch_idx)
    if self.images_seen >= 72 and self.runner.optimizer("generator").param_groups[0]["lr"] == 1e-3:
        with torch.no_grad():
            next(self.generator.parameters()).zero_()


def too_large(self: GAN, batch: dict, noise: object) -> object:
    """A step for which the memory of one process is too small with more than one image at a time."""
    if len(batch["image"]) > 1 and self.trainer.global_rank == RANK:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return DISCRIMINATOR_STEP(self, batch, noise)


LOSS, STEP, DISCRIMINATOR_STEP = GAN.discriminator_loss, GAN.training_step, GAN.discriminator_step


def main(folder: Path) -> None:
    GAN.discriminator_loss = spoiled
    ending(folder, "stop", "on_non_finite=stop")
    ending(folder, "rollback", "on_non_finite=rollback")
    GAN.discriminator_loss, GAN.training_step = LOSS, forgetful
    ending(folder, "collapse_stop", *WATCH, "callbacks.checkpoints.keep=4", "on_collapse=stop")
    ending(folder, "collapse", *WATCH, "callbacks.checkpoints.keep=4")
    GAN.training_step, GAN.discriminator_step = STEP, too_large
    ending(folder, "memory_stop")
    ending(folder, "memory", "hardware.find_micro_batch=true")


def ending(folder: Path, name: str, *words: str) -> None:
    """Train, and write how it ended in this process."""
    kept = [word for word in WORDS if not word.startswith("hardware=")]
    cfg = compose(*kept, *RUN, "hardware=ddp_cpu", f"run.dir={folder}/{name}", *words)
    note: dict[str, object]
    try:
        module = fit(cfg).module
        rank = module.trainer.global_rank
        note = {
            "images_seen": module.images_seen,
            "accumulate": module.accumulate,
            "rate": module.runner.optimizer("generator").param_groups[0]["lr"],
            "weights": float(sum(p.double().abs().sum() for p in module.parameters())),
        }
    except TrainingError as error:
        rank, note = torch.distributed.get_rank(), {"error": str(error)}
    (folder / f"{name}_{rank}.json").write_text(json.dumps(note))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
