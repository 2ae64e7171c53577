"""Content hashes of image data sets: a complete one as a cache key, and a quick one to recognize the data of a run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.data.decode import Decoder
from gan_lab.data.raw import Item, RawImages, file_size

SAMPLED_IMAGES = 4096
"""Images whose bytes `quick_hash` reads, evenly spaced; of a smaller set all."""

SAMPLED_BYTES = 1 << 15
"""Bytes that it reads at the beginning and at the end of each of them."""

LISTED = 10
"""Number of classes up to which a message lists all of them."""

MAX_CHARACTERS = 50_000
"""Longest names of all classes together that are written into a config."""


@dataclass(frozen=True)
class DataContent:
    """What identifies the data of a run; recorded as `data_content` in its config, and compared when it is resumed.

    Attributes:
        images: Number of images; None for a distribution.
        classes: Names of the classes in the order of their labels; None if there are no labels or names, or if the
            names have more than `MAX_CHARACTERS`.
        hash: Hash of the images, labels and names, or of the distribution's parameters. The path is not part of it.
    """

    images: int | None
    classes: list[str] | None
    hash: str

    def to_config(self) -> dict[str, Any]:
        """The entries as a node of a config."""
        classes = self.classes
        if classes is not None and sum(map(len, classes)) > MAX_CHARACTERS:
            classes = None
        names = None if classes is None else list(map(_without_interpolation, classes))
        return {"images": self.images, "classes": names, "hash": self.hash}

    @classmethod
    def from_config(cls, node: Mapping[str, Any]) -> "DataContent":
        """Read the output of `to_config`.

        Args:
            node: From a file, not trusted.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry has the wrong type.
        """
        images, classes, text = node["images"], node["classes"], node["hash"]
        is_list = classes is None or (isinstance(classes, Sequence) and not isinstance(classes, str))
        if not isinstance(images, int | None) or not is_list or not isinstance(text, str):
            raise TypeError("an entry has the wrong type")
        return cls(images, None if classes is None else list(map(str, classes)), text)


def recorded_classes(config: Mapping[str, Any]) -> list[str] | None:
    """Names of the classes in the config of a run, which is not trusted; None if there are none."""
    content = recorded_content(config)
    return None if content is None else content.classes


def recorded_content(config: Mapping[str, Any]) -> DataContent | None:
    """The recorded content of the data; None if there is none, or a foreign config has another entry there."""
    try:
        return DataContent.from_config(config["data_content"])
    except (KeyError, TypeError, ValueError):
        return None


def changed_data(before: DataContent | None, now: DataContent | None) -> list[str]:
    """Differences between two contents of data as text; empty if they are equal or one is unknown."""
    if before is None or now is None or before == now:
        return []
    changes = []
    if before.classes != now.classes:
        meanings = _new_meanings(before.classes or (), now.classes or ())
        changes.append(f"{_names(before.classes, now.classes)} (now {_names(now.classes, before.classes)}{meanings})")
    if before.images != now.images:
        changes.append(f"{before.images} images (now {now.images})")
    return changes or ["other images or labels in the data set"]


def _names(classes: Sequence[str] | None, others: Sequence[str] | None) -> str:
    """Names of classes as text; of many, only those that are not in `others`."""
    if classes is None:
        return "no classes"
    if len(classes) <= LISTED:
        return f"the classes {', '.join(classes)}"
    different = [name for name in classes if name not in (others or ())]
    return f"{len(classes):,} classes with {', '.join(different[:LISTED]) or 'another order'}"


def _new_meanings(before: Sequence[str], now: Sequence[str]) -> str:
    """The labels that belong to other classes now, as `; label 0 was cat and is now dog`; empty if there are none."""
    pairs = enumerate(zip(before, now, strict=False))
    texts = [f"label {label} was {old} and is now {new}" for label, (old, new) in pairs if old != new]
    rest = [f"and {len(texts) - LISTED:,} more"] if len(texts) > LISTED else []
    return f"; {', '.join([*texts[:LISTED], *rest])}" if texts else ""


def changes_labels(before: DataContent | None, now: DataContent | None) -> bool:
    """Whether a class that was there before has another label now."""
    if before is None or now is None:
        return False
    labels = {name: label for label, name in enumerate(now.classes or ())}
    return any(labels.get(name, label) != label for label, name in enumerate(before.classes or ()))


def _without_interpolation(name: str) -> str:
    """A name that a config does not read as a reference to another key or as a missing value."""
    return name.replace("${", "$ {").replace("???", "? ? ?")


def fingerprint(raw: RawImages, decoder: Decoder) -> str:
    """Hash of every image's bytes, in their order, of the labels, and of the decoder's settings.

    The name and path of the set are not part of it: a copied set has the same hash, and a changed pixel gives another.
    An unreadable item counts as empty; decoding reports or skips it.
    """
    digest = hashlib.sha256(repr(decoder).encode())
    if raw.whites:
        digest.update(repr(raw.whites).encode())
    for position in range(len(raw)):
        content = item_bytes(raw, position)
        digest.update(len(content).to_bytes(8, "little"))  # so that no byte can pass from one item to the next
        digest.update(content)
    if raw.labels is not None:
        digest.update(raw.labels.contiguous().numpy().data)
    return digest.hexdigest()[:24]


def quick_hash(raw: RawImages, labels: Tensor | None, classes: Sequence[str] | None = None) -> str:
    """Hash of an image set that reads at most 256 MiB, for sets of any size.

    It covers the number and order of the images, all labels and names of classes, the sizes of all files (of folders
    and zip files), and of `SAMPLED_IMAGES` images the beginning and the end. So images that were added, removed,
    reordered, or exchanged for images of other sizes give another hash in a set of any size, and any exchanged image
    does in a set of up to `SAMPLED_IMAGES`. Paths and times are not part of it: a copied, renamed or zipped set has the
    same hash.

    Args:
        raw: The images.
        labels: int64 (N,), or None if the labels are not used.
        classes: Names of the labels, if they are known and used.
    """
    count = len(raw)
    digest = hashlib.sha256(repr((count, classes)).encode())
    for position in range(count):
        if (size := file_size(raw.items, position)) is not None:
            digest.update(size.to_bytes(8, "little"))
    for position in _evenly_spaced(count, SAMPLED_IMAGES):
        content = _ends(raw, position)
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    if labels is not None:
        digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()[:24]


def _evenly_spaced(count: int, most: int) -> Sequence[int]:
    """At most `most` of `count` positions."""
    return range(count) if count <= most else [position * count // most for position in range(most)]


def _ends(raw: RawImages, position: int) -> bytes:
    """The beginning and the end of an item; empty if it cannot be read."""
    try:
        item = raw.items[position]
        if not isinstance(item, Path):
            return _ends_of_bytes(_encoded(item))
        with item.open("rb") as file:
            first = file.read(SAMPLED_BYTES)
            file.seek(max(len(first), item.stat().st_size - SAMPLED_BYTES))
            return first + file.read(SAMPLED_BYTES)
    except Exception:  # as in `RawImages.load`, which reports the cause
        return b""


def _ends_of_bytes(content: bytes) -> bytes:
    return content if len(content) <= 2 * SAMPLED_BYTES else content[:SAMPLED_BYTES] + content[-SAMPLED_BYTES:]


def item_bytes(raw: RawImages, position: int) -> bytes:
    """The bytes of an item; empty if it cannot be read."""
    try:
        item = raw.items[position]
        return item.read_bytes() if isinstance(item, Path) else _encoded(item)
    except Exception:  # as in `RawImages.load`, which reports the cause
        return b""


def _encoded(item: Item) -> bytes:
    """Bytes of an item that is not a file."""
    assert not isinstance(item, Path)
    return item if isinstance(item, bytes) else f"{item.dtype}{item.shape}".encode() + item.tobytes()
