"""What a step takes in memory and operations, found without taking it: no data, no device, a few seconds."""

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from gan_lab.benchmark.bare import bare_loop
from gan_lab.config.build import build_module
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.gan import GAN
from gan_lab.types import DataSpec

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Estimate:
    """Memory of one device and operations, of the bare loop's step.

    What a device needs beside that is not in it: PyTorch itself, scratch memory of convolutions, gaps between blocks of
    memory, buckets of DDP, and a data set that is kept there.

    Attributes:
        devices: Processes that share a batch.
        images: Real images of a micro-batch on one device.
        resident_bytes: What stays between steps: weights, their average, gradients and moments of the optimizers.
        peak_bytes: The most at any time, that included.
        operations: Floating-point operations of convolutions and matrix products, for one real image.
    """

    devices: int
    images: int
    resident_bytes: int
    peak_bytes: int
    operations: float

    def lines(self, images_per_second: float | None, tflops: float | None) -> list[str]:
        """As they are printed.

        Args:
            images_per_second: As measured on one device, if it was: gives the speed at which it computes.
            tflops: Speed to assume of each device, in 1e12 operations per second; gives the time.
        """
        shared = f" on each of {self.devices} devices" if self.devices > 1 else ""
        lines = [
            f"estimated memory         {self.peak_bytes / 2**20:10.0f} MiB{shared} for {self.images} images at a time, "
            f"{self.resident_bytes / 2**20:.0f} MiB of it between steps",
            f"operations               {self.operations / 1e9:10.4g} TFLOP for 1000 images",
        ]
        if images_per_second is not None:
            lines.append(f"computing at             {images_per_second * self.operations / 1e9:10.4g} GFLOP per second")
        if tflops is not None:
            seconds = self.operations / 1e9 / (tflops * self.devices)
            lines.append(
                f"estimated time           {seconds:10.4g} seconds for 1000 images, at {tflops:g} TFLOP per second of each device"
            )
        return lines


def estimate(cfg: DictConfig) -> Estimate | None:
    """The estimate for a resolved config, with its precision, devices and micro-batches; None without a bare loop.

    The step runs on tensors that have shapes and no numbers.
    """
    devices = devices_of(cfg)
    images = max(1, cfg.batch_size // (devices * cfg.accumulate))
    with torch.device("meta"):
        module = build_module(cfg)
    module.train()
    precision = "bf16-mixed" if cfg.hardware.precision == "16-mixed" else cfg.hardware.precision  # no scaler to ask
    spec = DataSpec(cfg.dataset.channels, cfg.dataset.resolution, cfg.dataset.num_classes)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        _without_numbers(module, mode)
        loop = bare_loop(module, _batches(spec, images), images, CPU, precision)
        if loop is None:
            return None
        cycle = _cycle(module)
        with Meter() as meter:
            meter.add(*module.parameters(), *module.buffers())
            for _ in range(2 * cycle):  # the optimizers make their moments in the first moves
                loop.train_step()
        return Estimate(devices, images, meter.live, meter.peak, meter.operations / (2 * cycle * images))


def devices_of(cfg: DictConfig) -> int:
    """Processes of a run, as far as the config says it: where it leaves that to the machine, one."""
    devices = cfg.hardware.devices
    count = int(devices) if str(devices).isdigit() else 1 if isinstance(devices, str | int) else len(devices)
    return max(1, count) * cfg.hardware.num_nodes


class Meter(TorchDispatchMode):
    """Counts the bytes of tensors that are alive and the operations that are made, while it is on.

    Attributes:
        live: Bytes now, of what was made since or given to `add`.
        peak: The most bytes so far.
        operations: Floating-point operations so far, of those that PyTorch has a formula for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self.operations = 0
        self._known: dict[int, int] = {}

    def add(self, *tensors: Tensor) -> None:
        """Count these, too; tensors that share their memory once."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._known:
                self._known[key] = storage.nbytes()
                self.live += storage.nbytes()
                weakref.finalize(storage, self._forget, key)
        self.peak = max(self.peak, self.live)

    def _forget(self, key: int) -> None:
        self.live -= self._known.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if formula := flop_registry.get(func._overloadpacket):
            self.operations += formula(*args, **kwargs, out_val=result)
        self.add(*(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)))
        return result


def _without_numbers(module: AdversarialModule, mode: FakeTensorMode) -> None:
    """Put tensors of the same shapes that pass for ones on the CPU in the place of a module's on the meta device."""
    made: dict[Tensor, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                if parameter not in made:
                    made[parameter] = nn.Parameter(FakeTensor(mode, parameter.data, CPU), parameter.requires_grad)
                part._parameters[name] = made[parameter]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = FakeTensor(mode, buffer, CPU)
    del module.runner  # whose players hold the parameters of before


def _batches(spec: DataSpec, count: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    while True:
        labels = torch.zeros(count, dtype=torch.long) if spec.num_classes else None
        yield torch.zeros(count, *spec.shape), labels


def _cycle(module: AdversarialModule) -> int:
    """Batches after which every phase has been played."""
    assert isinstance(module, GAN)
    return math.lcm(module.parts.n_critic, *(penalty.interval for penalty in module.penalties.values()))
