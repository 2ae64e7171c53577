"""Latents and reconstructions of samples, by the encoder of an algorithm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.gans.conditions import Condition
from gan_lab.gans.modes import evaluation_mode
from gan_lab.gans.views import View
from gan_lab.noise import Noise


def has_condition(condition: Condition) -> bool:
    """Whether real samples and their labels determine the condition that the generator needs to reconstruct them.

    False for codes and numbers of generators, which real samples do not have, and for source images.
    """
    if condition.needs_batch:
        return False
    return condition.num_classes is not None or condition.sample(Noise(0, 1)) is None


@dataclass(frozen=True)
class Inference:
    """An encoder and its generator. All results are float32, computed in evaluation mode and without gradients.

    Args:
        encoder: `forward(samples, condition)`: samples (n, ...) to latents (n, latent.dim); `features` is its last
            hidden layer.
        generator: `forward(latents, condition)`: latents to samples.
        condition: The condition of the algorithm, which labels of samples are converted to.
        view: Transforms images into what the encoder sees.
    """

    encoder: nn.Module
    generator: nn.Module
    condition: Condition
    view: View

    def encode(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (n, latent.dim) of samples (n, ...) and, for a class-conditional encoder, their labels int64 (n,).

        Raises:
            ValueError: The encoder needs labels and there are none.
        """
        return self._encoded(self.encoder, samples, labels)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """The encoder's last hidden layer (n, d); for the arguments see `encode`."""
        return self._encoded(cast(Any, self.encoder).features, samples, labels)

    @torch.no_grad()
    def reconstruct(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Reconstructions G(E(x)) (n, ...); for the arguments see `encode`."""
        latents = self.encode(samples, labels)
        with evaluation_mode(self.generator):
            return self.generator(latents, self._condition(samples, labels)).float()

    @torch.no_grad()
    def _encoded(self, function: Callable[..., Tensor], samples: Tensor, labels: Tensor | None) -> Tensor:
        with evaluation_mode(self.encoder):
            return function(self.view(samples), self._condition(samples, labels)).float()

    def _condition(self, samples: Tensor, labels: Tensor | None) -> Tensor | None:
        """The condition of the samples, on their device."""
        if self.condition.num_classes is not None and labels is None:
            raise ValueError("this encoder is class-conditional and needs the label of each sample")
        condition = self.condition.of({"image": samples} if labels is None else {"image": samples, "label": labels})
        return None if condition is None else condition.to(samples.device)
