"""Penalties on what the discriminator's hidden layer says: its means, and the classes that are read off it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy

from gan_lab.regularizers import functional as F
from gan_lab.regularizers.players import require_player
from gan_lab.types import Judged, Step

FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared": F.squared_feature_distance,
    "absolute": F.absolute_feature_distance,
}
"""Distances of the batch means of features (n, d) and (m, d)."""


@dataclass(frozen=True)
class FeatureMatching:
    """The generator matches the mean of the discriminator's last hidden layer: Salimans et al. (2016), section 3.1.

    The means are over the micro-batch of one process. The paper trains the generator by this alone: adversarial_weight=0.

    Args:
        weight: Factor on the distance.
        interval: 1; every move of the generator has the penalty.
        form: `squared` for the paper's squared distance, `absolute` for the mean absolute difference of its CIFAR code.

    Raises:
        ValueError: There is no such form.
    """

    weight: float = 1.0
    interval: int = 1
    form: str = "squared"
    per_sample: ClassVar[bool] = False
    player: ClassVar[str] = "generator"

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"form={self.form} is not known; choose {' or '.join(FORMS)}")

    def __call__(self, step: Step) -> Tensor:
        return FORMS[self.form](step.real.features.detach(), step.fake.features)


@dataclass(frozen=True)
class Classification:
    """Cross entropy of the labels under the discriminator's classifier: AC-GAN, Odena et al. (2017), section 3.

    The discriminator learns to name the class of real and of generated samples; the generator makes samples whose class
    it can name. The game needs the penalty twice, once for each player.

    Args:
        weight: Factor on the cross entropies. Gulrajani et al. (2017) take 1 for the discriminator, 0.1 for the generator.
        interval: Batches from one evaluation to the next.
        player: `discriminator` or `generator`.
        fake: Whether the discriminator learns from generated samples too, as in the paper. Without, it is not trained to
            call them by a label that they do not show.

    Raises:
        ValueError: There is no such player, or nothing is left for it to minimize.
    """

    weight: float = 1.0
    interval: int = 1
    player: str = "discriminator"
    fake: bool = True
    per_sample: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_player(self.player)
        if self.player == "generator" and not self.fake:
            raise ValueError("fake=false leaves player=generator no samples; set fake=true or player=discriminator")

    def __call__(self, step: Step) -> Tensor:
        if self.player == "generator":
            return _class_loss(step.fake)
        real = _class_loss(step.real)
        return real + _class_loss(step.fake) if self.fake else real


def _class_loss(judged: Judged) -> Tensor:
    if judged.labels is None:
        raise ValueError("regularizer=classification needs labels; choose a conditioning and a dataset that has them")
    return cross_entropy(judged.class_logits, judged.labels)
