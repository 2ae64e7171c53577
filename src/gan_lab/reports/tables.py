"""Text tables, and the format of numbers in their cells."""

import math
from collections.abc import Sequence
from html import escape

Table = list[list[str]]

_MARKDOWN = str.maketrans({"|": "\\|", "<": "\\<", "\n": " "})
"""Characters of texts that would begin another cell, a tag of HTML, or another row."""


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (of a sample: n - 1) of at least one number; the deviation of one is None."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))  # also of NaN


def cell(values: Sequence[float]) -> str:
    """Numbers of several runs as `mean ± sd` with four digits, and the count of those that are not finite."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "nan" if values else ""
    mean, sd = mean_and_sd(finite)
    text = f"{mean:.4g}" if sd is None else f"{mean:.4g} ± {sd:.2g}"
    return text if len(finite) == len(values) else f"{text} ({len(values) - len(finite)} nan)"


def upright(table: Table) -> Table:
    """The table with the shorter axis across."""
    return table if len(table[0]) <= len(table) else [list(column) for column in zip(*table, strict=True)]


def aligned(table: Table) -> list[str]:
    """Markdown lines of a table with aligned columns and escaped texts; the first row is the header."""
    table = [[text.translate(_MARKDOWN) for text in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def html_table(table: Table) -> str:
    """The table as HTML; the first row is the header."""
    head, *rows = [[escape(text) for text in row] for row in table]
    lines = ["".join(f"<th>{text}</th>" for text in head)]
    lines += ["".join(f"<td>{text}</td>" for text in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def plain(text: str) -> int | float | str | None:
    """The value of a setting that is stored as text: a number, None, or the text itself."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None if text in ("null", "-") else text
