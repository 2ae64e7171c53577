"""Sample grids of progressive growing, one for each resolution."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.sample_grids import FIXED_LATENTS, log_figure
from gan_lab.callbacks.sampling import sample_in_chunks
from gan_lab.figures import image_grid, numbered_images, readable_images, save_image, sheet
from gan_lab.gans.base import AdversarialModule
from gan_lab.layers.growing import at_stage, enlarge
from gan_lab.ranges import require_at_least
from gan_lab.types import Stage

GRID_SIZE = 320
"""Width and height of a grid in `stages.png`."""


class StageGrids(Callback):
    """Write a sample grid at the end of each resolution of growing networks, and all of them side by side.

    Files: `stage_<resolution>.png`, samples of the averaged generator from fixed latents, and `stages.png` with a
    column for each resolution so far: generated over real images. W&B and TensorBoard receive `stages.png` as well.
    Without growing networks, nothing is written.

    Args:
        folder: Folder of the figures.
        columns: Number of rows and of columns of a grid.
    """

    def __init__(self, folder: str, columns: int = 4) -> None:
        require_at_least("callbacks.stage_grids.columns", columns, 1)
        self.folder = Path(folder)
        self.columns = columns
        self._resolution: int | None = None

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        self._resolution = _due_resolution(module)

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        before, self._resolution = self._resolution, _due_resolution(module)
        if before is not None and self._resolution != before:
            self._write(trainer, module, before)

    def on_train_end(self, trainer: Any, module: AdversarialModule) -> None:
        # A run that ends exactly with a resolution has not trained at the next one.
        if self._resolution is not None and module.progress()["resolution"] == self._resolution:
            self._write(trainer, module, self._resolution)

    def _write(self, trainer: Any, module: AdversarialModule, resolution: int) -> None:
        if not trainer.is_global_zero:
            return
        with module.profile("stage_grids"):
            self.folder.mkdir(parents=True, exist_ok=True)
            count, key = self.columns**2, (module.seed, FIXED_LATENTS)
            inputs = module.sample_inputs(count, *key)
            samples = torch.cat([chunk.cpu() for chunk, _ in sample_in_chunks(module, *inputs, average=True)])
            save_image(image_grid(samples, self.columns, GRID_SIZE), self.folder / f"stage_{resolution:04d}.png")
            self._write_sheet(trainer)
        caption = f"{module.images_seen:,} images seen; averaged weights at every resolution so far, over real images"
        for logger in trainer.loggers:
            log_figure(logger, "samples/stages", self.folder / "stages.png", module.images_seen, caption)

    def _write_sheet(self, trainer: Any) -> None:
        files = readable_images(numbered_images(self.folder, "stage"))
        resolutions = [int(file.stem.rpartition("_")[2]) for file in files]
        images = trainer.datamodule.real_batch(self.columns**2).cpu()
        reduced = [at_stage(images, Stage(resolution)) for resolution in resolutions]  # (n, C, resolution, resolution)
        rows: list[tuple[str, list[Image.Image | None]]] = [
            ("generated", [Image.open(file) for file in files]),
            ("real", [image_grid(enlarge(each, images.shape[-1]), self.columns, GRID_SIZE) for each in reduced]),
        ]
        save_image(
            sheet(rows, [f"{resolution} x {resolution}" for resolution in resolutions], GRID_SIZE),
            self.folder / "stages.png",
        )


def _due_resolution(module: AdversarialModule) -> int | None:
    stage = module.next_stage()
    return None if stage is None else stage.resolution
