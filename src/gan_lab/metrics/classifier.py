"""A small classifier of handwritten digits, the judge behind counted modes and scores, and the cache of its weights."""

import hashlib
import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.metrics.cache import cache_folder, keep
from gan_lab.noise import reseed

_CLASSES = 10
_SIDE = 32  # pixels; what the network works at
_WIDTH = 24  # channels of the first convolution
_SHIFT = 2  # pixels; how far training moves the digits at most, in each direction
_CHUNK = 128  # images classified at once: their activations stay in a CPU's cache, which halves the time
_VERSION = 1  # part of every file name in the cache; raise it with each change of the network or of its training

_logger = logging.getLogger(__name__)


class DigitClassifier(nn.Module):
    """Three convolutions with batch norm and max-pooling, dropout and a linear layer: (n, 1, H, W) to logits (n, 10).

    It stands in for the classifiers of PacGAN (Lin et al., 2018; about 0.75 % errors) and D2GAN (Nguyen et al., 2017; 0.65 %):
    trained on MNIST with the settings of `Training` it gets 0.66 to 0.69 % of the 10,000 test images wrong. Images are in
    [-1, 1], of any side; others than 32 pixels are resized.

    Attributes:
        test_error: Share of held-out digits that it gets wrong; None until that is measured.
    """

    def __init__(self) -> None:
        super().__init__()
        self.test_error: float | None = None
        self.layers = nn.Sequential(
            *_block(1, _WIDTH),
            *_block(_WIDTH, 2 * _WIDTH),
            *_block(2 * _WIDTH, 4 * _WIDTH),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(4 * _WIDTH * (_SIDE // 8) ** 2, _CLASSES),
        )
        # On a CPU the narrow layers take little more than half the time in this layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 1, H, W) in [-1, 1].

        Raises:
            ValueError: The images have more than one channel.
        """
        if images.shape[1] != 1:
            raise ValueError(f"The digit classifier reads images of 1 channel; these have {images.shape[1]}.")
        images = _resized(images)
        if self.training:
            return self.layers(images)
        return torch.cat([self.layers(chunk) for chunk in images.split(_CHUNK)])


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    """Halves the side."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]


class Digits(NamedTuple):
    """Labelled digits.

    Args:
        images: uint8 (n, 1, H, W).
        labels: int64 (n,), from 0 to 9.
    """

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Training:
    """How a digit classifier is trained: Adam with decoupled weight decay under one cycle of the learning rate.

    Args:
        seed: What the initial weights, the order, the shifts and the dropout are functions of.
        epochs: Passes over the images.
        batch_size: Images in a step.
        learning_rate: Its highest value, after three tenths of the steps.

    Raises:
        ValueError: There would be no training.
    """

    seed: int = 0
    epochs: int = 4
    batch_size: int = 128
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(f"{self} trains nothing; epochs, batch_size and learning_rate must all be above 0.")


def train_classifier(images: Tensor, labels: Tensor, training: Training = Training()) -> DigitClassifier:
    """Train a classifier where the images are; the caller's random state stays as it was.

    Args:
        images: uint8 (n, 1, H, W).
        labels: int64 (n,), from 0 to 9.
        training: The settings.

    Returns:
        The classifier in evaluation mode, with gradients off.

    Raises:
        ValueError: The images or labels have another shape, type or range.
    """
    _check(images, labels)
    device = images.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        reseed(training.seed, device)
        classifier = DigitClassifier().to(device)
        optimizer = torch.optim.AdamW(classifier.parameters(), lr=training.learning_rate)
        steps = training.epochs * -(-len(images) // training.batch_size)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, steps)
        for _ in range(training.epochs):
            for index in torch.randperm(len(images)).to(device).split(training.batch_size):
                batch = _shifted(_resized(_unit_range(images.index_select(0, index))))
                loss = F.cross_entropy(classifier(batch), labels.index_select(0, index))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                cycle.step()
    return classifier.eval().requires_grad_(False)


@torch.no_grad()
def error_rate(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the images that a classifier gets wrong.

    Args:
        classifier: Images in [-1, 1] to logits (n, 10).
        images: uint8 (n, 1, H, W).
        labels: int64 (n,), from 0 to 9.

    Raises:
        ValueError: The images or labels have another shape, type or range.
    """
    _check(images, labels)
    found = torch.cat([classifier(_unit_range(chunk)).argmax(1) for chunk in images.split(_CHUNK)])
    return float((found != labels).double().mean())


def hold_out(images: Tensor, labels: Tensor, share: float = 0.2, seed: int = 0) -> tuple[Digits, Digits]:
    """Divide labelled digits at random, where a set has no test part of its own.

    Args:
        images: uint8 (n, 1, H, W).
        labels: int64 (n,).
        share: Part that is held out, strictly between 0 and 1.
        seed: What the division is a function of.

    Returns:
        The digits to train on, and those held out.

    Raises:
        ValueError: One of the parts would be empty.
    """
    held = round(share * len(images))
    if not 0 < held < len(images):
        raise ValueError(f"share={share} of {len(images)} digits leaves one part empty; give a number inside (0, 1).")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).to(images.device)
    train, test = order[held:], order[:held]
    return Digits(images[train], labels[train]), Digits(images[test], labels[test])


def cached_classifier(
    train: Digits, test: Digits, training: Training = Training(), folder: Path | None = None
) -> DigitClassifier:
    """A trained classifier with its measured `test_error`, from the cache if these very digits were trained on before.

    A file is named by a hash of the digits and of the settings, and it appears under its name only when it is complete.
    So several processes may ask at once: each trains, and the last one's file stays. A file that cannot be read is made
    anew, and where none can be written there is a warning.

    Args:
        train: What the classifier learns from; it is trained on the device of these images.
        test: Held-out digits that its error is measured on.
        training: The settings.
        folder: Where the weights are kept; by default `cache_folder()`.

    Returns:
        The classifier in evaluation mode, with gradients off.

    Raises:
        ValueError: The images or labels have another shape, type or range.
    """
    _check(*train)
    _check(*test)
    path = (folder or cache_folder()) / f"digit_classifier_{_fingerprint(train, test, training)}.pt"
    classifier = _load(path)
    if classifier is None:
        classifier = train_classifier(*train, training)
        classifier.test_error = error_rate(classifier, *test)
        stored = {"weights": classifier.state_dict(), "test_error": classifier.test_error}
        keep(stored, path, "The trained classifier")
    return classifier.to(train.images.device)


def _fingerprint(train: Digits, test: Digits, training: Training) -> str:
    """A hash of what the weights and the error are functions of."""
    digest = hashlib.sha256(f"{_VERSION} {training}".encode())
    for tensor in (*train, *test):
        digest.update(f" {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:24]


def _load(path: Path) -> DigitClassifier | None:
    """The classifier in a file, or None where there is none that can be read."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        classifier = DigitClassifier()
        classifier.load_state_dict(stored["weights"])
        classifier.test_error = stored["test_error"]
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        _logger.warning("The cached classifier %s cannot be read and is trained anew: %s", path, error)
        return None
    return classifier.eval().requires_grad_(False)


def _check(images: Tensor, labels: Tensor) -> None:
    """Refuse what are no labelled digits."""
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 1 or not len(images):
        raise ValueError(
            f"The digits are {images.dtype} {tuple(images.shape)}; they must be torch.uint8 (n, 1, H, W) with n above 0."
        )
    if labels.dtype != torch.int64 or labels.shape != (len(images),):
        raise ValueError(
            f"The labels are {labels.dtype} {tuple(labels.shape)}; they must be torch.int64 ({len(images)},)."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= _CLASSES:
        raise ValueError(f"The labels go from {labels.min()} to {labels.max()}; digits have labels from 0 to 9.")


def _unit_range(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def _resized(images: Tensor) -> Tensor:
    """Images (n, C, H, W) at the side of the network; where they have it already, the very same."""
    if images.shape[-2:] == (_SIDE, _SIDE):
        return images
    return F.interpolate(images, (_SIDE, _SIDE), mode="bilinear", antialias=True)


def _shifted(images: Tensor) -> Tensor:
    """A batch moved by a few pixels, all its images in one direction; what comes in from outside is black."""
    height, width = images.shape[-2:]
    top, left = torch.randint(2 * _SHIFT + 1, (2,)).tolist()
    return F.pad(images, [_SHIFT] * 4, value=-1)[..., top : top + height, left : left + width]
