"""Real samples for evaluations, and fingerprints of data sets."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_lab.data.content import fingerprint
from gan_lab.data.decode import Decoder, to_tensor
from gan_lab.data.digits import read_digits
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.mixture_data import MixtureData
from gan_lab.data.mixtures import grid, ring
from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.data.stacked import StackedData
from gan_lab.errors import DataError

DECODER = Decoder(3, 8)


def pixels(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)


def raw(
    images: np.ndarray | None = None, labels: tuple[int, ...] | None = (0, 1, 2, 0, 1, 2), name="here"
) -> RawImages:
    images = pixels() if images is None else images
    return RawImages(images, NumberedNames(name, len(images)), None if labels is None else torch.tensor(labels))


def image_data(**changes) -> ImageData:
    options = {"source": "here", "reader": lambda source: raw(), "resolution": 8, "channels": 1, "num_classes": 3}
    return ImageData(**{**options, "batch_size": 2, **changes})


def folder_data(folder: Path, **changes) -> ImageData:
    options = {"source": str(folder), "reader": read_image_folder, "num_classes": None, "channels": 3}
    return image_data(**{**options, **changes})


def stacked_data(**changes) -> StackedData:
    options = {"source": "scikit-learn", "reader": read_digits, "resolution": 8, "batch_size": 60, "fit": "stretch"}
    return StackedData(**{**options, **changes})


def joined(data, count: int | None = None, batch_size: int = 4) -> tuple[Tensor, Tensor | None]:
    """All of `reals`, concatenated, after a check of the chunk sizes."""
    chunks = list(data.reals(count, batch_size))
    assert all(0 < len(images) <= batch_size for images, _ in chunks)
    labels = [label for _, label in chunks if label is not None]
    return torch.cat([images for images, _ in chunks]), torch.cat(labels) if labels else None


# --- fingerprint


def test_fingerprint_depends_on_pixels_labels_order_and_decoder() -> None:
    changed = pixels()
    changed[3, 7, 7] ^= 1
    wide = np.ascontiguousarray(pixels().reshape(6, 4, 16))
    prints = {
        "same": fingerprint(raw(), DECODER),
        "pixel": fingerprint(raw(changed), DECODER),
        "shape": fingerprint(raw(wide), DECODER),
        "order": fingerprint(raw(pixels()[::-1]), DECODER),
        "label": fingerprint(raw(labels=(0, 1, 2, 0, 1, 1)), DECODER),
        "no labels": fingerprint(raw(labels=None), DECODER),
        "one less": fingerprint(raw(pixels()[:5], (0, 1, 2, 0, 1)), DECODER),
    } | {
        name: fingerprint(raw(), replace(DECODER, **{name: value}))
        for name, value in {"channels": 1, "resolution": 4, "fit": "pad", "background": 0, "min_resolution": 1}.items()
    }
    assert len(set(prints.values())) == len(prints)
    assert len(prints["same"]) == 24 and int(prints["same"], 16) >= 0
    assert prints["same"] == fingerprint(raw(name="elsewhere"), Decoder(3, 8))


def test_fingerprint_depends_on_the_boundaries_of_items() -> None:
    """Two sets with the same concatenated bytes."""
    one, other = RawImages([b"ab", b"c"], ["", ""]), RawImages([b"a", b"bc"], ["", ""])
    assert fingerprint(one, DECODER) != fingerprint(other, DECODER)


def test_a_copied_or_zipped_set_has_the_same_fingerprint(make_folder, tmp_path: Path) -> None:
    folder = make_folder(4)
    copied = tmp_path / "elsewhere"
    shutil.copytree(folder, copied)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"wrapped/{file.name}")
    prints = {folder_data(path).fingerprint() for path in (folder, copied, tmp_path / "images.zip")}
    assert len(prints) == 1
    (copied / "002.png").write_bytes((copied / "002.png").read_bytes() + b"\0")
    assert folder_data(copied).fingerprint() not in prints


def test_fingerprints_of_data_modules() -> None:
    """They depend on the source, and not on how the run uses it."""
    same = {image_data(**change).fingerprint() for change in ({}, {"flip": True}, {"seed": 4}, {"batch_size": 3})}
    same |= {image_data(cache=mode).fingerprint() for mode in ("memory", "none")}
    assert same == {fingerprint(raw(), Decoder(1, 8))}
    assert image_data(max_images=3, seed=1).fingerprint() not in same | {image_data(max_images=3).fingerprint()}
    assert stacked_data().fingerprint() == stacked_data(seed=5, batch_size=3).fingerprint()
    assert stacked_data().fingerprint() != stacked_data(resolution=16).fingerprint()
    digits = image_data(source="scikit-learn", reader=read_digits, num_classes=10, fit="stretch", background=0)
    assert stacked_data().fingerprint() != digits.fingerprint()
    mixtures = {
        MixtureData(mixture, 8, seed).fingerprint() for mixture in (ring(), ring(std=0.1), grid()) for seed in (0, 1)
    }
    assert len(mixtures) == 3


def test_unreadable_items_have_a_stable_fingerprint(make_folder) -> None:
    folder = make_folder(4)
    complete = folder_data(folder).fingerprint()
    (folder / "001.png").unlink()
    (folder / "001.png").symlink_to("nowhere")
    broken = folder_data(folder, on_error="skip")
    assert broken.fingerprint() == folder_data(folder, on_error="skip").fingerprint() != complete
    assert len(joined(broken)[0]) == 3


# --- reals of images


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_all_images_in_their_order(cache: str, batch_size: int) -> None:
    data = image_data(cache=cache, flip=True, seed=3)
    images, labels = joined(data, None, batch_size)
    expected = torch.stack([to_tensor(raw().load(k), 1, 8) for k in range(6)])
    assert images.dtype == torch.float32 and torch.equal(images, expected / 127.5 - 1)
    assert labels is not None and labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert joined(image_data(cache=cache, num_classes=None))[1] is None
    assert torch.equal(joined(data, None, batch_size)[0], images)  # again


def test_a_subset_depends_only_on_the_count() -> None:
    options = {"source": "scikit-learn", "reader": read_digits, "num_classes": 10, "fit": "stretch", "cache": "memory"}
    images, labels = joined(image_data(**options), 50, 16)
    for change in ({"seed": 7}, {"batch_size": 5}, {"flip": True}, {"cache": "none"}, {"num_classes": 10}):
        others, other_labels = joined(image_data(**{**options, **change}), 50, 7)
        assert torch.equal(others, images) and torch.equal(other_labels, labels), change
    assert torch.equal(joined(image_data(**options), 20)[0], images[:20])
    everything, every_label = joined(image_data(**options), None, 512)
    known = {tuple(image.flatten().tolist()): int(label) for image, label in zip(everything, every_label, strict=True)}
    assert [known[tuple(image.flatten().tolist())] for image in images] == labels.tolist()
    assert not torch.equal(images, everything[:50])
    assert len({tuple(image.flatten().tolist()) for image in images}) == 50


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_unreadable_images_are_skipped(cache: str, make_folder) -> None:
    folder = make_folder(9)
    complete = folder_data(folder, cache="memory")
    kept = [k for k in range(9) if k not in (2, 5)]
    everything = joined(complete)[0]
    order = [next(k for k in range(9) if torch.equal(image, everything[k])) for image in joined(complete, 9)[0]]
    for k in (2, 5):
        (folder / f"{k:03d}.png").write_bytes(b"")
    data = folder_data(folder, cache=cache, on_error="skip")
    for batch_size in (1, 4):  # chunks without a readable image are dropped
        assert torch.equal(joined(data, None, batch_size)[0], everything[kept])
        for count in (3, 7):  # the readable ones, in the same order
            assert torch.equal(joined(data, count, batch_size)[0], everything[[k for k in order if k in kept][:count]])
    for count in (8, 9):
        with pytest.raises(DataError, match=rf"evaluation.real_images={count}\b.*\b7 images|Only 7 images .*={count};"):
            list(data.reals(count, 4))
    with pytest.raises(DataError, match=r"00[25]\.png cannot be read: the file is empty"):
        list(folder_data(folder, cache=cache).reals(9, 4))


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_labels_match_their_images_if_some_are_skipped(cache: str) -> None:
    items = [*pixels()[:2], b"", *pixels()[3:]]
    reader = lambda source: RawImages(items, NumberedNames("x", 6), torch.tensor([0, 1, 2, 0, 1, 2]))  # noqa: E731
    data = image_data(reader=reader, on_error="skip", cache=cache)
    assert joined(data)[1].tolist() == [0, 1, 0, 1, 2]
    images, labels = joined(data, 5)
    everything, every_label = joined(data)
    where = [next(k for k in range(5) if torch.equal(image, everything[k])) for image in images]
    assert sorted(where) == list(range(5)) and labels.tolist() == every_label[where].tolist()


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_set_without_readable_images(cache: str, make_folder) -> None:
    folder = make_folder(2)
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(
        DataError, match=r"None of the 2 images can be used|Only 0 images of .* can be read, fewer than one\.$"
    ):
        list(folder_data(folder, cache=cache, on_error="skip").reals(None, 1))


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_count_above_the_size_is_an_error(cache: str) -> None:
    with pytest.raises(
        DataError, match=r"^evaluation.real_images=7, but here has 6 images; give .*, or null for all of them\.$"
    ):
        list(image_data(cache=cache).reals(7, 4))
    assert len(joined(image_data(cache=cache), 6)[0]) == 6


# --- unlimited sets


@pytest.mark.parametrize("make", [stacked_data, lambda **changes: MixtureData(ring(), **{"batch_size": 8, **changes})])
def test_unlimited_sets_yield_the_requested_count(make) -> None:
    with pytest.raises(DataError, match=r"^evaluation.real_images=null .* unlimited; give a number\.$"):
        list(make().reals(None, 4))
    samples, labels = joined(make(), 30, 7)
    assert len(samples) == len(labels) == 30 and samples.dtype == torch.float32 and labels.dtype == torch.int64
    for change in ({"seed": 5}, {"batch_size": 3}):
        others, other_labels = joined(make(**change), 30, 30)
        assert torch.equal(others, samples) and torch.equal(other_labels, labels)


def test_labels_of_stacked_digits() -> None:
    everything, digits = joined(
        image_data(source="scikit-learn", reader=read_digits, num_classes=10, fit="stretch", background=0), None, 512
    )
    known = {tuple(image.flatten().tolist()): int(digit) for image, digit in zip(everything, digits, strict=True)}
    for image, label in zip(*joined(stacked_data(), 20), strict=True):
        red, green, blue = (known[tuple(channel.flatten().tolist())] for channel in image)
        assert label == red + 10 * green + 100 * blue


def test_only_the_images_that_are_needed_are_decoded(monkeypatch) -> None:
    """Commands often compare with some images of a large set; the chosen ones are those of the decoded set."""
    decoded = []
    original = Decoder.__call__
    monkeypatch.setattr(Decoder, "__call__", lambda self, *image: decoded.append(image) or original(self, *image))
    images, labels = joined(image_data(), count=4)
    assert len(decoded) == 4
    data = image_data()
    data.train_dataloader()  # which decodes all
    assert all(map(torch.equal, joined(data, count=4), (images, labels)))
