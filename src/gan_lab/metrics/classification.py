"""Error of a trained discriminator that classifies, on labeled images that it was not trained on."""

from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric

from gan_lab.metrics.protocol import Measurement

Classifier = Callable[[Tensor], Tensor]
"""Samples (n, ...) to class logits (n, K)."""


class LabeledImages(Protocol):
    """Interface of a data set for `ClassificationError`."""

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The images and their labels, int64 (n,), in chunks; None for all of them."""

    def fingerprint(self) -> str:
        """Hash of the images, the labels and the conversion to tensors."""


class ClassificationError(Metric):
    """Fraction of test images that the discriminator of a semi-supervised GAN classifies wrongly.

    It measures a network and no samples: `use_classifier` gives it the network before each measurement, and its log key
    has no number of samples. Only a training run has the network.

    Args:
        data: The test images.
        labels_per_class: Labels of each class that the network was trained with, for the protocol; None if unknown.
        label_seed: Seed of the choice of these, for the protocol; None if unknown.
        batch_size: Images classified at a time. It changes the value if the network mixes samples.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    uses_classifier: ClassVar[bool] = True
    enough_samples: ClassVar[int] = 1

    def __init__(
        self,
        data: LabeledImages,
        labels_per_class: int | None = None,
        label_seed: int | None = None,
        batch_size: int = 500,
    ) -> None:
        super().__init__()
        self.data = data
        self.labels_per_class = labels_per_class
        self.label_seed = label_seed
        self.batch_size = batch_size
        self.classifier: Classifier | None = None
        self.images = 0  # counted by the last measurement

    def use_classifier(self, classifier: Classifier | None) -> None:
        """Measure this classifier next.

        Raises:
            ValueError: There is none.
        """
        if classifier is None:
            raise ValueError(
                "test_error measures a discriminator that classifies; set model=semi_supervised, or remove the metric"
            )
        self.classifier = classifier

    def update(self, samples: Tensor) -> None:
        """Ignore generated samples.

        Raises:
            ValueError: There is no classifier.
        """
        if self.classifier is None:
            raise ValueError("test_error is measured in training only, since samples do not have it; remove the metric")

    def compute(self) -> Tensor:
        """Scalar float64."""
        assert self.classifier is not None
        wrong, images = 0, 0
        for batch, labels in self.data.reals(None, self.batch_size):
            if labels is None:
                raise ValueError("test_error needs test images with labels; give dataset.num_classes")
            found = self.classifier(batch.to(self.device)).argmax(1)
            wrong += int((found != labels.to(self.device)).sum())
            images += len(batch)
        self.images = images
        return torch.tensor(wrong / images, dtype=torch.float64)

    @property
    def protocol(self) -> dict[str, str | int | None]:
        """The test images, and the labels that the network was trained with."""
        return {
            "test_images": self.images,
            "test_content": self.data.fingerprint(),
            "labels_per_class": self.labels_per_class,
            "label_seed": self.label_seed,
        }

    @staticmethod
    def describe(measured: Measurement) -> str:
        """Sentence for the end of a run: the number of errors, and the labels."""
        options = measured.protocol.options
        count = options["test_images"]
        labels = options["labels_per_class"]
        trained = "" if labels is None else f" by the network trained with {labels} labels of each class"
        return f"{round(count * measured.value):,} of {count:,} test images are misclassified{trained}."
