"""Runs that fail in one of two gloo processes; each process writes its outcome. Called by test_recovering.py."""

import json
from pathlib import Path

import torch

from gan_lab.config.compose import compose
from gan_lab.errors import TrainingError
from gan_lab.gans.gan import GAN
from gan_lab.step import Step
from gan_lab.training.fit import fit
from gan_lab.types import Terms
from tests.training.test_recovering import COLLAPSE, OVERRIDES, RUN

RANK = 1
"""Rank of the process that fails."""


def nan_loss(self: GAN, step: Step) -> Terms:
    """The discriminator's loss: NaN in one process after 80 images, at the first learning rate."""
    first_lr = self.runner.optimizer("discriminator").param_groups[0]["lr"] == 1e-3
    fails = self.images_seen >= 80 and first_lr and self.trainer.global_rank == RANK
    return {key: value * (float("nan") if fails else 1.0) for key, value in LOSS(self, step).items()}


def collapsing_step(self: GAN, batch: object, batch_idx: int) -> None:
    """A step after which the generator ignores its latents, from 72 images on at the first learning rate."""
    STEP(self, batch, batch_idx)
    if self.images_seen >= 72 and self.runner.optimizer("generator").param_groups[0]["lr"] == 1e-3:
        with torch.no_grad():
            next(self.generator.parameters()).zero_()


def out_of_memory(self: GAN, batch: dict, noise: object) -> object:
    """A step that runs out of memory in one process with more than one image."""
    if len(batch["image"]) > 1 and self.trainer.global_rank == RANK:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return DISCRIMINATOR_STEP(self, batch, noise)


LOSS, STEP, DISCRIMINATOR_STEP = GAN.discriminator_loss, GAN.training_step, GAN.discriminator_step


def main(folder: Path) -> None:
    GAN.discriminator_loss = nan_loss
    write_outcome(folder, "stop", "trouble.on_non_finite=stop")
    write_outcome(folder, "rollback", "trouble.on_non_finite=rollback")
    GAN.discriminator_loss, GAN.training_step = LOSS, collapsing_step
    write_outcome(folder, "collapse_stop", *COLLAPSE, "callbacks.checkpoints.keep=4", "trouble.on_collapse=stop")
    write_outcome(folder, "collapse", *COLLAPSE, "callbacks.checkpoints.keep=4")
    GAN.training_step, GAN.discriminator_step = STEP, out_of_memory
    write_outcome(folder, "memory_stop")
    write_outcome(folder, "memory", "hardware.find_micro_batch=true")


def write_outcome(folder: Path, name: str, *settings: str) -> None:
    """Train, and write the outcome in this process."""
    overrides = [override for override in OVERRIDES if not override.startswith("hardware=")]
    cfg = compose(*overrides, *RUN, "hardware=ddp_cpu", f"run.dir={folder}/{name}", *settings)
    outcome: dict[str, object]
    try:
        module = fit(cfg).module
        rank = module.trainer.global_rank
        outcome = {
            "images_seen": module.images_seen,
            "accumulate": module.accumulate,
            "lr": module.runner.optimizer("generator").param_groups[0]["lr"],
            "weights": float(sum(p.double().abs().sum() for p in module.parameters())),
        }
    except TrainingError as error:
        rank, outcome = torch.distributed.get_rank(), {"error": str(error)}
    (folder / f"{name}_{rank}.json").write_text(json.dumps(outcome))
