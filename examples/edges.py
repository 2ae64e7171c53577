"""Pairs of edges and images for `model=pix2pix`: the folders A and B of a new folder, from any images.

    python examples/edges.py images.zip pairs 64

reads a folder or zip file and writes squares of 64 pixels: B is the image on white, A its edges, black on white. Every
tenth pair is in the split test, the others are in train.
"""

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

THRESHOLD = 24.0
"""Smallest norm of the gradient of an edge, in gray values for each pixel."""


def images(source: Path) -> Iterator[tuple[str, Image.Image]]:
    """Names and images of a folder or zip file."""
    root = zipfile.Path(source) if source.suffix == ".zip" else source
    for file in sorted(root.iterdir(), key=str):
        if file.name.endswith((".png", ".jpg")):
            with file.open("rb") as stream:
                yield file.name, Image.open(stream).convert("RGBA")


def on_white(image: Image.Image, size: int) -> Image.Image:
    """The image on white, fitted into a square."""
    background = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(background, image).convert("RGB")
    return ImageOps.pad(flat, (size, size), color="white")


def edges(image: Image.Image) -> Image.Image:
    """Black where the gray values change."""
    rows, columns = np.gradient(np.asarray(image.convert("L"), dtype=np.float32))
    return Image.fromarray(np.where(np.hypot(rows, columns) > THRESHOLD, 0, 255).astype(np.uint8))


def main(source: Path, target: Path, size: int) -> None:
    count = 0
    for name, image in images(source):
        square = on_white(image, size)
        split = "test" if count % 10 == 9 else "train"
        for domain, result in (("A", edges(square)), ("B", square)):
            folder = target / domain / split
            folder.mkdir(parents=True, exist_ok=True)
            result.save(folder / f"{Path(name).stem}.png")
        count += 1
    print(f"{count} pairs in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
