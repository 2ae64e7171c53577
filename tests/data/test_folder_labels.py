"""Labels and files of image folders: StyleGAN's lists, splits, wrapping folders, thumbnails, links."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from gan_lab.data.image_folder import read_image_folder
from gan_lab.errors import DataError


def write(folder: Path, *names: str, **options) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(file, **options)


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture(params=["folder", "zip"])
def source(request: pytest.FixtureRequest, tmp_path: Path):
    """Function from the written folder to the source to read: the folder, or an archive of it."""
    return (lambda folder: str(folder)) if request.param == "folder" else (lambda folder: str(zipped(folder)))


SHARDS = [f"0000{number // 2}/img{number:08d}.png" for number in range(4)]


def test_the_list_of_stylegan_gives_the_labels(source, tmp_path: Path) -> None:
    write(tmp_path / "set", *SHARDS)
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": [[n, k % 3] for k, n in enumerate(SHARDS)]}))
    raw = read_image_folder(source(tmp_path / "set"))
    assert raw.labels is not None and raw.labels.tolist() == [0, 1, 2, 0] and raw.classes == ["0", "1", "2"]


@pytest.mark.parametrize("listing", ['{"labels": null}', None])
def test_numbered_parts_are_not_classes(listing: str | None, source, tmp_path: Path) -> None:
    write(tmp_path / "set", *SHARDS)
    if listing is not None:
        (tmp_path / "set" / "dataset.json").write_text(listing)
    raw = read_image_folder(source(tmp_path / "set"))
    assert raw.labels is None and len(raw) == 4


LISTINGS = {
    "{": "is not in the format",
    "[]": "is not in the format",
    '{"labels": 3}': "is not in the format",
    '{"labels": [["00000/img00000000.png", 0]]}': "lists no label for 3 of the 4 images, for example 00000/img00000",
    json.dumps({"labels": [[n, [0.5, 0.5]] for n in SHARDS]}): r"has the label \[0.5, 0.5\] for",
    json.dumps({"labels": [[n, -1] for n in SHARDS]}): "has the label -1 for",
}


@pytest.mark.parametrize(("listing", "message"), LISTINGS.items())
def test_a_list_that_cannot_be_used_is_refused(listing: str, message: str, source, tmp_path: Path) -> None:
    write(tmp_path / "set", *SHARDS)
    (tmp_path / "set" / "dataset.json").write_text(listing)
    with pytest.raises(DataError, match=rf"dataset\.json {message}"):
        read_image_folder(source(tmp_path / "set"))


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "Test"), ("training", "validation")])
def test_splits_are_not_classes(names: tuple[str, ...], source, tmp_path: Path) -> None:
    write(tmp_path / "set", *(f"{split}/{kind}/1.png" for split in names for kind in ("cat", "dog")))
    with pytest.raises(DataError, match=rf"look like parts of a data set.*/{names[0]} "):
        read_image_folder(source(tmp_path / "set"))


def test_domains_are_not_classes(source, tmp_path: Path) -> None:
    write(tmp_path / "set", "trainA/1.png", "trainB/1.png", "testA/1.png", "testB/1.png")
    with pytest.raises(DataError, match=r"look like two domains for image-to-image translation.*/trainA "):
        read_image_folder(source(tmp_path / "set"))


def test_lower_case_letters_are_classes(source, tmp_path: Path) -> None:
    write(tmp_path / "set", "a/1.png", "b/1.png")
    assert read_image_folder(source(tmp_path / "set")).classes == ["a", "b"]


@pytest.mark.parametrize("top", ["photos", "a/b", "train"])
def test_folders_around_everything_are_not_classes(top: str, source, tmp_path: Path) -> None:
    write(tmp_path / "set", f"{top}/cat/1.png", f"{top}/dog/1.png")
    assert read_image_folder(source(tmp_path / "set")).classes == ["cat", "dog"]


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", ".thumbnails", "#recycle", "lost+found"])
def test_folders_of_systems_are_ignored(name: str, source, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "set", "cat/1.png", "dog/1.png", f"{name}/1.png", f"cat/{name}/2.png")
    raw = read_image_folder(source(tmp_path / "set"))
    assert raw.classes == ["cat", "dog"] and len(raw) == 2 and not caplog.records


def test_a_loop_of_links_is_entered_once(tmp_path: Path) -> None:
    write(tmp_path / "set", *(f"{number}.png" for number in range(5)), "deep/5.png")
    os.symlink("..", tmp_path / "set" / "deep" / "again")
    os.symlink(".", tmp_path / "set" / "twice")
    assert len(read_image_folder(str(tmp_path / "set"))) == 6


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "1.png")
    write(tmp_path / "set", "2.png")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "more")
    assert len(read_image_folder(str(tmp_path / "set"))) == 2


def test_pipes_devices_and_broken_links_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    os.symlink("/dev/zero", tmp_path / "3.png")
    os.symlink("missing.png", tmp_path / "4.png")
    assert len(read_image_folder(str(tmp_path))) == 1


def test_a_member_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.data.image_folder.MAX_FILE_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(3 * 2**20))
    with pytest.raises(DataError, match=r"bomb\.png has 3 MiB, more than the limit of 1 MiB"):
        read_image_folder(str(tmp_path / "bomb.zip"))


def test_a_huge_list_of_labels_is_refused_unread(source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.data.image_folder.MAX_TEXT_BYTES", 100)
    write(tmp_path / "set", *SHARDS)
    (tmp_path / "set" / "dataset.json").write_text(f'{{"labels": {" " * 100}null}}')
    with pytest.raises(DataError, match=r"dataset\.json has 0 MiB, more than the limit"):
        read_image_folder(source(tmp_path / "set"))


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "1.png")
    monkeypatch.setattr("gan_lab.data.raw.MAX_FILE_BYTES", 2**20)
    with (tmp_path / "1.png").open("ab") as file:
        file.truncate(2**21)
    with pytest.raises(DataError, match=r"1\.png cannot be read: it has more than 1 MiB"):
        read_image_folder(str(tmp_path)).load(0)


@pytest.mark.parametrize(
    ("extension", "form", "codec"),
    [("jfif", "jpeg", "jpg"), ("jpe", "jpeg", "jpg"), ("jp2", "jpeg2000", "jpg_2000"), ("avif", "avif", "avif")],
)
def test_less_common_extensions_are_read(extension: str, form: str, codec: str, tmp_path: Path) -> None:
    if not features.check(codec):
        pytest.skip(f"this Pillow has no {codec}")
    write(tmp_path, f"1.{extension}", format=form)
    assert np.asarray(read_image_folder(str(tmp_path)).load(0)).shape == (4, 4, 3)


def test_other_files_are_counted(source, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "set", "1.png")
    for name in ("2.heic", "3.HEIC", "4.psd", "notes.txt", "labels.csv", "Thumbs.db"):
        (tmp_path / "set" / name).write_bytes(b"x")
    assert len(read_image_folder(source(tmp_path / "set"))) == 1
    (record,) = caplog.records
    assert "3 of the 4 files" in record.getMessage() and "2 .heic, 1 .psd" in record.getMessage()


def test_an_empty_source_does_not_mean_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "1.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"dataset\.source= does not exist"):
        read_image_folder("")
