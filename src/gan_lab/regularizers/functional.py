"""The formulas of the penalties: tensors or a critic and points in, scalar out.

A critic maps samples (n, ...) to logits (n,). The gradient of each logit is taken by its own sample, so the critic must
not mix the samples of a batch. Everything is differentiable by the critic's weights (double backward), and finite with a
finite gradient where the critic's own gradient is zero.
"""

import torch
from torch import Tensor
from torch.nn.functional import relu

from gan_lab.types import Critic


def interpolate(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Points epsilon * real + (1 - epsilon) * fake, one epsilon (n,) in [0, 1] for each sample; shape of `real`."""
    epsilon = epsilon.view(-1, *[1] * (real.dim() - 1))
    return fake + epsilon * (real - fake)


def input_gradient(critic: Critic, points: Tensor) -> Tensor:
    """Gradient of each logit by what it judges, one row for each logit, with a graph for the double backward.

    A row has the features of one sample, (n, features); or, where the critic gives n / m logits for packs of m samples
    that follow each other, those of the whole pack, (n / m, m * features): then a norm is that of a pack's gradient.
    """
    points = points.detach().requires_grad_()
    logits = critic(points)
    (gradient,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    return gradient.reshape(len(logits), -1)


def norm_penalty(critic: Critic, points: Tensor, target: float) -> Tensor:
    """Mean of (|gradient| - target)^2."""
    # `norm` has subgradient 0 at 0, where sqrt(sum of squares) would give NaN.
    norm = input_gradient(critic, points).norm(2, dim=1)
    return torch.square(norm - target).mean()


def gradient_penalty(critic: Critic, points: Tensor, target: float = 1.0) -> Tensor:
    """Mean of (|gradient| - target)^2 / target^2: Gulrajani et al. (2017), eq. 3; the target is Karras et al.'s (2018)."""
    return norm_penalty(critic, points, target) / target**2


def divergence_penalty(critic: Critic, points: Tensor, power: float) -> Tensor:
    """Mean of |gradient|^power: the penalty of the Wasserstein divergence, Wu et al. (2018). `power` at least 2."""
    return input_gradient(critic, points).square().sum(1).pow(power / 2).mean()


def zero_centered_penalty(critic: Critic, points: Tensor) -> Tensor:
    """Half the mean of |gradient|^2: R1 on real and R2 on generated points, Mescheder et al. (2018), eq. 9 and 10."""
    return 0.5 * input_gradient(critic, points).square().sum(1).mean()


def perturb(samples: Tensor, noise: Tensor, scale: float) -> Tensor:
    """Samples + scale * std * noise, one standard deviation for the whole batch: Kodali et al. (2017), authors' code.

    Args:
        samples: (n, ...).
        noise: U[0, 1), shape of `samples`.
        scale: Largest shift, in standard deviations.
    """
    return samples + scale * samples.std(correction=0) * noise


def drift(real_logits: Tensor) -> Tensor:
    """Mean squared logit of real samples, which keeps a Wasserstein critic near zero: Karras et al. (2018), section A.1."""
    return real_logits.square().mean()


def lecam(real_logits: Tensor, fake_logits: Tensor, real_average: Tensor, fake_average: Tensor) -> Tensor:
    """Squared excess of real logits over past fake ones, and of past real logits over fake ones: Tseng et al. (2021).

    Only what lies apart on the right side costs, as in the authors' code.

    Args:
        real_logits: (n,).
        fake_logits: (n,).
        real_average: Past mean of the real logits, 0-dim.
        fake_average: Past mean of the fake logits, 0-dim.
    """
    return relu(real_logits - fake_average).square().mean() + relu(real_average - fake_logits).square().mean()


def consistency(logits: Tensor, transformed_logits: Tensor) -> Tensor:
    """Mean squared difference of the logits (n,) of samples and of the same transformed: Zhang et al. (2020)."""
    return torch.square(logits - transformed_logits).mean()


def squared_feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|^2 of features (n, d) and (m, d): feature matching, Salimans et al. (2016), section 3.1."""
    return torch.square(real.mean(0) - fake.mean(0)).sum()


def absolute_feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over the features of |E f(x) - E f(G(z))|, features (n, d) and (m, d): Salimans et al. (2016), CIFAR code."""
    return torch.abs(real.mean(0) - fake.mean(0)).mean()


def orthogonality(weight: Tensor, diagonal: bool = False) -> Tensor:
    """|W W^T o (1 - I)|^2, the squared cosines of rows without their norms: Brock et al. (2019), section 3.1.

    Args:
        weight: W, (rows, d).
        diagonal: Ask the rows for norm 1 too, |W W^T - I|^2: the orthonormal form that Miyato et al. (2018) compare with.
    """
    gram = weight @ weight.T
    target = torch.eye(len(gram), dtype=gram.dtype, device=gram.device) if diagonal else torch.diag(gram.diagonal())
    return torch.square(gram - target).sum()
