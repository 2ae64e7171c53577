"""Inputs for metrics of digits: a trained classifier, and the label frequencies of the data set."""

from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

from gan_lab.data.cache import decode_all
from gan_lab.data.content import fingerprint
from gan_lab.data.decode import Decoder
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError
from gan_lab.metrics.cache import cache_folder
from gan_lab.metrics.classifier import DigitClassifier, Digits, Training, cached_classifier, hold_out

Reader = Callable[[str], RawImages]

RESOLUTION = 32  # pixels; input of the classifier

_IN_USE: WeakValueDictionary[object, DigitClassifier] = WeakValueDictionary()
"""Classifiers in use, so that several metrics use the same one, and the digits are read only once."""


def digit_classifier(
    source: str,
    reader: Reader,
    test_reader: Reader | None = None,
    fit: str = "pad",
    background: int = 0,
    epochs: int = 4,
    seed: int = 0,
) -> DigitClassifier:
    """Classifier of these digits, trained at the first call and then read from the cache.

    Args:
        source: Source of the digits, for the readers.
        reader: Function that reads the training digits: images with labels 0 to 9.
        test_reader: Function that reads the test digits; None to hold out a fifth of the training digits.
        fit: Method to make digits square: "crop", "pad" or "stretch"; see `gan_lab.data.decode.to_tensor`.
        background: Gray value 0..255 around padded digits.
        epochs: Epochs of training.
        seed: Seed of the training.

    Returns:
        The classifier in evaluation mode, with its `test_error`.

    Raises:
        DataError: The digits cannot be read, or have no labels from 0 to 9.
    """
    key = (cache_folder(), source, _identity(reader), _identity(test_reader), fit, background, epochs, seed)
    if (known := _IN_USE.get(key)) is not None:
        return known
    decoder = Decoder(1, RESOLUTION, fit, background)
    train = _labeled(source, reader)
    test = None if test_reader is None else _labeled(source, test_reader)

    def decoded() -> tuple[Digits, Digits]:
        digits = _decoded(train, decoder)
        return hold_out(*digits) if test is None else (digits, _decoded(test, decoder))

    content = " ".join("held out" if raw is None else fingerprint(raw, decoder) for raw in (train, test))
    classifier = _IN_USE[key] = cached_classifier(content, decoded, Training(seed=seed, epochs=epochs))
    return classifier


def _identity(reader: Reader | None) -> object:
    """Key of a reader, equal for readers that are built twice from one config."""
    if isinstance(reader, partial):
        return reader.func, reader.args, tuple(sorted(reader.keywords.items()))
    return reader


def label_fractions(source: str, reader: Reader) -> list[float]:
    """Fraction of each label among the images of a source, from label 0 to the highest.

    Raises:
        DataError: The source cannot be read, or its images have no labels.
    """
    counts = _labeled(source, reader).labels.bincount().double()  # type: ignore[union-attr]
    return (counts / counts.sum()).tolist()


def _decoded(raw: RawImages, decoder: Decoder) -> Digits:
    found = decode_all(raw, decoder, "skip")  # training has refused them, or skips them as well
    assert found.labels is not None
    return Digits(found.images, found.labels)


def _labeled(source: str, reader: Reader) -> RawImages:
    raw = reader(source)
    if raw.labels is None or not len(raw) or int(raw.labels.min()) < 0 or int(raw.labels.max()) > 9:
        raise DataError(f"dataset.source={source} has no labels from 0 to 9, which metrics of digits require.")
    return raw
