"""Progress bars for loops that take minutes."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from gan_lab.ranks import is_first_process
from gan_lab.terminal import lossy

T = TypeVar("T")

DELAY_SECONDS = 2.0
"""A loop that ends before has no bar."""


def progress(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Yield the items; on a terminal and in a notebook, with a bar on standard error that disappears at the end.

    Args:
        items: What a loop runs over.
        name: What the loop does, such as `nearest neighbors`.
        total: Number of items; None for their length, if they have one.
    """
    shown = is_first_process() and lossy(sys.stderr).redraws()
    yield from tqdm(
        items,
        name,
        total,
        leave=False,
        disable=not shown,
        delay=DELAY_SECONDS,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}%|{bar:20}| {desc} [{elapsed}<{remaining}]",
    )
