"""Pictures inside a page."""

import base64
import io
from pathlib import Path

from markupsafe import Markup
from PIL import Image


def embedded(file: Path, side: int, text: str, link: str = "") -> Markup:
    """A picture as part of the page, at most `side` pixels wide and high; empty where the file cannot be read.

    Args:
        file: Any format that Pillow reads.
        side: Larger pictures are made smaller.
        text: What it shows.
        link: Relative address of the file, which a click opens; empty for none.
    """
    try:
        with Image.open(file) as image:
            image.load()
            small = image.convert("RGB")
    except (OSError, SyntaxError, ValueError):  # a run that was killed may have left half a file
        return Markup("")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    address = f"data:image/webp;base64,{base64.b64encode(_webp(small)).decode()}"
    picture = Markup('<img src="{}" width="{}" height="{}" alt="{}" title="{}">').format(
        address, *small.size, text, text
    )
    return Markup('<a href="{}">{}</a>').format(link, picture) if link else picture


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()
