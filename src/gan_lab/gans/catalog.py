"""Catalog of the named GANs, for `gan-lab list`, the page of models and the tests. Has no heavy imports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One GAN of the catalog.

    Attributes:
        name: Value of `model=`, and the file name in `conf/model`.
        title: The name in the literature.
        paper: Authors and year.
        reference: arXiv identifier, or the URL of a paper that is not on arXiv.
        algorithm: Import path of the LightningModule.
        differs: Differences from the first GAN.
        defaults: Source of its learning rates, batch size and initialization.
    """

    name: str
    title: str
    paper: str
    reference: str
    algorithm: str
    differs: str
    defaults: str

    @property
    def url(self) -> str:
        """URL of the paper."""
        return self.reference if "://" in self.reference else f"https://arxiv.org/abs/{self.reference}"


TWO_PLAYER = "gan_lab.gans.gan.GAN"

CATALOG = (
    Entry(
        "gan", "GAN", "Goodfellow et al. (2014)", "1406.2661", TWO_PLAYER,
        "the first: maxout discriminator with dropout, SGD with momentum",
        "the authors' MNIST configuration",
    ),
    Entry(
        "dcgan", "DCGAN", "Radford et al. (2016)", "1511.06434", TWO_PLAYER,
        "strided convolutions and batch norm, Adam",
        "paper, section 4; kernels and widths from the authors' Torch code",
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
        "paper, algorithm 1; initialization from the authors' code",
    ),
    Entry(
        "wgan_div", "WGAN-div", "Wu et al. (2018)", "1712.01026", TWO_PLAYER,
        "penalty on a power of the gradient, no target norm",
        "k and p from the paper, the rest from the authors' code",
    ),
    Entry(
        "dragan", "DRAGAN", "Kodali et al. (2017)", "1705.07215", TWO_PLAYER,
        "gradient penalty around real samples only",
        "the authors' code; networks of DCGAN",
    ),
    Entry(
        "r1_gan", "R1 GAN", "Mescheder et al. (2018)", "1801.04406", TWO_PLAYER,
        "zero-centered gradient penalty on real samples; labels where the data set has them",
        "ours, for the default run; networks of DCGAN",
    ),
    Entry(
        "minibatch_gan", "Minibatch discrimination", "Salimans et al. (2016)", "1606.03498", TWO_PLAYER,
        "the discriminator sees how similar the samples of a batch are",
        "the authors' CIFAR-10 code; networks of DCGAN",
    ),
    Entry(
        "improved_gan", "Improved GAN", "Salimans et al. (2016)", "1606.03498", TWO_PLAYER,
        "minibatch discrimination, label smoothing, historical averaging, virtual batch norm; "
        "feature matching as an option",
        "the authors' CIFAR-10 code; networks of DCGAN",
    ),
    Entry(
        "semi_supervised", "Semi-supervised GAN", "Salimans et al. (2016)", "1606.03498",
        "gan_lab.gans.semi_supervised.SemiSupervised",
        "the discriminator also classifies, and learns from 100 labels and images without labels; feature matching",
        "the authors' MNIST code",
    ),
    Entry(
        "pacgan", "PacGAN", "Lin et al. (2018)", "1712.04086", TWO_PLAYER,
        "the discriminator scores packs of two samples",
        "the DCGAN that it is compared with",
    ),
    Entry(
        "bgan", "BGAN", "Hjelm et al. (2018)", "1702.08431", TWO_PLAYER,
        "the generator pushes samples to the decision boundary of the discriminator",
        "the authors' code; networks of DCGAN",
    ),
    Entry(
        "cgan", "cGAN", "Mirza & Osindero (2014)", "1411.1784", TWO_PLAYER,
        "labels as extra inputs of both networks",
        "DCGAN",
    ),
    Entry(
        "acgan", "AC-GAN", "Odena et al. (2017)", "1610.09585", TWO_PLAYER,
        "the discriminator also predicts the class",
        "learning rates and batch size from the paper, appendix A; networks of DCGAN",
    ),
    Entry(
        "infogan", "InfoGAN", "Chen et al. (2016)", "1606.03657", TWO_PLAYER,
        "codes beside the latents, which the discriminator learns to predict from the samples",
        "the authors' MNIST code; networks of DCGAN",
    ),
    Entry(
        "pix2pix", "pix2pix", "Isola et al. (2017)", "1611.07004", TWO_PLAYER,
        "images from images, trained on pairs: a U-Net with the L1 distance, and a discriminator of patches",
        "the authors' PyTorch code",
    ),
    Entry(
        "mgan", "MGAN", "Hoang et al. (2018)", "1708.02556", TWO_PLAYER,
        "several generators with their own first layers, rewarded for samples that a classifier distinguishes",
        "the authors' CIFAR-10 code",
    ),
    Entry(
        "madgan", "MAD-GAN", "Ghosh et al. (2018)", "1704.02906", TWO_PLAYER,
        "several generators with their own last layers; the discriminator also classifies which one made a sample",
        "the authors' code for mixtures; networks of DCGAN",
    ),
    Entry(
        "sngan", "SN-GAN", "Miyato et al. (2018)", "1802.05957", TWO_PLAYER,
        "spectral norm in the discriminator, hinge loss, five discriminator steps",
        "paper, section 4, and the authors' code",
    ),
    Entry(
        "projection_gan", "Projection discriminator", "Miyato & Koyama (2018)", "1802.05637", TWO_PLAYER,
        "SN-GAN with an inner product of label and features, and class-conditional batch norm",
        "SN-GAN",
    ),
    Entry(
        "sagan", "SAGAN", "Zhang et al. (2019)", "1805.08318", TWO_PLAYER,
        "self-attention, spectral norm in both networks, two learning rates, projection",
        "paper, section 5; networks from the authors' code",
    ),
    Entry(
        "pggan", "ProGAN", "Karras et al. (2018)", "1710.10196", TWO_PLAYER,
        "networks that grow from 4x4 pixels; equalized learning rate, pixelwise normalization, "
        "minibatch standard deviation",
        "paper, appendix A; growth scaled to the length of the run",
    ),
    Entry(
        "msg_gan", "MSG-GAN", "Karnewar & Wang (2020)", "1903.06048", TWO_PLAYER,
        "networks of ProGAN without growing: they generate and score images at all scales at once",
        "the authors' code",
    ),
    Entry(
        "stylegan2", "StyleGAN2", "Karras et al. (2020)", "1912.04958", TWO_PLAYER,
        "styles by a mapping network, modulated and demodulated convolutions, noise in each layer; lazy R1 and path "
        "length regularization",
        "paper, configuration F; weight of R1 by resolution and batch size, as in the code of StyleGAN2-ADA",
    ),
    Entry(
        "biggan", "BigGAN", "Brock et al. (2019)", "1809.11096", TWO_PLAYER,
        "large batches, latents and a shared class embedding in every conditional norm, orthogonal regularization, "
        "truncation",
        "learning rates, batch size and critic steps from the paper; the rest from the authors' code",
    ),
    Entry(
        "biggan_deep", "BigGAN-deep", "Brock et al. (2019)", "1809.11096", TWO_PLAYER,
        "BigGAN with bottlenecks: four times as many convolutions and fewer parameters",
        "BigGAN",
    ),
    Entry(
        "ragan", "Relativistic average GAN", "Jolicoeur-Martineau (2019)", "1807.00734", TWO_PLAYER,
        "compares each sample with the mean of the other kind; hinge loss",
        "DCGAN",
    ),
    Entry(
        "r3gan", "R3GAN", "Huang et al. (2024)", "2501.05441", TWO_PLAYER,
        "pairs of real and generated samples, R1 and R2, with a burn-in; residual networks of grouped convolutions "
        "without norms",
        "the paper's Stacked-MNIST run; width of the networks by data set",
    ),
    Entry(
        "d2gan", "D2GAN", "Nguyen et al. (2017)", "1709.03831", "gan_lab.gans.d2gan.D2GAN",
        "two discriminators: one scores real samples high, the other generated samples",
        "paper; networks of DCGAN",
    ),
    Entry(
        "unrolled_gan", "Unrolled GAN", "Metz et al. (2017)", "1611.02163", "gan_lab.gans.unrolled_gan.UnrolledGAN",
        "the generator differentiates through K future steps of the discriminator",
        "Stacked-MNIST runs as repeated by the code of PacGAN; networks of DCGAN",
    ),
    Entry(
        "reg_gan", "Reg-GAN", "Che et al. (2017)", "1612.02136", "gan_lab.gans.reg_gan.RegGAN",
        "an encoder; the generator also reconstructs real samples, which must look real",
        "another author's CelebA implementation; networks of DCGAN",
    ),
    Entry(
        "mdgan", "MDGAN", "Che et al. (2017)", "1612.02136", "gan_lab.gans.mdgan.MDGAN",
        "two discriminators: real against reconstructed samples, and reconstructed against generated samples",
        "Reg-GAN; weight from the code of Dist-GAN",
    ),
    Entry(
        "dfm", "Denoising feature matching", "Warde-Farley & Bengio (2017)",
        "https://openreview.net/forum?id=S1X7nhsxl",
        "gan_lab.gans.dfm.DFM",
        "a denoiser of the discriminator's features pulls generated features towards those of real samples",
        "paper, section 5; weight and batch size from other implementations",
    ),
    Entry(
        "d2gan_dfm", "D2GAN with denoising feature matching", "Nguyen et al. (2017)", "1709.03831",
        "gan_lab.gans.d2gan_dfm.D2GANDFM",
        "D2GAN with the denoiser of DFM on the features of its first discriminator",
        "D2GAN and DFM; nothing is published for both",
    ),
    Entry(
        "lapgan", "LAPGAN", "Denton et al. (2015)", "1506.05751", "gan_lab.gans.lapgan.LAPGAN",
        "an independent GAN for each level of a Laplacian pyramid, which adds details to a coarser image",
        "the authors' code for CIFAR-10; coarsest networks from the paper",
    ),
    Entry(
        "veegan", "VEEGAN", "Srivastava et al. (2017)", "1705.07761", "gan_lab.gans.veegan.VEEGAN",
        "a reconstructor of latents; the discriminator scores pairs of latent and sample",
        "Stacked-MNIST runs as repeated by the code of PacGAN; networks of DCGAN",
    ),
    Entry(
        "bigan", "BiGAN and ALI", "Donahue et al. (2017)", "1605.09782", "gan_lab.gans.bigan.BiGAN",
        "an encoder trained with the generator; the discriminator scores pairs of sample and latent",
        "the authors' MNIST code; networks of DCGAN",
    ),
    Entry(
        "cyclegan", "CycleGAN", "Zhu et al. (2017)", "1703.10593", "gan_lab.gans.cyclegan.CycleGAN",
        "two generators between two sets of images without pairs, which undo each other; two discriminators with pools "
        "of earlier images",
        "the authors' PyTorch code",
    ),
)  # fmt: skip


def markdown_table() -> str:
    """The catalog as a Markdown table, for `gan-lab list format=markdown`."""
    lines = ["| `model=` | paper | what differs | defaults from |", "|---|---|---|---|"]
    lines += [f"| `{e.name}` | {e.title}, [{e.paper}]({e.url}) | {e.differs} | {e.defaults} |" for e in CATALOG]
    return "\n".join(lines)
