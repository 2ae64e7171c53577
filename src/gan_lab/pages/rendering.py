"""Pages from templates. Every text is escaped unless a chart or a picture made it."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gan_lab import __version__


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
    """Write a page, whole or not at all.

    Args:
        file: Where to.
        template: Name of a file in `templates`.
        facts: What it is filled with.
    """
    text = _environment().get_template(template).render(facts | {"version": __version__})
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
