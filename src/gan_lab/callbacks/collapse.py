"""Notices a collapse while a run goes on, by signals that cost next to nothing."""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from gan_lab.callbacks.drawing import in_chunks
from gan_lab.callbacks.every import Every
from gan_lab.errors import CollapseError, ConfigError
from gan_lab.gans.base import AdversarialModule

log = logging.getLogger(__name__)

LATENTS = 0x434F4C4C
"""Key of the fixed latents; any number will do, so long as it stays the same."""

SIDE = 8
"""Images are compared at so many pixels a side: noise of single pixels is no diversity."""


@dataclass(frozen=True)
class Look:
    """The signals at one time.

    Attributes:
        images_seen: When.
        diversity: Mean distance of two samples, as a share of that of two real ones.
        gradients: Norm of each player's gradient, by name, as far as the log has it.
    """

    images_seen: int
    diversity: float
    gradients: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """When signals are those of a collapse.

    After `grace_images` it is one if, at `looks` times in a row, the diversity is below `diversity`, or the norm of a player's
    gradient is more than `explosion` times what it was when half as many images had been seen.

    Args:
        diversity: In (0, 1).
        explosion: More than 1.
        looks: At least 1.
        grace_images: At least 0.
    """

    diversity: float
    explosion: float
    looks: int
    grace_images: int

    def __post_init__(self) -> None:
        allowed = {
            "diversity": (0 < self.diversity < 1, "between 0 and 1"),
            "explosion": (self.explosion > 1, "more than 1"),
            "looks": (self.looks >= 1, "at least 1"),
            "grace_images": (self.grace_images >= 0, "at least 0"),
        }
        for name, (holds, words) in allowed.items():
            if not holds:
                raise ConfigError(
                    f"callbacks.collapse.{name}={getattr(self, name)} is not allowed: it must be {words}."
                )

    def broken_by(self, history: list[Look]) -> tuple[str, int] | None:
        """What the newest looks show, in words, and the images seen when it began; None for nothing."""
        newest = history[-self.looks :]
        if len(newest) < self.looks or newest[0].images_seen < self.grace_images:
            return None
        if all(look.diversity < self.diversity for look in newest):
            share = newest[-1].diversity
            return f"two samples differ {share:.2g} times as much as two real ones do", newest[0].images_seen
        for name, norm in newest[-1].gradients.items():
            if all(self._exploded(name, look, history) for look in newest):
                return f"the norm of the {name}'s gradient has exploded, to {norm:.3g}", newest[0].images_seen
        return None

    def _exploded(self, name: str, look: Look, history: list[Look]) -> bool:
        before = [other for other in history if 2 * other.images_seen <= look.images_seen and name in other.gradients]
        if not before or name not in look.gradients:
            return False
        return look.gradients[name] > self.explosion * max(before[-1].gradients[name], 1e-12)


class Collapse(Callback):
    """Looks at a run every so many images, and warns, stops or asks for a rollback when it collapses; see `Rule`.

    `collapse/diversity` is the mean distance of two samples of the raw generator, from latents that stay the same, as a share of
    that of two real samples; of images, at 8x8 pixels. `collapse/logit_gap` is how far apart the discriminator holds real and
    generated samples: it is logged, and no part of the rule, for it grows a hundredfold in healthy runs as well.

    A warning comes once for each time that it begins.

    Args:
        budget_images: Length of the run in real images.
        action: `warn`; `stop`, which ends the run with an error; or `rollback`, which leaves the next step to what runs it.
        every_images: Images from one look to the next; None for a hundredth of the budget, but 1,000 or more.
        samples: Samples that are compared.
        diversity: See `Rule`, also for the others.
        explosion: Of a gradient.
        looks: In a row.
        grace_images: None for a tenth of the budget, but 30,000 or more: samples of a healthy run are all alike before.

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
        explosion: float = 50.0,
        looks: int = 3,
        grace_images: int | None = None,
    ) -> None:
        if samples < 2:
            raise ConfigError(f"callbacks.collapse.samples={samples} is not allowed: it must be at least 2.")
        self.action = action
        self.samples = samples
        grace_images = max(30_000, budget_images // 10) if grace_images is None else grace_images
        self.rule = Rule(diversity, explosion, looks, grace_images)
        self._every = Every(every_images or max(1000, budget_images // 100))
        self._history: list[Look] = []
        self._alarmed = False
        self._real: float | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"history": [asdict(look) for look in self._history], "alarmed": self._alarmed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._history, self._alarmed = [Look(**look) for look in state["history"]], state["alarmed"]

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._every.start(module.images_seen)
        if trainer.is_global_zero:
            data = trainer.datamodule  # type: ignore[attr-defined]
            self._real = spread(data.real_batch(min(self.samples, data.size)))

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if not self._every.due(module.images_seen):
            return
        news = None
        if trainer.is_global_zero:
            with module.profile("collapse"):
                self._look(trainer, module)
            if found := self.rule.broken_by(self._history):
                news = _sentence(module, *found), self._look_before(found[1])
                if not self._alarmed:
                    log.warning("%s", news[0])
            self._alarmed = found is not None
        # The first process alone has looked; all must end, and go back to the same checkpoint.
        if self.action != "warn" and (news := trainer.strategy.broadcast(news)):
            raise CollapseError(*news)

    def _look_before(self, images_seen: int) -> int:
        return max((look.images_seen for look in self._history if look.images_seen < images_seen), default=0)

    def _look(self, trainer: Trainer, module: AdversarialModule) -> None:
        samples = torch.cat([chunk.cpu() for chunk, _ in in_chunks(module, *self._inputs(module), average=False)])
        share = spread(samples) / max(self._real or 0.0, 1e-12)
        beginning = "train/grad_norm/"
        norms = {k.removeprefix(beginning): v for k, v in module.latest.items() if k.startswith(beginning)}
        self._history.append(Look(module.images_seen, share, norms))
        signals = {"collapse/diversity": share, "progress/images_seen": float(module.images_seen)}
        real, fake = (module.latest.get(f"train/logits/{kind}") for kind in ("real", "fake"))
        if real is not None and fake is not None:
            signals["collapse/logit_gap"] = abs(real - fake)
        for logger in trainer.loggers:
            logger.log_metrics(signals, step=module.images_seen)

    def _inputs(self, module: AdversarialModule) -> tuple[Tensor, Tensor | None]:
        key = (module.seed, LATENTS)
        return module.sample_latents(self.samples, *key), module.sample_labels(self.samples, *key)


def spread(samples: Tensor) -> float:
    """Mean distance of two different samples: points (n, C), or images (n, C, H, W) at no more than 8x8 pixels."""
    if samples.dim() == 4 and samples.shape[-1] > SIDE:
        samples = F.adaptive_avg_pool2d(samples.float(), SIDE)
    return torch.pdist(samples.float().flatten(1)).mean().item()


def _sentence(module: AdversarialModule, found: str, since: int) -> str:
    return (
        f"After {module.images_seen:,} images the run shows the signs of a collapse, since {since:,}: {found}. Look at the "
        "samples, and go back to a checkpoint before that."
    )
