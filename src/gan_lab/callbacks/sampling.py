"""Sampling from the generator during training, for images and metrics."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from gan_lab.gans.base import AdversarialModule
from gan_lab.metrics.held_out import Translated
from gan_lab.noise import Noise, mix
from gan_lab.types import Batch


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


def real_batch(data: Any, module: AdversarialModule, count: int) -> Batch:
    """Real samples as the discriminator is shown them now, with their labels or conditions, on the module's device.

    Args:
        data: The data module; None for a plain data loader, of which a batch is repeated.
        module: The algorithm.
        count: Number of samples; of a data set that has fewer, all.
    """
    if data is None or module.condition.needs_batch:
        return {name: values.to(module.device) for name, values in module.examples(count).items()}
    samples, labels = next(data.reals(min(count, data.size), count))
    batch = {"image": samples} if labels is None else {"image": samples, "label": labels}
    prepared: Batch = module.prepare({name: values.to(module.device) for name, values in batch.items()})
    return prepared


def translate_held_out(
    module: AdversarialModule, data: Any, count: int, key: tuple[int, ...], average: bool, size: int = 512
) -> Iterator[Translated]:
    """Samples for the conditions of held-out data, in chunks: float32 (n, ...) on the module's device.

    Args:
        module: An algorithm whose conditions come from the data; its generator samples in evaluation mode.
        data: The data module.
        count: Number of samples, at most `data.held_out_size`.
        key: Key of the latents.
        average: Sample with the averaged weights instead of the raw ones.
        size: Samples in a chunk.
    """
    latents = module.latent.sample(Noise(mix(*key), count)).to(module.device)
    for batch in data.held_out_pairs(count, size):
        batch = module.prepare({name: values.to(module.device) for name, values in batch.items()})
        condition = module.condition.of(batch)
        assert condition is not None
        chunk, latents = latents[: len(condition)], latents[len(condition) :]
        samples = module.generate(chunk, condition, average).float()
        yield Translated(samples, condition, module.reals(batch) if data.has_pairs else None)
