"""Published data sets: their authors' files, written here in tiny versions, and what is refused."""

import io
import logging
import os
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from gan_lab.data.decode import Decoder
from gan_lab.data.hub import read_hub
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.published import PUBLISHED, expected_images
from gan_lab.errors import ConfigError, DataError
from tests.helpers.lsun_database import IMAGES, write_lsun


def pixels(count: int, size: int) -> np.ndarray:
    """Noise, uint8 (N, H, W, 3)."""
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def images(raw) -> np.ndarray:
    return np.stack([np.asarray(raw.load(position)) for position in range(len(raw))])


def encoded(value: int) -> bytes:
    """A gray PNG."""
    content = io.BytesIO()
    Image.new("L", (4, 4), value).save(content, format="PNG")
    return content.getvalue()


def values(raw) -> list[int]:
    """The value of each one-colored image."""
    return [int(np.asarray(raw.load(position)).flat[0]) for position in range(len(raw))]


# --- writers: the formats of the authors


def write_svhn(folder: Path, split: str = "train", count: int = 11) -> np.ndarray:
    """Classes 1 to 10, of which 10 is the digit 0; images are the last axis."""
    found = pixels(count, 32)
    classes = (1 + np.arange(count) % 10).astype(np.uint8)[:, None]
    savemat(folder / f"{split}_32x32.mat", {"X": found.transpose(1, 2, 3, 0), "y": classes}, do_compression=True)
    return found


def write_stl10(folder: Path, split: str = "train", count: int = 10) -> np.ndarray:
    """Each channel by columns; classes from 1 on."""
    folder.mkdir(exist_ok=True)
    found = pixels(count, 96)
    (folder / f"{split}_X.bin").write_bytes(found.transpose(0, 3, 2, 1).tobytes())
    if split != "unlabeled":
        (folder / f"{split}_y.bin").write_bytes(bytes(1 + k % 10 for k in range(count)))
    return found


def planes(found: np.ndarray) -> np.ndarray:
    """Rows with the planes of red, green and blue."""
    return found.transpose(0, 3, 1, 2).reshape(len(found), -1)


def python2_pickle(found: np.ndarray, labels: list[int]) -> bytes:
    """A batch of CIFAR-10 as Python 2 wrote it, with protocol 2: text and the bytes of the array are strings."""
    rows = planes(found).tobytes()
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
        + b"".join(b"K" + bytes([label]) for label in labels)
        + b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87"
        + b"q\nRq\x0b(K\x01K" + bytes([len(found)])
        + b"M\x00\x0c\x86q\x0ccnumpy\ndtype\nq\rU\x02u1q\x0eK\x00K\x01\x87q\x0fRq\x10"
        + b"(K\x03U\x01|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x89"
        + b"T" + struct.pack("<i", len(rows)) + rows + b"q\x13tq\x14bU\tfilenamesq\x15]q\x16U\x05a.pngq\x17au."
    )  # fmt: skip


def write_cifar10(folder: Path, binary: bool = False) -> np.ndarray:
    """Five batches of two images, and one of test images."""
    folder.mkdir()
    found = pixels(12, 32)
    for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        two, labels = found[2 * number : 2 * number + 2], [number, 9 - number]
        if binary:
            rows = [bytes([label]) + row.tobytes() for label, row in zip(labels, planes(two), strict=True)]
            (folder / f"{name}.bin").write_bytes(b"".join(rows))
        else:
            (folder / name).write_bytes(python2_pickle(two, labels))
    return found


def write_imagenet(folder: Path, archives: bool = False, size: int = 8) -> np.ndarray:
    """Ten batches of one image, and one of validation; labels from 1 to 1000."""
    folder.mkdir()
    found = pixels(11, size)
    for number, name in enumerate([*(f"train_data_batch_{k}" for k in range(1, 11)), "val_data"]):
        data = planes(found[number : number + 1])
        content = {"data": data, "labels": [1 + 99 * number], "mean": data.mean(0)}
        if archives:
            np.savez(folder / f"{name}.npz", **content)
        else:
            (folder / name).write_bytes(pickle.dumps(content, protocol=3))
    return found


