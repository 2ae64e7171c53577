"""Fractions of the wall-clock time by part of a training step, measured in every run."""

import time
from collections import defaultdict, deque
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from lightning.pytorch.profilers import PassThroughProfiler

_UNMEASURED: AbstractContextManager[Any] = nullcontext()

PARTS = {
    "train_dataloader_next": "data",
    "batch_to_device": "data",
    "on_after_batch_transfer": "data",
    "ema": "ema",
    "logging": "logging",
    "sample_grids": "figures",
    "stage_grids": "figures",
    "evaluation": "evaluation",
    "collapse": "watch",
    "collapse_watch": "watch",
    "checkpoint": "checkpoints",
    "save_checkpoint": "checkpoints",
}
"""Part of the time by the last component of the name of a profiler action."""

MAX_SPANS = 100_000
"""Largest number of measured blocks between two calls of `fractions`; older ones are dropped."""

OTHER = "other"
"""Time outside of all parts, mostly Lightning's loop."""


def part_of(action: str) -> str | None:
    """Part of the time of a profiler action; for a phase its name; None if the action is not measured."""
    if action.startswith("phase/"):
        return action.removeprefix("phase/")
    return PARTS.get(action.rpartition(".")[2])


class TimeFractions(PassThroughProfiler):
    """Profiler that measures the main blocks of every training step without synchronization.

    Other blocks of a step cost one dictionary lookup. On a GPU the time marks are CUDA events, so a part is the time
    that the GPU computed or was idle in it; on a CPU they are readings of the process clock. Of nested blocks only the
    outermost is measured.
    """

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[str, AbstractContextManager[Any]] = {}
        self._on_gpu = False
        self._parts: set[str] = set()
        self.begin(torch.device("cpu"))

    def begin(self, device: torch.device) -> None:
        """Start to measure a run on this device."""
        self._on_gpu = device.type == "cuda"
        self._spans: deque[tuple[str, Any, Any]] = deque(maxlen=MAX_SPANS)  # part, start mark, end mark
        self._inside = False
        self._since = self._mark()

    def profile(self, action_name: str) -> Any:
        """Context manager that measures the block, if the action belongs to a part."""
        block = self._blocks.get(action_name)
        if block is None:
            part = part_of(action_name)
            block = self._blocks[action_name] = _UNMEASURED if part is None else _Span(self, part)
        return block

    def fractions(self) -> dict[str, float]:
        """Fraction of the time since the last call, in [0, 1], by part; the values sum to 1 with `other`."""
        now, spans = self._mark(), self._spans
        since, total = self._since, self._seconds(self._since, now)
        self._since, self._spans = now, deque(maxlen=MAX_SPANS)
        self._parts |= {part for part, _, _ in spans}
        seconds: dict[str, float] = defaultdict(float)
        for part, start, end in spans:
            before = max(0.0, self._seconds(start, since))  # of the block in which this was called last
            seconds[part] += self._seconds(start, end) - before
        fractions = {part: seconds[part] / max(total, 1e-9) for part in sorted(self._parts)}
        return fractions | {OTHER: max(0.0, 1 - sum(fractions.values()))}

    def _mark(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _seconds(self, start: Any, end: Any) -> float:
        if not self._on_gpu:
            return end - start
        end.synchronize()  # only when a row is logged, which has already waited for the GPU
        return start.elapsed_time(end) / 1000


class _Span:
    """Context manager that marks the start and end of a block, unless it is nested in another."""

    def __init__(self, profiler: TimeFractions, part: str) -> None:
        self._profiler = profiler
        self._part = part
        self._start: Any = None

    def __enter__(self) -> None:
        if not self._profiler._inside:
            self._profiler._inside = True
            self._start = self._profiler._mark()

    def __exit__(self, *_: object) -> None:
        if self._start is not None:
            self._profiler._spans.append((self._part, self._start, self._profiler._mark()))
            self._profiler._inside = False
            self._start = None
