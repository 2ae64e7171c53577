"""Trains every model as one of two gloo processes and keeps the weights. Started twice by test_processes.py."""

import sys
from pathlib import Path

import torch

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.gans.catalogue import CATALOGUE
from tests.conftest import TINY

UNCOUPLED = {
    # What sees the local half of a batch differs by nature, as does dropout, which draws anew in each process.
    "gan": ("architecture.discriminator.dropout=0", "architecture.discriminator.input_dropout=0"),
    "dragan": ("regularizer.dragan.noise_scale=0",),
    "minibatch_gan": ("wrapper=[]",),
    "improved_gan": ("architecture.generator.norm=batch", "wrapper=[virtual_batch_norm]"),  # which is not coupled
    "pacgan": ("wrapper.discriminator.packing.size=1",),
    "projection_gan": ("wrapper.generator.conditioning=null",),
    "sagan": (
        "wrapper.generator.conditioning=null",
        "architecture.generator.attention_divisor=2",
        "architecture.discriminator.attention_divisor=2",
    ),
    "pggan": ("architecture.discriminator.minibatch_group=1",),
    "biggan": ("dataset.resolution=32",),
    "biggan_deep": ("dataset.resolution=32",),
    "ragan": ("loss=relativistic",),
    "unrolled_gan": ("game.unroll_steps=0",),
    "dfm": ("architecture.denoiser.norm=none",),
}
"""Beside batch norm, what is changed in a model whose samples know of each other, or that has no 16 pixels."""
NO_NORM = ("architecture.generator.norm=none", "architecture.discriminator.norm=none")


def overrides(model: str, folder: Path, *more: str) -> list[str]:
    """A tiny run of 8 batches without what couples the samples of a batch."""
    settings = [f"model={model}", "dataset.resolution=16", "dataset.flip=true", "budget.images=64"]
    return [*TINY, *settings, *NO_NORM, *UNCOUPLED.get(model, ()), f"run.dir={folder}", *more]


def main(folder: Path) -> None:
    for entry in CATALOGUE:
        experiment = fit(compose(*overrides(entry.name, folder / entry.name, "hardware=ddp_cpu")))
        rank = experiment.trainer.global_rank
        torch.save(experiment.module.state_dict(), folder / f"{entry.name}_{rank}.pt")
        assert experiment.trainer.world_size == 2


if __name__ == "__main__":
    main(Path(sys.argv[1]))
