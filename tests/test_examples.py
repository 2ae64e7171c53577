"""The programs in examples/ run as they are, from any folder."""

import contextlib
import os
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.distributed import fork_server

EXAMPLES = Path(__file__).parents[1] / "examples"
LAST_LINES = {
    "plain_python": "5376 images seen, samples (16, 1, 8, 8)",
    "custom_loss": "512 images seen with custom_loss.Exponential",
    "custom_networks": "512 images seen, samples (16, 1, 32, 32)",
    "own_dataset": "600 images seen, samples of class 3: (4, 1, 16, 16)",
}


def run(file: Path, folder: Path) -> None:
    """Run a program in a folder, as `python <file>` does, with its output in `out.txt`."""
    os.chdir(folder)
    sys.argv, sys.path = [str(file)], [str(file.parent), *sys.path[1:]]
    with open("out.txt", "w") as out, contextlib.redirect_stdout(out):
        runpy.run_path(str(file), run_name="__main__")


def test_every_example_is_expected_here() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {*LAST_LINES, "edges"}


@pytest.mark.parametrize("name", LAST_LINES)
def test_example_runs(name: str, tmp_path: Path) -> None:
    process = fork_server().Process(target=run, args=(EXAMPLES / f"{name}.py", tmp_path))
    process.start()
    process.join(600)
    assert process.exitcode == 0
    assert LAST_LINES[name] in (tmp_path / "out.txt").read_text()


def test_edges_are_where_the_colors_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a red rectangle on a transparent background."""
    (tmp_path / "images").mkdir()
    for number in range(11):
        image = Image.new("RGBA", (40, 20))
        image.paste((200, 30, 30, 255), (10, 5, 30, 15))
        image.save(tmp_path / "images" / f"{number:02d}.png")
    runpy.run_path(str(EXAMPLES / "edges.py"))["main"](tmp_path / "images", tmp_path / "pairs", 32)
    assert capsys.readouterr().out.startswith("11 pairs in ")
    images = [Image.open(tmp_path / "pairs" / domain / "train" / "00.png") for domain in ("A", "B")]
    assert [(image.mode, image.size) for image in images] == [("L", (32, 32)), ("RGB", (32, 32))]
    assert [images[1].getpixel(place) for place in ((0, 0), (16, 16))] == [(255, 255, 255), (200, 30, 30)]
    assert [images[0].getpixel(place) for place in ((0, 0), (16, 16))] == [255, 255]
    assert images[0].getextrema() == (0, 255)
    assert len(list((tmp_path / "pairs").rglob("test/09.png"))) == 2
