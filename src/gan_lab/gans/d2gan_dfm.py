"""D2GAN with denoising feature matching, which the authors of D2GAN name as future work."""

from torch import nn

from gan_lab.gans.d2gan import D2GAN
from gan_lab.gans.dfm import DFM, DenoiserFactory
from gan_lab.gans.parts import Parts


class D2GANDFM(DFM, D2GAN):
    """Nguyen et al. (2017), section 6: D2GAN with the denoiser of Warde-Farley & Bengio (2017) as a third player.

    The denoised features are those of the first discriminator, which scores real samples high. The generator minimizes
    D2GAN's loss and denoising_weight |Phi(x') - r(Phi(x'))|^2.

    Even the optimal denoiser contracts features towards regions of high density, also where real and generated samples
    have the same distribution: the term changes the optimum. With a small weight, samples are nearer to the modes and
    vary less.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: The first, D1; see `D2GAN`.
        second_discriminator: The second, D2.
        denoiser: Called with the first discriminator, whose feature size it reads; returns the network r.
        parts: All other components; the loss must be `Dual`.
        denoising_weight: Factor on the mean squared error of the features.
        corruption: Standard deviation of the noise.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        second_discriminator: nn.Module,
        denoiser: DenoiserFactory,
        parts: Parts,
        denoising_weight: float = 0.03,
        corruption: float = 1.0,
    ) -> None:
        D2GAN.__init__(self, generator, discriminator, second_discriminator, parts, denoiser=denoiser(discriminator))
        self.set_denoising(denoising_weight, corruption)
