"""Several image sets as one."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch

from gan_lab.data.raw import RawImages


class Joined:
    """Sequences of items or names, one after the other."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        self.ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, position: int, /) -> Any:
        number = bisect_right(self.ends, position)
        return self.parts[number][position - (self.ends[number - 1] if number else 0)]


def joined(sets: Sequence[RawImages], split: str) -> RawImages:
    """The images of several splits, with labels if all of them have some.

    Args:
        sets: The splits of one data set; at least one.
        split: Name of the result, such as `train+extra`.
    """
    if len(sets) == 1:
        return sets[0]
    labels = [raw.labels for raw in sets if raw.labels is not None]
    complete = len(labels) == len(sets)
    return replace(
        sets[0],
        items=Joined([raw.items for raw in sets]),
        names=Joined([raw.names for raw in sets]),
        labels=torch.cat(labels) if complete else None,
        classes=sets[0].classes if complete else None,
        split=split,
    )
