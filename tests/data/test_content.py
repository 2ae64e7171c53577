"""The quick hash recognizes the data of a run, wherever they are."""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from gan_lab.data import content
from gan_lab.data.content import DataContent, quick_hash
from gan_lab.data.image_folder import read_image_folder


def write_images(folder: Path) -> Path:
    for k in range(8):
        (folder / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (k, k, k)).save(folder / "ab"[k % 2] / f"{k}.bmp")
    return folder


def hash_of(source: Path, labels: bool = True) -> str:
    raw = read_image_folder(str(source))
    return quick_hash(raw, raw.labels if labels else None)


def test_paths_and_times_are_not_part_of_it(tmp_path: Path) -> None:
    first = write_images(tmp_path / "first")
    copy = shutil.copytree(first, tmp_path / "copy", copy_function=shutil.copy)
    os.utime(copy / "a/0.bmp", (1, 1))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(first.rglob("*.bmp")):
            archive.write(file, file.relative_to(first))
    assert hash_of(first) == hash_of(copy) == hash_of(tmp_path / "all.zip")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a/0.bmp").unlink(),
        lambda folder: shutil.copy(folder / "a/0.bmp", folder / "a/9.bmp"),
        lambda folder: (folder / "a/6.bmp").rename(folder / "b/0.bmp"),
        lambda folder: (folder / "a/6.bmp").rename(folder / "a/1.bmp"),
        lambda folder: Image.new("RGB", (2, 2), (99, 0, 0)).save(folder / "b/3.bmp"),
    ],
)
def test_each_change_gives_another_hash(change: Callable[[Path], None], tmp_path: Path) -> None:
    folder = write_images(tmp_path)
    before = hash_of(folder)
    change(folder)
    assert hash_of(folder) != before


def test_labels_that_are_not_used_are_not_part_of_it(tmp_path: Path) -> None:
    raw = read_image_folder(str(write_images(tmp_path)))
    assert quick_hash(raw, None) != quick_hash(raw, raw.labels) != quick_hash(raw, 1 - raw.labels)


def test_a_large_set_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second image is read, and the sizes of all others."""
    monkeypatch.setattr(content, "SAMPLED_IMAGES", 4)
    folder = write_images(tmp_path)
    names = sorted(folder.rglob("*.bmp"))
    before = hash_of(folder)
    Image.new("RGB", (2, 2), (99, 0, 0)).save(names[1])
    assert hash_of(folder) == before
    Image.new("RGB", (3, 2), (99, 0, 0)).save(names[1])
    assert hash_of(folder) != before


def test_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "0.bmp").write_bytes(bytes(100_000))
    before = hash_of(tmp_path)
    (tmp_path / "0.bmp").write_bytes(bytes(99_999) + b"x")
    assert hash_of(tmp_path) != before


def test_a_selection_has_the_sizes_of_its_files(tmp_path: Path) -> None:
    raw = read_image_folder(str(write_images(tmp_path)))
    assert quick_hash(raw.at(torch.arange(8)), raw.labels) == quick_hash(raw, raw.labels)
    assert quick_hash(raw.at(torch.tensor([0, 1])), None) != quick_hash(raw.at(torch.tensor([1, 0])), None)


def test_names_that_a_config_would_interpret() -> None:
    node = DataContent(3, ["${a}", "???", "b"], "x").to_config()
    assert node["classes"] == ["$ {a}", "? ? ?", "b"]
    assert DataContent.from_config(node).to_config() == node


def test_very_long_lists_of_names_are_in_the_hash_only(tmp_path: Path) -> None:
    names = [f"{k:0100d}" for k in range(1000)]
    assert DataContent(3, names, "x").to_config()["classes"] is None
    raw = read_image_folder(str(write_images(tmp_path)))
    assert quick_hash(raw, raw.labels, names) != quick_hash(raw, raw.labels, names[::-1])
