"""Early signs of collapse: growing singular values, memorization by the discriminator, and its dead channels."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.sampling import real_batch
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.layers.activations import AtActivations, dead_channels
from gan_lab.layers.singular_values import top_singular_values, weight_matrices
from gan_lab.types import Batch

log = logging.getLogger(__name__)

VALUES = 3
"""Singular values of each layer that are logged."""

FIRST = 10
"""Number of the first check that may warn: weights change quickly at the start of training."""


def largest_growth(history: Sequence[tuple[int, dict[str, float]]]) -> tuple[str, float]:
    """Layer whose value grew most since half as many images, and the ratio of both values.

    Args:
        history: Images seen and a value by layer, of each check so far.

    Returns:
        An empty name and 0 before check number `FIRST`, or without a check at half as many images.
    """
    images_seen, values = history[-1]
    earlier = [before for seen, before in history if 2 * seen <= images_seen]
    if len(history) < FIRST or not earlier:
        return "", 0.0
    ratios = {name: value / max(earlier[-1][name], 1e-12) for name, value in values.items()}
    return max(ratios.items(), key=lambda item: item[1])


class CollapseWatch(Callback):
    """Log singular values of all layers, and the discriminator's accuracy on images and its dead channels.

    `spectra/<player>/<layer>/1` to `/3` are the three largest singular values of each layer's weight before spectral
    normalization, the quantities that Brock et al. (2019, section 4) monitor. `accuracy/train` and `accuracy/held_out`
    are the fractions of training images and of held-out images that the discriminator classifies as real; a large gap
    means that it has memorized the training images. `dead_channels/discriminator` is the fraction of its channels, of
    all activation functions, that are the same for all images of a batch: the collapse of filters that Radford et al.
    (2016, section 7) report of long training.

    A warning is logged once, when the largest singular value of a layer of the generator is more than `growth` times
    its value at half as many images seen. Steady growth at most doubles it in that time; before a collapse it explodes.
    The others never cause a warning: the gap of accuracies is large in healthy runs as well.

    Only the first process computes them, and training is not affected.

    Args:
        budget_images: Length of the run in real images.
        every_images: Images between checks; None for a hundredth of the budget.
        growth: See above; more than 1.
        images: Number of training images, and of held-out images, for the accuracies.
        held_out: Data module of held-out images, for instance a test split; None to omit `accuracy/held_out`.
        batch_size: Images in one forward pass of the discriminator.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        budget_images: int,
        every_images: int | None = None,
        growth: float = 4.0,
        images: int = 1000,
        held_out: Any = None,
        batch_size: int = 100,
    ) -> None:
        for name, value in {"every_images": every_images, "images": images, "batch_size": batch_size}.items():
            if value is not None and value < 1:
                raise ConfigError(f"callbacks.collapse_watch.{name}={value} is not allowed: it must be at least 1.")
        if growth <= 1:
            raise ConfigError(f"callbacks.collapse_watch.growth={growth} is not allowed: it must be more than 1.")
        self.growth = growth
        self.images = images
        self.batch_size = batch_size
        self.held_out = held_out
        self._every = Every(every_images or budget_images // 100)
        self._history: list[tuple[int, dict[str, float]]] = []  # images seen, largest value by layer
        self._warned = False

    def state_dict(self) -> dict[str, Any]:
        return {"history": self._history, "warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._history = [
            (int(images), {str(layer): float(value) for layer, value in values.items()})
            for images, values in state["history"]
        ]
        self._warned = bool(state["warned"])

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        self._every.start(module.images_seen)
        if trainer.is_global_zero and self.held_out is not None:
            self.held_out.prepare_data()
            self.held_out.setup("fit")

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        if self._every.due(module.images_seen) and trainer.is_global_zero:
            with module.profile("collapse_watch"):
                values = self._spectra(module) | self._accuracies(trainer, module)
                values |= self._dead_channels(trainer.datamodule, module)
            row = values | {"progress/images_seen": module.images_seen}
            for logger in trainer.loggers:
                logger.log_metrics(row, step=module.images_seen)

    def _spectra(self, module: AdversarialModule) -> dict[str, float]:
        weights = {
            f"{name}/{layer}": weight
            for name, player in module.runner.players.items()
            for layer, weight in weight_matrices(player.network).items()
        }
        # A single transfer from the device.
        spectra = torch.stack([top_singular_values(weight, VALUES) for weight in weights.values()]).tolist()
        largest = {
            name: values[0] for name, values in zip(weights, spectra, strict=True) if name.startswith("generator/")
        }
        self._history.append((module.images_seen, largest))
        if not self._warned:
            self._warn_of_growth()
        return {
            f"spectra/{name}/{k + 1}": values[k]
            for name, values in zip(weights, spectra, strict=True)
            for k in range(VALUES)
        }

    def _warn_of_growth(self) -> None:
        name, ratio = largest_growth(self._history)
        if ratio > self.growth:
            self._warned = True
            images_seen, values = self._history[-1]
            log.warning(
                "After %s images the largest singular value of %s is %.3g, %.1f times its value at half as many "
                "images, which is a sign of collapse. Check the samples, and resume from an earlier checkpoint.",
                f"{images_seen:,}", name, values[name], ratio,
            )  # fmt: skip

    def _dead_channels(self, data: Any, module: AdversarialModule) -> dict[str, float]:
        """The fraction by log key; empty if samples alone cannot be scored."""
        if data is None:  # a plain data loader
            return {}
        batch = real_batch(data, module, self.batch_size)
        dead: list[torch.Tensor] = []
        with AtActivations(lambda _, output: dead.append(dead_channels(output))):
            module.score(module.reals(batch), module.condition.of(batch))
        return {"dead_channels/discriminator": torch.cat(dead).float().mean().item()} if dead else {}

    def _accuracies(self, trainer: Any, module: AdversarialModule) -> dict[str, float]:
        """Accuracies by log key; empty if single samples have no logit or the loss fixes only differences of logits."""
        boundary = module.boundary
        if boundary is None:
            return {}
        if module.condition.needs_batch:
            return self._accuracy_of_pairs(trainer.datamodule, module, boundary)
        sources = {"train": trainer.datamodule, "held_out": self.held_out}
        fractions = {
            name: self._fraction_classified_real(module, data, boundary)
            for name, data in sources.items()
            if data is not None
        }
        return {f"accuracy/{name}": value for name, value in fractions.items() if value is not None}

    def _accuracy_of_pairs(self, data: Any, module: AdversarialModule, boundary: float) -> dict[str, float]:
        """Accuracy on real samples whose condition is data: of those that training does not use, if there are any."""
        classified_real = []
        for batch in data.held_out_pairs(self.images, self.batch_size):
            batch = module.prepare({name: values.to(module.device) for name, values in batch.items()})
            logits = module.score(module.reals(batch), module.condition.of(batch))
            if logits is None:
                return {}
            classified_real.append((logits > boundary).float())
        name = "train" if data.held_out_split in (None, "train") else "held_out"
        return {f"accuracy/{name}": torch.cat(classified_real).mean().item()}

    def _fraction_classified_real(self, module: AdversarialModule, data: Any, boundary: float) -> float | None:
        classified_real = []
        for images, labels in data.reals(min(self.images, data.size), self.batch_size):
            batch: Batch = {"image": images} if labels is None else {"image": images, "label": labels}
            condition = module.condition.of(batch)
            logits = module.score(images.to(module.device), None if condition is None else condition.to(module.device))
            if logits is None:
                return None
            classified_real.append((logits > boundary).float())
        return torch.cat(classified_real).mean().item()
