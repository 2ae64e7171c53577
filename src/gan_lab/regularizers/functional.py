"""Penalty formulas: tensors, or a critic and points, in; scalar out.

A critic maps samples (n, ...) to logits (n,). The gradient of each logit is taken with respect to its own sample, so
the critic must not mix the samples of a batch. Every formula can be differentiated with respect to the critic's weights
(double backward); value and gradient are finite where the critic's input gradient is zero.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from gan_lab.types import Critic


def interpolate(real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
    """Points epsilon * real + (1 - epsilon) * fake, one epsilon (n,) in [0, 1] for each sample; shape of `real`."""
    epsilon = epsilon.view(-1, *[1] * (real.dim() - 1))
    return fake + epsilon * (real - fake)


def input_gradient(critic: Critic, points: Tensor) -> Tensor:
    """Gradient of each logit with respect to its input, one row for each logit, with a graph for the double backward.

    A row is the gradient of one sample, (n, features). If the critic gives n / m logits for packs of m consecutive
    samples, a row is the gradient of the pack, (n / m, m * features), and so is its norm.
    """
    points = points.detach()
    if is_vectorized(points):
        gradient, logits = torch.func.grad(lambda x: _sum_and_value(critic(x)), has_aux=True)(points)
    else:
        logits = critic(points.requires_grad_())
        (gradient,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    return gradient.reshape(len(logits), -1)


def is_vectorized(x: Tensor) -> bool:
    """Whether a tensor is an argument of a function that `torch.vmap` maps, where `torch.autograd` does not work."""
    return torch._C._functorch.is_functorch_wrapped_tensor(x)


def _sum_and_value(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.sum(), x


def norm_penalty(critic: Critic, points: Tensor, target: float) -> Tensor:
    """Mean of (|gradient| - target)^2."""
    # `norm` has subgradient 0 at 0, where sqrt(sum of squares) would give NaN.
    norm = input_gradient(critic, points).norm(2, dim=1)
    return torch.square(norm - target).mean()


def gradient_penalty(critic: Critic, points: Tensor, target: float = 1.0) -> Tensor:
    """Mean of (|gradient| - target)^2 / target^2: Gulrajani et al. (2017), eq. 3; target: Karras et al. (2018)."""
    return norm_penalty(critic, points, target) / target**2


def divergence_penalty(critic: Critic, points: Tensor, power: float) -> Tensor:
    """Mean of |gradient|^power: the penalty of the Wasserstein divergence, Wu et al. (2018). `power` at least 2."""
    return input_gradient(critic, points).square().sum(1).pow(power / 2).mean()


def zero_centered_penalty(critic: Critic, points: Tensor) -> Tensor:
    """Half the mean of |gradient|^2: R1 on real, R2 on generated samples: Mescheder et al. (2018), eq. 9 and 10."""
    return 0.5 * input_gradient(critic, points).square().sum(1).mean()


def perturb(samples: Tensor, noise: Tensor, scale: float) -> Tensor:
    """Samples + scale * std * noise, with one standard deviation for the entire batch: Kodali et al. (2017), code.

    Args:
        samples: (n, ...).
        noise: U[0, 1), shape of `samples`.
        scale: Largest shift, in standard deviations.
    """
    return samples + scale * samples.std(correction=0) * noise


def drift(real_logits: Tensor) -> Tensor:
    """Mean squared logit of real samples, keeps a Wasserstein critic near zero: Karras et al. (2018), section A.1."""
    return real_logits.square().mean()


def lecam(real_logits: Tensor, fake_logits: Tensor, real_average: Tensor, fake_average: Tensor) -> Tensor:
    """Squared excess of real logits over past fake ones, and of past real logits over fake ones: Tseng et al. (2021).

    As in the authors' code, differences of the other sign cost nothing.

    Args:
        real_logits: (n,).
        fake_logits: (n,).
        real_average: Past mean of the real logits, 0-dim.
        fake_average: Past mean of the fake logits, 0-dim.
    """
    return relu(real_logits - fake_average).square().mean() + relu(real_average - fake_logits).square().mean()


def consistency(logits: Tensor, transformed_logits: Tensor) -> Tensor:
    """Mean squared difference of the logits (n,) of samples and of their transformed copies: Zhang et al. (2020)."""
    return torch.square(logits - transformed_logits).mean()


def squared_feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """|E f(x) - E f(G(z))|^2 of features (n, d) and (m, d): feature matching, Salimans et al. (2016), section 3.1."""
    return torch.square(real.mean(0) - fake.mean(0)).sum()


def absolute_feature_distance(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over features of |E f(x) - E f(G(z))| of features (n, d), (m, d): Salimans et al. (2016), CIFAR code."""
    return torch.abs(real.mean(0) - fake.mean(0)).mean()


def orthogonality(weight: Tensor, diagonal: bool = False) -> Tensor:
    """|W W^T o (1 - I)|^2, the squared inner products of different rows: Brock et al. (2019), section 3.1.

    Args:
        weight: W, (rows, d).
        diagonal: Also require rows of norm 1, |W W^T - I|^2: the orthonormal form that Miyato et al. (2018) compare
            with.
    """
    gram = weight @ weight.T
    target = torch.eye(len(gram), dtype=gram.dtype, device=gram.device) if diagonal else torch.diag(gram.diagonal())
    return torch.square(gram - target).sum()


def code_information(predicted: Tensor, codes: Tensor, categories: Sequence[int]) -> Tensor:
    """Mean negative log likelihood of codes (n, dim), predictions (n, dim): Chen et al. (2016), eq. 5, without H(c).

    Cross entropy of each categorical variable, predicted by logits, plus (c - mean)^2 / 2 of each continuous one.

    Args:
        predicted: Logits of each categorical variable, then a mean for each continuous one.
        codes: A one-hot vector for each categorical variable, then the continuous variables.
        categories: Number of values of each categorical variable.
    """
    sizes = [*categories, codes.shape[1] - sum(categories)]
    *logits, means = predicted.split(sizes, 1)
    *one_hot, numbers = codes.split(sizes, 1)
    entropies = [cross_entropy(each, target) for each, target in zip(logits, one_hot, strict=True)]
    return sum(entropies, 0.5 * torch.square(numbers - means).sum(1).mean())


def path_lengths(samples: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
    """|J^T y| for each sample: Karras et al. (2020), section 3.2, J the Jacobian of the sample in its latents.

    Args:
        samples: (n, ...), with a graph to the latents; each sample depends on its own latent only.
        latents: (n, dim), or (n, layers, dim), for which the result is the root mean square of the layers' lengths.
        noise: y, normal, the shape of `samples`.

    Returns:
        (n,), differentiable with respect to the generator's weights.
    """
    pixels = samples[0, 0].numel()  # 1 for points
    (gradient,) = torch.autograd.grad((samples * noise).sum() / pixels**0.5, latents, create_graph=True)
    squares = gradient.square().sum(-1)
    return (squares.mean(1) if latents.dim() == 3 else squares).clamp(min=1e-24).sqrt()
