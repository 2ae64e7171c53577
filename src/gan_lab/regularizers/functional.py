"""The formulas of the penalties: a critic and points in, scalar out.

A critic maps samples (n, ...) to logits (n,). The gradient of each logit is taken by its own sample, so the critic must
not mix the samples of a batch. Everything is differentiable by the critic's weights (double backward), and finite with a
finite gradient where the critic's own gradient is zero.
"""

import torch
from torch import Tensor

from gan_lab.types import Critic


def interpolate(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Points epsilon * real + (1 - epsilon) * fake, one epsilon (n,) in [0, 1] for each sample; shape of `real`."""
    epsilon = epsilon.view(-1, *[1] * (real.dim() - 1))
    return fake + epsilon * (real - fake)


def input_gradient(critic: Critic, points: Tensor) -> Tensor:
    """Gradient of each logit by its own sample, flattened to (n, features), with a graph for the double backward."""
    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient.flatten(1)


def gradient_penalty(critic: Critic, points: Tensor, target: float = 1.0) -> Tensor:
    """Mean of (|gradient| - target)^2 / target^2: Gulrajani et al. (2017), eq. 3; the target is Karras et al.'s (2018)."""
    # `norm` has subgradient 0 at 0, where sqrt(sum of squares) would give NaN.
    norm = input_gradient(critic, points).norm(2, dim=1)
    return torch.square(norm - target).mean() / target**2


def divergence_penalty(critic: Critic, points: Tensor, power: float) -> Tensor:
    """Mean of |gradient|^power: the penalty of the Wasserstein divergence, Wu et al. (2018). `power` at least 2."""
    return input_gradient(critic, points).square().sum(1).pow(power / 2).mean()


def zero_centered_penalty(critic: Critic, points: Tensor) -> Tensor:
    """Half the mean of |gradient|^2: R1 on real and R2 on generated points, Mescheder et al. (2018), eq. 9 and 10."""
    return 0.5 * input_gradient(critic, points).square().sum(1).mean()


def drift(real_logits: Tensor) -> Tensor:
    """Mean squared logit of real samples, which keeps a Wasserstein critic near zero: Karras et al. (2018), section A.1."""
    return real_logits.square().mean()
