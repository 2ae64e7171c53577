"""Images embedded in a page."""

import base64
import io
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from gan_lab.figures import read_figure


def embedded(file: Path, size: int, text: str, link: str = "") -> Markup:
    """An `img` element with an embedded image; empty if the file cannot be read.

    Args:
        file: Any format that Pillow reads.
        size: Largest width and height in pixels; larger images are reduced.
        text: Description of the image.
        link: Relative URL of the file, opened by a click; empty for none.
    """
    image = read_figure(file)
    if image is None:
        return Markup("")
    small = image.convert("RGB")
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    address = f"data:image/webp;base64,{base64.b64encode(_webp(small)).decode()}"
    element = Markup('<img src="{}" width="{}" height="{}" alt="{}" title="{}">').format(
        address, *small.size, text, text
    )
    return Markup('<a href="{}">{}</a>').format(link, element) if link else element


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()
