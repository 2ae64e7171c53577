"""`gan-lab translate`: images made from images by a run of image-to-image translation."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from omegaconf import DictConfig
from torch import Tensor

from gan_lab.commands.inputs import device_named
from gan_lab.commands.outputs import folder_of_outputs, refuse_used_folder
from gan_lab.data.image_folder import read_file_or_folder
from gan_lab.data.raw import RawImages, UnusableImage
from gan_lab.errors import ConfigError, DataError, is_out_of_memory
from gan_lab.figures import save_image, to_image, to_uint8
from gan_lab.files import create_folder
from gan_lab.progress import progress
from gan_lab.runs.latest import run_named
from gan_lab.runs.remote import named
from gan_lab.sampling.translators import Translator, load_translator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Translations:
    """Translated images and the files they were written to.

    Attributes:
        files: The PNG file by the name of the source image, relative to the source.
        skipped: Messages about source images that cannot be read, by name.
        folder: Holds the files.
        direction: `AtoB` or `BtoA`.
        noise: What the results depend on beside the source images, in sentences.
        checkpoint: The file of the network.
        images_seen: Real images seen in training.
        weights: `ema` or `raw`.
    """

    files: Mapping[str, Path]
    skipped: Mapping[str, str]
    folder: Path
    direction: str
    noise: str
    checkpoint: Path
    images_seen: int
    weights: str

    def __str__(self) -> str:
        one = len(self.files) == 1
        written = f"{len(self.files):,} image{'' if one else 's'}, {self.direction}, in {self.folder}"
        left_out = f" {len(self.skipped):,} could not be read and are left out." if self.skipped else ""
        return (
            f"{written}, by {named(self.checkpoint)} after {self.images_seen:,} images, {self.weights} weights."
            f"{left_out} {self.noise}"
        )


def translate(cfg: DictConfig) -> Translations:
    """Translate the images of a composed `translate` config, and write a PNG file for each.

    Raises:
        UserError: The run, a value or the source cannot be used, or the folder contains files.
    """
    raw = read_file_or_folder(cfg.source, "source")
    outputs = output_names([raw.name(position) for position in range(len(raw))])
    out = None if cfg.out is None else Path(cfg.out)
    if out is not None:
        refuse_used_folder(out)
    run = run_named(cfg.run)
    loaded = load_translator(run, cfg.direction, cfg.weights, device_named(cfg.device))
    translator = loaded.with_noise(cfg.stochastic, cfg.seed)
    target = out or folder_of_outputs(run) / "translations" / _name(cfg, translator)
    folder: Path | None = None
    skipped: dict[str, str] = {}
    files: dict[str, Path] = {}
    for names, sources in _batches(raw, translator, cfg.resize, cfg.batch_size, skipped):
        for name, image in zip(names, _translated(translator, sources, names), strict=True):
            folder = folder or create_folder(target)  # not before there is something to write
            files[name] = folder / outputs[name]
            save_image(to_image(to_uint8(image)), files[name], durable=False)
    if folder is None:
        raise DataError(f"source={cfg.source} has no image that can be read: {next(iter(skipped.values()))}")
    for message in skipped.values():
        log.warning("%s", message)
    return Translations(
        files,
        skipped,
        folder,
        translator.direction,
        translator.describe(),
        translator.path,
        translator.images_seen,
        cfg.weights,
    )


def output_names(names: list[str]) -> dict[str, str]:
    """Paths of PNG files, relative to the output folder, by the names of the source images.

    Raises:
        DataError: Two images would have the same file.
    """
    found: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        parts = [re.sub(r"[\\:]", "_", part) for part in path.relative_to(path.anchor).parts if part != ".."]
        found[name] = str(PurePosixPath(*parts).with_suffix(".png"))
        other = sources.setdefault(found[name].lower(), name)
        if other != name:
            raise DataError(f"{other} and {name} would both be written to {found[name]}: rename one of them.")
    return found


def _batches(
    raw: RawImages, translator: Translator, resize: int | None, batch_size: int, skipped: dict[str, str]
) -> Iterator[tuple[list[str], list[Tensor]]]:
    """Names and pixels of consecutive images of one size, at most `batch_size` at a time.

    Messages about images that cannot be read are added to `skipped`.
    """
    names: list[str] = []
    sources: list[Tensor] = []
    for position in progress(range(len(raw)), "images", len(raw)):
        name = raw.name(position)
        try:
            pixels = _pixels(raw, position, translator, resize)
        except UnusableImage as error:
            skipped[name] = str(error)
            continue
        if sources and (len(sources) == batch_size or sources[0].shape != pixels.shape):
            yield names, sources
            names, sources = [], []
        names.append(name)
        sources.append(pixels)
    if sources:
        yield names, sources


def _pixels(raw: RawImages, position: int, translator: Translator, resize: int | None) -> Tensor:
    try:
        return translator.pixels(raw.load(position), resize)
    except ValueError as error:
        raise UnusableImage(f"{raw.name(position)} cannot be converted: {error}.", "of unknown range") from error


def _translated(translator: Translator, sources: list[Tensor], names: list[str]) -> Tensor:
    """The translations; an image that does not fit into memory is refused with advice."""
    try:
        return translator.translate(sources, names).cpu()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        height, width = sources[0].shape[1:]
        raise ConfigError(
            f"{names[0]} has {width}x{height} pixels, which is too much for the memory with batch_size={len(sources)}: "
            "give resize=<pixels of the shorter side>, or a smaller batch_size."
        ) from error


def _name(cfg: DictConfig, translator: Translator) -> str:
    """Name of the default folder, such as `AtoB_photos_seed_3_raw`; default values are left out."""
    source = re.sub(r"[^\w.+-]+", "-", Path(cfg.source).expanduser().resolve().stem)
    parts = [translator.direction, source]
    parts += [f"seed_{cfg.seed}"] * (translator.stochastic and cfg.seed != 0)
    parts += ["same_noise"] * (translator.has_noise and not cfg.stochastic)
    parts += [f"resize_{cfg.resize}"] * (cfg.resize is not None) + [cfg.weights] * (cfg.weights != "ema")
    return "_".join(parts)
