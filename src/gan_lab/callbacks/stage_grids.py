"""Pictures of progressive growing: every resolution beside the others."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image

from gan_lab.callbacks.drawing import in_chunks
from gan_lab.callbacks.sample_grids import FIXED_LATENTS, show
from gan_lab.gans.base import AdversarialModule
from gan_lab.layers.growing import enlarged, shown_at
from gan_lab.pictures import image_grid, sheet
from gan_lab.types import Stage

SIDE = 320
"""Of a grid on the sheet, in pixels."""


class StageGrids(Callback):
    """Writes a grid at the end of each resolution of a game that grows, and all of them side by side.

    Files: `stage_<resolution>.png`, samples of the averaged generator from the same latents, and `stages.png`, a column for
    each resolution so far over real images of that resolution, which also goes to the loggers that show pictures. Games
    that do not grow get none.

    Args:
        folder: Where the pictures go.
        columns: Images in a row of a grid, which has as many rows.
    """

    def __init__(self, folder: str, columns: int = 4) -> None:
        self.folder = Path(folder)
        self.columns = columns
        self._resolution: int | None = None

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._resolution = _resolution_due(module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        before, self._resolution = self._resolution, _resolution_due(module)
        if before is not None and self._resolution != before:
            self._write(trainer, module, before)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        # A run that ends with a resolution has not begun the next.
        if self._resolution is not None and module.progress()["resolution"] == self._resolution:
            self._write(trainer, module, self._resolution)

    def _write(self, trainer: Trainer, module: AdversarialModule, resolution: int) -> None:
        if not trainer.is_global_zero:
            return
        with module.profile("stage_grids"):
            self.folder.mkdir(parents=True, exist_ok=True)
            count, key = self.columns**2, (module.seed, FIXED_LATENTS)
            latents, labels = module.sample_latents(count, *key), module.sample_labels(count, *key)
            samples = torch.cat([chunk.cpu() for chunk, _ in in_chunks(module, latents, labels, average=True)])
            image_grid(samples, self.columns, SIDE).save(self.folder / f"stage_{resolution:04d}.png")
            self._write_sheet(trainer)
        for logger in trainer.loggers:
            show(logger, "samples/stages", self.folder / "stages.png", module.images_seen)

    def _write_sheet(self, trainer: Trainer) -> None:
        files = sorted(self.folder.glob("stage_*.png"))
        sides = [int(file.stem.rpartition("_")[2]) for file in files]
        images = trainer.datamodule.real_batch(self.columns**2).cpu()  # type: ignore[attr-defined]
        small = [shown_at(images, Stage(side)) for side in sides]  # each (n, C, side, side)
        rows: list[tuple[str, list[Image.Image | None]]] = [
            ("generated", [Image.open(file) for file in files]),
            ("real", [image_grid(enlarged(each, images.shape[-1]), self.columns, SIDE) for each in small]),
        ]
        sheet(rows, [f"{side} x {side}" for side in sides], SIDE).save(self.folder / "stages.png")


def _resolution_due(module: AdversarialModule) -> int | None:
    stage = module.stage_due()
    return None if stage is None else stage.resolution
