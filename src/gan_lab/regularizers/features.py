"""Penalties on the discriminator's last hidden layer: feature matching and classification."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy

from gan_lab.regularizers import functional as F
from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import DiscriminatorOutputs, Step

FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": F.squared_feature_distance,
    "absolute": F.absolute_feature_distance,
}
"""Distances of the batch means of features (n, d) and (m, d)."""


@dataclass(frozen=True)
class FeatureMatching(CheckedPenalty):
    """Matching means of the discriminator's last hidden layer, for the generator: Salimans et al. (2016), section 3.1.

    The means are over the micro-batch of one process. The paper trains the generator with this loss alone:
    adversarial_weight=0.

    Args:
        weight: Factor on the distance.
        interval: Updates of the generator between evaluations.
        form: `squared` for the paper's squared distance, `absolute` for the mean absolute difference of its CIFAR code.

    Raises:
        ValueError: `form` is unknown.
    """

    weight: float = 1.0
    interval: int = 1
    form: str = "squared"
    player: str = "generator"
    per_sample: ClassVar[bool] = False
    player_kind: ClassVar[str] = "generator"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in FORMS:
            raise ValueError(f"form={self.form} is not known; choose {' or '.join(FORMS)}")

    def __call__(self, step: Step) -> Tensor:
        return FORMS[self.form](step.real.features.detach(), step.fake.features)


@dataclass(frozen=True)
class Classification(CheckedPenalty):
    """Cross entropy of the condition under the discriminator's classifier: AC-GAN, Odena et al. (2017), section 3.

    The discriminator learns to classify real and generated samples; the generator learns to make samples that are
    classified correctly. Add one for each of the two players. In a mixture of generators the class is the number of the
    generator, which real samples do not have.

    Args:
        weight: Factor on the cross entropies. Gulrajani et al. (2017) take 1 for the discriminator, 0.1 for the
            generator.
        interval: Batches from one evaluation to the next.
        player: The generator, or a discriminator.
        fake: Whether the discriminator also learns from generated samples, as in the paper. If not, it is not trained
            on labels that the generated samples do not match.
        real: Whether the discriminator learns from real samples.

    Raises:
        ValueError: No samples are left.
    """

    weight: float = 1.0
    interval: int = 1
    player: str = "discriminator"
    fake: bool = True
    real: bool = True
    per_sample: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.player == "generator" and not self.fake:
            raise ValueError("fake=false leaves no samples for player=generator; set fake=true or player=discriminator")
        if not (self.fake or self.real):
            raise ValueError("fake=false and real=false leave no samples; set one of them to true")

    def __call__(self, step: Step) -> Tensor:
        if self.player == "generator" or not self.real:
            return _class_loss(step.fake)
        real = _class_loss(step.real)
        return real + _class_loss(step.fake) if self.fake else real


def _class_loss(outputs: DiscriminatorOutputs) -> Tensor:
    if outputs.condition is None:
        raise ValueError("regularizer=classification needs labels; choose a conditioning and a dataset that has them")
    return cross_entropy(outputs.auxiliary, outputs.condition)
