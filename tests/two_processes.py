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
    "msg_gan": ("architecture.discriminator.minibatch_group=1", "loss=relativistic"),
    "biggan": ("dataset.resolution=32",),
    "biggan_deep": ("dataset.resolution=32",),
    "ragan": ("loss=relativistic",),
    "unrolled_gan": ("game.unroll_steps=0",),
    "dfm": ("architecture.denoiser.norm=none",),
}
"""Beside batch norm, what is changed in a model whose samples know of each other, or that has no 16 pixels."""
NO_NORM = ("architecture.generator.norm=none", "architecture.discriminator.norm=none")

SYNCHRONIZED = {
    "dcgan": ("wrapper=[synchronized_batch_norm,discriminator_synchronized_batch_norm]",),
    "projection_gan": ("model=projection_gan", "wrapper=[spectral_norm,synchronized_batch_norm]"),
    "biggan": (
        "model=biggan",
        "dataset.resolution=32",
        "wrapper=[spectral_norm,generator_spectral_norm,synchronized_batch_norm]",
    ),
}
"""Runs with batch norm that is over both processes, by name."""  # fmt: skip


def overrides(model: str, folder: Path, *more: str) -> list[str]:
    """A tiny run of 8 batches without what couples the samples of a batch."""
    settings = [f"model={model}", "dataset.resolution=16", "dataset.flip=true", "budget.images=64"]
    return [*TINY, *settings, *NO_NORM, *UNCOUPLED.get(model, ()), f"run.dir={folder}", *more]


def synchronized(name: str, folder: Path, *more: str) -> list[str]:
    """A tiny run of 8 batches with batch norm over the whole of each."""
    # Plain descent: biases before a norm have no gradient but rounding, which Adam would make steps of.
    settings = ["dataset.resolution=16", "budget.images=64", *SYNCHRONIZED[name], "optimizer=sgd", "lr=1e-2"]
    return [*TINY, *settings, f"run.dir={folder}", *more]


def main(folder: Path) -> None:
    for entry in CATALOGUE:
        keep(entry.name, overrides(entry.name, folder / entry.name, "hardware=ddp_cpu"), folder)
    for name in SYNCHRONIZED:
        keep(f"synchronized_{name}", synchronized(name, folder / f"synchronized_{name}", "hardware=ddp_cpu"), folder)


def keep(name: str, words: list[str], folder: Path) -> None:
    """Train, and write the weights of this process."""
    experiment = fit(compose(*words))
    assert experiment.trainer.world_size == 2
    torch.save(experiment.module.state_dict(), folder / f"{name}_{experiment.trainer.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
