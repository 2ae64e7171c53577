"""Progress bar in real images, or thousands of them."""

import sys
import time

from lightning.pytorch import Trainer
from tqdm import tqdm

from gan_lab.callbacks.base import Callback
from gan_lab.gans.base import AdversarialModule
from gan_lab.terminal import LossyStream, lossy

FROM_KIMG = 10_000
"""Shortest run whose images are shown in thousands."""

SHOWN_SEPARATELY = ("progress/images_seen", "progress/images_per_second")


class Progress(Callback):
    """Show images seen, images per second, other progress values, loss terms and the remaining time.

    Images are shown in thousands (kimg) if the budget is at least `FROM_KIMG`.

    On a terminal and in a notebook the bar is updated in place; otherwise a line is printed every `log_seconds`. What
    standard error does not take is discarded.

    Args:
        budget_images: Length of the run in real images.
        log_seconds: Seconds between lines if the bar cannot be updated in place.
    """

    def __init__(self, budget_images: int, log_seconds: float = 15.0) -> None:
        self.budget_images = budget_images
        self.log_seconds = log_seconds
        self._unit = 1000 if budget_images >= FROM_KIMG else 1
        self._bar: tqdm | None = None

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        if trainer.is_global_zero:
            stream = lossy(sys.stderr)
            redraws = stream.redraws()
            counts = "{n:,.0f}/{total:,.0f} images" if self._unit == 1 else "{n:.1f}/{total:.1f} kimg"
            self._bar = tqdm(
                file=stream if redraws else _Lines(stream),
                total=self.budget_images / self._unit,
                initial=min(module.images_seen, self.budget_images) / self._unit,
                bar_format=f"{{percentage:3.0f}}%|{{bar:20}}| {counts} [{{elapsed}}<{{remaining}}{{postfix}}]",
                mininterval=(0.2 if stream.isatty() else 0.5) if redraws else self.log_seconds,
                dynamic_ncols=stream.isatty(),
                smoothing=0.05,
            )

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:
        if self._bar is not None and time.time() - self._bar.last_print_t >= self._bar.mininterval:
            self._update(self._bar, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:
        self._close(module)

    def on_exception(self, trainer: Trainer, module: AdversarialModule, exception: BaseException) -> None:
        self._close(module)

    def _close(self, module: AdversarialModule) -> None:
        if self._bar is not None:
            self._update(self._bar, module)
            self._bar.close()
            self._bar = None

    def _update(self, bar: tqdm, module: AdversarialModule) -> None:
        bar.set_postfix_str(_postfix(module.latest), refresh=False)
        bar.update(min(module.images_seen, self.budget_images) / self._unit - bar.n)


class _Lines:
    """Stream for a file: each text of a bar is a line, and the spaces that erase the last one are left out."""

    def __init__(self, stream: LossyStream) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text as a line."""
        if line := text.strip("\r\n").rstrip():
            self._stream.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def _postfix(latest: dict[str, float]) -> str:
    speed = latest.get("progress/images_per_second")  # not in the row of a resumed run
    parts = [] if speed is None else [f"{speed:.0f} images/s"]
    for key, value in latest.items():
        if key.startswith("progress/") and key not in SHOWN_SEPARATELY:
            parts.append(f"{key.removeprefix('progress/')} {value:.4g}")
        if key.startswith("train/") and key.split("/")[1] not in ("logits", "accuracy", "grad_norm", "lr"):
            parts.append(f"{key.removeprefix('train/')} {value:.3g}")
    return ", ".join(parts)
