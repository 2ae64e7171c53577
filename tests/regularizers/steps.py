"""A move of a game whose discriminator is any function, for the penalties' closed forms."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.types import Critic, Judged, Step

W = torch.tensor([3.0, 4.0], dtype=torch.float64)


def linear(weights: Tensor = W) -> Critic:
    """The critic w x + 0.7."""
    return lambda x: x.flatten(1) @ weights + 0.7


def points(*shape: int) -> Tensor:
    """Some points, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """A discriminator whose features are the samples, with a critic and a classifier on top."""

    def __init__(self, critic: Critic, classify: Critic) -> None:
        super().__init__()
        self.critic = critic
        self.classify = classify

    def features(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        return samples

    def head(self, features: Tensor, labels: Tensor | None) -> Tensor:
        return self.critic(features)


def step(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None = None,
    classify: Callable[[Tensor], Tensor] = lambda features: features,
    network: nn.Module | None = None,
    seed: int = 0,
) -> Step:
    """A move in which the discriminator judges `real` and `fake`, both of them with `labels`; `network` moves."""
    judge = Network(critic, classify)
    return Step(
        network or judge,
        Judged(judge, lambda: (real, labels)),
        Judged(judge, lambda: (fake, labels)),
        Noise(seed, len(real)),
    )
