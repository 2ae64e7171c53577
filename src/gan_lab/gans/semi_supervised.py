"""Semi-supervised GAN: the discriminator also classifies, and some of the real samples have labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.errors import DataError
from gan_lab.gans.conditions import Labels
from gan_lab.gans.gan import GAN
from gan_lab.gans.modes import evaluation_mode
from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Phase
from gan_lab.noise import Noise, mix, name_hash
from gan_lab.ranges import require_at_least
from gan_lab.step import Samples, Step
from gan_lab.types import Batch, Terms


@dataclass(frozen=True)
class LabeledSamples:
    """Choice of the real samples whose labels are used: the same number of each class.

    Args:
        per_class: Samples of each class, at least 1.
        seed: Determines the choice, independently of the seed of the run.

    Raises:
        ValueError: `per_class` is below 1.
    """

    per_class: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least("algorithm.labeled.per_class", self.per_class, 1)

    def of(self, data: Any, num_classes: int) -> Samples:
        """The chosen samples of a data module on the CPU, with their labels as condition.

        Raises:
            DataError: A class has fewer samples.
        """
        groups: Sequence[Tensor] = data.reals_by_class(range(num_classes), self.per_class, seed=self.seed)
        for label, samples in enumerate(groups):
            if len(samples) < self.per_class:
                raise DataError(
                    f"algorithm.labeled.per_class={self.per_class} is more than the {len(samples)} samples of class "
                    f"{label} of {data.source}; give a smaller number."
                )
        return Samples(torch.cat(list(groups)), torch.arange(num_classes).repeat_interleave(self.per_class))


class SemiSupervised(GAN):
    """Salimans et al. (2016), section 5: a discriminator with K class logits, and labels of some samples.

    With l the log sum exp of the class logits, which is the logit of "real", the discriminator minimizes the cross
    entropy of labeled samples plus unlabeled_weight / 2 times the adversarial loss of l. Every update has a batch of
    labeled samples as large as that of all real samples, which has the labeled ones, too, without their labels. The
    generator of the paper has feature matching alone (`regularizer=[feature_matching]`, `adversarial_weight=0`), which
    classifies best, or the minimax loss with minibatch discrimination, whose samples are better.

    The order of the labeled samples is a new permutation for each pass, a function of the run's seed and of the images
    seen: neither the number of processes nor an interruption changes it.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        discriminator: With `num_classes`, and `auxiliary` for the class logits; see `architectures.classes.ClassHead`.
        parts: All other components.
        labeled: The choice of the labeled samples.
        unlabeled_weight: Factor on the adversarial loss of the discriminator. With 0 the discriminator is trained on
            the labeled samples alone, and the generator not at all: the baseline.

    Raises:
        ValueError: The parts or options are not allowed; the message names what to choose instead.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        parts: Parts,
        labeled: LabeledSamples | None = None,
        unlabeled_weight: float = 1.0,
    ) -> None:
        require_at_least("algorithm.unlabeled_weight", unlabeled_weight, 0)
        if not hasattr(discriminator, "num_classes"):
            raise ValueError(
                "model=semi_supervised needs a discriminator that classifies; add class_head to wrapper/discriminator"
            )
        if parts.condition != Labels():
            raise ValueError("model=semi_supervised predicts labels, so no network may take any; set conditioning=none")
        super().__init__(generator, discriminator, parts)
        self.average("discriminator", discriminator)
        self.num_classes = cast(int, discriminator.num_classes)
        self.labeled = labeled or LabeledSamples()
        self.unlabeled_weight = unlabeled_weight
        self._samples = Samples(torch.empty(0))

    def on_train_start(self) -> None:
        """Choose the labeled samples.

        Raises:
            DataError: The data set has too few, or no labels.
        """
        super().on_train_start()
        data = cast(Any, self.trainer).datamodule
        if data is None:
            raise DataError("model=semi_supervised chooses labeled samples itself: train it with a data module.")
        chosen = self.labeled.of(data, self.num_classes)
        self._samples = Samples(chosen.values.to(self.device), cast(Tensor, chosen.condition).to(self.device))

    def phases(self) -> list[Phase]:
        if self.unlabeled_weight:
            return super().phases()
        return [Phase("discriminator", self.discriminator_step, self.labeled_loss, observe=self.labeled_accuracy)]

    def discriminator_step(self, batch: Batch, noise: Noise) -> Step:
        """The discriminator's inputs: real, generated and labeled samples."""
        step = super().discriminator_step(batch, noise)
        labeled = self.outputs(lambda: self.labeled_samples(noise), noise.child("augment/labeled"))
        return Step(step.network, step.real, step.fake, noise, {"labeled": labeled})

    def labeled_samples(self, noise: Noise) -> Samples:
        """The labeled samples of an update, one for each row of its stream, with their labels as condition."""
        count = len(self._samples.values)
        positions = torch.arange(noise.global_size)[noise.rows] + self.images_seen
        first, last = (int(position) // count for position in (positions[0], positions[-1]))
        order = torch.cat([self._permutation(number, count) for number in range(first, last + 1)])
        chosen = order[positions - first * count].to(self.device)
        return Samples(self.view(self._samples.values[chosen]), cast(Tensor, self._samples.condition)[chosen])

    def _permutation(self, number: int, count: int) -> Tensor:
        seed = mix(self.seed, name_hash("labeled"), number)
        return torch.randperm(count, generator=torch.Generator().manual_seed(seed))

    def discriminator_loss(self, step: Step) -> Terms:
        """The cross entropy of the labeled samples, and the adversarial loss of the logit of "real"."""
        adversarial = self.discriminator_criterion(step.real.logits, step.fake.logits)
        return self.labeled_loss(step) | {"adversarial": self.unlabeled_weight / 2 * adversarial}

    def labeled_loss(self, step: Step) -> Terms:
        """The cross entropy of the labeled samples: the log sum exp of the class logits minus that of the label."""
        labeled = step.others["labeled"]
        return {"classification": F.cross_entropy(labeled.auxiliary, cast(Tensor, labeled.condition))}

    def observe(self, step: Step) -> dict[str, Tensor]:
        """The observations of every GAN, and the accuracy on the labeled samples."""
        return super().observe(step) | self.labeled_accuracy(step)

    def labeled_accuracy(self, step: Step) -> dict[str, Tensor]:
        """Fraction of the labeled samples that are classified correctly, for the log."""
        labeled = step.others["labeled"]
        correct = labeled.auxiliary.argmax(1) == cast(Tensor, labeled.condition)
        return {"accuracy/labeled": correct.float().mean()}

    def classifier(self, average: bool = True) -> Callable[[Tensor], Tensor]:
        network = cast(Any, self.averaged["discriminator"] if average else self.discriminator)

        @torch.no_grad()
        def classify(samples: Tensor) -> Tensor:
            with evaluation_mode(network):
                return network.auxiliary(network.features(self.view(samples)))

        return classify
