"""What large GANs show before they collapse: the spectra of their weights, and a discriminator that learns by heart."""

import logging
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from gan_lab.callbacks.every import Every
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule, evaluation_mode
from gan_lab.layers.singular_values import top_singular_values, weights_of
from gan_lab.types import Judged

log = logging.getLogger(__name__)

VALUES = 3
"""Singular values of each layer that are logged."""

FIRST = 10
"""Looks before the first warning: a network that has just begun leaves its initial weights quickly."""


class CollapseWatch(Callback):
    """Every so many images, logs the largest singular values of all layers, and how well the discriminator knows its images.

    `spectra/<player>/<layer>/1` to `/3` are the three largest singular values of each layer's weight before spectral
    normalization, which Brock et al. (2019, section 4) watch. `accuracy/train` and `accuracy/held_out` are the shares of real images
    that the discriminator calls real, of those that it is trained on and of others: far apart, it knows the first by heart.

    It warns once when a largest singular value of the generator is more than `growth` times what it was when half as many
    images had been seen. Steady growth at most doubles it in that time; before a collapse it explodes. The accuracies
    are no part of the rule: they are far apart in healthy runs as well.

    The first process does all of it. Nothing of the training changes.

    Args:
        budget_images: Length of the run in real images.
        every_images: Images from one look to the next; None for a hundredth of the budget.
        growth: See above; more than 1.
        images: Real images of each kind that the discriminator is shown.
        held_out: Data that are not trained on, for instance a test split; None to leave this accuracy out.
        batch_size: Images that it is shown at a time.

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
        self._history: list[tuple[int, dict[str, float]]] = []  # images seen, and each layer's largest value
        self._warned = False

    def state_dict(self) -> dict[str, Any]:
        return {"history": self._history, "warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._history, self._warned = state["history"], state["warned"]

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._every.start(module.images_seen)
        if trainer.is_global_zero and self.held_out is not None:
            self.held_out.prepare_data()
            self.held_out.setup("fit")

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if self._every.due(module.images_seen) and trainer.is_global_zero:
            with module.profile("collapse_watch"):
                values = self._spectra(module) | self._accuracies(trainer, module)
            line = values | {"progress/images_seen": module.images_seen}
            for logger in trainer.loggers:
                logger.log_metrics(line, step=module.images_seen)

    def _spectra(self, module: AdversarialModule) -> dict[str, float]:
        weights = {
            f"{player}/{layer}": weight
            for player, moves in module.runner.players.items()
            for layer, weight in weights_of(moves.network).items()
        }
        # One transfer from the device for all of them.
        found = torch.stack([top_singular_values(weight, VALUES) for weight in weights.values()]).tolist()
        largest = {
            name: values[0] for name, values in zip(weights, found, strict=True) if name.startswith("generator/")
        }
        self._history.append((module.images_seen, largest))
        self._warn(module.images_seen, largest)
        return {
            f"spectra/{name}/{k + 1}": values[k]
            for name, values in zip(weights, found, strict=True)
            for k in range(VALUES)
        }

    def _warn(self, images_seen: int, largest: dict[str, float]) -> None:
        earlier = [values for seen, values in self._history if 2 * seen <= images_seen]
        if self._warned or len(self._history) < FIRST or not earlier:
            return
        ratios = {name: value / max(earlier[-1][name], 1e-12) for name, value in largest.items()}
        name, ratio = max(ratios.items(), key=lambda item: item[1])
        if ratio > self.growth:
            self._warned = True
            log.warning(
                "After %s images the largest singular value of %s is %.3g, %.1f times that after half as many, which is a "
                "sign of collapse: look at the samples, and go back to a checkpoint before it.",
                f"{images_seen:,}", name, largest[name], ratio,
            )  # fmt: skip

    def _accuracies(self, trainer: Trainer, module: AdversarialModule) -> dict[str, float]:
        """Nothing in games without a discriminator of single samples, or with a loss that fixes only differences."""
        parts, network = getattr(module, "parts", None), getattr(module, "discriminator", None)
        boundary = None if parts is None else parts.loss.boundary
        if boundary is None or not isinstance(network, nn.Module) or hasattr(network, "join"):
            return {}
        sources = {"train": trainer.datamodule, "held_out": self.held_out}  # type: ignore[attr-defined]
        with evaluation_mode(network), torch.no_grad():
            return {
                f"accuracy/{name}": self._share_called_real(module, network, data, boundary)
                for name, data in sources.items()
                if data is not None
            }

    def _share_called_real(self, module: AdversarialModule, network: nn.Module, data: Any, boundary: float) -> float:
        called = [(_logits(network, images, labels) > boundary).float() for images, labels in self._real(module, data)]
        return torch.cat(called).mean().item()

    def _real(self, module: AdversarialModule, data: Any) -> Iterator[tuple[Tensor, Tensor | None]]:
        for images, labels in data.reals(min(self.images, data.size), self.batch_size):
            known = module.labels.of(labels)
            yield images.to(module.device), None if known is None else known.to(module.device)


def _logits(network: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
    return Judged(network, lambda: (images, labels)).logits
