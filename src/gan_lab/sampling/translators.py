"""Pretrained translators: networks from images of one domain to another, for images of any size."""

import copy
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from gan_lab.config.targets import allowing, find_target
from gan_lab.config.untrusted import check_parts
from gan_lab.data.decode import FILTERS, to_pixels
from gan_lab.data.pixels import to_unit_range
from gan_lab.errors import CheckpointError, ConfigError, unknown_choice
from gan_lab.figures import to_image, to_uint8
from gan_lab.gans.latents import LatentPrior
from gan_lab.layers.evaluation_noise import EvaluationNoise
from gan_lab.layers.per_image_batch_norm import PerImageBatchNorm2d
from gan_lab.noise import Noise, mix
from gan_lab.runs.remote import named
from gan_lab.sampling.export_file import Stored
from gan_lab.sampling.stored import condition_of, network_of, prior_of, read_stored

TRANSLATION = "translation"
"""Key of a config in an export: what `Translation` has."""

SOURCE = "source"
"""Key of the batch that is the condition of translators."""

REVERSED = {"AtoB": "BtoA", "BtoA": "AtoB"}


@dataclass(frozen=True)
class Translation:
    """The translators of a run.

    Attributes:
        networks: Name of the network by direction: `AtoB`, `BtoA`.
        filters: Filter of `dataset.filter` for resizing source images, by direction.
        background: Gray value 0..255 below transparent pixels of source images.
    """

    networks: Mapping[str, str]
    filters: Mapping[str, str]
    background: int


@dataclass(frozen=True)
class Translator:
    """A network that translates images, loaded from a checkpoint or an export.

    Attributes:
        network: In evaluation mode; latents (n, dim) and sources (n, source_channels, h, w) to images (n, C, h, w).
        latent: Prior of its latents, which may have no coordinates.
        direction: `AtoB` or `BtoA`.
        source_channels: Channels of its input: 1 gray, 3 RGB, 4 RGBA.
        background: Gray value 0..255 below transparent pixels.
        filter: Filter for resizing source images.
        resolution: Resolution in training, in pixels.
        images_seen: Real images seen in training.
        path: The file.
        stochastic: Whether the noise of the network, dropout or latents, is new for each image; else it is the same
            for all.
        seed: Key of the noise.
    """

    network: nn.Module
    latent: LatentPrior
    direction: str
    source_channels: int
    background: int
    filter: str
    resolution: int | None
    images_seen: int
    path: Path
    stochastic: bool = False
    seed: int = 0

    @property
    def multiple(self) -> int:
        """Height and width of images that the network takes are multiples of it; others are padded and cropped."""
        return int(getattr(self.network, "multiple", self.resolution or 1))

    @property
    def has_noise(self) -> bool:
        """Whether an image has several translations."""
        return self.latent.dim > 0 or self._has_dropout

    @property
    def _has_dropout(self) -> bool:
        return bool(_noise_layers(self.network))

    def __call__(self, image: Image.Image, name: str = "") -> Image.Image:
        """Translate an image of any mode and size into one of the same size.

        Args:
            image: Converted to the channels of the network as in training: 16-bit values are scaled to 8 bits, and
                transparent pixels get the background.
            name: Key of the noise of a stochastic translator, beside the seed.

        Raises:
            ValueError: The values of the image have no known range.
        """
        (translated,) = self.translate([self.pixels(image)], [name])
        return to_image(to_uint8(translated))

    def pixels(self, image: Image.Image, resize: int | None = None) -> Tensor:
        """Input of `translate`: uint8 (source_channels, h, w), with `resize` pixels in the shorter side, if given."""
        return to_pixels(image, self.source_channels, self.background, resize, self.filter)

    @torch.no_grad()
    def translate(self, sources: Sequence[Tensor], names: Sequence[str] | None = None) -> Tensor:
        """Translate images of one size; each result depends on its own source only.

        Args:
            sources: uint8 (source_channels, h, w), all of one size, which may be any.
            names: Key of the noise of each image, if the translator is stochastic; by default empty.

        Returns:
            float32 (n, C, h, w) in [-1, 1] on the network's device.
        """
        device = next(iter(self.network.parameters())).device
        height, width = sources[0].shape[1:]
        padded = torch.stack([padded_by_reflection(each, self.multiple) for each in sources])
        top, left = (padded.shape[2] - height) // 2, (padded.shape[3] - width) // 2
        images = to_unit_range(padded.to(device))
        if self.stochastic:  # one by one, since random numbers depend on the batch
            names = names or [""] * len(images)
            translated = torch.cat([self._one(each[None], name) for each, name in zip(images, names, strict=True)])
        else:
            latents = self.latent.sample(Noise(mix(self.seed), 1)).expand(len(images), -1)
            translated = self.network(latents.to(device), images)
        return translated.float()[:, :, top : top + height, left : left + width]

    def _one(self, image: Tensor, name: str) -> Tensor:
        """Translate (1, source_channels, h, w) with the noise of this name."""
        key = mix(self.seed, zlib.crc32(name.encode()))
        for number, layer in enumerate(_noise_layers(self.network)):
            layer.seed, layer.draws = mix(key, number), 0
        return self.network(self.latent.sample(Noise(key, 1)).to(image.device), image)

    def with_noise(self, stochastic: bool, seed: int = 0) -> "Translator":
        """The same translator, with new noise for each image or the same for all."""
        network = copy.deepcopy(self.network)
        for layer in _noise_layers(network):
            layer.seed = None
        return replace(self, network=network, stochastic=stochastic and self.has_noise, seed=seed)

    def describe(self) -> str:
        """What the result depends on beside the source image, in sentences."""
        sentences = []
        for name, present in {"Dropout": self._has_dropout, "Latents": self.latent.dim > 0}.items():
            if present:
                how = "random for each image, from its name" if self.stochastic else "the same for all images"
                sentences.append(f"{name}: {how} (stochastic={str(self.stochastic).lower()}, seed={self.seed}).")
        if not sentences:
            sentences.append("The network has neither dropout nor latents: an image has one translation.")
        sentences += _statistics(self.network)
        return " ".join(sentences)


