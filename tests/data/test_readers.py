"""Readers of image sets: small real files, and the errors of invalid sources."""

import gzip
import json
import pickle
import urllib.request
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.data.content import quick_hash
from gan_lab.data.digits import read_digits
from gan_lab.data.hub import read_hub
from gan_lab.data.image_folder import find_images, read_image_folder
from gan_lab.errors import ConfigError, DataError


def gray(value: int, resolution: int = 4) -> Image.Image:
    return Image.new("L", (resolution, resolution), value)


def values(raw) -> list[int]:
    """The gray value of each one-colored image."""
    return [int(np.asarray(raw.load(position))[0, 0]) for position in range(len(raw))]


def pack(path: Path, files: dict[str, Image.Image | str]) -> Path:
    """Write a zip file of PNG images and texts."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            with archive.open(name, "w") as member:
                if isinstance(content, str):
                    member.write(content.encode())
                else:
                    content.save(member, format="PNG")
    return path


# --- digits


def test_digits_span_all_gray_values_and_labels():
    with pytest.raises(ConfigError, match=r"^dataset.source=photos has no effect on these digits"):
        read_digits("photos")  # dataset=image_folder was forgotten: digits are the default
    raw = read_digits()
    assert len(raw) == 1797 and raw.classes == list("0123456789")
    assert raw.labels is not None and sorted(set(raw.labels.tolist())) == list(range(10))
    pixels = np.stack([np.asarray(raw.load(position)) for position in range(len(raw))])
    # 17 levels of 0..16 become the nearest of 0..255
    assert sorted(set(pixels.ravel().tolist())) == [round(level * 255 / 16) for level in range(17)]


# --- folders and zip files


def test_folder_without_subfolders_has_no_labels_and_is_sorted(tmp_path):
    for name, value in {"b.png": 2, "a.PNG": 1, "c.bmp": 3}.items():
        gray(value).save(tmp_path / name)
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not an image")
    raw = read_image_folder(str(tmp_path))
    assert raw.labels is None and raw.classes is None
    assert values(raw) == [1, 2, 3]
    assert raw.name(0) == f"{tmp_path}/a.PNG"


def test_first_level_folders_are_the_classes(tmp_path):
    for name, value in {"dog/deep/1.png": 3, "cat/2.png": 2, "cat/1.png": 1}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        gray(value).save(tmp_path / name)
    raw = read_image_folder(str(tmp_path))
    assert raw.classes == ["cat", "dog"]
    assert raw.labels is not None and raw.labels.tolist() == [0, 0, 1]
    assert values(raw) == [1, 2, 3]


def test_an_image_outside_the_subfolders_means_no_labels(tmp_path):
    (tmp_path / "cat").mkdir()
    gray(1).save(tmp_path / "cat" / "1.png")
    gray(2).save(tmp_path / "top.png")
    assert read_image_folder(str(tmp_path)).labels is None


@pytest.mark.parametrize("top", ["", "photos/"])
def test_zip_classes_with_and_without_a_wrapping_folder(tmp_path, top):
    files = {f"{top}dog/1.png": gray(2), f"{top}cat/1.png": gray(1), "__MACOSX/cat/1.png": "junk"}
    raw = read_image_folder(str(pack(tmp_path / "images.zip", files)))
    assert raw.classes == ["cat", "dog"] and values(raw) == [1, 2]


def unflagged(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip file as Info-ZIP does: the names are in UTF-8, and the flag for UTF-8 is not set."""
    plain = {str(number) * len(name.encode()): name for number, name in enumerate(files)}
    with zipfile.ZipFile(path, "w") as archive:
        for short, name in plain.items():
            archive.writestr(short, files[name])
    content = path.read_bytes()
    for short, name in plain.items():
        content = content.replace(short.encode(), name.encode())
    path.write_bytes(content)
    return path


def test_names_in_a_zip_file_are_those_of_the_folder(tmp_path):
    """Also if they are in UTF-8 without the flag for it, so that a resumed run recognizes a zipped set."""
    listed = {"labels": [["Möwe/1.png", 1], ["Bär/2.png", 0]]}
    for name, value in {"Möwe/1.png": 1, "Bär/2.png": 2, "鳥/3.png": 3}.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        gray(value).save(tmp_path / "set" / name)
    folder = tmp_path / "set"
    files = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.png"))}
    sets = [read_image_folder(str(path)) for path in (folder, unflagged(tmp_path / "set.zip", files))]
    assert sets[1].classes == ["Bär", "Möwe", "鳥"] and values(sets[1]) == [2, 1, 3]
    assert sets[1].name(0) == f"{tmp_path}/set.zip/Bär/2.png"
    assert len({quick_hash(raw, raw.labels, raw.classes) for raw in sets}) == 1
    two = {name: files[name] for name, _ in listed["labels"]}
    path = unflagged(tmp_path / "listed.zip", {"dataset.json": json.dumps(listed).encode(), **two})
    assert read_image_folder(str(path)).labels.tolist() == [0, 1]


