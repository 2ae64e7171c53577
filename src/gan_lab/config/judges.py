"""What metrics of digits need from the data set: a classifier that learned its digits, and the shares of its labels."""

from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

from gan_lab.data.cache import decode_all
from gan_lab.data.decode import Decoder
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError
from gan_lab.metrics.cache import cache_folder
from gan_lab.metrics.classifier import DigitClassifier, Digits, Training, cached_classifier, hold_out

Reader = Callable[[str], RawImages]

SIDE = 32  # pixels; what the classifier works at

_IN_USE: WeakValueDictionary[object, DigitClassifier] = WeakValueDictionary()
"""So that several metrics share one, and the digits are decoded once to know it by."""


def digit_classifier(
    source: str,
    reader: Reader,
    test_reader: Reader | None = None,
    fit: str = "pad",
    background: int = 0,
    epochs: int = 4,
    seed: int = 0,
) -> DigitClassifier:
    """The classifier of these digits, trained at the first call and read from the cache afterwards.

    Args:
        source: Where the digits are, for the readers.
        reader: What opens the digits to learn from: images with labels 0 to 9.
        test_reader: What opens those that the error is measured on; None to hold out a fifth of the others.
        fit: How digits are made square: "crop", "pad" or "stretch"; see `gan_lab.data.decode.to_tensor`.
        background: Grey value 0..255 around padded digits.
        epochs: Passes over the digits.
        seed: What the training is a function of.

    Returns:
        The classifier in evaluation mode, with its `test_error`.

    Raises:
        DataError: The digits cannot be read, or have no labels from 0 to 9.
    """
    key = (cache_folder(), source, _identity(reader), _identity(test_reader), fit, background, epochs, seed)
    if (known := _IN_USE.get(key)) is not None:
        return known
    decoder = Decoder(1, SIDE, fit, background)
    digits = _decoded(source, reader, decoder)
    train, test = hold_out(*digits) if test_reader is None else (digits, _decoded(source, test_reader, decoder))
    classifier = _IN_USE[key] = cached_classifier(train, test, Training(seed=seed, epochs=epochs))
    return classifier


def _identity(reader: Reader | None) -> object:
    """Equal for readers that a config builds twice."""
    if isinstance(reader, partial):
        return reader.func, reader.args, tuple(sorted(reader.keywords.items()))
    return reader


def label_shares(source: str, reader: Reader) -> list[float]:
    """The share of each label among the images of a source, from label 0 to the highest.

    Raises:
        DataError: The source cannot be read, or its images have no labels.
    """
    counts = _labelled(source, reader).labels.bincount().double()  # type: ignore[union-attr]
    return (counts / counts.sum()).tolist()


def _decoded(source: str, reader: Reader, decoder: Decoder) -> Digits:
    found = decode_all(_labelled(source, reader), decoder)
    assert found.labels is not None
    return Digits(found.images, found.labels)


def _labelled(source: str, reader: Reader) -> RawImages:
    raw = reader(source)
    if raw.labels is None or not len(raw) or int(raw.labels.min()) < 0 or int(raw.labels.max()) > 9:
        raise DataError(f"dataset.source={source} has no labels from 0 to 9, which metrics of digits need.")
    return raw
