"""Communication between processes in a training step, and the time of the step, for both DDP strategies.

    torchrun --standalone --nproc-per-node=2 -m gan_lab.benchmark.traffic hardware=ddp_cpu model=dcgan

It takes the overrides of `gan-lab train`.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig, open_dict
from torch import Tensor
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from gan_lab import processes
from gan_lab.benchmark.bare import synchronize
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.strategies import BY_PLAYER
from gan_lab.training.fit import quiet_lightning

STRATEGIES = ("ddp_find_unused_parameters_true", BY_PLAYER)
COUNTED = 20
"""Batches in which messages are counted, and in which steps are timed."""
ROUNDS = 5
WARMUP = 5
"""Batches before the timing."""


class Messages(Callback):
    """Callback that counts the messages of a process in `COUNTED` batches: reductions and broadcast buffers."""

    def __init__(self) -> None:
        self.number = self.bytes = 0
        self._reduce = torch.distributed.all_reduce

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        model = trainer.strategy.model
        if isinstance(model, DistributedDataParallel):
            model.register_comm_hook(self, _counted_hook)
        else:
            cast(Any, processes.torch.distributed).all_reduce = self._counted_reduce

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        model = trainer.strategy.model
        if isinstance(model, DistributedDataParallel) and model.modules_buffers:
            self.add(model.modules_buffers)  # the wrapper sends them with every forward pass

    def on_train_end(self, *_: object) -> None:
        cast(Any, processes.torch.distributed).all_reduce = self._reduce

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Count one message."""
        self.number += 1
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def _counted_reduce(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.add([tensor])
        return self._reduce(tensor, *args, **kwargs)


def _counted_hook(messages: Messages, bucket: GradBucket) -> Future[Tensor]:
    messages.add([bucket.buffer()])
    return allreduce_hook(cast(Any, None), bucket)


class Clock(Callback):
    """Callback that times `COUNTED` batches after a warmup, then ends the run after the same batch on all processes."""

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.batches = 0
        self.started = time.perf_counter()
        self.seconds_per_step = 0.0

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        self.batches += 1
        if self.batches == self.warmup:
            synchronize(module.device)
            self.started = time.perf_counter()
        elif self.batches == self.warmup + COUNTED:
            synchronize(module.device)
            self.seconds_per_step = (time.perf_counter() - self.started) / COUNTED
            trainer.should_stop = True


def main() -> None:
    """Measure the strategies in turn; print in the first process."""
    quiet_lightning()
    with tempfile.TemporaryDirectory() as folder:
        configs = {name: _config(sys.argv[1:], name, folder) for name in STRATEGIES}
        counts = {name: _train(cfg, Messages(), Clock(0))[0] for name, cfg in configs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in STRATEGIES}
        for _ in range(ROUNDS):
            for name, cfg in configs.items():
                seconds[name].append(_train(cfg, Clock(WARMUP))[0].seconds_per_step)
    if torch.distributed.get_rank() == 0:
        for name in STRATEGIES:
            rounds = ", ".join(f"{1000 * value:.1f}" for value in seconds[name])
            print(
                f"{name:32} {counts[name].bytes / COUNTED / 1e6:8.3f} MB in "
                f"{counts[name].number / COUNTED:.2f} messages, "
                f"{1000 * statistics.median(seconds[name]):.1f} ms a step ({rounds})"
            )


def _config(overrides: Sequence[str], strategy: str, folder: str) -> DictConfig:
    cfg = compose(
        *overrides, f"hardware.strategy={strategy}", f"run.dir={folder}", "budget.images=1000000000", "logger=[]"
    )
    with open_dict(cfg):
        cfg.callbacks = {}
    return cfg


def _train(cfg: DictConfig, *callbacks: Callback) -> tuple[Any, ...]:
    experiment = build(cfg)
    cast(Any, experiment.trainer).callbacks.extend(callbacks)
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    return callbacks


if __name__ == "__main__":
    main()
