"""Errors as one line."""

import pytest

from gan_lab.errors import first_line, original


@pytest.mark.parametrize(
    ("text", "line"), [("One.\nTwo.", "One"), ("\n  Which? no:\n", "Which? no"), ("", "ValueError")]
)
def test_the_first_line_of_a_text_or_the_name_of_the_class(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line


def test_the_original_error_of_a_chain() -> None:
    first, second = KeyError("first"), ValueError("second")
    second.__cause__ = first
    third = RuntimeError("third")
    third.__cause__ = second
    assert original(third) is first and original(first) is first
