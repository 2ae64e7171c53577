"""The games that have a name. README's table, `gan-lab list` and the tests are made from this. Imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        name: The word on the command line, and the file in `conf/model`.
        title: The name in the literature.
        paper: Authors and year.
        reference: Identifier on arXiv, or the address of a paper that is not there.
        game: Import path of the LightningModule.
        differs: What sets it apart from the first GAN.
        defaults: Where its rates, batch and initialization are from.
    """

    name: str
    title: str
    paper: str
    reference: str
    game: str
    differs: str
    defaults: str

    @property
    def url(self) -> str:
        """Where the paper is."""
        return self.reference if "://" in self.reference else f"https://arxiv.org/abs/{self.reference}"


TWO_PLAYER = "gan_lab.gans.gan.GAN"

CATALOGUE = (
    Entry(
        "gan", "GAN", "Goodfellow et al. (2014)", "1406.2661", TWO_PLAYER,
        "the first: maxout discriminator with dropout, SGD with momentum",
        "the authors' MNIST configuration",
    ),
    Entry(
        "dcgan", "DCGAN", "Radford et al. (2016)", "1511.06434", TWO_PLAYER,
        "strided convolutions and batch norm, Adam",
        "paper, section 4; kernels and widths of the authors' Torch code",
    ),
    Entry(
        "lsgan", "LSGAN", "Mao et al. (2017)", "1611.04076", TWO_PLAYER,
        "least squares in place of the log loss",
        "the authors' code for small images",
    ),
    Entry(
        "wgan", "WGAN", "Arjovsky et al. (2017)", "1701.07875", TWO_PLAYER,
        "difference of mean scores, clipped weights, five critic steps, RMSProp",
        "paper, algorithm 1",
    ),
    Entry(
        "wgan_gp", "WGAN-GP", "Gulrajani et al. (2017)", "1704.00028", TWO_PLAYER,
        "gradient penalty in place of clipping, no batch norm in the critic",
        "paper, algorithm 1; initialization of the authors' code",
    ),
    Entry(
        "wgan_div", "WGAN-div", "Wu et al. (2018)", "1712.01026", TWO_PLAYER,
        "penalty on a power of the gradient, no target norm",
        "k and p of the paper, the rest of the authors' code",
    ),
    Entry(
        "dragan", "DRAGAN", "Kodali et al. (2017)", "1705.07215", TWO_PLAYER,
        "gradient penalty around real samples only",
        "the authors' code; networks of DCGAN",
    ),
    Entry(
        "minibatch_gan", "Minibatch discrimination", "Salimans et al. (2016)", "1606.03498", TWO_PLAYER,
        "the discriminator sees how alike the samples of a batch are",
        "the authors' CIFAR-10 code; networks of DCGAN",
    ),
    Entry(
        "improved_gan", "Improved GAN", "Salimans et al. (2016)", "1606.03498", TWO_PLAYER,
        "minibatch discrimination, label smoothing, historical averaging, virtual batch norm; feature matching as an option",
        "the authors' CIFAR-10 code; networks of DCGAN",
    ),
    Entry(
        "pacgan", "PacGAN", "Lin et al. (2018)", "1712.04086", TWO_PLAYER,
        "the discriminator judges two samples at once",
        "the DCGAN it is compared with",
    ),
    Entry(
        "bgan", "BGAN", "Hjelm et al. (2018)", "1702.08431", TWO_PLAYER,
        "the generator drives samples to the discriminator's boundary",
        "the authors' code; networks of DCGAN",
    ),
    Entry(
        "cgan", "cGAN", "Mirza & Osindero (2014)", "1411.1784", TWO_PLAYER,
        "labels beside the latents and beside the images",
        "DCGAN",
    ),
    Entry(
        "acgan", "AC-GAN", "Odena et al. (2017)", "1610.09585", TWO_PLAYER,
        "the discriminator also names the class",
        "rates and batch of the paper, appendix A; networks of DCGAN",
    ),
    Entry(
        "sngan", "SN-GAN", "Miyato et al. (2018)", "1802.05957", TWO_PLAYER,
        "spectral norm in the discriminator, hinge loss, five discriminator moves",
        "paper, section 4, and the authors' code",
    ),
    Entry(
        "projection_gan", "Projection discriminator", "Miyato & Koyama (2018)", "1802.05637", TWO_PLAYER,
        "SN-GAN with an inner product of label and features, and class-conditional batch norm",
        "SN-GAN",
    ),
    Entry(
        "sagan", "SAGAN", "Zhang et al. (2019)", "1805.08318", TWO_PLAYER,
        "self-attention, spectral norm in both networks, two time scales, projection",
        "paper, section 5; networks of the authors' code",
    ),
    Entry(
        "pggan", "ProGAN", "Karras et al. (2018)", "1710.10196", TWO_PLAYER,
        "both networks grow from 4x4 pixels in training; equalized rates, pixelwise normalization, minibatch standard deviation",
        "paper, appendix A; the growth fits the length of the run",
    ),
    Entry(
        "msg_gan", "MSG-GAN", "Karnewar & Wang (2020)", "1903.06048", TWO_PLAYER,
        "ProGAN's networks without growing: they draw and judge images at all scales at once",
        "the authors' code",
    ),
    Entry(
        "biggan", "BigGAN", "Brock et al. (2019)", "1809.11096", TWO_PLAYER,
        "large batches, latents and a shared class embedding in every conditional norm, orthogonal regularization, truncation",
        "rates, batch and moves of the paper; the rest of the authors' code",
    ),
    Entry(
        "biggan_deep", "BigGAN-deep", "Brock et al. (2019)", "1809.11096", TWO_PLAYER,
        "BigGAN with bottlenecks: four times as many convolutions, and fewer parameters",
        "BigGAN",
    ),
    Entry(
        "ragan", "Relativistic average GAN", "Jolicoeur-Martineau (2019)", "1807.00734", TWO_PLAYER,
        "each sample against the mean of the other kind, with the hinge",
        "DCGAN",
    ),
    Entry(
        "r3gan", "R3GAN's objective", "Huang et al. (2024)", "2501.05441", TWO_PLAYER,
        "real and generated samples in pairs, R1 and R2; residual networks without norms, not the paper's",
        "start of the paper's Stacked-MNIST run",
    ),
    Entry(
        "d2gan", "D2GAN", "Nguyen et al. (2017)", "1709.03831", "gan_lab.gans.d2gan.D2GAN",
        "two discriminators, one that rewards real and one that rewards generated samples",
        "paper; networks of DCGAN",
    ),
    Entry(
        "unrolled_gan", "Unrolled GAN", "Metz et al. (2017)", "1611.02163", "gan_lab.gans.unrolled_gan.UnrolledGAN",
        "the generator looks some steps of the discriminator ahead, and differentiates through them",
        "its Stacked-MNIST runs as PacGAN's code repeats them; networks of DCGAN",
    ),
    Entry(
        "reg_gan", "Reg-GAN", "Che et al. (2017)", "1612.02136", "gan_lab.gans.reg_gan.RegGAN",
        "an encoder: the generator also reconstructs real samples, and these must look real",
        "another author's CelebA version; networks of DCGAN",
    ),
    Entry(
        "mdgan", "MDGAN", "Che et al. (2017)", "1612.02136", "gan_lab.gans.mdgan.MDGAN",
        "two discriminators: real against reconstructed, and reconstructed against generated samples",
        "those of Reg-GAN; weight of Dist-GAN's code",
    ),
    Entry(
        "dfm", "Denoising feature matching", "Warde-Farley & Bengio (2017)", "https://openreview.net/forum?id=S1X7nhsxl",
        "gan_lab.gans.dfm.DFM",
        "a denoiser of the discriminator's features draws generated ones towards those of real samples",
        "paper, section 5; weight and batch of other authors' versions",
    ),
    Entry(
        "veegan", "VEEGAN", "Srivastava et al. (2017)", "1705.07761", "gan_lab.gans.veegan.VEEGAN",
        "a reconstructor of latents; the discriminator judges latent and sample together",
        "its Stacked-MNIST runs as PacGAN's code repeats them; networks of DCGAN",
    ),
)  # fmt: skip


def markdown_table() -> str:
    """The catalogue as a Markdown table, for the README."""
    lines = ["| `model=` | paper | what differs | defaults from |", "|---|---|---|---|"]
    lines += [f"| `{e.name}` | {e.title}, [{e.paper}]({e.url}) | {e.differs} | {e.defaults} |" for e in CATALOGUE]
    return "\n".join(lines)
