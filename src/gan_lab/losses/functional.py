"""Loss formulas: logits in, scalar to minimize out.

Every function takes logits of shape (n,), any float dtype, any range, and returns the batch mean as a 0-dim tensor.
"Real term" and "fake term" are the two terms of a discriminator's loss. In losses that compare real with generated
samples, `higher` are the logits that the player tries to raise above `lower`: those of real samples for the
discriminator, those of generated samples for the generator.
"""

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def cross_entropy_real(logits: Tensor) -> Tensor:
    """-log D(x) with D = sigmoid of the logit: real term of Goodfellow et al. (2014), eq. 1.

    On generated samples it is the non-saturating loss of the generator.
    """
    return softplus(-logits).mean()


def cross_entropy_fake(logits: Tensor) -> Tensor:
    """-log(1 - D(G(z))): fake term of Goodfellow et al. (2014), eq. 1."""
    return softplus(logits).mean()


def minimax_generator(fake_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))): generator loss of Goodfellow et al. (2014), eq. 1. Its gradient vanishes for D(G(z)) near 0."""
    return -softplus(fake_logits).mean()


def squared_distance(logits: Tensor, target: float) -> Tensor:
    """Half the mean squared distance of the logits, without a sigmoid, to `target`: Mao et al. (2017), eq. 2."""
    return 0.5 * torch.square(logits - target).mean()


def boundary_cross_entropy(fake_logits: Tensor) -> Tensor:
    """-log D(G(z)) + C(G(z)) / 2: cross-entropy boundary seeking in Hjelm et al.'s (2018) code; minimal at C = 0."""
    return softplus(-fake_logits).mean() + 0.5 * fake_logits.mean()


def hinge_real(logits: Tensor) -> Tensor:
    """max(0, 1 - C(x)): real term of the hinge loss, Miyato et al. (2018), eq. 16."""
    return relu(1 - logits).mean()


def hinge_fake(logits: Tensor) -> Tensor:
    """max(0, 1 + C(G(z))): fake term of the hinge loss, Miyato et al. (2018), eq. 16."""
    return relu(1 + logits).mean()


def relativistic(higher: Tensor, lower: Tensor) -> Tensor:
    """-log sigmoid(C(x) - C(G(z))) over pairs of one real and one generated sample: Huang et al. (2024), section 2."""
    return softplus(lower - higher).mean()


def relativistic_average_hinge(higher: Tensor, lower: Tensor) -> Tensor:
    """Hinge loss on each logit minus the mean logit of the other kind of samples: MSG-GAN, Karnewar & Wang (2020)."""
    return hinge_real(higher - lower.mean()) + hinge_fake(lower - higher.mean())


def log_softplus(logits: Tensor) -> Tensor:
    """log softplus(t) = log log(1 + e^t) of each logit t, for D2GAN (Nguyen et al., 2017) with outputs softplus(t).

    Finite, with a gradient near 1, for very negative t, where softplus(t) underflows (from -104 in float32) and its
    logarithm is
    -inf. Shape and dtype are the logits'.
    """
    # The series is t - e^t / 2 + ...; below -36 the second term is less than the rounding error of a double. The clamp
    # keeps the gradient of the unused branch finite: 0 times infinity would be NaN.
    return torch.where(logits < -36, logits, softplus(logits.clamp(min=-36)).log())


def dual_discriminator(higher: Tensor, lower: Tensor, weight: float) -> Tensor:
    """-w log D on one kind of samples plus D on the other, D = softplus of the logit: Nguyen et al. (2017), eq. 1.

    The first discriminator of D2GAN raises D on real samples (w is alpha), the second on generated samples (w is beta).
    """
    return softplus(lower).mean() - weight * log_softplus(higher).mean()


def dual_generator(first_logits: Tensor, second_logits: Tensor, beta: float) -> Tensor:
    """-D1(G(z)) + beta log D2(G(z)): generator loss of D2GAN, Nguyen et al. (2017), eq. 1."""
    return beta * log_softplus(second_logits).mean() - softplus(first_logits).mean()
