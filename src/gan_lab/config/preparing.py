"""A data set decoded once, at several resolutions, for training that reads it."""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.config.build import instantiate
from gan_lab.data import prepare as writing
from gan_lab.data.image_data import ImageData
from gan_lab.data.pyramid import Pyramid, sides_from
from gan_lab.errors import ConfigError

_NAMED = 5  # of the images that were skipped


def prepare(cfg: DictConfig) -> str:
    """Do what a composed `prepare` config says.

    Returns:
        What to print.

    Raises:
        UserError: A value, the data or the folder cannot be used.
    """
    if not cfg.get("dataset"):
        raise ConfigError("dataset is not given: choose the set to prepare, as in dataset=image_folder.")
    data = instantiate(cfg.dataset, "dataset")
    if not isinstance(data, ImageData):
        raise ConfigError(
            f"{type(data).__name__} draws its samples anew and has no images to prepare: choose a set of images, as "
            "dataset=image_folder."
        )
    raw, decoder = data.undecoded()
    sides = _sides(cfg, decoder.resolution)
    folder = Path(cfg.out).expanduser()
    folder.parent.mkdir(parents=True, exist_ok=True)
    return _told(writing.prepare(raw, decoder, sides, folder, data.source, data.on_error), folder)


def _sides(cfg: DictConfig, resolution: int) -> list[int]:
    """The resolutions to keep, ascending."""
    allowed = sides_from(resolution)
    sides = allowed if cfg.resolutions is None else sorted(set(cfg.resolutions))
    wrong = [side for side in sides if side not in allowed]
    if wrong or not sides:
        raise ConfigError(
            f"resolutions={list(cfg.resolutions)} is not allowed: for dataset.resolution={resolution} it must be some of "
            f"{', '.join(map(str, allowed))}, or null for all."
        )
    return sides


def _told(pyramid: Pyramid, folder: Path) -> str:
    sides, count = ", ".join(map(str, pyramid.resolutions)), pyramid.count - len(pyramid.skipped)
    lines = [f"{count:,} images of {pyramid.source} at {sides} pixels are in {folder}."]
    if pyramid.skipped:
        names, more = list(pyramid.skipped.values())[:_NAMED], ", …" if len(pyramid.skipped) > _NAMED else ""
        lines.append(f"{len(pyramid.skipped):,} that cannot be used were skipped: {', '.join(names)}{more}.")
    return "\n".join([*lines, f"Next: gan-lab train model=pggan dataset=prepared dataset.source={folder}"])
