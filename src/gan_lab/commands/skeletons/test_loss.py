"""Tests of `loss=skeleton`."""

import torch
from own_package.skeleton import Skeleton

HIGH, LOW = torch.full((4,), 2.0), torch.full((4,), -2.0)


def test_the_discriminator_wants_high_logits_of_real_samples() -> None:
    assert Skeleton().discriminator(HIGH, LOW) < Skeleton().discriminator(LOW, HIGH)


def test_the_generator_wants_high_logits_of_its_samples() -> None:
    assert Skeleton().generator(HIGH) < Skeleton().generator(LOW)
