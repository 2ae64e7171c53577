"""Inputs of a player in one phase: real and generated samples with the discriminator's outputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.errors import ConfigError
from gan_lab.noise import Noise


class Samples:
    """Samples with their condition and latents.

    Args:
        values: (n, ...); or a function that computes them, which is called at the first use.
        condition: Second input of the networks, with n rows: labels int64 (n,), codes (n, k) or a source image
            (n, C, H, W); None in an unconditional algorithm.
        latents: (n, latent.dim) for generated samples; None for real ones.
    """

    def __init__(
        self, values: Tensor | Callable[[], Tensor], condition: Tensor | None = None, latents: Tensor | None = None
    ) -> None:
        self._values = values
        self.condition = condition
        self.latents = latents

    @cached_property
    def values(self) -> Tensor:
        """The samples, (n, ...)."""
        return self._values if isinstance(self._values, Tensor) else self._values()

    def computed(self) -> "Samples":
        """The same samples, computed now: for `torch.no_grad`."""
        return Samples(self.values, self.condition, self.latents)

    @staticmethod
    def concatenate(batches: "Sequence[Samples]") -> "Samples":
        """Concatenate samples along the batch dimension."""
        if len(batches) == 1:  # without a copy
            return batches[0]
        conditions, latents = ([getattr(each, name) for each in batches] for name in ("condition", "latents"))
        return Samples(
            lambda: torch.cat([each.values for each in batches]),
            None if conditions[0] is None else torch.cat(conditions),
            None if latents[0] is None else torch.cat(latents),
        )


class DiscriminatorOutputs:
    """Samples with lazily computed discriminator outputs; each output is computed at most once.

    Args:
        network: The discriminator: `features(samples, condition)` gives the last hidden layer (n, ...),
            `head(features, condition)` the logits (n, ...), and `auxiliary(features)` the outputs (n, k) of a second
            head if there is one. A discriminator of packs of m samples gives n / m rows, one for m consecutive samples.
        draw: Function that returns the samples; called at most once.
        view: Transform of the discriminator's input: the identity or an augmentation.
    """

    def __init__(
        self,
        network: nn.Module,
        draw: Callable[[], Samples],
        view: Callable[[Tensor], Tensor] = lambda samples: samples,
    ) -> None:
        self.network = network
        self._draw = draw
        self.view = view

    @cached_property
    def _drawn(self) -> Samples:
        return self._draw()

    @property
    def samples(self) -> Tensor:
        """The samples, (n, ...), before any augmentation."""
        return self._drawn.values

    @property
    def condition(self) -> Tensor | None:
        """Their condition, with n rows, or None."""
        return self._drawn.condition

    @property
    def latents(self) -> Tensor | None:
        """The latents of generated samples, (n, latent.dim); None for real ones."""
        return self._drawn.latents

    @cached_property
    def features(self) -> Tensor:
        """Last hidden layer, (n, ...), never in half precision."""
        return self._features(self.samples)

    @cached_property
    def logits(self) -> Tensor:
        """Logits, (n, ...), never in half precision."""
        return self._head(self.features)

    @cached_property
    def auxiliary(self) -> Tensor:
        """Outputs (n, k) of the discriminator's second head, which predicts the condition; never in half precision."""
        return _widen(cast(Any, self.network).auxiliary(self.features))

    def critic(self, points: Tensor) -> Tensor:
        """Logits (n, ...) of other points (n, ...) under the condition of these samples; a `Critic`."""
        return self._head(self._features(points))

    def with_discriminator(self, network: nn.Module) -> "DiscriminatorOutputs":
        """The same samples, with the same view, scored by another discriminator."""
        return DiscriminatorOutputs(network, lambda: self._drawn, self.view)

    def _features(self, points: Tensor) -> Tensor:
        # A penalty turns autocast off; then half-precision features would not match the head's dtype.
        return self._widened("features", cast(Any, self.network).features(self.view(points), self.condition))

    def _head(self, features: Tensor) -> Tensor:
        return self._widened("head", cast(Any, self.network).head(features, self.condition))

    def _widened(self, method: str, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ConfigError(
                f"architecture.discriminator is a {type(self.network).__name__} whose {method} returned a "
                f"{type(output).__name__}: it must return a tensor (n, ...)."
            )
        return _widen(output)


def _widen(x: Tensor) -> Tensor:
    """Convert half precision to float32; return wider types unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@dataclass(frozen=True)
class Step:
    """Inputs of the losses and penalties in one phase.

    In a discriminator's phase the generated samples are detached; in a generator's phase they have a graph, and the
    parameters of the discriminators are frozen.

    Args:
        network: Network that is updated.
        real: Real samples.
        fake: Generated samples.
        noise: Random stream for losses and penalties.
        others: Additional outputs of an algorithm, by name.
    """

    network: nn.Module
    real: DiscriminatorOutputs
    fake: DiscriminatorOutputs
    noise: Noise
    others: Mapping[str, DiscriminatorOutputs] = field(default_factory=dict)
