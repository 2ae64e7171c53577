"""Places of the values in a file of LMDB, the database in which LSUN is distributed.

The library of LMDB maps the file and follows its page numbers, so a truncated or damaged file ends the process. This
reader checks each step and needs no package.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_lab.errors import DataError

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8  # flags of a page
_BIG_VALUE, _OTHER = 1, 6  # flags of an entry: value in pages of its own; a database or a list
_HEADER = struct.Struct("<QHHHH")  # of a page: number, unused, flags, end of the list of entries, begin of the entries
_ENTRY = struct.Struct("<HHHH")  # two halves of a size or page, flags or the page's third part, length of the key
_DATABASE = struct.Struct("<IHHQQQQQ")  # page size, flags, depth, number of pages of each kind, entries, root
_NO_PAGE = 2**64 - 1
_PAGE_SIZES = [2**power for power in range(9, 17)]


class _Tree(NamedTuple):
    page_size: int
    entries: int
    root: int


def value_places(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and sizes in bytes of all values of a file `data.mdb`, in the order of their keys; int64 (N,) each.

    Raises:
        DataError: The file is truncated, damaged, or no file of LMDB.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tree = _tree(content)
            places = np.fromiter(_values(content, tree), dtype=np.dtype((np.int64, 2)))
        if len(places) != tree.entries:
            raise ValueError(f"it announces {tree.entries:,} entries and has {len(places):,}")
    except (ValueError, struct.error, IndexError, OverflowError) as error:
        reason = str(error) if isinstance(error, ValueError) else "a page is damaged"
        raise DataError(f"{file} cannot be read as a file of LMDB, it is truncated or damaged: {reason}.") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    return places[:, 0], places[:, 1]


def _tree(content: mmap.mmap) -> _Tree:
    """The newer of the two descriptions at the beginning of the file."""
    first = _description(content, 0)
    second = _description(content, first[1].page_size)
    return max(first, second, key=lambda each: each[0])[1]


def _description(content: mmap.mmap, offset: int) -> tuple[int, _Tree]:
    """Number of the transaction that wrote a description, and its tree."""
    flags = _HEADER.unpack_from(content, offset)[2]
    magic, version = struct.unpack_from("<II", content, offset + _HEADER.size)
    if not flags & _META or (magic, version) != (_MAGIC, _VERSION):
        raise ValueError("it does not begin with pages of LMDB's version 0.9")
    databases = offset + _HEADER.size + 24
    page_size = _DATABASE.unpack_from(content, databases)[0]
    *_, entries, root = _DATABASE.unpack_from(content, databases + _DATABASE.size)
    (transaction,) = struct.unpack_from("<Q", content, databases + 2 * _DATABASE.size + 8)
    if page_size not in _PAGE_SIZES:
        raise ValueError(f"its pages have {page_size} bytes")
    return transaction, _Tree(page_size, entries, root)


def _values(content: mmap.mmap, tree: _Tree) -> Iterator[tuple[int, int]]:
    """Offset and size of each value, from the leaves of the tree in their order."""
    pending = [] if tree.root == _NO_PAGE else [tree.root]
    most = len(content) // tree.page_size  # pages that are visited: each at most once
    found = 0
    while pending:
        if most == 0 or found > tree.entries:
            raise ValueError("its pages refer to each other in a circle")
        most -= 1
        start = pending.pop() * tree.page_size
        _, _, flags, end, _ = _HEADER.unpack_from(content, start)
        count = (end - _HEADER.size) // 2
        entries = [start + place for place in struct.unpack_from(f"<{max(count, 0)}H", content, start + _HEADER.size)]
        if flags & _BRANCH:
            pending += [_child(content, entry) for entry in reversed(entries)]
        elif flags & _LEAF:
            yield from (_value(content, entry, tree.page_size) for entry in entries)
            found += count
        else:
            raise ValueError(f"page {start // tree.page_size} is neither a branch nor a leaf")


def _child(content: mmap.mmap, entry: int) -> int:
    """Number of the page below an entry of a branch."""
    low, high, highest, _ = _ENTRY.unpack_from(content, entry)
    return low | high << 16 | highest << 32


def _value(content: mmap.mmap, entry: int, page_size: int) -> tuple[int, int]:
    """Offset and size of the value of an entry of a leaf."""
    low, high, flags, key = _ENTRY.unpack_from(content, entry)
    if flags & _OTHER:
        raise ValueError("it contains several databases, or several values of a key")
    size, offset = low | high << 16, entry + _ENTRY.size + key
    if flags & _BIG_VALUE:
        (page,) = struct.unpack_from("<Q", content, offset)
        if not _HEADER.unpack_from(content, page * page_size)[2] & _OVERFLOW:
            raise ValueError(f"page {page} is not one of a large value")
        offset = page * page_size + _HEADER.size
    if offset + size > len(content):
        raise ValueError("a value lies behind its end")
    return offset, size
