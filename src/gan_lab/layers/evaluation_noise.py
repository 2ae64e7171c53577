"""Noise of layers in evaluation mode: the same for all samples, or new for each of them."""

import copy

import torch
from torch import nn

from gan_lab.noise import mix


class EvaluationNoise(nn.Module):
    """Base class of layers that add noise in evaluation mode, too.

    By default the noise of evaluation mode is the same for all samples, so that equal inputs give equal samples;
    `with_random_noise` changes this.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed: int | None = None  # of random noise in evaluation mode
        self.draws = 0

    @property
    def has_noise(self) -> bool:
        """Whether the layer adds any noise."""
        return True

    def generator(self) -> torch.Generator | None:
        """Random stream of the next batch, on the CPU; None if the noise is the same for all samples."""
        if self.seed is None:
            return None
        self.draws += 1
        return torch.Generator().manual_seed(mix(self.seed, self.draws))


def with_random_noise(network: nn.Module, seed: int) -> nn.Module:
    """Copy of a network in evaluation mode that draws new noise for each sample, as in training.

    The noise depends on the seed and on the number of batches drawn before.

    Raises:
        ValueError: The network has no noise.
    """
    network = copy.deepcopy(network)
    layers = [m for m in network.modules() if isinstance(m, EvaluationNoise) and m.has_noise]
    if not layers:
        raise ValueError("the generator has no noise layers; set noise=fixed")
    for number, layer in enumerate(layers):
        layer.seed, layer.draws = mix(seed, number), 0
    return network
