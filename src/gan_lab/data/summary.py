"""What was found in a set of images, in one line, with what training changes in the images."""

from collections.abc import Sequence

from gan_lab.data.decode import Decoder
from gan_lab.data.raw import Header, RawImages, shortened

LONG = 1.5
"""Quotient of the longer and the shorter side from which an image is called long."""

CHECKED = 2000
"""Largest number of images whose headers are read."""

MODES = {
    "1": "black and white",
    "L": "grayscale",
    "LA": "grayscale with alpha",
    "P": "palette",
    "RGBA": "RGB with alpha",
}
"""Names of Pillow's color modes; the others are called by their own."""

Size = tuple[int, int]


def summary(raw: RawImages, decoder: Decoder, num_classes: int | None) -> str:
    """Number of images, classes, sizes and color modes, and how many images are unusable, enlarged or cropped a lot.

    Args:
        raw: The images.
        decoder: Their conversion.
        num_classes: Number of classes that training uses; None if it uses no labels.
    """
    found = raw.headers(CHECKED)
    readable = [header for header in found if header is not None]
    usable = [header for header in readable if min(header.size) >= decoder.min_resolution]
    too_small = f"are smaller than dataset.min_resolution={decoder.min_resolution} and cannot be used"
    counts = {"cannot be read": len(found) - len(readable), too_small: len(readable) - len(usable)}
    counts |= _changes([header.size for header in usable], decoder)
    texts = [f"{_of(count, len(found), len(raw))} {text}" for text, count in counts.items() if count]
    checked = "" if len(found) == len(raw) else f" (of {len(found):,} that were checked)"
    return "; ".join([f"{len(raw):,} images", *_labels(raw, num_classes), f"{_formats(usable)}{checked}", *texts])


def class_names(raw: RawImages, num_classes: int | None = None) -> list[str]:
    """Names of the labels of a set that has some; numbers if they have no names, up to the highest without a count."""
    assert raw.labels is not None
    if raw.classes is not None:
        return list(raw.classes)
    return [str(label) for label in range(int(raw.labels.max()) + 1 if num_classes is None else num_classes)]


def _labels(raw: RawImages, num_classes: int | None) -> list[str]:
    if raw.labels is None:
        return [f"no labels, since {raw.unlabeled}"] if raw.unlabeled else []
    names = class_names(raw, num_classes)
    if num_classes is None:
        return [f"{len(names)} classes, not used since dataset.num_classes=null: {shortened(names)}"]
    counts = raw.labels.bincount(minlength=len(names)).tolist()
    return [f"{len(names)} classes: {shortened([f'{n} ({c:,})' for n, c in zip(names, counts, strict=True)])}"]


def _formats(headers: Sequence[Header]) -> str:
    """Sizes and color modes."""
    if not headers:
        return "sizes unknown"
    sizes = sorted((header.size for header in headers), key=lambda size: size[0] * size[1])
    (width, height), (widest, highest) = sizes[0], sizes[-1]
    span = f"{width}x{height}" if len(set(sizes)) == 1 else f"{width}x{height} to {widest}x{highest}"
    modes = " and ".join(sorted({MODES.get(header.mode, header.mode) for header in headers}))
    return f"{span} pixels, {modes}"


def _changes(sizes: Sequence[Size], decoder: Decoder) -> dict[str, int]:
    """Large changes of the images by the decoder, each with the number of images."""
    shown, found = decoder.resolution, {}
    if decoder.fit == "pad":
        found[f"are smaller than {shown} pixels and are surrounded by background"] = sum(max(s) < shown for s in sizes)
    else:
        found[f"are smaller than {shown} pixels and are enlarged"] = sum(min(s) < shown for s in sizes)
        change = "are distorted" if decoder.fit == "stretch" else "lose all outside of the square in the middle"
        long = sum(max(s) > LONG * min(s) for s in sizes)
        pairs = " (dataset=paired reads pairs side by side)" if all(w == 2 * h for w, h in sizes) else ""
        found[f"are more than {LONG:g} times as long as wide and {change}{pairs}"] = long
    return found


def _of(count: int, checked: int, total: int) -> str:
    """`31 of 80`; `all` if it is all of them."""
    number = "all" if count == checked else f"{count:,} of {checked:,}"
    return number if checked == total else f"{number} images that were checked"
