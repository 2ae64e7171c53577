"""Decoded sets that the next run of a sweep in this process uses as well. Light to import: no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

kept_sets: ContextVar[dict[str, Any] | None] = ContextVar("kept_sets", default=None)
"""`DecodedImages` by the hash of all their bytes and settings, the oldest first; None outside of `sets_kept`."""


@contextmanager
def sets_kept() -> Iterator[None]:
    """Keep decoded sets until the end of the block."""
    token = kept_sets.set({})
    try:
        yield
    finally:
        kept_sets.reset(token)