def write_celeba(folder: Path, zipped: bool = False) -> None:
    """Four photos with two attributes: two for training, one for validation, one for testing."""
    folder.mkdir()
    names = [f"{number:06}.jpg" for number in range(1, 5)]
    contents = {f"img_align_celeba/{name}": encoded(10 * number) for number, name in enumerate(names)}
    if zipped:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    else:
        (folder / "img_align_celeba").mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    rows = [
        f"{name} {first:2d} {second:2d}"
        for name, first, second in zip(names, (1, -1, 1, 1), (-1, -1, 1, 1), strict=True)
    ]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["4", "Smiling Male ", *rows]) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {s}\n" for n, s in zip(names, "0012", strict=True)))
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} 2880\n" for name in names))


def write_tar(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


# --- reading


def test_svhn(tmp_path):
    found = write_svhn(tmp_path)
    extra = write_svhn(tmp_path, "extra", 5)
    raw = read_hub(str(tmp_path), subset="cropped_digits", published="svhn")
    assert np.array_equal(images(raw), found)
    assert raw.labels is not None and raw.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert raw.classes == list("0123456789") and raw.split == "train"
    both = read_hub(str(tmp_path), split="train+extra", published="svhn")
    assert np.array_equal(images(both), np.concatenate([found, extra]))
    assert both.labels is not None and both.labels.tolist()[-5:] == [1, 2, 3, 4, 5]
    assert both.name(11) == f"image 0 of {tmp_path} (extra)" and len(pickle.loads(pickle.dumps(both))) == 16


def test_stl10(tmp_path):
    found = write_stl10(tmp_path / "stl10_binary")
    unlabeled = write_stl10(tmp_path / "stl10_binary", "unlabeled", 3)
    for source in (tmp_path, tmp_path / "stl10_binary"):
        raw = read_hub(str(source), published="stl10")
        assert np.array_equal(images(raw), found)
    assert raw.labels is not None and raw.labels.tolist() == list(range(10))
    assert raw.classes == ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    raw = pickle.loads(pickle.dumps(read_hub(str(tmp_path), split="unlabeled", published="stl10")))
    assert raw.labels is None and np.array_equal(images(raw), unlabeled)


def test_copies_of_another_split_are_left_out(tmp_path):
    unlabeled, test = write_stl10(tmp_path, "unlabeled", 4), write_stl10(tmp_path, "test", 2)
    unlabeled[1] = test[0]
    (tmp_path / "unlabeled_X.bin").write_bytes(unlabeled.transpose(0, 3, 2, 1).tobytes())
    raw = read_hub(str(tmp_path), split="unlabeled", published="stl10", without_copies_of="test")
    assert np.array_equal(images(raw), unlabeled[[0, 2, 3]])
    with pytest.raises(DataError, match=r"All 2 images are in the split of dataset.reader.without_copies_of"):
        read_hub(str(tmp_path), split="test", published="stl10", without_copies_of="test")


def test_the_box_filter_is_a_mean():
    """STL-10 at a third of its resolution, as D2GAN used it."""
    image = Image.fromarray(pixels(1, 96)[0])
    small = Decoder(3, 32, filter="box")(read_raw(image), 0)
    means = np.asarray(image, dtype=float).reshape(32, 3, 32, 3, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(small.numpy() - means).max() < 0.67  # rows and columns are rounded one after the other
    assert not torch.equal(small, Decoder(3, 32)(read_raw(image), 0))
    with pytest.raises(
        ConfigError, match=r"dataset.filter=none is not known; choose one of lanczos, bicubic, box, nearest, reduced"
    ):
        Decoder(3, 32, filter="none")


def read_raw(image: Image.Image):
    from gan_lab.data.raw import RawImages

    return RawImages([np.asarray(image)], ["image"])


@pytest.mark.parametrize("binary", [False, True])
def test_cifar10(tmp_path, binary):
    found = write_cifar10(tmp_path / "cifar-10-batches-bin", binary)
    raw = read_hub(str(tmp_path), published="cifar10")
    assert np.array_equal(images(raw), found[:10])
    assert raw.labels is not None and raw.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert raw.classes is not None and raw.classes[:2] == ["airplane", "automobile"]
    test = read_hub(str(tmp_path / "cifar-10-batches-bin"), split="test")
    assert np.array_equal(images(test), found[10:])


@pytest.mark.parametrize("archives", [False, True])
def test_imagenet_batches(tmp_path, archives):
    found = write_imagenet(tmp_path / "batches", archives)
    raw = read_hub(str(tmp_path / "batches"), published="imagenet")
    assert np.array_equal(images(raw), found[:10])
    assert raw.labels is not None and raw.labels.tolist() == [99 * number for number in range(10)]
    assert np.array_equal(images(read_hub(str(tmp_path / "batches"), split="validation")), found[10:])


@pytest.mark.parametrize("zipped", [False, True])
def test_celeba(tmp_path, zipped):
    write_celeba(tmp_path / "celeba", zipped)
    raw = read_hub(str(tmp_path), subset="img_align+identity+attr", published="celeba")
    assert values(raw) == [0, 10] and raw.labels is None
    assert raw.name(1) == f"{tmp_path}/celeba/img_align_celeba/000002.jpg"
    raw = read_hub(str(tmp_path), split="train+valid+test", label="Smiling", published="celeba")
    assert values(raw) == [0, 10, 20, 30]
    assert raw.labels is not None and raw.labels.tolist() == [1, 0, 1, 1]
    assert raw.classes == ["not Smiling", "Smiling"]
    assert values(read_hub(str(tmp_path), split="validation", published="celeba")) == [20]
    with pytest.raises(DataError, match=r"label=celeb_id is not an attribute of .*; these are Smiling, Male"):
        read_hub(str(tmp_path), label="celeb_id", published="celeba")


def test_lsun(tmp_path):
    write_lsun(tmp_path / "church_outdoor_train_lmdb")
    raw = read_hub(str(tmp_path), published="lsun")
    assert values(raw) == list(range(IMAGES))
    assert raw.load(60).size == (80, 80) and raw.load(61).size == (4, 4)
    for source, subset in ((tmp_path / "church_outdoor_train_lmdb", None), (tmp_path, "church_outdoor")):
        assert len(read_hub(str(source), subset=subset, published="lsun")) == IMAGES
    write_lsun(tmp_path / "bedroom_val_lmdb")
    assert len(read_hub(str(tmp_path), published="lsun_church")) == IMAGES
    with pytest.raises(
        DataError, match=r"several categories; choose one of bedroom, church_outdoor with dataset.reader.s"
    ):
        read_hub(str(tmp_path), published="lsun")
    with pytest.raises(DataError, match=r"split=train is not in .*; it has the split val\."):
        read_hub(str(tmp_path), published="lsun_bedroom")
    with pytest.raises(DataError, match=r"split=train is not in .*bedroom_val_lmdb; it has the split val\."):
        read_hub(str(tmp_path / "bedroom_val_lmdb"), published="lsun")


def test_tars(tmp_path):
    first = {"a.png": encoded(1), "a.cls": b"3", "sub/b.x.PNG": encoded(2), "sub/b.cls": b"0\n", ".hidden.png": b""}
    write_tar(tmp_path / "set-train-000.tar", {**first, "notes.txt": b"no image"})
    write_tar(tmp_path / "set-train-001.tar", {"../../c.cls": b"1", "../../c.png": encoded(4)})
    write_tar(tmp_path / "set-train_unlabeled-000.tar", {"d.png": encoded(5)})
    raw = read_hub(str(tmp_path))
    assert values(pickle.loads(pickle.dumps(raw))) == [1, 2, 4]
    assert raw.labels is not None and raw.labels.tolist() == [3, 0, 1]
    unlabeled = read_hub(str(tmp_path), split="train_unlabeled", published="stl10")
    assert values(unlabeled) == [5] and unlabeled.labels is None
    with pytest.raises(DataError, match=r"split=test is not in .*; it has the splits train and train_unlabeled"):
        read_hub(str(tmp_path), split="test")
    write_tar(tmp_path / "folders" / "0.tar", {"a.png": encoded(7)})
    assert values(read_hub(str(tmp_path / "folders"))) == [7]


def test_split_folders(tmp_path):
    """ImageNet and AFHQ: the classes are folders in the folder of a split."""
    for number, name in enumerate(("train/n01/a", "train/n02/a", "val/n02/a", "val/n02/b")):
        (tmp_path / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.png").write_bytes(encoded(number))
    raw = read_hub(str(tmp_path), published="imagenet")
    assert values(raw) == [0, 1] and raw.classes == ["n01", "n02"] and raw.split == "train"
    assert values(read_hub(str(tmp_path), split="validation", published="imagenet")) == [2, 3]
    with pytest.raises(DataError, match=r"split=test is not in .*; it has the splits train and val\."):
        read_hub(str(tmp_path), split="test", published="imagenet")


def test_a_zip_file_of_stylegan_has_its_labels(tmp_path):
    names = [f"00000/img{number:08}.png" for number in range(3)]
    with zipfile.ZipFile(tmp_path / "afhq.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, encoded(number))
        archive.writestr("dataset.json", f'{{"labels": [["{names[0]}", 2], ["{names[1]}", 0], ["{names[2]}", 1]]}}')
    raw = read_hub(str(tmp_path / "afhq.zip"), published="afhq")
    assert raw.labels is not None and raw.labels.tolist() == [2, 0, 1] and values(raw) == [0, 1, 2]
    with pytest.raises(DataError, match=r"split=val is not in .*afhq.zip; it has the split train\."):
        read_hub(str(tmp_path / "afhq.zip"), split="val", published="afhq")
    cut(tmp_path / "afhq.zip", -30)
    with pytest.raises(DataError, match=r"afhq.zip is a damaged zip file"):
        read_hub(str(tmp_path / "afhq.zip"), published="afhq")


def test_the_folders_of_ffhq_are_not_classes(tmp_path):
    """A folder for each thousand images, named by the first of them."""
    for name in ("00000/00000", "00000/00999", "69000/69999"):
        (tmp_path / "images1024x1024" / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images1024x1024" / f"{name}.png").write_bytes(encoded(3))
    raw = read_image_folder(str(tmp_path))
    assert raw.labels is None and "are numbered parts of one list" in raw.unlabeled
    assert len(read_hub(str(tmp_path), published="ffhq")) == 3


# --- what is refused or reported


def cut(file: Path, end: int) -> None:
    file.write_bytes(file.read_bytes()[:end])


TRUNCATED: dict[str, tuple[Callable[[Path], object], str, list[int], str]] = {
    "svhn": (
        write_svhn,
        "train_32x32.mat",
        [0, 100, 4000, -1000, -1],
        "(truncated, damaged, or not a file of MATLAB|is truncated or not a file of SVHN: it has X)",
    ),
    "stl10": (
        lambda folder: write_stl10(folder / "stl10_binary"),
        "stl10_binary/train_X.bin",
        [0, -1],
        "truncated or d",
    ),
    "stl10 images": (
        lambda folder: write_stl10(folder / "stl10_binary"),
        "stl10_binary/train_X.bin",
        [-27648],
        "train_y.bin has 10 labels for 9 images: one of the two files is truncated",
    ),
    "cifar10": (
        lambda folder: write_cifar10(folder / "cifar-10-batches-py"),
        "cifar-10-batches-py/data_batch_3",
        [0, 60, 3000, -1],
        "truncated, damaged, or not a pickle",
    ),
    "cifar10 binary": (
        lambda folder: write_cifar10(folder / "cifar-10-batches-bin", binary=True),
        "cifar-10-batches-bin/data_batch_3.bin",
        [-1, 1],
        "truncated or damaged",
    ),
    "imagenet": (lambda folder: write_imagenet(folder / "x"), "x/val_data", [0, 100, -1], "not a pickle"),
    "imagenet archive": (
        lambda folder: write_imagenet(folder / "x", archives=True),
        "x/val_data.npz",
        [0, 100, -1],
        "not a NumPy archive",
    ),
    "lsun": (
        lambda folder: write_lsun(folder / "bedroom_train_lmdb"),
        "bedroom_train_lmdb/data.mdb",
        [0, 10, 4096, 10_000, 36_864, -5000],
        "(truncated or damaged|cannot be read)",
    ),
    "tars": (
        lambda folder: write_tar(folder / "train-0.tar", {"a.png": encoded(1), "b.png": encoded(2)}),
        "train-0.tar",
        [0, 300, 600, 1024, 1100, 2048],
        "truncated or damaged",
    ),
    "celeba": (
        lambda folder: write_celeba(folder / "celeba"),
        "celeba/list_eval_partition.txt",
        [20, -1 - len("000004.jpg 2")],
        "(truncated or damaged|one is incomplete, since 000004.jpg is not in list_eval_partition.txt)",
    ),
}
"""Writer, file, where it is cut, and the message."""


@pytest.mark.parametrize("case", TRUNCATED)
def test_truncated_files_are_refused_in_one_sentence(case, tmp_path):
    write, name, ends, message = TRUNCATED[case]
    name_of_set = None if case == "tars" else case.partition(" ")[0]
    write(tmp_path)
    complete = (tmp_path / name).read_bytes()
    source = tmp_path / "x" if name_of_set == "imagenet" else tmp_path
    split = "validation" if name_of_set == "imagenet" else "train"
    for end in ends:
        (tmp_path / name).write_bytes(complete[:end])
        with pytest.raises(DataError, match=message) as caught:
            read_hub(str(source), split=split, published=name_of_set)
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value), str(caught.value)
        assert str(caught.value).count(". ") == 0 and str(caught.value).endswith("."), str(caught.value)


def test_damaged_databases_are_refused(tmp_path):
    """Bytes of the descriptions, the root and a leaf set to 255: no other error, and no endless loop."""
    file = write_lsun(tmp_path / "bedroom_train_lmdb")
    complete = file.read_bytes()
    for place in [*range(8, 160, 3), *range(4104, 4256, 3), *range(8192, 8300, 5), *range(20480, 20600, 7)]:
        file.write_bytes(complete[:place] + b"\xff" + complete[place + 1 :])
        try:
            raw = read_hub(str(tmp_path), published="lsun")
        except DataError as error:
            assert str(file) in str(error)
        else:
            assert len(raw) in (IMAGES, 60)  # an older number of the newer description leaves the older one


def count_one_more(content: bytearray) -> None:
    content[120] = content[4096 + 120] = IMAGES + 1  # in both descriptions


def enlarge_a_value(content: bytearray) -> None:
    for found in re.finditer(b"P5 4 4 255\n\x77", content):  # also in a page that is not used any more
        content[found.start() - 40 - 6] = 255  # in the size, before the key


def make_a_circle(content: bytearray) -> None:
    root = 4096 * max(struct.unpack_from("<Q", content, place)[0] for place in (128, 4096 + 128))
    (entry,) = struct.unpack_from("<H", content, root + 16)
    struct.pack_into("<H", content, root + entry, root // 4096)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (count_one_more, "it announces 121 entries and has 120"),
        (enlarge_a_value, "a value lies behind its end"),
        (make_a_circle, "its pages refer to each other in a circle"),
    ],
)
def test_wrong_numbers_in_a_database_are_refused(tmp_path, change, message):
    file = write_lsun(tmp_path / "bedroom_train_lmdb")
    content = bytearray(file.read_bytes())
    change(content)
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_hub(str(tmp_path), published="lsun")


class Run:
    """An object whose pickle runs code."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    write_cifar10(tmp_path / "set")
    for protocol in (2, 4):
        (tmp_path / "set" / "data_batch_1").write_bytes(pickle.dumps({"data": Run(tmp_path / "ran")}, protocol))
        with pytest.raises(
            DataError, match=r"asks for posix.mkdir, which such files do not contain; no code of the file was"
        ):
            read_hub(str(tmp_path / "set"), published="cifar10")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "is not a batch of images"),
        ({"data": np.zeros((2, 3072), dtype=np.uint8)}, "is not a batch of images"),
        ({"data": np.zeros((2, 3072)), "labels": [0, 1]}, "is not a batch of images"),
        ({"data": np.zeros((2, 3000), dtype=np.uint8), "labels": [0, 1]}, "no square images"),
        ({"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [0]}, "has 2 images and 1 labels"),
        ({"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [0, 10]}, "labels that are not from 0 to 9"),
        ({"data": np.array([None]), "labels": [0]}, "not a pickle"),
    ],
)
def test_other_pickles_are_refused(tmp_path, content, message):
    write_cifar10(tmp_path / "set")
    (tmp_path / "set" / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=f"data_batch_1 .*{message}"):
        read_hub(str(tmp_path / "set"), published="cifar10")


def test_wrong_files_are_refused(tmp_path):
    write_svhn(tmp_path)
    with pytest.raises(DataError, match=r"has files of SVHN, and not the files of STL-10; give another dataset"):
        read_hub(str(tmp_path), split="unlabeled", published="stl10")
    with pytest.raises(DataError, match=r"split=extra is not in .*; it has the split train\."):
        read_hub(str(tmp_path), split="extra", published="svhn")
    with pytest.raises(DataError, match=r"label=digit is not possible with the files in"):
        read_hub(str(tmp_path), label="digit", published="svhn")
    with pytest.raises(DataError, match=r"image=left names a column"):
        read_hub(str(tmp_path), image="left", published="svhn")
    with pytest.raises(ConfigError, match=r"dataset.reader.published=svnh is not known: did you mean svhn"):
        read_hub(str(tmp_path), published="svnh")
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((4, 4)), "z": [[1]]})
    with pytest.raises(
        DataError, match=r"is truncated or not a file of SVHN: it has X of shape \(4, 4\), z of shape \(1, 1\), where"
    ):
        read_hub(str(tmp_path), published="svhn")
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [[1], [11]]})
    with pytest.raises(DataError, match=r"labels that are not from 1 to 10"):
        read_hub(str(tmp_path), published="svhn")


def test_tars_with_missing_or_wrong_labels_are_refused(tmp_path):
    write_tar(tmp_path / "0.tar", {"a.png": encoded(1), "a.cls": b"1", "b.png": encoded(2)})
    with pytest.raises(DataError, match=r"has 1 of 2 images without a file .cls"):
        read_hub(str(tmp_path))
    write_tar(tmp_path / "0.tar", {"a.png": encoded(1), "a.cls": b"cat"})
    with pytest.raises(DataError, match=r"a label in a file .cls that is not a whole number"):
        read_hub(str(tmp_path))
    write_tar(tmp_path / "0.tar", {"a.png": encoded(1), "a.cls": b"1" * 30})
    with pytest.raises(DataError, match=r"a file .cls has 30 bytes, and not a number"):
        read_hub(str(tmp_path))
    write_tar(tmp_path / "0.tar", {"a.txt": b""})
    with pytest.raises(DataError, match=r"0.tar and the other tar files of the split train contain no images"):
        read_hub(str(tmp_path))


def test_another_number_of_images_is_reported(tmp_path, caplog):
    write_svhn(tmp_path, "test", 3)
    with caplog.at_level(logging.WARNING):
        read_hub(str(tmp_path), split="test", published="svhn")
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path} has 3 images in its split test, and SVHN has 26,032: a part may be missing."
    )
    caplog.clear()
    read_hub(str(tmp_path), split="test")
    assert not caplog.records


def test_expected_numbers():
    assert expected_images("svhn", "train+extra") == {604_388}
    assert expected_images("lsun_bedroom", "train") == {287_968, 3_033_042}
    assert expected_images("svhn", "train[:100]") == expected_images("lsun", "train") == set()
    assert all(len(known.classes) in (0, 10) for known in PUBLISHED.values())


def test_idx_files_in_the_folder_of_torchvision(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, *[0, 0, 0, 2] * 3]) + bytes(range(8)))
    (folder / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 0]))
    raw = read_hub(str(tmp_path), published="mnist")
    assert values(raw) == [0, 4] and raw.labels is not None and raw.labels.tolist() == [7, 0]
    assert raw.classes == list("0123456789")


def test_every_published_set_has_a_config_and_a_row_in_the_guide():
    root = Path(__file__).parents[2]
    configs = "".join(file.read_text() for file in (root / "conf" / "dataset").glob("*.yaml"))
    rows = [row for row in (root / "docs/guide/data-sets.md").read_text().splitlines() if row.count("|") == 7]
    for name, known in PUBLISHED.items():
        assert f"published: {name} " in configs, name
        (row,) = [row for row in rows if row.startswith((f"| `{name}`", f"| `{name}32`"))]
        for count in {count for counts in known.images.values() for count in counts} - {30_000}:
            assert f"{count:,}" in row, (name, count)
