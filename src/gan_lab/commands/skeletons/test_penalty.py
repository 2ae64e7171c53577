"""Tests of `regularizer=[skeleton]`."""

from types import SimpleNamespace
from typing import Any

import torch
from own_package.skeleton import Skeleton


def test_the_mean_square_of_the_logits() -> None:
    step: Any = SimpleNamespace(fake=SimpleNamespace(logits=torch.tensor([1.0, 3.0])))
    assert Skeleton()(step) == 5
