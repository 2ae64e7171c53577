"""Estimate of a training step's memory and operations, from fake tensors: without data or device, in seconds."""

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
from gan_lab.types import DataSpec

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Estimate:
    """Memory on one device and operations of the bare loop's step.

    Not included: PyTorch itself, workspaces of convolutions, memory fragmentation, buckets of DDP, and a data set on
    the device.

    Attributes:
        devices: Processes that a batch is split over.
        images: Real images of a micro-batch on one device.
        resident_bytes: Memory between steps: weights, averaged weights, gradients and optimizer moments.
        peak_bytes: Peak memory, resident memory included.
        operations: Floating-point operations of convolutions and matrix products, per real image.
    """

    devices: int
    images: int
    resident_bytes: int
    peak_bytes: int
    operations: float

    def lines(self, images_per_second: float | None, tflops: float | None) -> list[str]:
        """Lines of the report.

        Args:
            images_per_second: Measured speed on one device, to report operations per second; None if not measured.
            tflops: Assumed speed of each device in 1e12 operations per second, to report the time; None for no time.
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
            speed = f"{tflops:g} TFLOP per second of each device"
            lines.append(f"estimated time           {seconds:10.4g} seconds for 1000 images, at {speed}")
        return lines


def estimate(cfg: DictConfig) -> Estimate | None:
    """Estimate for a resolved config, with its precision, devices and micro-batches; None without a bare loop.

    The step runs on fake tensors, which have shapes but no values.
    """
    devices = devices_of(cfg)
    images = max(1, cfg.batch_size // (devices * cfg.accumulate))
    with torch.device("meta"):
        module = build_module(cfg)
    module.train()
    # Fake tensors have no values for a gradient scaler.
    precision = "bf16-mixed" if cfg.hardware.precision == "16-mixed" else cfg.hardware.precision
    spec = DataSpec(cfg.dataset.channels, cfg.dataset.resolution, cfg.dataset.num_classes)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        _make_fake(module, mode)
        loop = bare_loop(module, _batches(spec, images), images, CPU, precision)
        if loop is None:
            return None
        cycle = module.runner.cycle
        with Meter() as meter:
            meter.add(*module.parameters(), *module.buffers())
            for _ in range(loop.gan.parts.n_critic):  # the optimizers allocate their moments
                loop.train_step()
            meter.operations = 0
            for _ in range(cycle):
                loop.train_step()
        return Estimate(devices, images, meter.live, meter.peak, meter.operations / (cycle * images))


def devices_of(cfg: DictConfig) -> int:
    """Number of processes of a run in its config; 1 if the config leaves it to the machine."""
    devices = cfg.hardware.devices
    count = int(devices) if str(devices).isdigit() else 1 if isinstance(devices, str | int) else len(devices)
    return max(1, count) * cfg.hardware.num_nodes


class Meter(TorchDispatchMode):
    """Context manager that counts live bytes of tensors and floating-point operations.

    Attributes:
        live: Bytes of live tensors that were created inside the context or passed to `add`.
        peak: Largest `live` so far.
        operations: Floating-point operations so far, of operators that PyTorch has a formula for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self.operations = 0
        self._known: dict[int, int] = {}

    def add(self, *tensors: Tensor) -> None:
        """Count these tensors, too; shared memory is counted once."""
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


def _make_fake(module: AdversarialModule, mode: FakeTensorMode) -> None:
    """Replace a module's meta tensors by fake CPU tensors of the same shapes."""
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
    del module.runner  # its players hold the old parameters


def _batches(spec: DataSpec, count: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    while True:
        labels = torch.zeros(count, dtype=torch.long) if spec.num_classes else None
        yield torch.zeros(count, *spec.shape), labels
