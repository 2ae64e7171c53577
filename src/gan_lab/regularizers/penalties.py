"""The discriminator's penalties that a user picks by name. All share `weight` and `interval`.

`weight` multiplies the value, `interval` counts batches from one evaluation to the next; the formulas are in `functional`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.processes import mean_over_processes, num_processes
from gan_lab.regularizers import functional as F
from gan_lab.types import Judged, Step


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
    player: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        points = F.interpolate(step.real.samples, step.fake.samples, step.noise.uniform())
        return F.gradient_penalty(step.real.critic, points, self.target)


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
    player: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        points = F.interpolate(step.real.samples, step.fake.samples, step.noise.uniform())
        return F.divergence_penalty(step.real.critic, points, self.power)


@dataclass(frozen=True)
class Dragan:
    """Two-sided penalty around real samples, DRAGAN of Kodali et al. (2017); the points are those of the authors' code.

    A sample is moved towards x + noise_scale * std * U[0, 1), elementwise, by a share that is uniform in [0, 1) for each
    sample. The standard deviation is one number for the micro-batch of one process.

    Args:
        weight: lambda of the paper.
        interval: Batches from one evaluation to the next.
        target: k of the paper, the norm of the gradient that costs nothing.
        noise_scale: Largest perturbation, in standard deviations.
    """

    weight: float = 10.0
    interval: int = 1
    target: float = 1.0
    noise_scale: float = 0.5
    per_sample: ClassVar[bool] = True
    player: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.norm_penalty(step.real.critic, self.points(step.real.samples, step.noise), self.target)

    def points(self, samples: Tensor, noise: Noise) -> Tensor:
        """Points around samples (n, ...), same shape."""
        perturbed = F.perturb(samples, noise.uniform(*samples.shape[1:]), self.noise_scale)
        return F.interpolate(perturbed, samples, noise.uniform())


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
    player: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.zero_centered_penalty(step.real.critic, step.real.samples)


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
    player: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.zero_centered_penalty(step.fake.critic, step.fake.samples)


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
    player: ClassVar[str] = "discriminator"

    def __call__(self, step: Step) -> Tensor:
        return F.drift(step.real.logits)


@dataclass(frozen=True)
class Consistency:
    """Equal logits for a sample and the same transformed: CR of Zhang et al. (2020), bCR of Zhao et al. (2021).

    Args:
        transform: Images (n, C, H, W) in [-1, 1] and a random stream to transformed images of that shape. Both papers
            flip and shift.
        weight: lambda of CR, lambda_real of bCR.
        interval: Batches from one evaluation to the next.
        fake_ratio: Weight of generated samples as a multiple of that of real ones: lambda_fake / lambda_real of bCR; 0
            is CR.
    """

    transform: Callable[[Tensor, Noise], Tensor]
    weight: float = 10.0
    interval: int = 1
    fake_ratio: float = 0.0
    per_sample: ClassVar[bool] = False
    player: ClassVar[str] = "discriminator"

    def __post_init__(self) -> None:
        if self.fake_ratio < 0:
            raise ValueError(f"fake_ratio={self.fake_ratio} is not allowed: it must be at least 0")

    def __call__(self, step: Step) -> Tensor:
        value = self._value(step.real, step.noise)
        return value + self.fake_ratio * self._value(step.fake, step.noise) if self.fake_ratio else value

    def _value(self, judged: Judged, noise: Noise) -> Tensor:
        return F.consistency(judged.logits, judged.critic(self.transform(judged.samples, noise)))


class LeCam(nn.Module):
    """Keeps logits near the past mean of the other side, Tseng et al. (2021); the formula is that of the authors' code.

    The means of the real and of the fake logits, over all processes, run as exponential averages that start with the
    first batch and include the present one.

    Args:
        weight: lambda of the paper: 0.3 in the authors' scripts for BigGAN on CIFAR.
        interval: Batches from one evaluation to the next.
        half_life_images: Memory of the averages, in real images: 0.5^(50/3450) is the authors' decay 0.99 of a batch of 50.
        begin_images: Real images before the penalty counts. The authors' BigGAN waits for 1000 iterations, their
            StyleGAN2 for none.

    Raises:
        ValueError: A duration is negative.
    """

    per_sample: ClassVar[bool] = False
    player: ClassVar[str] = "discriminator"
    real_average: Tensor
    fake_average: Tensor
    images: Tensor

    def __init__(
        self, weight: float = 0.3, interval: int = 1, half_life_images: float = 3450.0, begin_images: int = 0
    ) -> None:
        super().__init__()
        for key, value in {"half_life_images": half_life_images, "begin_images": begin_images}.items():
            if value < 0:
                raise ValueError(f"regularizer.lecam.{key}={value} is not allowed: it must be at least 0")
        self.weight = weight
        self.interval = interval
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
        decay = 0.5 ** (images / self.half_life_images) if self.half_life_images else 0.0
        share = torch.where(self.images > 0, 1 - decay, 1.0)  # of the present batch: all of the first average
        means = mean_over_processes(torch.stack([real_logits.mean(), fake_logits.mean()]))
        for average, mean in zip((self.real_average, self.fake_average), means, strict=True):
            average += share * (mean - average)
        self.images += images
