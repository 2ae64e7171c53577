"""The games that have a name. README's table, `gan-lab list` and the tests are made from this. Imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    Attributes:
        name: The word on the command line, and the file in `conf/model`.
        title: The name in the literature.
        paper: Authors and year.
        arxiv: Identifier on arXiv.
        game: Import path of the LightningModule.
        differs: What sets it apart from the first GAN.
        defaults: Where its rates, batch and initialization are from.
    """

    name: str
    title: str
    paper: str
    arxiv: str
    game: str
    differs: str
    defaults: str


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
)  # fmt: skip


def markdown_table() -> str:
    """The catalogue as a Markdown table, for the README."""
    lines = ["| `model=` | paper | what differs | defaults from |", "|---|---|---|---|"]
    lines += [
        f"| `{e.name}` | {e.title}, [{e.paper}](https://arxiv.org/abs/{e.arxiv}) | {e.differs} | {e.defaults} |"
        for e in CATALOGUE
    ]
    return "\n".join(lines)
