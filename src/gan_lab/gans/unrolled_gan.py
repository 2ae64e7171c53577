"""Unrolled GAN: the generator plays against what the discriminator is about to become."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.optim.unroll import Weights, require_unrollable, unroll
from gan_lab.types import AdversarialLoss, Judged, Step


class UnrolledGAN(GAN):
    """The game of Metz et al. (2017): before each move the generator lets a copy of the discriminator move K times.

    The generator minimizes f(generator, discriminator after K steps), where f is minus the discriminator's loss, by a
    gradient that passes through all K steps and the optimizer's moments (eq. 8 to 11). f has the real half too: real samples
    shape the unrolled discriminator, and with it the generator's gradient. All steps are on the batch of the move, in
    one draw of the augmentation, and start from the discriminator's weights, moments and rate as they are; these, its
    buffers and its own single step per batch remain as in `GAN`. K = 0 is the minimax game.

    The steps go down the adversarial loss alone: penalties, constraints and clipping of the discriminator act on its own
    moves only. They run without autocast, as penalties do, since they differentiate twice; memory grows with K. Dropout
    draws anew in each. Under several processes or micro-batches the unrolled discriminator sees the local batch only.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, labels)` and `head(features, labels)`, twice differentiable.
        parts: A zero-sum loss, Adam or SGD for the discriminator, and all the rest.
        unroll_steps: K.

    Raises:
        ValueError: K is negative, the loss gives the generator something else than minus the discriminator's, samples
            are selected, or the parts do not fit each other.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, parts: Parts, unroll_steps: int = 5) -> None:
        super().__init__(generator, discriminator, parts)
        if unroll_steps < 0:
            raise ValueError(f"game.unroll_steps={unroll_steps} is not allowed: it must be at least 0")
        if parts.selection is not None:
            raise ValueError(
                "regularizer=top_k leaves out samples that the unrolled discriminator learns from; leave it out with "
                "model=unrolled_gan"
            )
        self.unroll_steps = unroll_steps

    def _refuse_loss(self) -> None:
        super()._refuse_loss()
        if not _is_zero_sum(self.parts.loss):
            raise ValueError(
                "model=unrolled_gan is a zero-sum game, and the generator's half of "
                f"{type(self.parts.loss).__name__} is not minus the discriminator's; set loss=minimax or wasserstein"
            )

    def _discriminator_optimizer(self, parameters: list[nn.Parameter]) -> Optimizer:
        optimizer = super()._discriminator_optimizer(parameters)
        require_unrollable(optimizer)
        return optimizer

    def generator_loss(self, step: Step) -> Tensor:
        """f at the unrolled discriminator: eq. 8."""
        judge = _Judge(self.discriminator)
        samples = [(self.augment(judged.samples, step.noise), judged.labels) for judged in (step.real, step.fake)]

        def loss(weights: Weights) -> Tensor:
            real_logits, fake_logits = (functional_call(judge, weights, args) for args in samples)
            return self.discriminator_loss(real_logits, fake_logits)

        with torch.autocast(self.device.type, enabled=False):
            optimizer = self.runner.optimizer("discriminator")
            return -loss(unroll(optimizer, dict(judge.named_parameters()), loss, self.unroll_steps))


class _Judge(nn.Module):
    """A discriminator as one `forward` from samples (n, ...) and labels to logits (n,), which `functional_call` needs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        return Judged(self.network, lambda: (samples, labels)).logits


def _is_zero_sum(loss: AdversarialLoss) -> bool:
    """Whether what the generator minimizes is minus the fake half of what the discriminator minimizes."""
    logits = torch.tensor([-1.0, 0.5, 2.0])
    return hasattr(loss, "fake") and torch.allclose(loss.generator(logits), -loss.fake(logits))
