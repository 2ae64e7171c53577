"""Samples for the eyes and for the metrics, which a run draws as it goes."""

from collections.abc import Iterator

from torch import Tensor

from gan_lab.gans.base import AdversarialModule


def in_chunks(
    module: AdversarialModule, latents: Tensor, labels: Tensor | None, average: bool, size: int = 512
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Samples (n, ...), float32 on the module's device, and their labels, for latents (n, latent.dim) and labels (n,).

    Args:
        module: Its generator draws, in evaluation mode.
        latents: On the module's device.
        labels: int64 on the module's device, or None in a game without labels.
        average: Take the averaged weights; else those being trained.
        size: Samples at a time.
    """
    parts = [None] * -(-len(latents) // size) if labels is None else labels.split(size)
    for chunk, part in zip(latents.split(size), parts, strict=True):
        yield module.generate(chunk, part, average).float(), part
