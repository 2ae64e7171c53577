"""InfoGAN's regularizer: the codes must be predictable from the generated samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_lab.regularizers import functional as F
from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import Step


@dataclass(frozen=True)
class CodeInformation(CheckedPenalty):
    """Negative log likelihood of the codes of generated samples: Chen et al. (2016), eq. 5 and 6, without H(c).

    The lower bound of the mutual information is H(c) minus this: for one uniform categorical variable of k values, log
    k minus the cross entropy, in nats. Continuous variables have a Gaussian likelihood of standard deviation 1, without
    its constant, as in the authors' code. Add one for the generator and one for the discriminator, which has the second
    head.

    Args:
        categories: Number of values of each categorical variable.
        weight: lambda.
        interval: Updates between evaluations.
        player: `generator` or `discriminator`.
    """

    categories: Sequence[int]
    weight: float = 1.0
    interval: int = 1
    player: str = "generator"
    per_sample: ClassVar[bool] = False

    def __call__(self, step: Step) -> Tensor:
        codes = step.fake.condition
        if codes is None:
            raise ValueError("regularizer=code_information needs codes; set conditioning=codes")
        return F.code_information(step.fake.auxiliary, codes, self.categories)
