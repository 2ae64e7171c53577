"""What a set of images holds, as one short word: the key under which others keep what they learned of it."""

import hashlib
from pathlib import Path

from gan_lab.data.decode import Decoder
from gan_lab.data.raw import Item, RawImages


def fingerprint(raw: RawImages, decoder: Decoder) -> str:
    """A hash of every image's bytes, in their order, of the labels, and of how they are decoded.

    The name of the set and the place where it lies are not part of it: a moved set is the same, and a changed pixel makes another.

    Raises:
        OSError: An image file cannot be read.
    """
    digest = hashlib.sha256(repr(decoder).encode())
    for position in range(len(raw)):
        content = _bytes(raw.items[position])
        digest.update(len(content).to_bytes(8, "little"))  # so that no byte can change sides
        digest.update(content)
    if raw.labels is not None:
        digest.update(raw.labels.contiguous().numpy().data)
    return digest.hexdigest()[:24]


def _bytes(item: Item) -> bytes:
    if isinstance(item, Path):
        return item.read_bytes()
    return item if isinstance(item, bytes) else f"{item.dtype}{item.shape}".encode() + item.tobytes()
