"""Where the time of a run goes, measured in every run."""

import time
from collections import defaultdict, deque
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING: AbstractContextManager[Any] = nullcontext()

PARTS = {
    "train_dataloader_next": "data",
    "batch_to_device": "data",
    "on_after_batch_transfer": "data",
    "ema": "ema",
    "logging": "logging",
    "sample_grids": "pictures",
    "stage_grids": "pictures",
    "evaluation": "evaluation",
    "collapse": "watch",
    "collapse_watch": "watch",
    "checkpoint": "checkpoints",
    "save_checkpoint": "checkpoints",
}
"""Last word of an action of the Trainer's profiler, to the part of the time that it belongs to."""

KEPT = 100_000
"""Most blocks that are kept where nobody asks for the shares."""

OTHER = "other"
"""What belongs to no part: mostly Lightning's loop."""


def part_of(action: str) -> str | None:
    """The part of the time that an action of the profiler belongs to: that of a phase is the phase's name; None for no part."""
    if action.startswith("phase/"):
        return action.removeprefix("phase/")
    return PARTS.get(action.rpartition(".")[2])


class TimeShares(PassThroughProfiler):
    """Adds up the time of a few blocks of a step, each batch, and waits for nothing.

    Of the dozens of blocks of a step all others cost one look into a dictionary. On a GPU the marks are events in its
    stream, so a part is the time that the GPU spent on it or waited in it: what the host does meanwhile costs nothing. Elsewhere
    they are the clock of the process. Of blocks within each other the outer one counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[str, AbstractContextManager[Any]] = {}
        self._on_gpu = False
        self._parts: set[str] = set()
        self.begin(torch.device("cpu"))

    def begin(self, device: torch.device) -> None:
        """Measure from now on a run on this device."""
        self._on_gpu = device.type == "cuda"
        self._spans: deque[tuple[str, Any, Any]] = deque(maxlen=KEPT)  # part, and the marks before and after it
        self._busy = False
        self._since = self._mark()

    def profile(self, action_name: str) -> Any:
        """A block that measures what it holds, if that is a part of its own."""
        block = self._blocks.get(action_name)
        if block is None:
            part = part_of(action_name)
            block = self._blocks[action_name] = _NOTHING if part is None else _Span(self, part)
        return block

    def shares(self) -> dict[str, float]:
        """Part of the time since the last call, 0 to 1, by part; they and `other` make 1."""
        now, spans = self._mark(), self._spans
        whole = self._seconds(self._since, now)
        self._since, self._spans = now, deque(maxlen=KEPT)
        self._parts |= {part for part, _, _ in spans}
        seconds: dict[str, float] = defaultdict(float)
        for part, start, end in spans:
            seconds[part] += self._seconds(start, end)
        shares = {part: seconds[part] / max(whole, 1e-9) for part in sorted(self._parts)}
        return shares | {OTHER: max(0.0, 1 - sum(shares.values()))}

    def _mark(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _seconds(self, start: Any, end: Any) -> float:
        if not self._on_gpu:
            return end - start
        end.synchronize()  # only when the log is written, which has waited for the GPU already
        return start.elapsed_time(end) / 1000


class _Span:
    """A block that notes when it begins and ends, unless it is inside another."""

    def __init__(self, shares: TimeShares, part: str) -> None:
        self._shares = shares
        self._part = part
        self._start: Any = None

    def __enter__(self) -> None:
        if not self._shares._busy:
            self._shares._busy = True
            self._start = self._shares._mark()

    def __exit__(self, *_: object) -> None:
        if self._start is not None:
            self._shares._spans.append((self._part, self._start, self._shares._mark()))
            self._shares._busy = False
            self._start = None
