"""Discriminator penalties that configs choose by name. All have `weight`, `interval` and `player`.

`weight` multiplies the value, `interval` counts the player's updates between evaluations, and `player` is the
discriminator to whose loss the penalty is added; the formulas are in `functional`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.processes import mean_over_processes, num_processes
from gan_lab.ranges import require_at_least, require_positive
from gan_lab.regularizers import functional as F
from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import DiscriminatorOutputs, Step


@dataclass(frozen=True)
class GradientPenalty(CheckedPenalty):
    """Two-sided penalty of Gulrajani et al. (2017), eq. 3, on points between real and generated samples.

    Args:
        weight: lambda of the paper.
        interval: Updates of the player between evaluations.
        target: Gradient norm with zero penalty; the penalty is divided by its square.
    """

    weight: float = 10.0
    interval: int = 1
    target: float = 1.0
    player: str = "discriminator"
    per_sample: ClassVar[bool] = True
    player_kind: ClassVar[str] = "discriminator"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("target", self.target)  # a divisor

    def __call__(self, step: Step) -> Tensor:
        points = F.interpolate(step.real.samples, step.fake.samples, step.noise.uniform())
        return F.gradient_penalty(step.real.critic, points, self.target)


@dataclass(frozen=True)
class DivergencePenalty(CheckedPenalty):
    """Penalty of the Wasserstein divergence, Wu et al. (2018), on points between real and generated samples.

    Args:
        weight: k of the paper.
        interval: Updates of the player between evaluations.
        power: p of the paper.
    """

    weight: float = 2.0
    interval: int = 1
    power: float = 6.0
    player: str = "discriminator"
    per_sample: ClassVar[bool] = True
    player_kind: ClassVar[str] = "discriminator"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive("power", self.power)

    def __call__(self, step: Step) -> Tensor:
        points = F.interpolate(step.real.samples, step.fake.samples, step.noise.uniform())
        return F.divergence_penalty(step.real.critic, points, self.power)


@dataclass(frozen=True)
class Dragan(CheckedPenalty):
    """Two-sided penalty around real samples, DRAGAN of Kodali et al. (2017); the points are those of the authors' code.

    The points lie between x and x + noise_scale * std * U[0, 1), with elementwise noise, at a fraction that is uniform
    in [0, 1) for each sample. The standard deviation is a single number for the micro-batch of one process.

    Args:
        weight: lambda of the paper.
        interval: Updates of the player between evaluations.
        target: k of the paper, the gradient norm with zero penalty.
        noise_scale: Largest perturbation, in standard deviations.
    """

    weight: float = 10.0
    interval: int = 1
    target: float = 1.0
    noise_scale: float = 0.5
    player: str = "discriminator"
    per_sample: ClassVar[bool] = True
    player_kind: ClassVar[str] = "discriminator"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("target", self.target, 0)
        require_at_least("noise_scale", self.noise_scale, 0)

    def __call__(self, step: Step) -> Tensor:
        return F.norm_penalty(step.real.critic, self.points(step.real.samples, step.noise), self.target)

    def points(self, samples: Tensor, noise: Noise) -> Tensor:
        """Points around samples (n, ...), same shape."""
        perturbed = F.perturb(samples, noise.uniform(*samples.shape[1:]), self.noise_scale)
        return F.interpolate(perturbed, samples, noise.uniform())


@dataclass(frozen=True)
class R1(CheckedPenalty):
    """Zero-centered penalty on real samples, Mescheder et al. (2018), eq. 9.

    Args:
        weight: gamma of the paper; the formula has the factor 1/2.
        interval: Updates of the player between evaluations.
    """

    weight: float = 10.0
    interval: int = 1
    player: str = "discriminator"
    per_sample: ClassVar[bool] = True
    player_kind: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.zero_centered_penalty(step.real.critic, step.real.samples)


@dataclass(frozen=True)
class R2(CheckedPenalty):
    """Zero-centered penalty on generated samples, Mescheder et al. (2018), eq. 10.

    Args:
        weight: gamma of the paper; the formula has the factor 1/2.
        interval: Updates of the player between evaluations.
    """

    weight: float = 10.0
    interval: int = 1
    player: str = "discriminator"
    per_sample: ClassVar[bool] = True
    player_kind: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.zero_centered_penalty(step.fake.critic, step.fake.samples)


@dataclass(frozen=True)
class Drift(CheckedPenalty):
    """Penalty that keeps the logits of real samples near zero, Karras et al. (2018), section A.1.

    Args:
        weight: epsilon_drift of the paper.
        interval: Updates of the player between evaluations.
    """

    weight: float = 1e-3
    interval: int = 1
    player: str = "discriminator"
    per_sample: ClassVar[bool] = False
    player_kind: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.drift(step.real.logits)


@dataclass(frozen=True)
class Consistency(CheckedPenalty):
    """Consistency of logits under a transform: CR of Zhang et al. (2020), bCR of Zhao et al. (2021).

    Args:
        transform: Maps images (n, C, H, W) in [-1, 1] and a random stream to transformed images of the same shape. Both
            papers flip and shift.
        weight: lambda of CR, lambda_real of bCR.
        interval: Updates of the player between evaluations.
        fake_ratio: Weight of generated samples relative to real ones: lambda_fake / lambda_real of bCR; 0 is CR.
    """

    transform: Callable[[Tensor, Noise], Tensor]
    weight: float = 10.0
    interval: int = 1
    fake_ratio: float = 0.0
    player: str = "discriminator"
    per_sample: ClassVar[bool] = False
    player_kind: ClassVar[str] = "discriminator"
    single_images_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least("fake_ratio", self.fake_ratio, 0)

    def __call__(self, step: Step) -> Tensor:
        value = self._value(step.real, step.noise)
        return value + self.fake_ratio * self._value(step.fake, step.noise) if self.fake_ratio else value

    def _value(self, outputs: DiscriminatorOutputs, noise: Noise) -> Tensor:
        return F.consistency(outputs.logits, outputs.critic(self.transform(outputs.samples, noise)))


class LeCam(CheckedPenalty, nn.Module):
    """Penalty on logits far from the past mean of the other kind, Tseng et al. (2021); formula of the authors' code.

    The averages of the real and of the fake logits, over all processes, include the current batch. With `begin_images`
    they are, as in the authors' code for BigGAN, the means of the current batch until then, and exponential
    averages from these on. Without, they are exponential averages with the bias of their start removed, as in
    the authors' code for StyleGAN2: the decayed weights of all batches sum to 1.

    Args:
        weight: lambda of the paper: 0.3 in the authors' scripts for BigGAN on CIFAR.
        interval: Updates of the player between evaluations.
        half_life_images: Half-life of the averages in real images; 0.5^(50/3450) is the authors' decay 0.99 at batch
            50.
        begin_images: Real images until the penalty is applied. The authors' BigGAN waits for 1000 iterations, their
            StyleGAN2 does not wait. It also selects the form of the averages, see above.

    Raises:
        ValueError: A duration is negative.
    """

    per_sample: ClassVar[bool] = False
    player_kind: ClassVar[str] = "discriminator"
    real_average: Tensor
    fake_average: Tensor
    images: Tensor

    def __init__(
        self,
        weight: float = 0.3,
        interval: int = 1,
        half_life_images: float = 3450.0,
        begin_images: int = 0,
        player: str = "discriminator",
    ) -> None:
        super().__init__()
        for key, value in {"half_life_images": half_life_images, "begin_images": begin_images}.items():
            require_at_least(key, value, 0)
        self.weight = weight
        self.interval = interval
        self.__post_init__()
        self.player = player
        self.half_life_images = half_life_images
        self.begin_images = begin_images
        self.register_buffer("real_average", torch.zeros(()))
        self.register_buffer("fake_average", torch.zeros(()))
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))  # real images so far

    def forward(self, step: Step) -> Tensor:
        real_logits, fake_logits = step.real.logits, step.fake.logits
        self._update(real_logits, fake_logits, self.interval * len(step.real.samples) * num_processes())
        value = F.lecam(real_logits, fake_logits, self.real_average, self.fake_average)
        return value * (self.images > self.begin_images)

    @torch.no_grad()
    def _update(self, real_logits: Tensor, fake_logits: Tensor, images: int) -> None:
        log_decay = -math.log(2) / self.half_life_images if self.half_life_images else -math.inf  # for each image
        step_size: float | Tensor = -math.expm1(log_decay * images)
        alone = self.images == 0  # whether the batch sets the averages
        self.images += images
        if self.begin_images:
            alone |= self.images < self.begin_images
        else:
            step_size = step_size / -torch.expm1(log_decay * self.images)  # by the sum of the weights of all batches
        step_size = torch.where(alone, 1.0, step_size)
        means = mean_over_processes(torch.stack([real_logits.mean(), fake_logits.mean()]))
        for average, mean in zip((self.real_average, self.fake_average), means, strict=True):
            average += step_size * (mean - average)
