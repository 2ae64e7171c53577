"""Pretrained generators: loading from a checkpoint or an export, and sampling without the data set."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from gan_lab.config.targets import allowing
from gan_lab.data.content import recorded_classes
from gan_lab.errors import CheckpointError, ConfigError, UserError, first_line, is_out_of_memory, unknown_choice
from gan_lab.figures import draw_samples, png_address, to_image, to_uint8
from gan_lab.gans.conditions import Condition
from gan_lab.gans.inference import Inference, has_condition
from gan_lab.gans.latents import LatentPrior, TruncatedPrior
from gan_lab.gans.views import view_for
from gan_lab.layers.batch_statistics import with_batch_statistics, with_standing_statistics
from gan_lab.layers.evaluation_noise import with_random_noise
from gan_lab.layers.self_attention import attention_maps
from gan_lab.layers.style_mapping import has_styles, samples_of_styles, styles_of, with_truncated_styles
from gan_lab.noise import Noise, mix
from gan_lab.runs.remote import named
from gan_lab.sampling.card import card_of
from gan_lab.sampling.discriminators import PretrainedDiscriminator, load_discriminator
from gan_lab.sampling.export_file import SUFFIX, write_export
from gan_lab.sampling.rows import generators_in_rows, label_named, labels_in_rows
from gan_lab.sampling.stored import condition_of, encoder_of, network_of, prior_of, read_stored

BATCH_NORMS = ("running", "standing", "batch")
"""Statistics that the generator's batch norms use."""

SAMPLE_NOISES = ("fixed", "random")
"""Noise in the samples of a generator with noise layers: the same for all of them, or new for each sample."""

STANDING_PASSES, STANDING_BATCH = 16, 64
"""Number of batches over which standing statistics are averaged, 16 as in BigGAN's code, and their size."""

_STANDING = 0x5354414E
"""Noise key of their latents, other than that of samples with the same seed: an arbitrary constant."""

SHEET_SAMPLES, SHEET_PIXELS = 16, 320
"""Samples that a notebook shows of a generator, and the largest width and height of their sheet in pixels."""

Given = int | str | Sequence[int | str] | Tensor | None
"""A condition as users write it: a label for all samples, a label for each, a tensor with a row for each, or none. A
label is the number or the name of a class."""


