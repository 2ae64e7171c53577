"""Unrolled GAN: the generator is trained against the discriminator after K more steps."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.optim.unroll import Weights, require_unrollable, unroll
from gan_lab.step import DiscriminatorOutputs, Samples, Step


class UnrolledGAN(GAN):
    """Metz et al. (2017): before each update of the generator a copy of the discriminator is updated K times.

    The generator minimizes f(generator, discriminator after K steps), where f is minus the discriminator's loss, by a
    gradient that passes through all K steps and the optimizer's moments (eq. 8 to 11). f includes the term of real
    samples: they shape the unrolled discriminator, and so the generator's gradient. All steps use the batch of the
    update with one draw of the augmentation, and start from the discriminator's current weights, learning rate and
    moments; these, its buffers and its own single step per batch remain as in `GAN`. K = 0 is the minimax GAN.

    The steps minimize the adversarial loss alone: penalties, constraints and clipping of the discriminator apply only
    to its own updates. Like penalties, the steps run without autocast, since they are differentiated twice; memory
    grows with K. Dropout is sampled again in each step. With several processes or micro-batches the unrolled
    discriminator sees only the local batch.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: `features(samples, condition)` and `head(features, condition)`, twice differentiable.
        parts: All other components; the loss must be zero-sum, the discriminator's optimizer Adam or SGD.
        unroll_steps: K.

    Raises:
        ValueError: K is negative, the loss is not zero-sum, samples are selected, or the parts cannot be combined.
    """

    needs_zero_sum: ClassVar[bool] = True
    needs_all_samples: ClassVar[bool] = True

    def __init__(self, generator: nn.Module, discriminator: nn.Module, parts: Parts, unroll_steps: int = 5) -> None:
        super().__init__(generator, discriminator, parts)
        if unroll_steps < 0:
            raise ValueError(f"algorithm.unroll_steps={unroll_steps} is not allowed: it must be at least 0")
        self.unroll_steps = unroll_steps

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer for each player.

        Raises:
            ValueError: The discriminator's optimizer cannot be unrolled, or a schedule is for a setting that an
                optimizer lacks.
        """
        optimizers = super().configure_optimizers()
        require_unrollable(optimizers[list(self.runner.players).index("discriminator")])
        return optimizers

    @property
    def generator_phase(self) -> Phase:
        return replace(super().generator_phase, second_derivatives=True)

    def generator_criterion(self, step: Step) -> Tensor:
        """f of the unrolled discriminator, eq. 8."""
        forward = _Forward(self.discriminator)
        samples = [(each.view(each.samples), each.condition) for each in (step.real, step.fake)]

        def loss(weights: Weights) -> Tensor:
            real_logits, fake_logits = (functional_call(forward, weights, args) for args in samples)
            return self.discriminator_criterion(real_logits, fake_logits)

        with torch.autocast(self.device.type, enabled=False):
            optimizer = self.runner.optimizer("discriminator")
            return -loss(unroll(optimizer, dict(forward.named_parameters()), loss, self.unroll_steps))


class _Forward(nn.Module):
    """A discriminator with one `forward` from samples (n, ...) and condition to logits, for `functional_call`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor, condition: Tensor | None) -> Tensor:
        return DiscriminatorOutputs(self.network, lambda: Samples(samples, condition)).logits
