"""Generators whose batch norm compares with a fixed reference batch."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.architectures.wrapped import swap_batch_norms
from gan_lab.layers.virtual_batch_norm import VirtualBatchNorm


@dataclass(frozen=True)
class VirtualBatch:
    """Virtual batch norm in the place of every batch norm of a generator (Salimans et al., 2016, §3.5).

    A generated sample then depends on its own latent and a reference batch, which is drawn once for the run and goes
    through the network together with every batch: a batch as large as the reference costs double.

    Args:
        size: Latents in the reference batch.
        latent_dim: Size of a latent, without a label.
        distribution: `normal` for N(0, 1), `uniform` for U(-bound, bound).
        bound: Half the width of the uniform distribution.
        num_classes: Number of labels, of which the reference batch has uniform ones; None where nothing is conditioned
            on labels.

    Raises:
        ValueError: The size is below 1, the distribution is neither, or the network has no batch norm.
    """

    size: int
    latent_dim: int
    distribution: str
    bound: float
    num_classes: int | None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"wrapper.generator.virtual_batch_norm.size must be at least 1, not {self.size}")
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"latent.distribution={self.distribution} is not known; choose normal or uniform")

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network is built as without it."""
        return words

    def __call__(self, network: nn.Module) -> nn.Module:
        complaint = (
            "wrapper=virtual_batch_norm takes the place of the generator's batch norm, and this one has none; "
            "set architecture.generator.norm=batch"
        )
        swap_batch_norms(network, lambda norm: VirtualBatchNorm(norm, self.size), complaint)
        latents = torch.empty(self.size, self.latent_dim)
        if self.distribution == "normal":
            latents.normal_()
        else:
            latents.uniform_(-self.bound, self.bound)
        labels = None if self.num_classes is None else torch.randint(self.num_classes, (self.size,))
        return _WithReference(network, latents, labels)


class _WithReference(nn.Module):
    """A generator that sees the reference batch before every batch, and returns the samples of the latter."""

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