def _noise_layers(network: nn.Module) -> list[EvaluationNoise]:
    return [part for part in network.modules() if isinstance(part, EvaluationNoise) and part.has_noise]


def _statistics(network: nn.Module) -> list[str]:
    """Which statistics the norms use."""
    parts = list(network.modules())
    alone = any(isinstance(part, PerImageBatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm) for part in parts)
    trained = any(isinstance(part, nn.BatchNorm2d) and part.track_running_stats for part in parts)
    return ["Norms use the statistics of each image."] * alone + [
        "Batch norm uses the running statistics of training."
    ] * trained


def padded_by_reflection(image: Tensor, multiple: int) -> Tensor:
    """An image (C, h, w) padded by reflection to a height and width that are multiples of a number, centered.

    An image that is smaller than the padding is reflected several times.
    """
    _, height, width = image.shape
    spare = [-size % multiple for size in (height, width)]
    widths = [(0, 0), *((total // 2, total - total // 2) for total in spare)]
    return torch.from_numpy(np.pad(image.numpy(), widths, mode="reflect"))


def translation_of(stored: Stored) -> Translation | None:
    """The translators that the config of a checkpoint or an export describes; None if the run has none.

    Raises:
        CheckpointError: The config cannot be used.
    """
    config = stored.config
    if TRANSLATION not in config and getattr(condition_of(stored), "key", None) != SOURCE:
        return None
    try:
        plain: Any = OmegaConf.to_container(config.get(TRANSLATION, OmegaConf.create()))
        found = Translation(**plain) if plain else _of_run(stored)
        known = found.networks.keys() <= REVERSED.keys() and set(found.filters.values()) <= FILTERS.keys()
        if not (known and 0 <= found.background <= 255):
            raise ValueError("a direction or a filter is unknown")
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{named(stored.file)} has a config whose translators cannot be used.") from error
    return found


def _of_run(stored: Stored) -> Translation:
    """The translators of a run: its algorithm names the networks, its data set the direction and the filters."""
    config = stored.config
    check_parts(config.algorithm, "algorithm", named(stored.file))
    made = getattr(find_target(config.algorithm["_target_"], "algorithm"), "translators", {})
    data = config.get("dataset") or OmegaConf.create()
    forward = data.get("direction", "AtoB")
    directions = {"image": forward, SOURCE: REVERSED[forward]}
    maps, usual = data.get("label_maps", []), data.get("filter", "lanczos")
    return Translation(
        {directions[key]: name for key, name in made.items()},
        {direction: "nearest" if direction[0] in maps else usual for direction in REVERSED},
        data.get("background", 255),
    )


def load_translator(
    path: str | Path,
    direction: str | None = None,
    weights: str = "ema",
    device: str | torch.device | None = None,
    allow_targets: Sequence[str] = (),
) -> Translator:
    """Load a translator of a checkpoint file, of an export, or of a run folder's last checkpoint.

    `gan_lab.load_translator("runs/my-run")(Image.open("a.jpg")).save("b.png")` translates one image.

    Args:
        path: A `.ckpt` file, a file or folder of `gan-lab export`, a run folder, or `hf:user/name`.
        direction: `AtoB` or `BtoA`; None for that of the training.
        weights: `ema` for the averaged network, `raw` for the trained one.
        device: Device of the network; by default a GPU if there is one.
        allow_targets: Your packages or full class names that the config may name, too. Their code is run.

    Raises:
        UserError: The file is missing or cannot be used, or has no translator in this direction.
    """
    if direction not in (None, *REVERSED):
        raise ConfigError(unknown_choice("direction", direction, REVERSED))
    with allowing(allow_targets):
        return _translator(read_stored(path, weights), direction, weights, path, device)


def _translator(
    stored: Stored, direction: str | None, weights: str, path: str | Path, device: str | torch.device | None
) -> Translator:
    translation = translation_of(stored)
    if translation is None or not translation.networks:
        raise ConfigError(
            f"run={path} has a generator of latents and no translator: give a run of model=pix2pix or model=cyclegan, "
            "or use gan-lab sample."
        )
    direction = direction or next(iter(translation.networks))
    if direction not in translation.networks:
        raise ConfigError(
            f"direction={direction} is not offered by {path}, which translates {', '.join(translation.networks)} only: "
            "leave direction out, or give a run of the other direction."
        )
    name = translation.networks[direction]
    state = stored.state if name == "generator" else read_stored(stored.file, weights, name).state
    network = network_of(stored, name, state)
    options = cast(DictConfig, stored.config.architecture[name])
    return Translator(
        network=network.requires_grad_(False).eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu")),
        latent=prior_of(stored),
        direction=direction,
        source_channels=_source_channels(stored, name, options),
        background=translation.background,
        filter=translation.filters.get(direction, "lanczos"),
        resolution=options.get("resolution"),
        images_seen=stored.images_seen,
        path=stored.file,
    )


def _source_channels(stored: Stored, name: str, options: Any) -> int:
    found = options.get("source_channels")
    if found not in (1, 3, 4):
        raise CheckpointError(
            f"{named(stored.file)} has architecture.{name}.source_channels={found}: it must be 1, 3 or 4."
        )
    return int(found)
