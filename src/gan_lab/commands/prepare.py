"""`gan-lab prepare`: decodes a data set once, at several resolutions, for training."""

import logging
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.config.build import instantiate
from gan_lab.config.checks import check_dataset
from gan_lab.config.overrides import to_paste
from gan_lab.data import prepare as writing
from gan_lab.data.image_data import ImageData
from gan_lab.data.pyramid import Pyramid, halved_resolutions
from gan_lab.data.raw import counts_by_kind
from gan_lab.data.summary import class_names, summary
from gan_lab.errors import ConfigError

log = logging.getLogger(__name__)

_NAMED = 5  # names of skipped images in the summary


@dataclass(frozen=True)
class Prepared:
    """A data set decoded at several resolutions.

    Attributes:
        pyramid: Description of the folder: resolutions, number of images, skipped images.
        folder: Holds the arrays; the value of `dataset.source` for `dataset=prepared`.
    """

    pyramid: Pyramid
    folder: Path

    def __str__(self) -> str:
        return _summary(self.pyramid, self.folder)


def prepare(cfg: DictConfig) -> Prepared:
    """Decode and write the data set of a composed `prepare` config.

    Raises:
        UserError: A value, the data or the folder cannot be used.
    """
    check_dataset(cfg.get("dataset"), "choose the set to prepare, as in dataset=image_folder")
    data = instantiate(cfg.dataset, "dataset")
    if not isinstance(data, ImageData):
        raise ConfigError(
            f"{type(data).__name__} generates its samples and has no images to prepare: choose a set of images, as "
            "dataset=image_folder."
        )
    raw, decoder = data.undecoded()
    classes = None if raw.labels is None else len(class_names(raw))  # labels are written, whether used or not
    log.info(f"Data: {summary(raw, decoder, classes)}.")
    resolutions = _resolutions(cfg, decoder.resolution)
    folder = Path(cfg.out).expanduser()
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Prepared(writing.prepare(raw, decoder, resolutions, folder, data.source, data.on_error), folder)


def _resolutions(cfg: DictConfig, resolution: int) -> list[int]:
    """The resolutions to write, ascending."""
    allowed = halved_resolutions(resolution)
    resolutions = allowed if cfg.resolutions is None else sorted(set(cfg.resolutions))
    wrong = [resolution for resolution in resolutions if resolution not in allowed]
    if wrong or not resolutions:
        raise ConfigError(
            f"resolutions={list(cfg.resolutions)} is not allowed: for dataset.resolution={resolution} it must be a "
            f"subset of {', '.join(map(str, allowed))}, or null for all."
        )
    return resolutions


def _summary(pyramid: Pyramid, folder: Path) -> str:
    resolutions, count = ", ".join(map(str, pyramid.resolutions)), pyramid.count - len(pyramid.skipped)
    lines = [f"{count:,} images of {pyramid.source} at {resolutions} pixels are in {folder}."]
    if pyramid.skipped:
        names, more = list(pyramid.skipped.values())[:_NAMED], ", …" if len(pyramid.skipped) > _NAMED else ""
        kinds = counts_by_kind(pyramid.kinds)
        lines.append(f"{len(pyramid.skipped):,} were skipped ({kinds}): {', '.join(names)}{more}.")
    return "\n".join([*lines, f"Next: gan-lab train model=pggan dataset=prepared {to_paste('dataset.source', folder)}"])
