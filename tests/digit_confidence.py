"""Confidence of a classifier of real digits on generated ones.

    python -m tests.digit_confidence RUN ...

It prints the mean of the classifier's highest probability on held-out real digits and on the samples of each run,
checkpoint or export, the number of samples of each class, and, for a run with labels, the fraction that is classified
as its label.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.svm import SVC

import gan_lab
from gan_lab.config.build import instantiate
from gan_lab.config.compose import compose

SAMPLES = 1000


@dataclass(frozen=True)
class Scores:
    """What the classifier finds in a set of digits.

    Attributes:
        confidence: Mean over the digits of the highest probability of a class.
        counts: Digits of each predicted class.
        sure: Digits of each predicted class with a probability above .8.
        accuracy: Fraction whose predicted class is the label they were made with; None without labels.
    """

    confidence: float
    counts: list[int]
    sure: list[int]
    accuracy: float | None


class RealDigits:
    """A support vector machine trained on three quarters of the digits, as `dataset=digits` renders them."""

    def __init__(self) -> None:
        data = instantiate(compose("dataset=digits", "run.name=x").dataset, "dataset")
        data.setup()
        parts = list(data.reals(None, 512))
        images, labels = torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])
        self._held_out = torch.arange(len(images)) % 4 == 0
        self._images, self._labels = images, labels
        known = ~self._held_out
        self._classifier = SVC(probability=True, random_state=0).fit(_pixels(images[known]), labels[known].numpy())

    def held_out(self) -> Scores:
        """Scores of the quarter of the real digits that the classifier was not trained on."""
        return self.score(self._images[self._held_out], self._labels[self._held_out])

    def score(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> Scores:
        """Scores of images (n, 1, 32, 32) in [-1, 1] with labels, int64 (n,), if there are any."""
        probabilities = self._classifier.predict_proba(_pixels(images))  # (n, 10)
        confidence, predicted = probabilities.max(1), probabilities.argmax(1)
        return Scores(
            float(confidence.mean()),
            np.bincount(predicted, minlength=10).tolist(),
            np.bincount(predicted[confidence > 0.8], minlength=10).tolist(),
            None if labels is None else float((predicted == labels.numpy()).mean()),
        )


def _pixels(images: torch.Tensor) -> np.ndarray:
    """Rows of pixels in [0, 1]."""
    return ((images + 1) / 2).flatten(1).numpy()


def samples_of(run: str | Path, weights: str = "ema") -> tuple[torch.Tensor, torch.Tensor | None]:
    """A thousand samples of a run with their labels, if it has any."""
    generator = gan_lab.load(run, weights, device="cpu")
    _, labels = generator.draw(SAMPLES)
    return generator.sample(SAMPLES), labels


if __name__ == "__main__":
    digits = RealDigits()
    print("real digits, held out", digits.held_out())
    for name in sys.argv[1:]:
        print(name, digits.score(*samples_of(name)))
