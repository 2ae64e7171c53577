"""Rendering of pages from templates. All text is escaped, except the markup of charts and images."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gan_lab.charts.palette import DARK, LIGHT
from gan_lab.files import write_text
from gan_lab.version import __version__


@cache
def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(file: Path, template: str, facts: dict[str, Any]) -> None:
    """Write a page atomically.

    Args:
        file: File to write.
        template: Name of a file in `templates`.
        facts: Variables of the template.
    """
    write_text(file, page_text(template, facts))


def page_text(template: str, facts: dict[str, Any]) -> str:
    """The text of a page; for the arguments see `write_page`."""
    return _environment().get_template(template).render(facts | {"version": __version__, "light": LIGHT, "dark": DARK})
