"""Detection of mode collapse and gradient explosion during training, from signals that are cheap to compute."""

import logging
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.collapse_rule import PATIENCE, Rule, Signals, default_warmup
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.sampling import sample_in_chunks
from gan_lab.errors import CollapseError, ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.ranges import require_at_least

log = logging.getLogger(__name__)

LATENTS = 0x434F4C4C
"""Key of the fixed latents: an arbitrary constant."""

IN_CLASS = 4
"""Fewest samples of a label that are compared with each other."""

RESOLUTION = 8
"""Images are compared at this resolution: noise in single pixels is not diversity."""


ACTIONS = ("warn", "stop", "rollback")
"""What a run does when it has collapsed."""


class Collapse(Callback):
    """Check for a collapse at fixed intervals of images, and warn, stop or request a rollback; see `Rule`.

    `collapse/diversity` is the mean pairwise distance of samples of the raw generator from fixed latents, divided by
    that of real samples; images are compared at 8x8 pixels. With labels `collapse/diversity_in_class` compares samples
    of one label with real ones of this label: a generator with one image for each class is diverse as a whole. The
    labels are the first ones, at most a quarter as many as `samples`. `collapse/logit_gap` is the distance between the
    mean logits of real and of generated samples. It is logged only: it grows a hundredfold in healthy runs as well.

    A collapse that lasts is reported once.

    Args:
        budget_images: Length of the run in real images.
        action: `warn`; `stop`: end the run with an error; `rollback`: raise the same error, so that the run is
            restarted from an earlier checkpoint.
        every_images: Images between checks; None for a hundredth of the budget, but at least 1,000.
        samples: Number of samples that are compared.
        diversity: See `Rule`.
        in_class: See `Rule`.
        explosion: See `Rule`.
        patience: See `Rule`.
        warmup_images: None for a tenth of the budget, but at least 30,000: early samples of a healthy run are all
            alike.

    Raises:
        ConfigError: A value is not allowed.
    """

    def __init__(
        self,
        budget_images: int,
        action: str = "warn",
        every_images: int | None = None,
        samples: int = 64,
        diversity: float = 0.25,
        in_class: float = 0.5,
        explosion: float = 50.0,
        patience: int = PATIENCE,
        warmup_images: int | None = None,
    ) -> None:
        if samples < 2:
            raise ConfigError(f"callbacks.collapse.samples={samples} is not allowed: it must be at least 2.")
        if action not in ACTIONS:
            raise ConfigError(f"callbacks.collapse.action={action} is not known: choose from {', '.join(ACTIONS)}.")
        if every_images is not None:
            require_at_least("callbacks.collapse.every_images", every_images, 1)
        self.action = action
        self.samples = samples
        warmup_images = default_warmup(budget_images) if warmup_images is None else warmup_images
        self.rule = Rule(diversity, in_class, explosion, patience, warmup_images)
        self._every = Every(every_images or max(1000, budget_images // 100))
        self._history: list[Signals] = []
        self._warned = False
        self._real_distance: float | None = None
        self._real_in_class: dict[int, float] = {}
        """Mean pairwise distance of real samples of each label that is checked."""

    def state_dict(self) -> dict[str, Any]:
        return {"history": [asdict(signals) for signals in self._history], "warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._history = [Signals.from_state(signals) for signals in state["history"]]
        self._warned = bool(state["warned"])

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        self._every.start(module.images_seen)
        if trainer.is_global_zero:
            data = trainer.datamodule
            self._real_distance = mean_pairwise_distance(data.real_batch(min(self.samples, data.size)))
            if module.condition.num_classes is not None:
                self._real_in_class = self._distances_of_classes(data, module)

    def _distances_of_classes(self, data: Any, module: AdversarialModule) -> dict[int, float]:
        """Mean pairwise distance of real samples by label, without labels that have fewer than two different ones."""
        examples = module.condition.examples(max(1, self.samples // IN_CLASS))
        labels = [] if examples is None else examples.tolist()
        each = 2 * self.samples // max(1, len(labels))
        groups = dict(zip(labels, data.reals_by_class(labels, each), strict=True))
        distances = {k: mean_pairwise_distance(group) for k, group in groups.items() if len(group) > 1}
        return {label: distance for label, distance in distances.items() if distance > 0}

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        if not self._every.due(module.images_seen):
            return
        collapse = None
        if trainer.is_global_zero:
            with module.profile("collapse"):
                self._record_signals(trainer, module)
            if found := self.rule.find_collapse(self._history):
                collapse = _message(module, *found), self._last_check_before(found[1])
                if not self._warned:
                    log.warning("%s", collapse[0])
            self._warned = found is not None
        # Only the first process checks; all must stop, and roll back to the same checkpoint.
        if self.action != "warn" and (collapse := trainer.strategy.broadcast(collapse)):
            raise CollapseError(*collapse)

    def _last_check_before(self, images_seen: int) -> int:
        return max((signals.images_seen for signals in self._history if signals.images_seen < images_seen), default=0)

    def _record_signals(self, trainer: Any, module: AdversarialModule) -> None:
        inputs = module.sample_inputs(self.samples, module.seed, LATENTS)
        samples = torch.cat([chunk.cpu() for chunk, _ in sample_in_chunks(module, *inputs, average=False)])
        diversity = mean_pairwise_distance(samples) / max(self._real_distance or 0.0, 1e-12)
        prefix = "train/grad_norm/"
        norms = {k.removeprefix(prefix): v for k, v in module.latest.items() if k.startswith(prefix)}
        in_class = self._in_class(module)
        self._history.append(Signals(module.images_seen, diversity, norms, in_class))
        row = {"collapse/diversity": diversity, "progress/images_seen": float(module.images_seen)}
        if in_class is not None:
            row["collapse/diversity_in_class"] = in_class
        real, fake = (module.latest.get(f"train/logits/{kind}") for kind in ("real", "fake"))
        if real is not None and fake is not None:
            row["collapse/logit_gap"] = abs(real - fake)
        for logger in trainer.loggers:
            logger.log_metrics(row, step=module.images_seen)

    def _in_class(self, module: AdversarialModule) -> float | None:
        """Mean over labels of the mean pairwise distance of samples relative to real ones; None without labels."""
        if not self._real_in_class:
            return None
        each = max(2, self.samples // len(self._real_in_class))
        latents, _ = module.sample_inputs(each * len(self._real_in_class), module.seed, LATENTS)
        labels = torch.tensor(list(self._real_in_class), device=latents.device).repeat_interleave(each)
        samples = torch.cat([chunk.cpu() for chunk, _ in sample_in_chunks(module, latents, labels, average=False)])
        ratios = [
            mean_pairwise_distance(group) / real
            for group, real in zip(samples.split(each), self._real_in_class.values(), strict=True)
        ]
        return sum(ratios) / len(ratios)


def mean_pairwise_distance(samples: Tensor) -> float:
    """Mean Euclidean distance of all pairs of samples: points (n, C), or images (n, C, H, W), reduced to 8x8 pixels."""
    if samples.dim() == 4 and samples.shape[-1] > RESOLUTION:
        samples = F.adaptive_avg_pool2d(samples.float(), RESOLUTION)
    return torch.pdist(samples.float().flatten(1)).mean().item()


def _message(module: AdversarialModule, found: str, since: int) -> str:
    return (
        f"After {module.images_seen:,} images the run shows signs of a collapse, since {since:,}: {found}. Check the "
        "samples, and resume from an earlier checkpoint."
    )