def test_names_in_the_code_page_of_dos_stay(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Bxr/1.png", b"")
    path.write_bytes(path.read_bytes().replace(b"Bxr/", b"B\x84r/"))
    assert find_images(str(path)).names == ["Bär/1.png"]


def test_a_single_wrapping_folder_is_not_a_class(tmp_path):
    raw = read_image_folder(str(pack(tmp_path / "images.zip", {"all/1.png": gray(1), "all/2.png": gray(2)})))
    assert raw.labels is None and len(raw) == 2


def test_zip_sets_can_be_pickled_after_use(tmp_path):
    raw = read_image_folder(str(pack(tmp_path / "images.zip", {"1.png": gray(7)})))
    assert values(raw) == [7]
    assert values(pickle.loads(pickle.dumps(raw))) == [7]


def test_invalid_sources_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "broken.zip").write_bytes(pack(tmp_path / "complete.zip", {"1.png": gray(7)}).read_bytes()[:-30])
    pack(tmp_path / "texts.zip", {"notes.txt": "not an image"})
    expected = {
        "missing": "does not exist",
        "empty": "contains no images",
        "texts.zip": "contains no images",
        "notes.txt": "is neither a folder nor a zip file",
        "broken.zip": "is a damaged zip file",
    }
    for name, message in expected.items():
        with pytest.raises(DataError, match=f"^dataset.source={tmp_path / name} {message}.*\\.$"):
            read_image_folder(str(tmp_path / name))


@pytest.mark.parametrize("write", [np.save, np.savez])
def test_files_of_arrays_are_for_python(write, tmp_path):
    file = tmp_path / f"a.{'npy' if write is np.save else 'npz'}"
    write(file, np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(
        DataError, match=r"is a file of arrays, .* from Python, as in gan_lab\.fit\(config, data=\.\.\.\)"
    ):
        read_image_folder(str(file))


def test_a_damaged_zip_member_is_named(tmp_path):
    path = pack(tmp_path / "images.zip", {"1.png": gray(7), "2.png": gray(8)})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF  # inside the first member
    path.write_bytes(content)
    raw = read_image_folder(str(path))
    with pytest.raises(DataError, match=r"images.zip/1.png cannot be read: Bad CRC"):
        raw.load(0)
    assert np.asarray(raw.load(1))[0, 0] == 8


# --- the hub's layout


def write_parquet(folder: Path, declared: bool) -> None:
    """Write two splits of one-colored images; `declared` stores the hub's column types in the files."""
    folder.mkdir()
    for split, count in {"train": 3, "test": 2}.items():
        paths = [folder / f"{number}.png" for number in range(count)]
        for number, path in enumerate(paths):
            gray(10 * number).save(path)
        rows = {
            "name": [path.name for path in paths],
            "photo": [{"bytes": path.read_bytes(), "path": None} for path in paths],
            "kind": [number % 2 for number in range(count)],
        }
        types = {
            "name": datasets.Value("string"),
            "photo": datasets.Image() if declared else {k: datasets.Value(v) for k, v in PLAIN.items()},
            "kind": datasets.ClassLabel(names=["odd", "even"]) if declared else datasets.Value("int32"),
        }
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(types))
        table.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
        for path in paths:
            path.unlink()


