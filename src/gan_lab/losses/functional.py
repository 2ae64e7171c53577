"""The formulas: logits in, scalar out, always to be minimized.

Every function takes logits of shape (n,), any float dtype, any range, and returns the batch mean as a 0-dim tensor.
"Real half" and "fake half" are the two terms of a discriminator's loss. In losses of two kinds of samples `higher` are the
logits that the player wants above the others: those of real samples for the discriminator, of generated ones for the
generator.
"""

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def cross_entropy_real(logits: Tensor) -> Tensor:
    """-log D(x) with D = sigmoid of the logit: real half of Goodfellow et al. (2014), eq. 1; also the non-saturating generator's loss."""
    return softplus(-logits).mean()


def cross_entropy_fake(logits: Tensor) -> Tensor:
    """-log(1 - D(G(z))): fake half of Goodfellow et al. (2014), eq. 1."""
    return softplus(logits).mean()


def minimax_generator(fake_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))): the generator's side of Goodfellow et al. (2014), eq. 1. Its gradient vanishes where D is sure."""
    return -softplus(fake_logits).mean()


def squared_distance(logits: Tensor, target: float) -> Tensor:
    """Half the mean squared distance of the logits to `target`: Mao et al. (2017), eq. 2. No sigmoid."""
    return 0.5 * torch.square(logits - target).mean()


def boundary_cross_entropy(fake_logits: Tensor) -> Tensor:
    """-log D(G(z)) + C(G(z)) / 2: the cross-entropy form of boundary seeking in Hjelm et al.'s (2018) code; least at C = 0."""
    return softplus(-fake_logits).mean() + 0.5 * fake_logits.mean()


def hinge_real(logits: Tensor) -> Tensor:
    """max(0, 1 - C(x)): real half of the hinge loss, Miyato et al. (2018), eq. 16."""
    return relu(1 - logits).mean()


def hinge_fake(logits: Tensor) -> Tensor:
    """max(0, 1 + C(G(z))): fake half of the hinge loss, Miyato et al. (2018), eq. 16."""
    return relu(1 + logits).mean()


def relativistic(higher: Tensor, lower: Tensor) -> Tensor:
    """-log sigmoid(C(x) - C(G(z))) over pairs, one real with one generated sample: Huang et al. (2024), section 2."""
    return softplus(lower - higher).mean()


def relativistic_average_hinge(higher: Tensor, lower: Tensor) -> Tensor:
    """Hinge loss on each logit less the mean logit of the other side, as Karnewar & Wang (2020) train MSG-GAN."""
    return hinge_real(higher - lower.mean()) + hinge_fake(lower - higher.mean())


def log_softplus(logits: Tensor) -> Tensor:
    """log log(1 + e^t) of each logit t: what D2GAN (Nguyen et al., 2017) takes the logarithm of is a softplus.

    Finite with a gradient near 1 far below 0, where softplus(t) underflows (from -104 in float32) and its logarithm is
    -inf. Shape and dtype are the logits'.
    """
    # The series is t - e^t / 2 + ..., of which the second term is below the last digit of a double from -36 on. The clamp
    # keeps the gradient of the branch that is not taken finite: 0 times infinity would be NaN.
    return torch.where(logits < -36, logits, softplus(logits.clamp(min=-36)).log())


def dual_discriminator(higher: Tensor, lower: Tensor, weight: float) -> Tensor:
    """-w log D on one kind of samples, D on the other, D = softplus of the logit: either half of Nguyen et al. (2017), eq. 1.

    The first discriminator of D2GAN wants D high on real samples (w is alpha), the second on generated ones (w is beta).
    """
    return softplus(lower).mean() - weight * log_softplus(higher).mean()


def dual_generator(first_logits: Tensor, second_logits: Tensor, beta: float) -> Tensor:
    """-D1(G(z)) + beta log D2(G(z)): the generator's side of Nguyen et al. (2017), eq. 1, of one sample's two logits."""
    return beta * log_softplus(second_logits).mean() - softplus(first_logits).mean()
