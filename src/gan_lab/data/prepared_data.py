"""The data module of prepared pyramids."""

import hashlib
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.data.cache import DecodedImages, cache_bytes, choose_cache
from gan_lab.data.image_data import ImageData
from gan_lab.data.loaders import ResumableLoader
from gan_lab.data.processes import Processes
from gan_lab.data.pyramid import Level, read_description, read_prepared
from gan_lab.data.pyramid_loader import PyramidLoader
from gan_lab.data.raw import Chosen


class PreparedData(ImageData):
    """Reads a set that `gan-lab prepare` wrote: nothing is decoded, and networks that grow get images of their own side.

    The arrays are mapped from the disk, or copied to memory or the device if they fit. In order, flips, labels and names it
    is the `ImageData` that the set was prepared from. At the full resolution the pixels are the same; a lower one has averages
    of them, and so have the batches of growing networks: those of a stage differ from full images that are pooled on the
    device by at most half a grey level, 1/255 in [-1, 1].

    Args:
        source: The folder that `gan-lab prepare` wrote.
        resolution: One of the sides in it; what is shown, measured and compared has this side.
        channels: What it was prepared with: 1 grey, 3 RGB, 4 RGBA.
        num_classes: As in `ImageData`, like all that follow.
        batch_size: Images in a batch over all processes.
        seed: What the order and the flips are functions of.
        flip: Mirror each image left to right in half of the epochs, at random.
        cache: Where the arrays are kept: "auto", "device", "memory", or "none" to read them from the disk.
        budget_images: How many real images a run sees unless the budget of the run says otherwise; only stored here.
        max_images: Train on so many images, which the seed picks; None for all.
        exclude: A `duplicates.csv` of `gan-lab duplicates`, of this set or of what it was prepared from.

    Raises:
        ConfigError: A value is not allowed.
    """

    def __init__(
        self,
        source: str,
        resolution: int,
        channels: int,
        num_classes: int | None,
        batch_size: int,
        seed: int = 0,
        flip: bool = False,
        cache: str = "auto",
        budget_images: int = 1_000_000,
        max_images: int | None = None,
        exclude: str | None = None,
    ) -> None:
        super().__init__(
            source,
            partial(read_prepared, resolution=resolution, channels=channels),
            resolution,
            channels,
            num_classes,
            batch_size,
            seed,
            flip,
            cache,
            budget_images=budget_images,
            max_images=max_images,
            exclude=exclude,
        )
        self._full = resolution
        self._levels: dict[int, Tensor] = {}  # by side
        self._place = "none"
        self._kept_for: tuple[list[int], Processes] | None = None  # what the levels were chosen for

    def fingerprint(self) -> str:
        """A hash of what was prepared and how, the side, and the images that are chosen; the arrays are not read."""
        rows = hashlib.sha256(self._rows().numpy().data).hexdigest()
        words = f"{read_description(self.source).content} {self._full} {rows}"
        return hashlib.sha256(words.encode()).hexdigest()[:24]

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the set; see `PyramidLoader` for what is in them. Without a trainer for one process on the CPU.

        Raises:
            DataError: The batch does not divide by the processes, or the set has fewer images than a batch.
        """
        self._decode()
        processes = Processes.of(self.trainer)
        sampler = self._sampler(processes.rank, processes.world)
        rows = self._rows() if self._place == "none" else None
        labels = self._kept_labels(self._read().labels) if self._decoded is None else self._decoded.labels
        pin_memory = processes.device.type == "cuda" and self._place != "device"
        self._loader = PyramidLoader(self._levels, rows, labels, sampler, self._side, pin_memory)
        return self._loader

    def _decode(self) -> None:
        """Keep the arrays that are needed where they are to be kept. There is nothing to decode."""
        raw, wanted = self._read(), (self._sides(), Processes.of(self.trainer))
        if self._kept_for == wanted:
            return
        sides, processes = self._kept_for = wanted
        nbytes = sum(cache_bytes(len(raw), self.spec.channels, side) for side in sides)
        self._place = choose_cache(self.cache, nbytes, processes.device, processes.on_this_machine)
        folder, rows = Path(self.source).expanduser(), self._rows()
        self._levels, self._decoded = {side: Level(folder, side).images for side in sides}, None
        if self._place == "none":
            return
        device = processes.device if self._place == "device" else torch.device("cpu")
        self._levels = {side: images[rows].to(device) for side, images in self._levels.items()}
        labels = self._kept_labels(raw.labels)
        self._decoded = DecodedImages(self._levels[self._full], None if labels is None else labels.to(device))
        self._positions = torch.arange(len(raw))

    def _sides(self) -> list[int]:
        """Those that batches may be wanted at."""
        there = read_description(self.source).resolutions
        return [side for side in there if side == self._full or (self.resolutions is not None and side < self._full)]

    def _side(self, images_seen: int) -> int:
        """The smallest side that will do for the batch that begins then; the game pools what is larger."""
        due = self._full if self.resolutions is None else self.resolutions(images_seen)
        return min(side for side in self._levels if side >= due)

    def _rows(self) -> Tensor:
        """Where in the arrays the images of the set are, int64 (N,)."""
        items, rows = self._read().items, torch.arange(len(self._read()))
        while isinstance(items, Chosen):
            items, rows = items.sequence, items.positions[rows]
        return rows