PLAIN = {"bytes": "binary", "path": "string"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("declared", [True, False])
def test_parquet_folder(tmp_path, declared, capfd):
    write_parquet(tmp_path / "set", declared)
    raw = read_hub(str(tmp_path / "set"), label=None if declared else "kind")
    assert values(raw) == [0, 10, 20]
    assert raw.labels is not None and raw.labels.tolist() == [0, 1, 0]
    assert raw.classes == (["odd", "even"] if declared else None)
    assert raw.name(2) == f"image 2 of {tmp_path}/set (train)"
    assert values(pickle.loads(pickle.dumps(read_hub(str(tmp_path / "set"), split="test")))) == [0, 10]
    splits = [read_hub(str(tmp_path / "set"), split=part).at(torch.tensor([0])).split for part in ("train", "test")]
    assert splits == ["train", "test"]
    assert "split" not in capfd.readouterr().err  # no progress bars


def columns(folder: Path, **rows: list) -> str:
    """Write a parquet folder with two images in each column whose name begins with `image`."""
    folder.mkdir(parents=True)
    kinds = {bool: "bool", str: "string", int: "int64"}
    types = {
        name: datasets.Image() if name.startswith("image") else datasets.Value(kinds[type(values[0])])
        for name, values in rows.items()
    }
    for name in types:
        if name.startswith("image"):
            gray(rows[name][0]).save(folder / "a.png")
            gray(rows[name][1]).save(folder / "b.png")
            rows[name] = [{"bytes": (folder / file).read_bytes(), "path": None} for file in ("a.png", "b.png")]
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(types))
    table.to_parquet(str(folder / "train.parquet"))
    (folder / "a.png").unlink()
    (folder / "b.png").unlink()
    return str(folder)


def test_integers_are_labels_only_if_the_column_is_named_so(tmp_path):
    """The number of a person in a photo is not a class."""
    raw = read_hub(columns(tmp_path / "faces", image=[1, 2], celeb_id=[2880, 17]))
    assert raw.labels is None
    raw = read_hub(columns(tmp_path / "both", image=[1, 2], celeb_id=[2880, 17], label=[1, 0]))
    assert raw.labels is not None and raw.labels.tolist() == [1, 0]
    raw = read_hub(str(tmp_path / "faces"), label="celeb_id")
    assert raw.labels is not None and raw.labels.tolist() == [2880, 17]
    with pytest.raises(
        DataError, match=r"dataset\.reader\.label=identity is not a column of labels of .*; these are celeb_id"
    ):
        read_hub(str(tmp_path / "faces"), label="identity")


@pytest.mark.parametrize("described", [False, True])
def test_a_configuration_in_its_folder(tmp_path, described):
    """The hub's copy of SVHN has two, in folders, with the split `extra`, which the library does not know by itself."""
    for name, value in {"cropped+digits": 3, "full_numbers": 5}.items():
        for split in ("train", "extra"):
            folder = tmp_path / "set" / name
            written = Path(columns(folder / split, image=[value, value + 1], label=[0, 1]))
            (written / "train.parquet").rename(folder / f"{split}-00000-of-00001.parquet")
            written.rmdir()
    if described:
        files = "".join(f"  - split: {s}\n    path: cropped+digits/{s}-*\n" for s in ("train", "extra"))
        (tmp_path / "set" / "README.md").write_text(
            f"---\nconfigs:\n- config_name: cropped+digits\n  data_files:\n{files}---\n"
        )
    source = str(tmp_path / "set")
    assert values(read_hub(source, subset="cropped+digits", split="extra")) == [3, 4]
    assert values(read_hub(source, subset="cropped+digits", split="train+extra")) == [3, 4, 3, 4]
    assert values(read_hub(source, subset="cropped+digits", split="train[:1]")) == [3]
    with pytest.raises(DataError, match=r"(split=test is not in|cannot be read)"):
        read_hub(source, subset="cropped+digits", split="test")


def test_attributes_and_texts_are_labels_on_request(tmp_path):
    source = columns(tmp_path / "faces", image=[1, 2], celeb_id=[2880, 17], Smiling=[True, False], hair=["red", "gray"])
    assert read_hub(source).labels is None
    smiling, hair = read_hub(source, label="Smiling"), read_hub(source, label="hair")
    assert smiling.labels is not None and smiling.labels.tolist() == [1, 0]
    assert hair.labels is not None and hair.labels.tolist() == [1, 0]
    assert (smiling.classes, hair.classes) == (["not Smiling", "Smiling"], ["gray", "red"])


def test_withheld_labels_are_none(tmp_path):
    """All are -1 in ImageNet's test images."""
    assert read_hub(columns(tmp_path / "test", image=[1, 2], label=[-1, -1])).labels is None
    raw = read_hub(columns(tmp_path / "some", image=[1, 2], label=[-1, 1]))
    assert raw.labels is not None and raw.labels.tolist() == [-1, 1]


