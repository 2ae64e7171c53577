"""Wrapper for virtual batch norm: generators that normalize with a fixed reference batch."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.architectures.wrapped import swap_batch_norms
from gan_lab.layers.virtual_batch_norm import VirtualBatchNorm


@dataclass(frozen=True)
class VirtualBatch:
    """Replace every batch norm of a generator by virtual batch norm (Salimans et al., 2016, §3.5).

    A generated sample then depends on its own latent and a reference batch, which is sampled once per run and passed
    through the network with every batch: a batch as large as the reference costs double.

    Args:
        size: Latents in the reference batch.
        latent_dim: Size of a latent, without the label.
        distribution: `normal` for N(0, 1), `uniform` for U(-bound, bound).
        bound: Half the width of the uniform distribution.
        num_classes: Number of labels, for uniform labels of the reference batch; None without labels.
        condition: Name of the class of the condition.

    Raises:
        ValueError: The size is below 1, the distribution is unknown, the condition is not a label, or the network has
            no batch norm.
    """

    size: int
    latent_dim: int
    distribution: str
    bound: float
    num_classes: int | None
    condition: str = "Labels"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"wrapper.generator.virtual_batch_norm.size must be at least 1, not {self.size}")
        if not self.condition.endswith("Labels"):
            raise ValueError(
                "wrapper/generator=[virtual_batch_norm] has a reference batch of latents and labels, and this "
                "generator takes another condition; remove the wrapper, or set conditioning=none"
            )
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"latent.distribution={self.distribution} is not known; choose normal or uniform")

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        message = (
            "wrapper/generator=[virtual_batch_norm] replaces batch norm, and this generator has none; "
            "set architecture.generator.norm=batch"
        )
        swap_batch_norms(network, lambda norm: VirtualBatchNorm(norm, self.size), message)
        latents = torch.empty(self.size, self.latent_dim)
        if self.distribution == "normal":
            latents.normal_()
        else:
            latents.uniform_(-self.bound, self.bound)
        labels = None if self.num_classes is None else torch.randint(self.num_classes, (self.size,))
        return _WithReference(network, latents, labels)


class _WithReference(nn.Module):
    """A generator that prepends the reference batch to every batch and drops its samples from the output."""

    latents: Tensor
    labels: Tensor | None

    def __init__(self, network: nn.Module, latents: Tensor, labels: Tensor | None) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("latents", latents)
        self.register_buffer("labels", labels)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples (n, ...) for latents (n, latent_dim) of labels, int64 (n,) or None."""
        if labels is not None:
            labels = None if self.labels is None else torch.cat([self.labels, labels])
        samples: Tensor = self.network(torch.cat([self.latents, latents]), labels)
        return samples[len(self.latents) :]
