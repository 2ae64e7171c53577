"""Random numbers as a function of (seed, position in the run), independent of the number of processes."""

from collections.abc import Sequence
from functools import cache, cached_property, reduce
from hashlib import blake2b

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


@cache
def name_hash(name: str) -> int:
    """63-bit hash of a name, for `mix`; the same in every process and version of Python."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def reseed(seed: int, device: torch.device) -> None:
    """Seed the global generators, used by layers such as dropout, of the CPU and of `device`.

    `torch.manual_seed` would seed all kinds of devices, and records a stack trace at each call for those not in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


class Noise:
    """Random stream with one row for each sample of the *global* batch; each process keeps its own rows.

    Every draw covers the global batch and is then cut to `rows`. So neither the number of processes nor the number of
    micro-batches changes the random numbers of a sample, and a resumed run continues the stream without stored state.

    For each purpose use a `child` with its own name: then its numbers do not depend on other draws or their order.

    Args:
        seed: Determines the stream, for instance `mix(run_seed, batch_number, phase_number)`.
        global_size: Rows of a draw before the cut.
        rows: The rows that this process keeps; all by default.
        device: Device of the tensors. Streams of different device types differ.
        names: Names of the children that lead to this stream.
    """

    def __init__(
        self,
        seed: int,
        global_size: int,
        rows: slice = slice(None),
        device: torch.device | str = "cpu",
        names: Sequence[str] = (),
    ) -> None:
        self._root = seed
        self._names = names
        self.global_size = global_size
        self.rows = rows
        self.device = device

    def for_batch(self, number: int) -> "Noise":
        """The stream of one of several batches of generated samples; the first batch uses this stream itself."""
        return self.child(f"part/{number}") if number else self

    @property
    def count(self) -> int:
        """Number of rows that this process keeps."""
        return len(range(*self.rows.indices(self.global_size)))

    @cached_property
    def seed(self) -> int:
        """Seed of this stream; computed at the first draw, since most children of a step are never drawn from."""
        return reduce(lambda seed, name: mix(seed, name_hash(name)), self._names, self._root)

    @cached_property
    def generator(self) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.seed)

    def child(self, name: str) -> "Noise":
        """A new stream for a purpose such as `latents` or `penalty/r1`; each call starts it from its beginning."""
        return Noise(self._root, self.global_size, self.rows, self.device, (*self._names, name))

    def normal(self, *shape: int) -> Tensor:
        """Independent N(0, 1) numbers, float32 of shape (rows, *shape)."""
        return torch.randn(self.global_size, *shape, generator=self.generator, device=self.generator.device)[self.rows]

    def uniform(self, *shape: int) -> Tensor:
        """Independent U[0, 1) numbers, float32 of shape (rows, *shape)."""
        return torch.rand(self.global_size, *shape, generator=self.generator, device=self.generator.device)[self.rows]

    def integers(self, high: int, *shape: int) -> Tensor:
        """Independent integers in [0, high), int64 of shape (rows, *shape)."""
        shape = (self.global_size, *shape)
        return torch.randint(high, shape, generator=self.generator, device=self.generator.device)[self.rows]

    def balanced(self, high: int) -> Tensor:
        """Integers in [0, high) in random order, int64 (rows,): each equally often in the global batch, up to 1."""
        order = torch.randperm(self.global_size, generator=self.generator, device=self.generator.device)
        first = torch.randint(high, (1,), generator=self.generator, device=self.generator.device)
        return ((order + first) % high)[self.rows]
