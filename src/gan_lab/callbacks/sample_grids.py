"""Pictures of the run as it goes."""

import math
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from gan_lab.callbacks.drawing import in_chunks
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.fields import judgement
from gan_lab.gans.base import AdversarialModule
from gan_lab.pictures import evenly, extent_of, field, picture, plane, strip, write_gif

FIXED_LATENTS = 0x47524944
"""Key of the fixed latents; any number will do, so long as it stays the same."""

CLASS_ROWS = 10
"""Most classes that a grid shows."""

STRIP = 8
"""Most pictures over time in a strip."""


class SampleGrids(Callback):
    """Writes grids of samples from the same latents, by the averaged and by the raw generator, and an animation of them.

    A game that is conditioned on labels gets a row for each class, at most ten, with the same latents in every row.
    Files: `real.png`, `ema_<images seen>.png`, `raw_<images seen>.png`, `ema.gif`, and `final.png`. Sets of points
    become densities, which `strip.png` shows side by side in the end, and `field_<images seen>.png` and `field.gif` have the
    points of the raw generator over the discriminator's logit, where it judges single points without labels. The pictures
    also go to the loggers that show pictures.

    Args:
        folder: Where the pictures go.
        budget_images: Length of the run in real images.
        every_images: Images from one grid to the next; by default a twentieth of the budget.
        count: Images in a grid.
        points: Points in a density.
    """

    def __init__(
        self,
        folder: str,
        budget_images: int,
        every_images: int | None = None,
        count: int = 100,
        points: int = 10_000,
    ) -> None:
        self.folder = Path(folder)
        self.count = count
        self.points = points
        self._every = Every(every_images or budget_images // 20)
        self._last = -1
        self._number = count
        self._extent: float | None = None

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._every.start(module.images_seen)
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._look_at_the_data(trainer)
            if module.images_seen == 0:
                self._write(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if self._every.due(module.images_seen) and trainer.is_global_zero:
            with module.profile("sample_grids"):
                self._write(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if trainer.is_global_zero and not module.interrupted:
            if module.images_seen != self._last:
                self._write(trainer, module)
            Image.open(self._path("ema", module)).save(self.folder / "final.png")
            write_gif(self.folder / "ema.gif", sorted(self.folder.glob("ema_*.png")))
            if self._extent is not None:
                self._write_strip()
            if fields := sorted(self.folder.glob("field_*.png")):
                write_gif(self.folder / "field.gif", fields)

    def _write_strip(self) -> None:
        frames = evenly(sorted(self.folder.glob("ema_*.png")), STRIP)
        titles = [f"{int(frame.stem.rpartition('_')[2]):,}" for frame in frames]
        pictures = [Image.open(frame) for frame in (*frames, self.folder / "real.png")]
        strip(pictures, [*titles, "truth"]).save(self.folder / "strip.png")

    def _path(self, kind: str, module: AdversarialModule) -> Path:
        return self.folder / f"{kind}_{module.images_seen:010d}.png"

    def _look_at_the_data(self, trainer: Trainer) -> None:
        """Write the real samples, which also set how many are drawn and the scale of the densities."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        self._number = self.points if data.spec.resolution is None else self.count
        real = data.real_batch(min(self._number, data.size))
        if real.dim() == 2:
            self._extent = extent_of(real)
        picture(real, extent=self._extent).save(self.folder / "real.png")

    def _write(self, trainer: Trainer, module: AdversarialModule) -> None:
        latents, labels, columns = self._fixed_inputs(module)
        self._last = module.images_seen
        for kind, average in (("ema", True), ("raw", False)):
            samples = torch.cat([chunk.cpu() for chunk, _ in in_chunks(module, latents, labels, average)])
            picture(samples, columns, self._extent).save(self._path(kind, module))
            self._show(trainer, kind, module)
        if self._extent is not None and labels is None:
            self._write_field(trainer, module, samples)

    def _write_field(self, trainer: Trainer, module: AdversarialModule, points: Tensor) -> None:
        assert self._extent is not None
        places = plane(self._extent)
        values = judgement(module, places)
        if values is not None:
            side = math.isqrt(len(places))
            field(values.view(side, side), points, self._extent).save(self._path("field", module))
            self._show(trainer, "field", module)

    def _show(self, trainer: Trainer, kind: str, module: AdversarialModule) -> None:
        for logger in trainer.loggers:
            show(logger, f"samples/{kind}", self._path(kind, module), module.images_seen)

    def _fixed_inputs(self, module: AdversarialModule) -> tuple[Tensor, Tensor | None, int | None]:
        """Latents, labels and the images in a row."""
        classes = module.labels.num_classes
        if classes is None or self._extent is not None:
            key = (module.seed, FIXED_LATENTS)
            return module.sample_latents(self._number, *key), module.sample_labels(self._number, *key), None
        rows = min(classes, CLASS_ROWS)
        columns = max(1, self._number // rows)
        latents = module.sample_latents(columns, module.seed, FIXED_LATENTS).repeat(rows, 1)
        return latents, torch.arange(rows, device=module.device).repeat_interleave(columns), columns


def show(logger: Logger, key: str, path: Path, images_seen: int) -> None:
    """Hand a picture to a logger, if it is one that shows pictures."""
    if isinstance(logger, WandbLogger):
        import wandb

        logger.log_metrics({key: wandb.Image(str(path)), "progress/images_seen": images_seen}, step=images_seen)  # type: ignore[dict-item]
    elif isinstance(logger, TensorBoardLogger):
        import numpy

        array = numpy.asarray(Image.open(path).convert("RGB"))
        logger.experiment.add_image(key, array, images_seen, dataformats="HWC")
