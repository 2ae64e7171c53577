"""Path length regularization of a generator."""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from gan_lab.processes import mean_over_processes
from gan_lab.ranges import require_range
from gan_lab.regularizers import functional as F
from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import Step


class PathLength(CheckedPenalty, nn.Module):
    """Path length regularization of the generator: Karras et al. (2020), section 3.2.

    A step of fixed size in the latent space should change the sample by a fixed magnitude: the penalty is (|J^T y| -
    a)^2 with J the Jacobian of the samples in the latents, y normal image noise divided by the root of the number of
    pixels, and a the moving average of the lengths with the current ones, as in the authors' code. Of a generator with
    styles J is the Jacobian in the styles, and the length the root mean square over its layers. Needs a generator that
    does not mix samples. Of several micro-batches each updates a; of several processes all have the mean of their
    lengths.

    Args:
        weight: Factor on the penalty; 2 in the authors' code.
        interval: Updates of the generator between evaluations.
        decay: Weight of the current mean length in the moving average.
        fraction: Fraction of the batch that it is evaluated on, because it needs much memory.
        player: The generator.

    Raises:
        ValueError: A number is out of range.
    """

    per_sample: ClassVar[bool] = True
    calls_generator: ClassVar[bool] = True
    player_kind: ClassVar[str] = "generator"
    needs_latents: ClassVar[bool] = True
    mean: Tensor

    def __init__(
        self,
        weight: float = 2.0,
        interval: int = 4,
        decay: float = 0.01,
        fraction: float = 0.5,
        player: str = "generator",
    ) -> None:
        super().__init__()
        for key, value in {"decay": decay, "fraction": fraction}.items():
            require_range(key, value, 0 < value <= 1, "in (0, 1]")
        self.weight = weight
        self.interval = interval
        self.__post_init__()
        self.decay = decay
        self.fraction = fraction
        self.player = player
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, step: Step) -> Tensor:
        latents = cast(Tensor, step.fake.latents)  # the samples of all of them are not computed
        count = max(1, round(self.fraction * len(latents)))
        latents = latents[:count]
        condition = None if step.fake.condition is None else step.fake.condition[:count]
        samples, inputs = _samples_and_inputs(step.network, latents, condition)
        noise = step.noise.normal(*samples.shape[1:])[:count]
        lengths = F.path_lengths(samples, inputs, noise)
        local = lengths.mean()
        current = mean_over_processes(local.detach())
        self.mean.lerp_(current, self.decay)
        # a has a gradient through the current mean, which is that of all processes: the gradients of this term are
        # averaged over them. Its value is 0.
        through_mean = -2 * self.decay * (current - self.mean) * (local - local.detach())
        return torch.square(lengths - self.mean).mean() + through_mean


def _samples_and_inputs(network: nn.Module, latents: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
    """Samples with a graph to what their lengths are measured in: the styles of the network, or else the latents."""
    layer = next((layer for layer in network.modules() if getattr(layer, "gives_styles", False)), None)
    if layer is None:
        latents = latents.detach().requires_grad_()
        return network(latents, condition).float(), latents
    styles: list[Tensor] = []
    handle = layer.register_forward_hook(lambda layer, inputs, output: styles.append(output))
    try:
        samples = network(latents, condition).float()
    finally:
        handle.remove()
    return samples, styles[-1]
