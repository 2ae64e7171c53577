"""Train every model as one of two gloo processes and save the weights. Called by test_processes.py."""

from pathlib import Path

import torch

from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.model_data import small_data

UNCOUPLED = {
    # Layers that depend on the local half of a batch differ between processes, as does dropout.
    "gan": ("architecture.discriminator.dropout=0", "architecture.discriminator.input_dropout=0"),
    "dragan": ("regularizer.dragan.noise_scale=0",),
    "minibatch_gan": ("wrapper/discriminator=[]",),
    "improved_gan": ("architecture.generator.norm=batch", "wrapper/discriminator=[]"),  # no virtual batch norm
    "pacgan": ("wrapper.discriminator.packing.size=1",),
    "projection_gan": ("wrapper.generator.conditioning=null",),
    "sagan": (
        "wrapper.generator.conditioning=null",
        "architecture.generator.attention_divisor=2",
        "architecture.discriminator.attention_divisor=2",
    ),
    "pggan": ("architecture.discriminator.minibatch_group=1",),
    # SGD, because Adam turns a gradient that is rounding error, as one weight's at this seed, into a step of size lr.
    "msg_gan": ("architecture.discriminator.minibatch_group=1", "loss=relativistic", "optimizer=sgd", "lr=1e-2"),
    "stylegan2": (
        "architecture.discriminator.minibatch_group=1",
        "architecture.generator.noise=fixed",
        "architecture.generator.mixing=0",
        "optimizer=sgd",  # as for msg_gan
        "lr=1e-3",
        "regularizer.path_length.weight=0.01",  # with 2 and SGD the weights diverge
    ),
    # Convolutions that no norm follows; and SGD, as for msg_gan.
    "pix2pix": ("architecture.generator.dropout=0", "optimizer=sgd", "lr=1e-3"),
    "ragan": ("loss=relativistic",),
    "unrolled_gan": ("algorithm.unroll_steps=0",),
    "lapgan": ("architecture.discriminator.dropout=0",),
    "infogan": ("wrapper.discriminator.conditioning.norm=none",),
    "dfm": ("architecture.denoiser.norm=none", "optimizer=sgd", "lr=1e-2"),  # as for msg_gan
    "d2gan_dfm": ("architecture.denoiser.norm=none", "optimizer=sgd", "lr=1e-2"),  # as for msg_gan
    # Feature matching has the means of the local half of a batch.
    "semi_supervised": (
        "architecture.discriminator.input_noise=0",
        "architecture.discriminator.noise=0",
        "regularizer=[]",
        "adversarial_weight=1",
    ),
}
"""Overrides, besides norms, of models that mix samples or do not support 16 pixels."""
NO_NORM = ("architecture.generator.norm=none", "architecture.discriminator.norm=none")

SYNCHRONIZED = {
    "dcgan": (
        "wrapper/discriminator=[synchronized_batch_norm]",
        "wrapper/generator=[synchronized_batch_norm]",
    ),
    "projection_gan": (
        "model=projection_gan",
        "wrapper/discriminator=[spectral_norm]",
        "wrapper/generator=[synchronized_batch_norm]",
    ),
    "biggan": (
        "model=biggan",
        "dataset.resolution=32",
        "wrapper/discriminator=[spectral_norm]",
        "wrapper/generator=[spectral_norm,synchronized_batch_norm]",
    ),
}
"""Runs with batch norm over both processes, by name."""  # fmt: skip


def overrides(model: str, folder: Path, *more: str) -> list[str]:
    """A tiny run of 8 batches without layers that mix the samples of a batch."""
    settings = [f"model={model}", *small_data(model), "dataset.flip=true", "budget.images=64"]
    return [*TINY, *settings, *NO_NORM, *UNCOUPLED.get(model, ()), f"run.dir={folder}", *more]


def synchronized(name: str, folder: Path, *more: str) -> list[str]:
    """A tiny run of 8 batches with synchronized batch norm."""
    # SGD, because Adam turns the gradients of biases before a norm, which are rounding errors, into steps.
    settings = ["dataset.resolution=16", "budget.images=64", *SYNCHRONIZED[name], "optimizer=sgd", "lr=1e-2"]
    return [*TINY, *settings, f"run.dir={folder}", *more]


def main(folder: Path, models: list[str]) -> None:
    for model in models:
        train_and_save(model, overrides(model, folder / model, "hardware=ddp_cpu"), folder)
    for name in SYNCHRONIZED:
        train_and_save(
            f"synchronized_{name}", synchronized(name, folder / f"synchronized_{name}", "hardware=ddp_cpu"), folder
        )


def train_and_save(name: str, overrides: list[str], folder: Path) -> None:
    """Train, and save the weights of this process."""
    experiment = fit(compose(*overrides))
    assert experiment.trainer.world_size == 2
    torch.save(experiment.module.state_dict(), folder / f"{name}_{experiment.trainer.global_rank}.pt")
