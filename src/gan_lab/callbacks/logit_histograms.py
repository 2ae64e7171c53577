"""Histograms of the discriminator's logits of real and generated samples, in W&B and TensorBoard."""

from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.sampling import real_batch
from gan_lab.gans.base import AdversarialModule
from gan_lab.ranges import require_at_least

HISTOGRAM_LATENTS = 0x4C4F4749
"""Key of the fixed latents: an arbitrary constant."""


class LogitHistograms(Callback):
    """Log histograms of logits, `logits/real` and `logits/fake`, of the same real samples and latents each time.

    Samples are those of the raw generator; networks are in evaluation mode. Nothing is logged without W&B and
    TensorBoard, or if single samples have no logit.

    Args:
        budget_images: Length of the run in real images.
        every_images: Images between histograms; None for a twentieth of the budget.
        samples: Number of real samples and of generated ones.
    """

    def __init__(self, budget_images: int, every_images: int | None = None, samples: int = 256) -> None:
        for name, value in {"every_images": every_images, "samples": samples}.items():
            if value is not None:
                require_at_least(f"callbacks.logit_histograms.{name}", value, 1)
        self.samples = samples
        self._every = Every(every_images or budget_images // 20)

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        self._every.start(module.images_seen)

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        loggers = [each for each in trainer.loggers if isinstance(each, (WandbLogger, TensorBoardLogger))]
        if self._every.due(module.images_seen) and trainer.is_global_zero and loggers:
            logits = self._logits(trainer.datamodule, module)
            found = {f"logits/{kind}": values for kind, values in logits.items() if values is not None}
            for logger in loggers:
                _log(logger, {key: logits.float().flatten().cpu() for key, logits in found.items()}, module.images_seen)

    def _logits(self, data: Any, module: AdversarialModule) -> dict[str, Tensor | None]:
        batch = real_batch(data, module, self.samples)
        latents, condition = module.sample_inputs(self.samples, module.seed, HISTOGRAM_LATENTS)
        fake = module.view(module.generate(latents, condition, average=False))
        return {
            "real": module.score(module.reals(batch), module.condition.of(batch)),
            "fake": module.score(fake, condition),
        }


def _log(logger: WandbLogger | TensorBoardLogger, logits: dict[str, Tensor], images_seen: int) -> None:
    if isinstance(logger, TensorBoardLogger):
        for key, values in logits.items():
            logger.experiment.add_histogram(key, values, images_seen)
    elif logits:
        import wandb

        row = {key: wandb.Histogram(values.tolist()) for key, values in logits.items()}
        logger.log_metrics({**row, "progress/images_seen": images_seen}, step=images_seen)  # type: ignore[dict-item]
