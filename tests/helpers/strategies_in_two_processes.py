"""Train small models with either strategy as one of two gloo processes. Called by test_strategies.py."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.precision import MixedPrecision

from gan_lab import processes
from gan_lab.config.build import Experiment, build
from gan_lab.config.compose import compose
from gan_lab.strategies import BY_PLAYER
from tests.helpers.models_in_two_processes import overrides

STRATEGIES = {"stock": "ddp_find_unused_parameters_true", "by_player": BY_PLAYER}
CASES: dict[str, tuple[str, ...]] = {
    "accumulate": ("wgan_gp", "accumulate=2", "n_critic=2"),
    "lazy": ("dcgan", "regularizer=[r1]", "regularizer.r1.interval=4"),
    "clipped": ("d2gan", "clip_norm=0.1", "accumulate=2"),
    "encoder": ("reg_gan", "accumulate=2"),
    "unrolled": ("unrolled_gan", "algorithm.unroll_steps=2"),
    "bfloat16": ("dcgan", "hardware.precision=bf16-mixed"),
    "batch_norm": ("dcgan", "architecture.generator.norm=batch", "architecture.discriminator.norm=batch"),
}
"""A model, and overrides in addition to those of `models_in_two_processes`."""


class SentBytes:
    """Replacement of `all_reduce` that records the size of each tensor."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._reduce = torch.distributed.all_reduce

    def __call__(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.sizes.append(tensor.numel())
        return self._reduce(tensor, *args, **kwargs)


class InfiniteOnOne(Callback):
    """Makes one gradient of the second process infinite, in the update of the first player on the third batch."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        backward = module.manual_backward

        def spoil(loss: torch.Tensor) -> None:
            backward(loss)
            gradient = next(p.grad for p in module.discriminator.parameters() if p.grad is not None)
            if trainer.global_rank == 1 and module.batches_seen == 3:
                gradient.view(-1)[0] = float("inf")

        module.manual_backward = spoil


def case_overrides(case: str, folder: Path, strategy: str) -> list[str]:
    """Overrides for four batches of a case with a strategy."""
    model, *settings = (*CASES[case], "budget.images=32")
    kept = [
        override
        for override in overrides(model, folder)
        if override.partition("=")[0] not in [s.partition("=")[0] for s in settings]
    ]
    return [*kept, "hardware=ddp_cpu", f"hardware.strategy={strategy}", *settings]


def trained(experiment: Experiment) -> Experiment:
    """Trains without `fit`, so that a test can change parts of the experiment before."""
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    return experiment


def main(folder: Path) -> None:
    for case in CASES:
        for name, strategy in STRATEGIES.items():
            experiment = trained(build(compose(*case_overrides(case, folder / case, strategy))))
            keep(folder, f"{case}_{name}", experiment)
    scaled(folder)
    counted(folder)
    unequal(folder)


def keep(folder: Path, name: str, experiment: Experiment) -> None:
    torch.save(experiment.module.state_dict(), folder / f"{name}_{experiment.trainer.global_rank}.pt")


def scaled(folder: Path) -> None:
    """float16 with a loss scaler, and an infinite gradient in one process."""
    experiment = build(compose(*case_overrides("lazy", folder / "scaled", BY_PLAYER)))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1000)
    experiment.trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    experiment.trainer.callbacks.append(InfiniteOnOne())
    keep(folder, "scaled", trained(experiment))
    (folder / f"scale_{experiment.trainer.global_rank}.txt").write_text(str(scaler.get_scale()))


def counted(folder: Path) -> None:
    """The sizes of all messages of a run of 4 batches with 2 critic updates per generator update."""
    experiment = build(
        compose(*case_overrides("accumulate", folder / "counted", BY_PLAYER), "callbacks.train_log=null")
    )
    sent = SentBytes()
    processes.torch.distributed.all_reduce = sent
    trained(experiment)
    processes.torch.distributed.all_reduce = sent._reduce
    (folder / f"sizes_{experiment.trainer.global_rank}.txt").write_text(" ".join(map(str, sent.sizes)))


def unequal(folder: Path) -> None:
    """Weights and statistics that differ at the start."""
    experiment = build(compose(*case_overrides("batch_norm", folder / "unequal", BY_PLAYER)))
    with torch.no_grad():
        for tensor in [*experiment.module.parameters(), *experiment.module.buffers()]:
            tensor.add_(experiment.trainer.global_rank)
    keep(folder, "unequal", trained(experiment))