@dataclass(frozen=True, repr=False)
class PretrainedGenerator:
    """Generator loaded from a checkpoint or an export; a notebook shows a sheet of its samples.

    Attributes:
        generator: In evaluation mode; latents (n, dim) and a condition with n rows to samples (n, ...).
        latent: Prior of its latents.
        condition: Its condition beside the latents: labels, codes, or none.
        config: Resolved config of the run; for an export only the keys of the generator.
        images_seen: Real images seen in training.
        path: The file.
        encoder: Samples to latents, in evaluation mode; None if the model has none, and for an export.
        weights: `ema` or `raw`.
        allow_targets: See `load`.
    """

    generator: nn.Module
    latent: LatentPrior | TruncatedPrior
    condition: Condition
    config: DictConfig
    images_seen: int
    path: Path
    encoder: nn.Module | None = None
    weights: str = "ema"
    allow_targets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        kind = str(self.config.architecture.generator["_target_"]).rpartition(".")[2]
        training = f"{self.weights} weights, {self.images_seen:,} images seen"
        return f"PretrainedGenerator({named(self.path)}: {kind}, {self.latent_summary}, {training}, {self.device})"

    def _repr_html_(self) -> str:
        """The generator in a notebook: a sheet of samples, except of one that makes images from images."""
        text = f"<div><code>{escape(repr(self))}</code></div>"
        if self.condition.needs_batch:
            return text
        samples = self.sample(SHEET_SAMPLES, batch_size=SHEET_SAMPLES)
        if samples.dim() == 2 and samples.shape[1] != 2:  # points that cannot be drawn
            return text
        sheet = draw_samples(samples)
        sheet.thumbnail((SHEET_PIXELS, SHEET_PIXELS))
        return f'{text}<img alt="{SHEET_SAMPLES} samples of seed 0" src="{png_address(sheet)}">'

    @property
    def latent_summary(self) -> str:
        """The prior of the latents as text."""
        prior = self.latent.prior if isinstance(self.latent, TruncatedPrior) else self.latent
        return f"{prior.dim} {prior.distribution} latents"

    @cached_property
    def discriminator(self) -> PretrainedDiscriminator:
        """The discriminator of the same checkpoint, or of a file of `gan-lab import` that has one.

        Raises:
            CheckpointError: There is none, as in an export.
        """
        return load_discriminator(self.path, self.device, self.allow_targets)

    def save(self, file: str | Path) -> Path:
        """Write the generator with its weights as one file, as `gan-lab export` does, and return the file.

        Truncation, and other noise or statistics of batches, are options of sampling, and not part of the file.

        Args:
            file: A new file whose name ends with `.safetensors`.

        Raises:
            ConfigError: The name is not allowed, the file exists, or the generator makes images from images.
        """
        file = Path(file)
        if file.suffix != SUFFIX:
            raise ConfigError(f"{file} is not allowed: the name must end with {SUFFIX}.")
        if file.exists():
            raise ConfigError(f"{file} exists already: give another file name, or delete the file.")
        if self.condition.needs_batch:
            raise ConfigError(f"{named(self.path)} has a generator that makes images from images: use gan_lab.export.")
        stored = replace(read_stored(self.path, self.weights), state=self.generator.state_dict())
        file.parent.mkdir(parents=True, exist_ok=True)
        write_export(file, stored.state, card_of(stored, self.sample(1), None, None), stored.others)
        return file

    def to_pil(self, samples: Tensor) -> list[Image.Image]:
        """Pillow images of samples, of any device.

        Args:
            samples: (n, C, H, W) or one image (C, H, W), in [-1, 1]; other values are clamped.

        Raises:
            ConfigError: These are not images with 1, 3 or 4 channels.
        """
        images = samples[None] if isinstance(samples, Tensor) and samples.dim() == 3 else samples
        if not isinstance(images, Tensor) or images.dim() != 4 or images.shape[1] not in (1, 3, 4):
            shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ConfigError(f"to_pil takes images as a tensor (n, 1, 3 or 4, height, width), not {shape}.")
        return [to_image(image) for image in to_uint8(images)]

    @property
    def inference(self) -> Inference | None:
        """Encoder and generator; None without an encoder, or if images do not have the condition of the generator."""
        if self.encoder is None or not has_condition(self.condition):
            return None
        return Inference(self.encoder, self.generator, self.condition, view_for(self.generator, self.generator, None))

    def encode(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (n, dim) of samples, for instance of a BiGAN's encoder.

        Args:
            samples: Images (n, C, H, W) in [-1, 1], or points (n, C), on any device.
            labels: Of a class-conditional model, int64 (n,).

        Returns:
            float32 on the CPU.

        Raises:
            ConfigError: There is no encoder, or the samples or labels do not fit it.
        """
        return self._inferred("encode", samples, labels)

    def reconstruct(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples that the generator makes of the latents of `encode`; for the arguments see there."""
        return self._inferred("reconstruct", samples, labels)

    def _inferred(self, method: str, samples: Tensor, labels: Tensor | None) -> Tensor:
        if self.inference is None:
            raise ConfigError(
                f"{named(self.path)} cannot encode images: choose a checkpoint of a model with an encoder, such as "
                "model=bigan, without a condition or with labels."
            )
        samples, labels = self._on_device(samples, labels)
        try:
            return getattr(self.inference, method)(samples, labels).cpu()
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{named(self.path)}: the encoder cannot take these samples: {first_line(error)}."
            ) from error

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes of the training data; None if they are not recorded."""
        return recorded_classes(cast(Any, self.config))

    @property
    def device(self) -> torch.device:
        """Device of the generator."""
        return next(self.generator.parameters()).device

    @torch.no_grad()
    def sample(
        self,
        count: int,
        seed: int = 0,
        condition: Given = None,
        batch_size: int = 256,
        truncation: float | None = None,
        truncation_form: str = "resample",
        batch_norm: str = "running",
        truncation_cutoff: int | None = None,
        noise: str = "fixed",
    ) -> Tensor:
        """Draw samples determined by `seed`, whatever the batch size and device.

        With `batch_norm="batch"` or `noise="random"` they also depend on the batch size.

        Args:
            count: Number of samples.
            seed: Key of the latents.
            condition: For a conditional generator: a label (number or name of a class) for all samples, a label for
                each, or a tensor with a row for each; None to sample it from its prior.
            batch_size: Samples generated at a time.
            truncation: Threshold of the latents' coordinates, see `adjusted`.
            truncation_form: See `adjusted`.
            batch_norm: See `adjusted`.
            truncation_cutoff: See `adjusted`.
            noise: See `adjusted`.

        Returns:
            float32 on the CPU: images (count, C, H, W) in [-1, 1], or points (count, C).

        Raises:
            ConfigError: The condition does not fit the generator or the count, or an adjustment is not supported.
        """
        for key, value in {"count": count, "batch_size": batch_size}.items():
            if not _is_integer(value) or value < 1:
                raise ConfigError(f"{key}={value} is not allowed: it must be a whole number of at least 1.")
        if not _is_integer(seed):
            raise ConfigError(f"seed={seed} is not allowed: it must be a whole number.")
        adjusted = self.adjusted(truncation, truncation_form, batch_norm, seed, truncation_cutoff, noise)
        return torch.cat([samples.cpu() for samples, _ in adjusted.chunks(count, seed, condition, batch_size)])

    def adjusted(
        self,
        truncation: float | None = None,
        truncation_form: str = "resample",
        batch_norm: str = "running",
        seed: int = 0,
        truncation_cutoff: int | None = None,
        noise: str = "fixed",
    ) -> "PretrainedGenerator":
        """The same generator with truncated latents or styles, other statistics of its batch norms, or other noise.

        Args:
            truncation: Threshold of the latents' coordinates (Brock et al., 2019); of a generator with styles psi,
                see `with_truncated_styles`; None for no truncation.
            truncation_form: `resample` or `scale`, see `TruncatedPrior`; not for styles.
            batch_norm: `running` for the running statistics of training; `standing` for the mean over 16 batches of 64
                samples with the same truncation; `batch` for the statistics of each batch of samples.
            seed: Key of the samples for standing statistics, and of random noise.
            truncation_cutoff: Number of layers whose styles are truncated, from the lowest resolution; None for all.
            noise: `fixed` for the same noise in all samples, `random` for new noise in each, as in training.

        Raises:
            ConfigError: A value is not allowed, the latents are not normal, or the generator has no such layers.
        """
        for key, value, choices in (("batch_norm", batch_norm, BATCH_NORMS), ("noise", noise, SAMPLE_NOISES)):
            if value not in choices:
                raise ConfigError(unknown_choice(key, value, choices))
        if truncation is not None and (isinstance(truncation, bool) or not isinstance(truncation, int | float)):
            raise ConfigError(f"truncation={truncation} is not allowed: it must be a number of at least 0, or None.")
        try:
            adjusted = self._truncated(truncation, truncation_form, truncation_cutoff)
            generator = adjusted.generator
            if batch_norm == "standing":
                generator = with_standing_statistics(generator, adjusted._standing(seed))
            elif batch_norm == "batch":
                generator = with_batch_statistics(generator)
            if noise == "random":
                generator = with_random_noise(generator, seed)
            return replace(adjusted, generator=generator)
        except ValueError as error:
            raise ConfigError(f"{str(error).rstrip('.')}.") from error

    def conditions_in_rows(self, labels: Any, generator: Any, count: int) -> list[int] | None:
        """A label, or the number of a generator, for each of `count` samples, sorted; None if neither is given.

        Args:
            labels: A user's value, see `labels_in_rows`.
            generator: Likewise, see `generators_in_rows`.
            count: Number of samples.

        Raises:
            ConfigError: A value does not fit this generator.
        """
        labels = labels_in_rows(labels, count, self.condition.num_classes, self.classes)
        numbers = generators_in_rows(generator, count, self.condition.num_generators)
        return labels if numbers is None else numbers

    def form_of_truncation(self, form: str) -> str:
        """How samples are truncated: `psi` for a generator with styles, else the given form."""
        return "psi" if has_styles(self.generator) else form

    def _truncated(self, threshold: float | None, form: str, cutoff: int | None) -> "PretrainedGenerator":
        """Truncate the styles if the generator has any, else the latents."""
        styles = has_styles(self.generator)
        if cutoff is not None and (threshold is None or not styles):
            raise ValueError(
                f"truncation_cutoff={cutoff} needs truncation and a generator with styles; set truncation_cutoff=null"
            )
        if threshold is None:
            return self
        if styles:
            if form != "resample":
                raise ValueError(
                    f"truncation_form={form} has no effect on styles, whose truncation is psi; leave it out"
                )
            return replace(self, generator=with_truncated_styles(self.generator, threshold, cutoff))
        return replace(self, latent=TruncatedPrior(LatentPrior(**self.config.latent), threshold, form))

    def _standing(self, seed: int) -> Iterator[tuple[Tensor, ...]]:
        """Inputs of the generator for standing statistics."""
        device = next(self.generator.parameters()).device
        for number in range(STANDING_PASSES):
            key = mix(seed, _STANDING, number)
            inputs = self.latent.sample(Noise(key, STANDING_BATCH)), self._condition(STANDING_BATCH, key, None)
            yield tuple(each.to(device) for each in inputs if each is not None)

    def chunks(
        self, count: int, seed: int = 0, condition: Given = None, batch_size: int = 256
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The samples of `sample` and their condition, if any, on the generator's device, in batches of `batch_size`.

        Raises:
            ConfigError: The condition does not fit the generator or the count.
        """
        latents, given = self.draw(count, seed, condition)
        for k in range(0, count, batch_size):
            part = None if given is None else given[k : k + batch_size]
            yield self.samples_of(latents[k : k + batch_size], part), part

    def draw(self, count: int, seed: int = 0, condition: Given = None) -> tuple[Tensor, Tensor | None]:
        """Latents (count, dim) and a condition with `count` rows, or None, that `sample` generates from, on the CPU.

        Raises:
            ConfigError: The condition does not fit the generator or the count.
        """
        return self.latent.sample(Noise(mix(seed), count)), self._condition(count, seed, condition)

    def generate(self, latents: Tensor, condition: Given = None) -> Tensor:
        """Samples of latents of your own; warns of latents that cannot be a sample of the prior.

        Args:
            latents: (n, dim) on any device and of any dtype, as from `draw`.
            condition: See `sample`; None to sample it from its prior.

        Returns:
            float32 (n, ...) on the generator's device.

        Raises:
            ConfigError: The latents have another shape, or the condition does not fit.
        """
        dim = self.config.latent.dim
        if not isinstance(latents, Tensor) or latents.dim() != 2 or latents.shape[1] != dim or not len(latents):
            shape = tuple(latents.shape) if isinstance(latents, Tensor) else type(latents).__name__
            raise ConfigError(f"latents must be a tensor (n, {dim}) for {named(self.path)}, not {shape}.")
        if difference := self.latent.mismatch(latents):
            warnings.warn(
                f"These latents have {difference}: draw(n) of the generator gives latents that fit it.", stacklevel=2
            )
        return self.samples_of(latents.float(), self._condition(len(latents), 0, condition))

    @torch.no_grad()
    def samples_of(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples float32 (n, ...) on the generator's device, for latents (n, dim) and their condition on any.

        Neither is checked: `generate` is for latents from elsewhere.
        """
        return self.generator(*self._on_device(latents, condition)).float()

    @torch.no_grad()
    def styles(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Styles (n, layers, style_dim) on the generator's device, w in StyleGAN's papers; truncated if it is.

        Args:
            latents: (n, dim) on any device.
            condition: With n rows on any device, or None.

        Raises:
            ConfigError: The generator has no styles.
        """
        self._require_styles()
        return styles_of(self.generator, *self._on_device(latents, condition))

    @torch.no_grad()
    def generate_from_styles(self, styles: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples float32 (n, ...) on the generator's device, for styles (n, layers, style_dim) on any.

        The styles are not truncated. A conditional generator needs the condition, although the styles decide.

        Raises:
            ConfigError: The generator has no styles.
        """
        self._require_styles()
        latents = torch.zeros(len(styles), self.config.latent.dim)
        latents, condition = self._on_device(latents, condition)
        return samples_of_styles(self.generator, styles.to(latents.device), latents, condition).float()

    def _require_styles(self) -> None:
        if not has_styles(self.generator):
            raise ConfigError(f"{named(self.path)} has a generator without styles; architecture=stylegan2 has them.")

    def _on_device(self, latents: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return latents.to(self.device), None if condition is None else condition.to(self.device)

    @torch.no_grad()
    def attention(self, pixel: tuple[int, int], count: int, seed: int = 0, condition: Given = None) -> Tensor:
        """Maps of the generator's attention layer for a query pixel (Zhang et al., 2019), for the samples of `sample`.

        Args:
            pixel: Row and column of the query in the layer's feature map.
            count: Number of samples.
            seed: Key of the latents.
            condition: As in `sample`.

        Returns:
            float32 on the CPU, (count, h, w), nonnegative, with sum 1 for each sample; for sizes see `attention_maps`.

        Raises:
            ConfigError: The generator has no attention layer, the pixel is outside, or the condition does not fit.
        """
        device = next(self.generator.parameters()).device
        latents, given = self.draw(count, seed, condition)
        inputs = (latents.to(device),) if given is None else (latents.to(device), given.to(device))
        try:
            return attention_maps(self.generator, pixel, *inputs).float().cpu()
        except ValueError as error:
            raise ConfigError(f"{named(self.path)}: {error}.") from error

    def _condition(self, count: int, seed: int, condition: Given) -> Tensor | None:
        try:
            if condition is None and self.condition.needs_batch:
                raise ValueError("its generator makes images from images; use gan-lab translate source=<images>")
            if condition is None:
                return self.condition.sample(Noise(mix(seed, 1), count))
            return self.condition.parse(self._without_names(condition), count)
        except ValueError as error:
            raise ConfigError(f"{named(self.path)}: {error}.") from error

    def _without_names(self, condition: Given) -> Given:
        """The condition, with numbers in the place of names of classes."""
        if self.condition.num_classes is None:
            return condition
        if isinstance(condition, str):
            return label_named(condition, self.classes)
        if isinstance(condition, Sequence):
            return [label_named(each, self.classes) if isinstance(each, str) else each for each in condition]
        return condition


@contextmanager
def _of_foreign_config(file: Path, allow_targets: Sequence[str]) -> Iterator[None]:
    """Convert what the parts of a foreign config raise into a `CheckpointError`; not the errors of a user's classes."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if allow_targets or is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{named(file)} cannot be used: its config does not describe a generator: {first_line(error)}."
        ) from error


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def load(
    path: str | Path,
    weights: str = "ema",
    device: str | torch.device | None = None,
    allow_targets: Sequence[str] = (),
) -> PretrainedGenerator:
    """Load the generator of a checkpoint file, of an export, or of a run folder's last checkpoint.

    `gan_lab.load("runs/my-run").sample(16, seed=0)` returns sixteen images. A foreign file cannot run code: only plain
    data is read, and its config may name classes of gan_lab only.

    Args:
        path: A `.ckpt` file, a file or folder of `gan-lab export`, a run folder, or `hf:user/name`.
        weights: `ema` for the averaged generator, `raw` for the trained one.
        device: Device of the generator; by default a GPU if there is one.
        allow_targets: Your packages or full class names that the config may name, too. Their code is run.

    Raises:
        UserError: The file is missing or cannot be used, or its config names a target that is not allowed.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path={path} is not allowed: it must be the path of a file or of a run folder.")
    stored = read_stored(path, weights)
    with allowing(allow_targets), _of_foreign_config(stored.file, allow_targets):
        generator, encoder = network_of(stored, "generator", stored.state), encoder_of(stored)
        latent, condition = prior_of(stored), condition_of(stored)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return PretrainedGenerator(
        generator=generator.requires_grad_(False).eval().to(device),
        latent=latent,
        condition=condition,
        config=stored.config,
        images_seen=stored.images_seen,
        path=stored.file,
        encoder=None if encoder is None else encoder.requires_grad_(False).eval().to(device),
        weights=stored.weights,
        allow_targets=tuple(allow_targets),
    )
