"""From a checkpoint or an export to samples, without the data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan_lab.config.build import build_network
from gan_lab.config.checkpoint_files import find_checkpoint, images_seen, read_checkpoint
from gan_lab.config.exports import SUFFIX, Stored, read_export
from gan_lab.config.foreign import check_parts, foreign_config
from gan_lab.config.targets import allowing, check_options
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.latents import LatentPrior, TruncatedPrior
from gan_lab.layers.batch_statistics import with_batch_statistics, with_standing_statistics
from gan_lab.layers.self_attention import attention_maps
from gan_lab.noise import Noise, mix

WEIGHTS = {"ema": "generator_ema", "raw": "generator"}
"""The word a user types to the part of the checkpoint."""

BATCH_NORMS = ("running", "standing", "batch")
"""What batch norms of the generator normalize by."""

STANDING_PASSES, STANDING_BATCH = 16, 64
"""Batches that standing statistics are the mean of, and the samples in one: 16 as in BigGAN's code."""

_STANDING = 0x5354414E
"""Sets their latents apart from those of the samples of the same seed; any number will do."""


@dataclass(frozen=True)
class Loaded:
    """A generator out of a checkpoint or an export, ready to sample.

    Attributes:
        generator: In evaluation mode; latents (n, dim) and labels (n,) to samples (n, ...).
        latent: The prior of its latents.
        labels: The prior of its labels.
        config: The resolved config of the run; of an export, what its generator is built from.
        images_seen: Real images the run had seen.
        path: The file.
    """

    generator: nn.Module
    latent: LatentPrior | TruncatedPrior
    labels: LabelPrior
    config: DictConfig
    images_seen: int
    path: Path

    @torch.no_grad()
    def sample(
        self,
        count: int,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 256,
        truncation: float | None = None,
        truncation_form: str = "resample",
        batch_norm: str = "running",
    ) -> Tensor:
        """Samples as a function of `seed`, whatever the batch size and the device (but for `batch_norm="batch"`).

        Args:
            count: Number of samples.
            seed: Key of the latents.
            labels: For a generator that is conditioned on labels: one for all samples, or as many as samples; None to draw
                them uniformly.
            batch_size: Samples made at a time.
            truncation: Threshold of the latents' coordinates, see `adjusted`.
            truncation_form: See `adjusted`.
            batch_norm: See `adjusted`.

        Returns:
            float32 on the CPU: images (count, C, H, W) in [-1, 1], or points (count, C).

        Raises:
            ConfigError: The labels do not suit the generator or the count, or it cannot be adjusted so.
        """
        adjusted = self.adjusted(truncation, truncation_form, batch_norm, seed)
        return torch.cat([samples.cpu() for samples, _ in adjusted.chunks(count, seed, labels, batch_size)])

    def adjusted(
        self,
        truncation: float | None = None,
        truncation_form: str = "resample",
        batch_norm: str = "running",
        seed: int = 0,
    ) -> "Loaded":
        """The same generator with other latents and other statistics of its batch norms (Brock et al., 2019).

        Args:
            truncation: Threshold of the latents' coordinates; None for none.
            truncation_form: `resample` or `scale`, see `TruncatedPrior`.
            batch_norm: `running` for the statistics that training kept; `standing` for the mean of those of 16 batches of 64
                samples, with the truncation that is asked for; `batch` for those of the samples that are made together.
            seed: Key of the samples of standing statistics.

        Raises:
            ConfigError: A word or number is not allowed, the latents are not normal, or there is no batch norm.
        """
        if batch_norm not in BATCH_NORMS:
            raise ConfigError(f"batch_norm={batch_norm} is not known: choose from {', '.join(BATCH_NORMS)}.")
        try:
            latent = self.latent
            if truncation is not None:
                latent = TruncatedPrior(LatentPrior(**self.config.latent), truncation, truncation_form)
            adjusted = replace(self, latent=latent)
            if batch_norm == "standing":
                return replace(adjusted, generator=with_standing_statistics(self.generator, adjusted._standing(seed)))
            return (
                replace(adjusted, generator=with_batch_statistics(self.generator))
                if batch_norm == "batch"
                else adjusted
            )
        except ValueError as error:
            raise ConfigError(f"{str(error).rstrip('.')}.") from error

    def _standing(self, seed: int) -> Iterator[tuple[Tensor, ...]]:
        """What the generator is called with for its standing statistics."""
        device = next(self.generator.parameters()).device
        for number in range(STANDING_PASSES):
            key = mix(seed, _STANDING, number)
            inputs = self.latent.sample(Noise(key, STANDING_BATCH)), self._labels(STANDING_BATCH, key, None)
            yield tuple(each.to(device) for each in inputs if each is not None)

    def chunks(
        self, count: int, seed: int = 0, labels: int | Sequence[int] | None = None, batch_size: int = 256
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The samples of `sample` on the generator's device with their labels (n,), if any, at most `batch_size` at a time.

        Raises:
            ConfigError: The labels do not suit the generator or the count.
        """
        latents, given = self.draw(count, seed, labels)
        for k in range(0, count, batch_size):
            part = None if given is None else given[k : k + batch_size]
            yield self.generate(latents[k : k + batch_size], part), part

    def draw(
        self, count: int, seed: int = 0, labels: int | Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The latents (count, dim) and labels (count,) that `sample` generates from, on the CPU; labels None without them.

        Raises:
            ConfigError: The labels do not suit the generator or the count.
        """
        return self.latent.sample(Noise(mix(seed), count)), self._labels(count, seed, labels)

    @torch.no_grad()
    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples float32 (n, ...) on the generator's device, for latents (n, dim) and labels (n,) on any."""
        device = next(self.generator.parameters()).device
        return self.generator(latents.to(device), None if labels is None else labels.to(device)).float()

    @torch.no_grad()
    def attention(
        self, pixel: tuple[int, int], count: int, seed: int = 0, labels: int | Sequence[int] | None = None
    ) -> Tensor:
        """Where the generator's attention layer looks from a pixel (Zhang et al., 2019), for the samples that `sample` makes.

        Args:
            pixel: Row and column of the query in the map that the layer sees.
            count: Number of samples.
            seed: Key of the latents.
            labels: As in `sample`.

        Returns:
            float32 on the CPU, (count, h, w), not negative, with sum 1 for each sample. See `attention_maps` for the size.

        Raises:
            ConfigError: The generator has no such layer, the pixel is outside, or the labels do not suit.
        """
        device = next(self.generator.parameters()).device
        latents, given = self.draw(count, seed, labels)
        inputs = (latents.to(device),) if given is None else (latents.to(device), given.to(device))
        try:
            return attention_maps(self.generator, pixel, *inputs).float().cpu()
        except ValueError as error:
            raise ConfigError(f"{self.path}: {error}.") from error

    def _labels(self, count: int, seed: int, labels: int | Sequence[int] | None) -> Tensor | None:
        classes = self.labels.num_classes
        if labels is None:
            return self.labels.sample(Noise(mix(seed, 1), count))
        if classes is None:
            raise ConfigError(f"labels={labels} is for runs with conditioning, and {self.path} has none.")
        values = torch.full((count,), labels) if isinstance(labels, int) else torch.as_tensor(labels)
        if values.shape != (count,):
            raise ConfigError(f"labels has {len(values)} entries for {count} samples: give one label, or one for each.")
        wrong = [value for value in values.tolist() if type(value) is not int or not 0 <= value < classes]
        if wrong:
            raise ConfigError(f"labels={wrong[0]} is not allowed: labels are whole numbers from 0 to {classes - 1}.")
        return values.long()


def load(
    path: str | Path,
    weights: str = "ema",
    device: str | torch.device | None = None,
    allow_targets: Sequence[str] = (),
) -> Loaded:
    """Load the generator of a checkpoint file, of an export, or of a run folder's last checkpoint.

    `gan_lab.load("runs/my-run").sample(16, seed=0)` returns sixteen images. A file from elsewhere cannot run code: it holds
    plain data, is read as such, and its config can name parts of gan_lab only.

    Args:
        path: A `.ckpt` file, a `.safetensors` file of `gan-lab export`, or a run folder.
        weights: `ema` for the averaged generator, `raw` for the one being trained.
        device: Where the generator goes; by default a GPU if there is one.
        allow_targets: Packages or full names of classes of your own that the config may name too. What they do is run.

    Raises:
        UserError: There is no usable file at `path`, or its config names what is not allowed.
    """
    stored = read_stored(path, weights)
    with allowing(allow_targets):
        generator = _generator(stored)
        latent, labels = _prior(LatentPrior, stored, "latent"), _prior(LabelPrior, stored, "conditioning")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Loaded(
        generator=generator.requires_grad_(False).eval().to(device),
        latent=latent,
        labels=labels,
        config=stored.config,
        images_seen=stored.images_seen,
        path=stored.file,
    )


def _generator(stored: Stored) -> nn.Module:
    """The generator that the config describes, with the stored weights."""
    for group in ("architecture", "wrapper"):
        check_parts(OmegaConf.select(stored.config, f"{group}.generator"), f"{group}.generator", stored.file)
    if OmegaConf.select(stored.config, "architecture.generator") is None:
        raise CheckpointError(f"{stored.file} has a config without architecture.generator.")
    generator = build_network(stored.config, "generator")
    try:
        generator.load_state_dict(stored.state)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{stored.file} does not fit the generator that its own config describes.") from error
    return generator


def _prior(kind: Callable[..., Any], stored: Stored, key: str) -> Any:
    """The prior that the config describes at `key`."""
    try:
        options = cast(dict[str, Any], OmegaConf.to_container(stored.config.get(key, OmegaConf.create())))
        check_options(kind, options, key)
        return kind(**options)
    except (ConfigError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{stored.file} has a config that cannot be used: {str(error).rstrip('.')}.") from error


def read_stored(path: str | Path, weights: str) -> Stored:
    """One generator's weights and config; see `load` for the arguments.

    Raises:
        CheckpointError: There is no such generator at `path`, or the file is damaged or something else.
    """
    if weights not in WEIGHTS:
        raise CheckpointError(f"weights={weights} is not known: choose ema or raw.")
    file = find_checkpoint(path)
    if file.suffix == SUFFIX:
        return read_export(file, weights)
    checkpoint = read_checkpoint(file)
    prefix = WEIGHTS[weights] + "."
    try:
        content, values = checkpoint["gan_lab"]["config"], checkpoint["state_dict"]
        state = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        seen = int(images_seen(checkpoint))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} is no checkpoint of gan_lab: it lacks the config or the images seen.") from error
    if not state:
        raise CheckpointError(f"{file} has no {weights} generator: choose the other of weights=ema and weights=raw.")
    config = foreign_config(content, file)
    return Stored(config, state, seen, weights, file)
