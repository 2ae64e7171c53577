"""Inception score, MODE score and label accuracy of generated images, from predictions of a classifier."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from gan_lab.metrics.extractors import fingerprint
from gan_lab.metrics.functional import inception_score, mode_score, penalized_mode_score
from gan_lab.metrics.protocol import Measurement
from gan_lab.noise import mix


class ClassifierMetric(Metric):
    """Base of metrics that use a classifier, which stays in evaluation mode. `update` takes images.

    Args:
        classifier: Images to logits; see `classifier_protocol` for attributes that are part of the protocol.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier.eval()

    def train(self, mode: bool = True) -> "ClassifierMetric":
        """Stay in evaluation mode, also inside a module that is set to training mode: no dropout in the classifier."""
        return super().train(False)

    @property
    def protocol(self) -> dict[str, str | float]:
        """Settings that the value depends on, to be reported with it."""
        return classifier_protocol(self.classifier)


class PredictionMetric(ClassifierMetric):
    """Base of scores: sums of predicted probabilities and of their entropies for each split, in float64.

    Samples are assigned to the splits in turn, starting at a different split in each round, so that samples sorted by
    class do not put a class into one split. Processes add the sums of the same split.

    Args:
        classifier: Images (n, ...) to logits (n, num_classes).
        num_classes: Number of classes.
        splits: Number of splits.

    Raises:
        ValueError: A number is below 1.
    """

    probabilities: Tensor
    entropies: Tensor
    seen: Tensor

    def __init__(self, classifier: nn.Module, num_classes: int, splits: int) -> None:
        super().__init__(classifier)
        for name, value in {"num_classes": num_classes, "splits": splits}.items():
            if value < 1:
                raise ValueError(f"{name}={value} is not allowed: it must be at least 1.")
        self.splits = splits
        self.add_state("probabilities", torch.zeros(splits, num_classes, dtype=torch.float64), "sum")
        self.add_state("entropies", torch.zeros(splits, dtype=torch.float64), "sum")
        self.add_state("seen", torch.zeros(splits, dtype=torch.int64), "sum")

    def update(self, images: Tensor) -> None:
        """Count images (n, ...).

        Raises:
            ValueError: The number of classes is not that of the classifier.
        """
        log_probabilities = self.classifier(images).double().log_softmax(1)  # (n, K)
        if log_probabilities.shape[1] != self.probabilities.shape[1]:
            raise ValueError(
                f"num_classes={self.probabilities.shape[1]}, but the classifier has {log_probabilities.shape[1]} "
                "classes."
            )
        probabilities = log_probabilities.exp()
        splits = self._next_splits(len(images))  # (n, splits), one-hot: a matrix product sums in a fixed order
        self.probabilities += splits.double().T @ probabilities
        self.entropies += splits.double().T @ torch.special.entr(probabilities).sum(1)
        self.seen += splits.sum(0)

    def _next_splits(self, count: int) -> Tensor:
        """Splits of the next samples, int64 one-hot (count, splits)."""
        first = int(self.seen.sum())
        splits = [(number + mix(number // self.splits)) % self.splits for number in range(first, first + count)]
        return F.one_hot(torch.tensor(splits, dtype=torch.int64, device=self.seen.device), self.splits)

    def _means(self) -> tuple[Tensor, Tensor]:
        """Mean probabilities (splits, K) and mean entropies (splits,); NaN in splits without samples."""
        return self.probabilities / self.seen[:, None], self.entropies / self.seen


class InceptionScore(PredictionMetric):
    """Mean and standard deviation of the Inception score over splits of the samples (Salimans et al., 2016).

    Values are comparable only with the same classifier and the same number of samples in a split: fewer samples lower
    the score. The paper uses 10 splits of 5,000 samples.

    Args:
        classifier: Images (n, ...) to logits (n, num_classes).
        num_classes: Number of classes.
        splits: Parts of the samples, each with its own score.

    Raises:
        ValueError: A number is below 1.
    """

    higher_is_better = True

    def __init__(self, classifier: nn.Module, num_classes: int = 10, splits: int = 10) -> None:
        super().__init__(classifier, num_classes, splits)

    def compute(self) -> dict[str, Tensor]:
        """Scalars `mean` and `std` (population) over the splits, float64; NaN with fewer samples than splits."""
        scores = inception_score(*self._means())
        return {"mean": scores.mean(), "std": scores.std(correction=0)}

    @property
    def protocol(self) -> dict[str, str | float]:
        return super().protocol | {"splits": self.splits}


class ModeScore(PredictionMetric):
    """The MODE score of all samples in both published forms, and their Inception score (Che et al., 2017).

    Values: `mode`, which equals `inception` by definition: both are the exponential of the mutual information of sample
    and label, and the terms with the class frequencies of the training data cancel; `penalized`, which is lower if the
    class frequencies differ from those of the training data; `inception`, of all samples in one split. See
    `mode_score`, `penalized_mode_score` and `inception_score`.

    Args:
        classifier: Images (n, ...) to logits (n, K).
        train_probabilities: Class frequencies of the training data, (K,), all above 0.

    Raises:
        ValueError: The frequencies are not all above 0, or do not sum to 1.
    """

    higher_is_better = True
    train_probabilities: Tensor

    def __init__(self, classifier: nn.Module, train_probabilities: Tensor | Sequence[float]) -> None:
        train = torch.as_tensor(train_probabilities, dtype=torch.float64)
        if train.dim() != 1 or not bool((train > 0).all()) or abs(float(train.sum()) - 1) > 1e-5:
            raise ValueError("train_probabilities must be class frequencies (K,), all above 0 and with sum 1.")
        super().__init__(classifier, len(train), splits=1)
        self.register_buffer("train_probabilities", train / train.sum(), persistent=False)

    def compute(self) -> dict[str, Tensor]:
        """Scalars `mode`, `penalized` and `inception`, float64; NaN without samples."""
        marginals, entropies = self._means()
        return {
            "mode": mode_score(marginals[0], entropies[0], self.train_probabilities),
            "penalized": penalized_mode_score(marginals[0], entropies[0], self.train_probabilities),
            "inception": inception_score(marginals, entropies)[0],
        }


class LabelAccuracy(Metric):
    """Fraction of samples that a classifier gives the label they were generated with: whether labels are obeyed.

    A thousand samples are enough: their standard error is at most 1.6 %. `Evaluation` generates no more if no other
    metric needs them.

    Args:
        classifier: Function that returns the classifier, images (n, ...) to logits (n, K), at the first update; so a
            run can be checked before a classifier is trained. See `classifier_protocol` for attributes that are part of
            the protocol.
        gray: The classifier takes one channel: the mean of RGB channels.
        classifier_classes: Number of classes of the classifier; None if it is unknown.
        num_classes: Number of classes of the data; None if it is unknown, or without labels.

    Raises:
        ValueError: The two numbers differ.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = True
    takes_labels: ClassVar[bool] = True
    enough_samples: ClassVar[int] = 1000
    correct: Tensor
    seen: Tensor

    def __init__(
        self,
        classifier: Callable[[], nn.Module],
        gray: bool = False,
        classifier_classes: int | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if None not in (classifier_classes, num_classes) and classifier_classes != num_classes:
            raise ValueError(
                f"label_accuracy has a classifier of {classifier_classes} classes, and "
                f"dataset.num_classes={num_classes}: leave label_accuracy out"
            )
        self.make_classifier = classifier
        self.gray = gray
        self.classifier: nn.Module | None = None
        self.classes = 0
        self.add_state("correct", torch.zeros((), dtype=torch.int64), "sum")
        self.add_state("seen", torch.zeros((), dtype=torch.int64), "sum")

    def update(self, images: Tensor, labels: Tensor | None) -> None:
        """Count images (n, ...) with labels, int64 (n,).

        Raises:
            ValueError: There are no labels.
        """
        if labels is None or labels.dim() != 1 or labels.is_floating_point():
            raise ValueError("label_accuracy needs samples with labels: choose a conditioning, or remove the metric")
        if self.classifier is None:
            self.classifier = self.make_classifier()
        if self.gray and images.shape[1] > 1:
            images = images[:, :3].mean(1, keepdim=True)
        logits = self.classifier.to(images.device).eval()(images)
        self.classes = logits.shape[1]
        self.correct += (logits.argmax(1) == labels).sum()
        self.seen += len(images)

    def compute(self) -> Tensor:
        """Scalar float64; NaN without samples."""
        return self.correct / self.seen.double()

    @property
    def protocol(self) -> dict[str, str | float]:
        """The classifier, and its number of classes: by chance a sample has its label once in as many."""
        return {} if self.classifier is None else classifier_protocol(self.classifier) | {"classes": self.classes}

    def ideal_values(self) -> dict[str, Tensor] | Tensor:
        """Expected value for real images: one minus the classifier's error."""
        error = getattr(self.classifier, "test_error", None)
        return {} if error is None else torch.tensor(1 - error, dtype=torch.float64)

    @staticmethod
    def describe(measured: Measurement) -> str:
        """Sentence for the end of a run: the value, with those of real images and of chance."""
        value, ideal, protocol = measured.value, measured.ideal_value, measured.protocol
        references = [] if ideal is None else [f"real images: {100 * ideal:.1f} %"]
        references.append(f"chance: {100 / protocol.options['classes']:.3g} %")
        advice = "" if value >= 0.9 else "; train longer (conditioning=concat needs the fewest images)"
        return (
            f"{100 * value:.1f} % of {protocol.samples:,} samples are classified as the label they were generated with "
            f"({', '.join(references)}){advice}."
        )


def classifier_protocol(classifier: nn.Module) -> dict[str, str | float]:
    """Entries of a protocol about a classifier: hash of its weights, and the data it was trained on and its error.

    Args:
        classifier: The last two are its attributes `trained_on` and `test_error`, if it has them.
    """
    found = {
        "classifier": fingerprint(classifier),
        "classifier_data": getattr(classifier, "trained_on", None),
        "classifier_error": getattr(classifier, "test_error", None),
    }
    return {name: value for name, value in found.items() if value is not None}
