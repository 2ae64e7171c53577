"""Sampling from the generator during training, for images and metrics."""

from collections.abc import Iterator

from torch import Tensor

from gan_lab.gans.base import AdversarialModule


def sample_in_chunks(
    module: AdversarialModule, latents: Tensor, condition: Tensor | None, average: bool, size: int = 512
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Samples in chunks: float32 (n, ...) on the module's device, each with its part of the condition.

    Args:
        module: The algorithm; its generator samples in evaluation mode.
        latents: (n, latent.dim), on the module's device.
        condition: n rows on the module's device; None for an unconditional algorithm.
        average: Sample with the averaged weights instead of the raw ones.
        size: Samples in a chunk.
    """
    parts = [None] * -(-len(latents) // size) if condition is None else condition.split(size)
    for chunk, part in zip(latents.split(size), parts, strict=True):
        yield module.generate(chunk, part, average).float(), part
