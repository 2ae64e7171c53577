"""Grids of generated samples during training, and animations of them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.fields import logits_of_points
from gan_lab.callbacks.sampling import sample_in_chunks
from gan_lab.figures import (
    class_shape,
    colored_densities,
    draw_classes,
    draw_samples,
    evenly,
    extent_of,
    field,
    image_grid,
    names_of,
    numbered_images,
    plane,
    read_figure,
    readable_images,
    save_image,
    strip,
    with_column_names,
    write_gif,
)  # fmt: skip
from gan_lab.files import copy_file
from gan_lab.gans.base import TARGET, AdversarialModule
from gan_lab.ranges import require_at_least

FIXED_LATENTS = 0x47524944
"""Key of the fixed latents: an arbitrary constant."""

CLASSES = 10
"""Largest number of classes or codes in a grid."""

STRIP = 8
"""Largest number of figures in `strip.png`."""

WEIGHTS = {"ema": "averaged weights", "raw": "raw weights"}
"""Weights of the samples in a figure, by its kind."""


class SampleGrids(Callback):
    """Write grids of samples of the averaged and of the raw generator from fixed latents, and an animation.

    For class-conditional algorithms each class or code, at most ten, has rows of its own, with its name or number and
    the same latents as the others, and `real.png` has real images in the same rows; for image-conditional ones a grid
    shows held-out sources, outputs, and targets or, without pairs, the sources as reconstructed from the outputs.
    Files: `real.png`, `ema_<images seen>.png`, `raw_<images seen>.png`, `ema.gif` and `final.png`. 2-D points are
    shown as densities, together in `strip.png` at the end; `field_<images seen>.png` and `field.gif` show the points
    of the raw generator over the discriminator's logits, if single points have logits. Of algorithms with an encoder,
    `reconstructions_<images seen>.png` shows real images with their reconstructions to the right of them, by the
    averaged networks. Other figures of an algorithm, see `AdversarialModule.figures`, are `<name>_<images seen>.png`.
    W&B and TensorBoard receive the figures as well.

    If a run is resumed from a checkpoint that is not its newest, `.aside` is appended to the names of later figures,
    until the same figures are drawn again.

    Args:
        folder: Folder of the figures.
        budget_images: Length of the run in real images.
        every_images: Images between grids; None for a twentieth of the budget.
        count: Number of images in a grid; with classes the nearest one that fills the rows of each class. With sources
            and targets all three are counted.
        points: Number of points in a density.
        at_epochs: Grids at the end of these epochs, from 1, as well: after the first one no image was seen twice.
    """

    def __init__(
        self,
        folder: str,
        budget_images: int,
        every_images: int | None = None,
        count: int = 100,
        points: int = 10_000,
        at_epochs: Sequence[int] = (),
    ) -> None:
        for name, value in {"every_images": every_images, "count": count, "points": points}.items():
            if value is not None:
                require_at_least(f"callbacks.sample_grids.{name}", value, 1)
        for epoch in at_epochs:
            require_at_least("callbacks.sample_grids.at_epochs", epoch, 1)
        self.folder = Path(folder)
        self.at_epochs = at_epochs
        self.count = count
        self.points = points
        self._every = Every(every_images or budget_images // 20)
        self._last = -1
        self._samples = count
        self._extent: float | None = None

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        self._every.start(module.images_seen)
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._set_aside_later(module)
            self._write_real(trainer, module)
            if module.images_seen == 0:
                self._write(trainer, module)

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        if self._every.due(module.images_seen) and trainer.is_global_zero:
            with module.profile("sample_grids"):
                self._write(trainer, module)

    def on_train_epoch_end(self, trainer: Any, module: AdversarialModule) -> None:
        wanted = trainer.current_epoch + 1 in self.at_epochs and module.images_seen != self._last
        if wanted and trainer.is_global_zero and not module.interrupted:
            self._write(trainer, module)

    def on_train_end(self, trainer: Any, module: AdversarialModule) -> None:
        if trainer.is_global_zero and not module.interrupted:
            if module.images_seen != self._last:
                self._write(trainer, module)
            copy_file(self._path("ema", module), self.folder / "final.png")
            self._write_animation(trainer, "ema", module)
            if self._extent is not None:
                self._write_strip()
            self._write_animation(trainer, "field", module)

    def _set_aside_later(self, module: AdversarialModule) -> None:
        """Rename the figures of later weights, which are not those of this run any more."""
        for kind in ("ema", "raw", "reconstructions", "field", *module.figures()):
            for file in numbered_images(self.folder, kind):
                if int(file.stem.rpartition("_")[2]) > module.images_seen:
                    file.replace(_aside(file))

    def _write_strip(self) -> None:
        frames = evenly(self._frames("ema"), STRIP)
        titles = [f"{int(frame.stem.rpartition('_')[2]):,}" for frame in frames]
        figures = [read_figure(frame) for frame in (*frames, self.folder / "real.png")]
        save_image(strip(figures, [*titles, "truth"]), self.folder / "strip.png")

    def _frames(self, kind: str) -> list[Path]:
        """The readable figures of one kind, by images seen."""
        return readable_images(numbered_images(self.folder, kind))

    def _path(self, kind: str, module: AdversarialModule) -> Path:
        return self.folder / f"{kind}_{module.images_seen:010d}.png"

    def _write_real(self, trainer: Any, module: AdversarialModule) -> None:
        """Write `real.png`, and set the number of samples and the extent of the densities."""
        data = trainer.datamodule
        self._samples = self.points if data.spec.resolution is None else self.count
        if module.condition.num_classes is not None and data.spec.resolution is not None:
            labels = module.condition.examples(CLASSES)
            assert labels is not None
            rows, columns = self._class_shape(len(labels))
            groups = data.reals_by_class(labels.tolist(), rows * columns)
            figure = draw_classes(groups, _names(trainer, module, labels), rows, columns)
        else:
            real = data.real_batch(min(self._samples, data.size))
            if real.dim() == 2:
                self._extent = extent_of(real)
            elif module.condition.needs_batch:
                self._samples = min(max(1, self.count // 3), data.held_out_size)
            figure = draw_samples(real, extent=self._extent)
        save_image(figure, self.folder / "real.png")

    def _class_shape(self, classes: int) -> tuple[int, int]:
        """Rows of each class and images in a row."""
        return class_shape(classes, max(1, self._samples // classes))

    def _write(self, trainer: Any, module: AdversarialModule) -> None:
        latents, condition = self._fixed_inputs(module)
        examples = self._examples(module)
        self._last = module.images_seen
        for kind, average in (("ema", True), ("raw", False)):
            samples = torch.cat([chunk.cpu() for chunk, _ in sample_in_chunks(module, latents, condition, average)])
            if self._extent is not None and _is_number(condition):
                figure = colored_densities(samples, condition.cpu(), self._extent)
            elif examples is None:
                grid = _with_sources(trainer, module, samples, latents, condition, average)
                figure = grid or draw_samples(samples, None, self._extent)
            else:
                groups = samples.chunk(len(examples))
                figure = draw_classes(groups, _names(trainer, module, examples), *self._class_shape(len(examples)))
            _save(figure, self._path(kind, module))
            self._send(trainer, kind, module)
        for name, draw in module.figures().items():
            _save(draw(), self._path(name, module))
            self._send(trainer, name, module)
        self._write_reconstructions(trainer, module)
        is_unconditional = module.condition.num_classes is None and not module.condition.needs_batch
        if self._extent is not None and is_unconditional:  # else a point has a logit for each condition
            self._write_field(trainer, module, samples)

    def _write_reconstructions(self, trainer: Any, module: AdversarialModule) -> None:
        inference, data = module.inference(), trainer.datamodule
        if inference is None or data.spec.resolution is None:
            return
        count = min(data.size, max(1, self.count // 2))
        images, labels = next(data.reals(count, count))
        images = images.to(module.device)
        made = inference.reconstruct(images, None if labels is None else labels.to(module.device))
        pairs = torch.stack([images, made], 1).flatten(0, 1)  # (2 n, C, H, W)
        _save(draw_samples(pairs, 2 * max(1, round(math.sqrt(count / 2)))), self._path("reconstructions", module))
        self._send(trainer, "reconstructions", module)

    def _write_field(self, trainer: Any, module: AdversarialModule, points: Tensor) -> None:
        assert self._extent is not None
        positions = plane(self._extent)
        logits = logits_of_points(module, positions)
        if logits is not None:
            size = math.isqrt(len(positions))
            _save(field(logits.view(size, size), points, self._extent), self._path("field", module))
            self._send(trainer, "field", module)

    def _send(self, trainer: Any, kind: str, module: AdversarialModule) -> None:
        caption = self._caption(trainer, kind, module)
        for logger in trainer.loggers:
            log_figure(logger, f"samples/{kind}", self._path(kind, module), module.images_seen, caption)

    def _caption(self, trainer: Any, kind: str, module: AdversarialModule) -> str:
        """Images seen, which weights the samples are from, and the classes of the rows."""
        examples = self._examples(module) if kind in WEIGHTS else None
        rows = [] if examples is None else [f"rows: {', '.join(_names(trainer, module, examples))}"]
        return "; ".join([f"{module.images_seen:,} images seen", WEIGHTS.get(kind, kind), *rows])

    def _write_animation(self, trainer: Any, kind: str, module: AdversarialModule) -> None:
        """Write the figures of one kind as a GIF, if there are any, and send it to W&B."""
        if not (frames := self._frames(kind)):
            return
        file = self.folder / f"{kind}.gif"
        write_gif(file, frames)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                import wandb

                video = wandb.Video(
                    str(file), caption=f"{WEIGHTS.get(kind, kind)}, {len(frames)} figures", format="gif"
                )
                row = {f"samples/{kind}_video": video, "progress/images_seen": module.images_seen}
                logger.log_metrics(row, step=module.images_seen)  # type: ignore[arg-type]

    def _fixed_inputs(self, module: AdversarialModule) -> tuple[Tensor, Tensor | None]:
        """Latents and condition; with classes, sorted by them, and the same latents for each."""
        key = (module.seed, FIXED_LATENTS)
        examples = self._examples(module)
        if examples is None:
            return module.sample_inputs(self._samples, *key)
        each = math.prod(self._class_shape(len(examples)))
        latents, _ = module.sample_inputs(each, *key)
        return latents.repeat(len(examples), 1), examples.to(module.device).repeat_interleave(each, 0)

    def _examples(self, module: AdversarialModule) -> Tensor | None:
        """The condition of each class or code of a grid; None without any, and for densities."""
        return None if self._extent is not None else module.condition.examples(CLASSES)


def _aside(file: Path) -> Path:
    """Path of a figure of later weights than those from which the run was resumed."""
    return file.with_name(f"{file.name}.aside")


def _save(figure: Image.Image, file: Path) -> None:
    """Write a figure, and remove the one that was set aside if it is the same."""
    save_image(figure, file)
    if _aside(file).is_file() and _aside(file).read_bytes() == file.read_bytes():
        _aside(file).unlink()


def _is_number(condition: Tensor | None) -> TypeGuard[Tensor]:
    """Whether the condition of each sample is a label or the number of a generator."""
    return condition is not None and condition.dim() == 1 and not condition.is_floating_point()


def _names(trainer: Any, module: AdversarialModule, examples: Tensor) -> list[str]:
    """Names of the classes or generators of a grid; numbers of codes."""
    return names_of(range(len(examples)), module.condition.names(trainer.datamodule.classes))


def _with_sources(
    trainer: Any,
    module: AdversarialModule,
    samples: Tensor,
    latents: Tensor,
    condition: Tensor | None,
    average: bool,
) -> Image.Image | None:
    """A grid with the source of each sample and what is shown beside it; None without source images.

    That is its target or, without pairs, what it becomes when it is translated back.
    """
    if not module.condition.needs_batch or condition is None or condition.dim() != samples.dim() or samples.dim() != 4:
        return None
    parts = {"source": condition, "output": samples}
    if trainer.datamodule.has_pairs or module.beside != TARGET:
        parts[module.beside] = module.shown_beside(samples, latents, average)
    converted = [_converted(part.cpu(), samples.shape[1], samples.shape[-1]) for part in parts.values()]
    images = torch.stack(converted, 1).flatten(0, 1)  # (parts n, C, H, W)
    groups = max(1, round(math.sqrt(len(samples) / len(parts))))  # in a row
    return with_column_names(image_grid(images, groups * len(parts)), [*parts] * groups)


def _converted(images: Tensor, channels: int, resolution: int) -> Tensor:
    """Images (n, c, h, w) converted to (n, channels, resolution, resolution)."""
    images = images[:, :channels] if images.shape[1] >= channels else images[:, :1].expand(-1, channels, -1, -1)
    return images if images.shape[-1] == resolution else F.interpolate(images, size=(resolution, resolution))


def log_figure(logger: Logger, key: str, path: Path, images_seen: int, caption: str | None = None) -> None:
    """Send a figure to W&B, with its caption, or to TensorBoard; other loggers are ignored."""
    if isinstance(logger, WandbLogger):
        import wandb

        row = {key: wandb.Image(str(path), caption=caption), "progress/images_seen": images_seen}
        logger.log_metrics(row, step=images_seen)  # type: ignore[arg-type]
    elif isinstance(logger, TensorBoardLogger):
        import numpy

        array = numpy.asarray(Image.open(path).convert("RGB"))
        logger.experiment.add_image(key, array, images_seen, dataformats="HWC")
