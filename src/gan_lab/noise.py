"""Random numbers as a function of (seed, position in the run), the same however many processes share a batch."""

import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def mix(*integers: int) -> int:
    """Hash integers to one 63-bit seed (the splitmix64 finalizer, chained)."""
    state = 0
    for integer in integers:
        state = (state + integer + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def reseed(seed: int, device: torch.device) -> None:
    """Seed the generators that layers such as dropout draw from, on the CPU and on `device`.

    `torch.manual_seed` would seed every kind of device, and where one is not in use it records a stack trace at each call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


class Noise:
    """A stream of random rows, one row for each sample of the *global* batch, of which this process keeps its own.

    Every draw covers the global batch and is then cut to `rows`. So neither the number of processes nor the number of
    micro-batches changes what a sample is paired with, and a resumed run continues the stream without any stored state.

    Args:
        seed: What the stream is a function of, for instance `mix(run_seed, batch_number, phase_number)`.
        global_size: Rows of one draw before the cut.
        rows: The rows that this process keeps; all of them by default.
        device: Where the tensors are made. Streams of different device types differ.
    """

    def __init__(
        self, seed: int, global_size: int, rows: slice = slice(None), device: torch.device | str = "cpu"
    ) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self.global_size = global_size
        self.rows = rows

    def normal(self, *shape: int) -> Tensor:
        """Independent N(0, 1) numbers, float32 of shape (rows, *shape)."""
        return torch.randn(self.global_size, *shape, generator=self.generator, device=self.generator.device)[self.rows]

    def uniform(self, *shape: int) -> Tensor:
        """Independent U[0, 1) numbers, float32 of shape (rows, *shape)."""
        return torch.rand(self.global_size, *shape, generator=self.generator, device=self.generator.device)[self.rows]

    def integers(self, high: int, *shape: int) -> Tensor:
        """Independent whole numbers in [0, high), int64 of shape (rows, *shape)."""
        shape = (self.global_size, *shape)
        return torch.randint(high, shape, generator=self.generator, device=self.generator.device)[self.rows]