def test_one_of_several_images_must_be_named(tmp_path):
    """The first column of a paired set is one half of it."""
    source = columns(tmp_path / "pairs", imageA=[1, 2], imageB=[3, 4])
    with pytest.raises(
        DataError, match=r"columns of images imageA, imageB; choose one with \+dataset\.reader\.image=imageA"
    ):
        read_hub(source)
    with pytest.raises(DataError, match=r"dataset\.reader\.image=imageC is not one of them"):
        read_hub(source, image="imageC")
    assert values(read_hub(source, image="imageB")) == [3, 4]


def test_bad_parquet_folders_are_named(tmp_path):
    write_parquet(tmp_path / "set", declared=True)
    with pytest.raises(DataError, match=r"dataset.reader.split=val is not in .*train.*test.*\.$"):
        read_hub(str(tmp_path / "set"), split="val")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none cannot be read as a data set: .*\.$"):
        read_hub(str(tmp_path / "none"))
    (tmp_path / "texts").mkdir()
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(str(tmp_path / "texts" / "train.parquet"))
    with pytest.raises(DataError, match=r"texts has no column of images; its columns are text\."):
        read_hub(str(tmp_path / "texts"))
    (tmp_path / "cut").mkdir()
    complete = (tmp_path / "set" / "train-00000-of-00001.parquet").read_bytes()
    (tmp_path / "cut" / "train.parquet").write_bytes(complete[:-20])
    with pytest.raises(DataError, match=r"cut cannot be read as a data set: .*\.$"):
        read_hub(str(tmp_path / "cut"))


def test_missing_paths_cause_no_request_to_the_hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    asked: list[object] = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(urllib.request, "urlopen", lambda *request, **_: asked.append(request))
    for source in (str(tmp_path / "missing"), "./missing", "some/deep/folder", "~/missing-folder"):
        with pytest.raises(DataError, match="does not exist"):
            read_hub(source)
    (tmp_path / "file.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="is a file"):
        read_hub(str(tmp_path / "file.parquet"))
    assert asked == []


def test_an_unreachable_hub_is_a_one_line_error(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(DataError, match=r"cannot be reached; give dataset.source=<local folder") as caught:
        read_hub("no-such-user/no-such-data-set")
    assert "\n" not in str(caught.value)
    assert not constants.HF_HUB_OFFLINE  # the setting is restored


# --- IDX files


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, compress: bool) -> None:
    folder.mkdir()
    for prefix, count in {"train": 3, "t10k": 2}.items():
        images = np.arange(count)[:, None, None] * np.full((1, 4, 5), 10)
        for name, array in {"images-idx3": images, "labels-idx1": np.arange(count)}.items():
            path = folder / f"{prefix}-{name}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(idx(array)) if compress else idx(array))


@pytest.mark.parametrize("compress", [True, False])
def test_idx_folder(tmp_path, compress):
    write_idx(tmp_path / "set", compress)
    raw = read_hub(str(tmp_path / "set"))
    assert values(raw) == [0, 10, 20] and raw.load(0).size == (5, 4)
    assert raw.labels is not None and raw.labels.tolist() == [0, 1, 2]
    test = read_hub(str(tmp_path / "set"), split="test")
    assert (raw.split, test.split, len(test)) == ("train", "test", 2)


def test_bad_idx_folders_are_named(tmp_path):
    write_idx(tmp_path / "set", compress=True)
    with pytest.raises(DataError, match=r"split=val is not in .*train and test"):
        read_hub(str(tmp_path / "set"), split="val")
    images = tmp_path / "set" / "train-images-idx3-ubyte.gz"
    complete = images.read_bytes()
    for content in (
        complete[:-12],
        gzip.compress(idx(np.zeros((3, 4, 5)))[:-1]),
        gzip.compress(b"something else"),
        b"x",
    ):
        images.write_bytes(content)
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz cannot be read as an IDX file: .*\.$"):
            read_hub(str(tmp_path / "set"))
    images.write_bytes(gzip.compress(idx(np.zeros((3, 4, 5))) + b"x"))
    with pytest.raises(DataError, match="its header announces 60 bytes, but 61 follow"):
        read_hub(str(tmp_path / "set"))
    images.write_bytes(gzip.compress(idx(np.zeros((2, 4, 5)))))
    with pytest.raises(DataError, match="has 2 images but 3 labels"):
        read_hub(str(tmp_path / "set"))
    (tmp_path / "set" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no file train-labels-idx1-ubyte"):
        read_hub(str(tmp_path / "set"))
