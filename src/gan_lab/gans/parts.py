"""What a game is played with, beside its networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gan_lab.augment.pipelines import NoAugmentation
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.phases import OptimizerFactory
from gan_lab.optim.ema import Averaging
from gan_lab.optim.growth import Growth
from gan_lab.types import AdversarialLoss, Augmentation, Constraint, Penalty, Schedule, Selection


@dataclass(frozen=True)
class Parts:
    """Everything that a two-player game and its relatives have in common; each game takes its networks beside it.

    Args:
        loss: What the players minimize.
        optimizers: Player to a function from parameters to optimizer.
        latent: The prior of the latents.
        labels: The prior of the labels of generated samples.
        augment: What is done to every image that the discriminator sees.
        penalties: Additions to the players' losses, by name.
        constraints: Projections of the discriminator's weights, by name.
        schedules: Optimizer setting to the factor on it, for all players.
        growth: When networks that grow do so; None for the full resolution from the start.
        selection: Picks the generated samples that the generator's loss counts; None for all.
        averaging: Memory of the averaged generator.
        n_critic: Moves of the discriminator for each move of the generator.
        generator_batches: Latents of a generator's move, in batches.
        adversarial_weight: Factor on the loss in the generator's move; 0 leaves the generator to its penalties.
        label_smoothing: Share of a real sample's label that says "generated" (Salimans et al., 2016, section 3.4).
        accumulate: Micro-batches of a batch.
        clip_norm: Largest norm of each player's gradient, or None.
        seed: Key of the random stream of the run.
        check_finite: Stop before a move whose terms or gradient are not finite.
    """

    loss: AdversarialLoss
    optimizers: Mapping[str, OptimizerFactory]
    latent: LatentPrior
    labels: LabelPrior = field(default_factory=LabelPrior)
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

    @property
    def pace(self) -> Mapping[str, Schedule]:
        """The schedules, with what growth does to the rate."""
        return self.schedules if self.growth is None else self.growth.paced(self.schedules)
