"""Scores of generated images by the predictions of a classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from gan_lab.metrics.functional import inception_score, mode_score, penalized_mode_score
from gan_lab.noise import mix


class ClassifierMetric(Metric):
    """A metric that sees images through a classifier, which stays in evaluation mode. `update` takes images.

    Args:
        classifier: Images to logits. If it has a `test_error`, that is part of the protocol.
    """

    is_differentiable = False
    full_state_update = False

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier.eval()

    def train(self, mode: bool = True) -> "ClassifierMetric":
        """Only the rest of a module that holds this metric goes into training mode: the judge has no dropout."""
        return super().train(False)

    @property
    def protocol(self) -> dict[str, float]:
        """The numbers on which the value depends beside the images: to be printed with it."""
        error = getattr(self.classifier, "test_error", None)
        return {} if error is None else {"classifier_error": error}


class PredictionMetric(ClassifierMetric):
    """Keeps the sums that the scores need: of the predicted probabilities and of their entropies, in float64.

    Samples are dealt to the splits in turns, from a new beginning in each round, so that an order by class cannot put all
    of a class into one split. Over several processes the sums of the same split are added.

    Args:
        classifier: Images (n, ...) to logits (n, num_classes).
        num_classes: Number of classes.
        splits: How many parts of the samples get sums of their own.

    Raises:
        ValueError: A number is not allowed.
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
            ValueError: The classifier has another number of classes.
        """
        log_probabilities = self.classifier(images).double().log_softmax(1)  # (n, K)
        if log_probabilities.shape[1] != self.probabilities.shape[1]:
            raise ValueError(
                f"num_classes={self.probabilities.shape[1]}, but the classifier has {log_probabilities.shape[1]} classes."
            )
        probabilities = log_probabilities.exp()
        dealt = self._dealt(len(images))  # (n, splits), one-hot: a product with it adds in a fixed order
        self.probabilities += dealt.double().T @ probabilities
        self.entropies += dealt.double().T @ torch.special.entr(probabilities).sum(1)
        self.seen += dealt.sum(0)

    def _dealt(self, count: int) -> Tensor:
        """The splits of the next samples, int64 one-hot (count, splits)."""
        first = int(self.seen.sum())
        splits = [(number + mix(number // self.splits)) % self.splits for number in range(first, first + count)]
        return F.one_hot(torch.tensor(splits, dtype=torch.int64, device=self.seen.device), self.splits)

    def _means(self) -> tuple[Tensor, Tensor]:
        """Mean probabilities (splits, K) and mean entropies (splits,); NaN in splits without samples."""
        return self.probabilities / self.seen[:, None], self.entropies / self.seen


class InceptionScore(PredictionMetric):
    """Mean and standard deviation of the Inception score over splits of the samples (Salimans et al., 2016).

    Only numbers of the same classifier and of as many samples in a split can be compared: few samples lower the score. The
    paper has 10 splits of 5,000 samples.

    Args:
        classifier: Images (n, ...) to logits (n, num_classes).
        num_classes: Number of classes.
        splits: Parts of the samples, each of which gets a score.

    Raises:
        ValueError: A number is not allowed.
    """

    higher_is_better = True

    def __init__(self, classifier: nn.Module, num_classes: int = 10, splits: int = 10) -> None:
        super().__init__(classifier, num_classes, splits)

    def compute(self) -> dict[str, Tensor]:
        """`mean` and `std` (of the splits as a population), float64 scalars; NaN with fewer samples than splits."""
        scores = inception_score(*self._means())
        return {"mean": scores.mean(), "std": scores.std(correction=0)}

    @property
    def protocol(self) -> dict[str, float]:
        return super().protocol | {"splits": self.splits}


class ModeScore(PredictionMetric):
    """The MODE score of all samples in both forms that are printed, beside their Inception score (Che et al., 2017).

    Values: `mode`, which equals `inception` by definition: both are the exponential of what the label says of the sample,
    and the terms with the shares of the training data cancel; `penalized`, which is lower where the classes have other
    shares than in the training data; `inception`, of all samples in one split. See `mode_score`, `penalized_mode_score`
    and `inception_score`.

    Args:
        classifier: Images (n, ...) to logits (n, K).
        train_probabilities: Shares of the classes among the training data, (K,), all above 0.

    Raises:
        ValueError: These are no such shares.
    """

    higher_is_better = True
    train_probabilities: Tensor

    def __init__(self, classifier: nn.Module, train_probabilities: Tensor | Sequence[float]) -> None:
        shares = torch.as_tensor(train_probabilities, dtype=torch.float64)
        if shares.dim() != 1 or not bool((shares > 0).all()) or abs(float(shares.sum()) - 1) > 1e-5:
            raise ValueError("train_probabilities are the share of each class, (K,): all above 0, and 1 together.")
        super().__init__(classifier, len(shares), splits=1)
        self.register_buffer("train_probabilities", shares / shares.sum(), persistent=False)

    def compute(self) -> dict[str, Tensor]:
        """`mode`, `penalized` and `inception`, float64 scalars; NaN without samples."""
        marginals, entropies = self._means()
        return {
            "mode": mode_score(marginals[0], entropies[0], self.train_probabilities),
            "penalized": penalized_mode_score(marginals[0], entropies[0], self.train_probabilities),
            "inception": inception_score(marginals, entropies)[0],
        }
