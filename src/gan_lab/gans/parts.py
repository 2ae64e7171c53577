"""Components of an algorithm beside its networks: loss, optimizers, priors, penalties, schedules."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gan_lab.augment.base import Augmentation
from gan_lab.augment.pipelines import NoAugmentation
from gan_lab.gans.conditions import Condition, Labels
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.phases import OptimizerFactory
from gan_lab.losses.base import AdversarialLoss
from gan_lab.optim.base import Schedule
from gan_lab.optim.ema import Averaging
from gan_lab.optim.growth import Growth
from gan_lab.ranges import require_at_least, require_positive, require_range
from gan_lab.regularizers.base import Constraint, Penalty, Selection

SCHEDULES_OF_OTHERS = ("penalty_weight", "ema_half_life", "augment_p")
"""Scheduled settings that are not of an optimizer."""


@dataclass(frozen=True)
class Parts:
    """Components that all algorithms take, besides their networks.

    Args:
        loss: The adversarial loss.
        optimizers: Player to a function that creates its optimizer from parameters.
        latent: The prior of the latents.
        condition: Source of the conditions of real and generated samples.
        augment: Augmentation of all images that the discriminator sees.
        penalties: Terms added to the players' losses, by name.
        constraints: Projections of the discriminator's weights, by name.
        schedules: Setting to the factor on its initial value, for all players: an optimizer's (`lr`, `momentum`, ...;
            the factor of `beta1` and `beta2` is on 1 - beta), `penalty_weight` (of all penalties), `ema_half_life`,
            `augment_p` (the probability of ADA, the only augmentation with one).
        growth: Schedule of growing networks; None for the full resolution from the start.
        selection: Selects the generated samples that enter the generator's loss; None for all.
        averaging: EMA settings of the generator's weights.
        n_critic: Discriminator updates per generator update.
        generator_batches: Batches of latents in one generator update.
        adversarial_weight: Factor on the adversarial loss of the generator; with 0 only its penalties remain.
        label_smoothing: Weight of the label "generated" in the targets of real samples (Salimans et al., 2016, section
            3.4).
        accumulate: Micro-batches per batch.
        clip_norm: Maximum norm of each player's gradient; None for no clipping.
        seed: Key of the run's random stream.
        check_finite: Raise before an update whose terms or gradient are not finite.

    Raises:
        ValueError: A number is out of range; the message names its key in the config.
    """

    loss: AdversarialLoss
    optimizers: Mapping[str, OptimizerFactory]
    latent: LatentPrior
    condition: Condition = field(default_factory=Labels)
    augment: Augmentation = field(default_factory=NoAugmentation)
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    constraints: Mapping[str, Constraint] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    growth: Growth | None = None
    selection: Selection | None = None
    averaging: Averaging = field(default_factory=Averaging)
    n_critic: int = 1
    generator_batches: int = 1
    adversarial_weight: float = 1.0
    label_smoothing: float = 0.0
    accumulate: int = 1
    clip_norm: float | None = None
    seed: int = 0
    check_finite: bool = True

    def __post_init__(self) -> None:
        for key in ("n_critic", "generator_batches", "accumulate"):
            require_at_least(key, getattr(self, key), 1)
        require_at_least("adversarial_weight", self.adversarial_weight, 0)
        require_range("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 0.5, "in [0, 0.5)")
        if self.clip_norm is not None:
            require_positive("clip_norm", self.clip_norm, or_null="no clipping")

    @property
    def optimizer_schedules(self) -> Mapping[str, Schedule]:
        """The schedules of optimizer settings, including the learning rate schedule of growth."""
        found = {name: schedule for name, schedule in self.schedules.items() if name not in SCHEDULES_OF_OTHERS}
        return found if self.growth is None else self.growth.with_growth(found)

    @property
    def scheduled_averaging(self) -> Averaging:
        """The EMA settings with the schedule of the half-life."""
        return replace(self.averaging, schedule=self.schedules.get("ema_half_life"))

    def optimizer(self, player: str, settings: str) -> OptimizerFactory:
        """The optimizer factory of a player; that of the player `settings` if it has none.

        Raises:
            ValueError: Neither has one.
        """
        found = self.optimizers.get(player) or self.optimizers.get(settings)
        if found is None:
            raise ValueError(
                f"optimizer.{player}=null leaves the {player} without an optimizer; "
                f"set optimizer.{player}='${{optimizer.generator}}'"
            )
        return found
