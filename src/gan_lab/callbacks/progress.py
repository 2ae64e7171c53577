"""One bar for the whole run, counted in images."""

import sys
import time

from lightning.pytorch import Callback, Trainer
from tqdm import tqdm

from gan_lab.gans.base import AdversarialModule

SHOWN_OTHERWISE = ("progress/images_seen", "progress/images_per_second")


class Progress(Callback):
    """Thousand images seen, images per second, where the run is beside these, the newest loss terms and the time left.

    On a terminal the bar is redrawn in place; in a log file a line is written every `log_seconds`.

    Args:
        budget_images: Length of the run in real images.
        log_seconds: Seconds between two lines where the output is no terminal.
    """

    def __init__(self, budget_images: int, log_seconds: float = 15.0) -> None:
        self.budget_images = budget_images
        self.log_seconds = log_seconds
        self._bar: tqdm | None = None

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            terminal = sys.stderr.isatty()
            self._bar = tqdm(
                total=self.budget_images / 1000,
                initial=min(module.images_seen, self.budget_images) / 1000,
                bar_format="{percentage:3.0f}%|{bar:20}| {n:.1f}/{total:.1f} kimg [{elapsed}<{remaining}{postfix}]",
                mininterval=0.2 if terminal else self.log_seconds,
                dynamic_ncols=terminal,
                smoothing=0.05,
            )

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if self._bar is not None and time.time() - self._bar.last_print_t >= self._bar.mininterval:
            self._draw(self._bar, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._close(module)

    def on_exception(self, trainer: Trainer, module: AdversarialModule, exception: BaseException) -> None:  # type: ignore[override]
        self._close(module)

    def _close(self, module: AdversarialModule) -> None:
        if self._bar is not None:
            self._draw(self._bar, module)
            self._bar.close()
            self._bar = None

    def _draw(self, bar: tqdm, module: AdversarialModule) -> None:
        bar.set_postfix_str(_postfix(module.latest), refresh=False)
        bar.update(min(module.images_seen, self.budget_images) / 1000 - bar.n)


def _postfix(latest: dict[str, float]) -> str:
    parts = [f"{latest['progress/images_per_second']:.0f} images/s"] if latest else []
    for key, value in latest.items():
        if key.startswith("progress/") and key not in SHOWN_OTHERWISE:
            parts.append(f"{key.removeprefix('progress/')} {value:.4g}")
        if key.startswith("train/") and key.split("/")[1] not in ("logits", "accuracy", "grad_norm", "lr"):
            parts.append(f"{key.removeprefix('train/')} {value:.3g}")
    return ", ".join(parts)
