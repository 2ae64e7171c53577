"""Steps with an arbitrary function as discriminator, for the closed forms of penalties."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Critic

W = torch.tensor([3.0, 4.0], dtype=torch.float64)


def linear(weights: Tensor = W) -> Critic:
    """The critic w x + 0.7."""
    return lambda x: x.flatten(1) @ weights + 0.7


def points(*shape: int) -> Tensor:
    """Fixed normal points, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Network(nn.Module):
    """A discriminator whose features are the samples, with a critic and a second head on top."""

    def __init__(self, critic: Critic, auxiliary: Critic) -> None:
        super().__init__()
        self.critic = critic
        self.auxiliary = auxiliary

    def features(self, samples: Tensor, condition: Tensor | None) -> Tensor:
        return samples

    def head(self, features: Tensor, condition: Tensor | None) -> Tensor:
        return self.critic(features)


def step(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    condition: Tensor | None = None,
    auxiliary: Callable[[Tensor], Tensor] = lambda features: features,
    network: nn.Module | None = None,
    seed: int = 0,
) -> Step:
    """A step with the samples `real` and `fake`, both with `condition`; `network` or the discriminator is updated."""
    discriminator = Network(critic, auxiliary)
    return Step(
        network or discriminator,
        DiscriminatorOutputs(discriminator, lambda: Samples(real, condition)),
        DiscriminatorOutputs(discriminator, lambda: Samples(fake, condition)),
        Noise(seed, len(real)),
    )
