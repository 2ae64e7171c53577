"""What a set of images holds, as one short word: the key under which others keep what they learned of it."""

import hashlib
from pathlib import Path

from gan_lab.data.decode import Decoder
from gan_lab.data.raw import RawImages


def fingerprint(raw: RawImages, decoder: Decoder) -> str:
    """A hash of every image's bytes, in their order, of the labels, and of how they are decoded.

    The name of the set and the place where it lies are not part of it: a moved set is the same, and a changed pixel makes another.
    An item that cannot be read counts as one without content; who decodes it says so, or skips it.
    """
    digest = hashlib.sha256(repr(decoder).encode())
    for position in range(len(raw)):
        content = _bytes(raw, position)
        digest.update(len(content).to_bytes(8, "little"))  # so that no byte can change sides
        digest.update(content)
    if raw.labels is not None:
        digest.update(raw.labels.contiguous().numpy().data)
    return digest.hexdigest()[:24]


def _bytes(raw: RawImages, position: int) -> bytes:
    try:
        item = raw.items[position]
        if isinstance(item, Path):
            return item.read_bytes()
    except Exception:  # as in `RawImages.load`, which tells the cause
        return b""
    return item if isinstance(item, bytes) else f"{item.dtype}{item.shape}".encode() + item.tobytes()
