"""The penalties a user picks by name. All share `weight` and `interval`; the functions they call hold the formulas."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_lab.regularizers import functional as F
from gan_lab.types import CriticStep


@dataclass(frozen=True)
class GradientPenalty:
    """Two-sided penalty of Gulrajani et al. (2017), eq. 3, on points between real and generated samples.

    Args:
        weight: lambda of the paper.
        interval: Batches from one evaluation to the next.
        target: Norm of the gradient that costs nothing; the penalty is divided by its square.
    """

    weight: float = 10.0
    interval: int = 1
    target: float = 1.0
    per_sample: ClassVar[bool] = True

    def __call__(self, step: CriticStep) -> Tensor:
        points = F.interpolate(step.real, step.fake, step.noise.uniform())
        return F.gradient_penalty(step.critic, points, self.target)


@dataclass(frozen=True)
class DivergencePenalty:
    """Penalty of the Wasserstein divergence, Wu et al. (2018), on points between real and generated samples.

    Args:
        weight: k of the paper.
        interval: Batches from one evaluation to the next.
        power: p of the paper.
    """

    weight: float = 2.0
    interval: int = 1
    power: float = 6.0
    per_sample: ClassVar[bool] = True

    def __call__(self, step: CriticStep) -> Tensor:
        points = F.interpolate(step.real, step.fake, step.noise.uniform())
        return F.divergence_penalty(step.critic, points, self.power)


@dataclass(frozen=True)
class R1:
    """Zero-centered penalty on real samples, Mescheder et al. (2018), eq. 9.

    Args:
        weight: gamma of the paper; the formula has the factor 1/2.
        interval: Batches from one evaluation to the next.
    """

    weight: float = 10.0
    interval: int = 1
    per_sample: ClassVar[bool] = True

    def __call__(self, step: CriticStep) -> Tensor:
        return F.zero_centered_penalty(step.critic, step.real)


@dataclass(frozen=True)
class R2:
    """Zero-centered penalty on generated samples, Mescheder et al. (2018), eq. 10.

    Args:
        weight: gamma of the paper; the formula has the factor 1/2.
        interval: Batches from one evaluation to the next.
    """

    weight: float = 10.0
    interval: int = 1
    per_sample: ClassVar[bool] = True

    def __call__(self, step: CriticStep) -> Tensor:
        return F.zero_centered_penalty(step.critic, step.fake)


@dataclass(frozen=True)
class Drift:
    """Keeps the logits of real samples near zero, Karras et al. (2018), section A.1.

    Args:
        weight: epsilon_drift of the paper.
        interval: Batches from one evaluation to the next.
    """

    weight: float = 1e-3
    interval: int = 1
    per_sample: ClassVar[bool] = False

    def __call__(self, step: CriticStep) -> Tensor:
        return F.drift(step.real_logits.float())
