"""Prepared pyramids: pixels, resume after an interruption, and the data module."""

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from gan_lab.config.messages import describe
from gan_lab.data.decode import Decoder
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.prepare import prepare
from gan_lab.data.prepared_data import PreparedData
from gan_lab.data.pyramid import Level, Pyramid, halved_resolutions, read_description, read_prepared, smaller_images
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

COUNT = 37
RESOLUTION = 16
BLOCK = {"largest_block": 8}


def noise_file(path: Path, seed: int, resolution: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (resolution, resolution + 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of two classes that must be cropped and scaled."""
    for number in range(COUNT):
        noise_file(tmp_path / "photos" / ("cats" if number % 3 else "dogs") / f"{number:02d}.png", number)
    return tmp_path / "photos"


def watched(photos: Path, act: Callable[[int], object]) -> RawImages:
    """The photos, with a call `act(position)` before each is decoded."""

    class Watched(RawImages):
        def load(self, position: int, least: int | None = None) -> Image.Image:
            act(position)
            return super().load(position, least)

    return Watched(**vars(read_image_folder(str(photos))))


def made(photos: Path, folder: Path, raw: RawImages | None = None, **settings) -> Pyramid:
    decoder = Decoder(settings.pop("channels", 3), settings.pop("resolution", RESOLUTION))
    resolutions = settings.pop("resolutions", halved_resolutions(decoder.resolution))
    return prepare(raw or read_image_folder(str(photos)), decoder, resolutions, folder, str(photos), **settings)


def from_files(photos: Path, **settings) -> ImageData:
    return ImageData(str(photos), read_image_folder, **{**defaults(), **settings})


def from_arrays(folder: Path, **settings) -> PreparedData:
    return PreparedData(str(folder), **{**defaults(), **settings})


def defaults() -> dict:
    return {"resolution": RESOLUTION, "channels": 3, "num_classes": 2, "batch_size": 8, "seed": 5}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_resolutions_are_halved_down_to_four() -> None:
    assert halved_resolutions(64) == [4, 8, 16, 32, 64]
    assert halved_resolutions(96) == [6, 12, 24, 48, 96]
    assert halved_resolutions(28) == [7, 14, 28]
    assert halved_resolutions(4) == [4]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_levels_are_means_of_the_full_image_rounded_once(channels: int) -> None:
    """Compared with NumPy's float64 mean of each block of pixels; rounding after each level would differ."""
    image = torch.randint(0, 256, (channels, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    levels = smaller_images(image, [4, 8, 32, 64])
    assert list(sorted(levels)) == [4, 8, 32, 64] and torch.equal(levels[64], image)
    for resolution, level in levels.items():
        blocks = (
            image.numpy()
            .astype(np.float64)
            .reshape(channels, resolution, 64 // resolution, resolution, 64 // resolution)
        )
        assert level.dtype == torch.uint8 and np.array_equal(level.numpy(), np.rint(blocks.mean((2, 4))))


def test_the_arrays_hold_the_decoded_images(photos: Path, tmp_path: Path) -> None:
    pyramid = made(photos, tmp_path / "out", resolutions=[4, 16])
    assert pyramid == read_description(str(tmp_path / "out"))
    assert (pyramid.count, pyramid.resolutions, pyramid.classes) == (COUNT, [4, 16], ["cats", "dogs"])
    raw, decoder = read_image_folder(str(photos)), Decoder(3, RESOLUTION)
    full, small = (np.load(tmp_path / "out" / f"{resolution}.npy") for resolution in (16, 4))
    for position in range(COUNT):
        image = decoder(raw, position)
        assert np.array_equal(full[position], image)
        assert np.array_equal(small[position], smaller_images(image, [4])[4])
    prepared = read_prepared(str(tmp_path / "out"), 4, 3)
    assert torch.equal(prepared.labels, raw.labels) and prepared.names == list(raw.names)
    assert sorted(contents(tmp_path / "out")) == ["16.npy", "4.npy", "labels.npy", "names.json", "pyramid.json"]


def made_until(last: int, photos: Path, folder: Path) -> None:
    """Prepare in blocks of eight images, and kill the process at image `last`."""

    def die_at(position: int) -> None:
        if position == last:
            os.kill(os.getpid(), signal.SIGKILL)

    made(photos, folder, watched(photos, die_at), **BLOCK)


def test_a_killed_call_resumes_where_it_stopped(photos: Path, tmp_path: Path) -> None:
    uninterrupted, out, left = tmp_path / "uninterrupted", tmp_path / "out", tmp_path / "out.unfinished"
    made(photos, uninterrupted, **BLOCK)
    child = multiprocessing.get_context("spawn").Process(target=made_until, args=(29, photos, out))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not out.exists()  # unfinished sets have another name
    assert json.loads((left / "progress.json").read_text())["done"] == 24
    with (left / "8.npy").open("ab") as file:
        file.write(b"half a block")  # written, but not recorded
    with pytest.raises(DataError, match=r"out.unfinished was started with another source or other settings; delete it"):
        made(photos, out, resolutions=[8])
    noted: list[int] = []
    made(photos, out, watched(photos, noted.append), **BLOCK)
    assert sorted(noted) == list(range(24, COUNT))
    assert not left.exists() and contents(out) == contents(uninterrupted)


def test_a_finished_set_is_neither_repeated_nor_overwritten(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = made(photos, out)
    before = contents(out)
    noted: list[int] = []
    assert made(photos, out, watched(photos, noted.append)) == first and contents(out) == before
    assert noted == []
    other = r"out=.*out contains a data set of another source or other settings: give another name\."
    for change in ({"resolutions": [8]}, {"channels": 1}, {"resolution": 8}):
        with pytest.raises(DataError, match=other):
            made(photos, out, **change)
    (photos / "dogs").rename(photos / "dragons")  # the same images and numbers of labels
    with pytest.raises(DataError, match=other):
        made(photos, out)
    (photos / "dragons").rename(photos / "dogs")
    noise_file(photos / "cats" / "01.png", seed=1001)
    with pytest.raises(DataError, match=other):
        made(photos, out)
    with pytest.raises(DataError, match="photos exists and is not a prepared data set; give another name"):
        made(photos, photos)
    assert contents(out) == before


def test_one_call_at_a_time_writes_a_set(photos: Path, tmp_path: Path) -> None:
    """Another one is refused, which the first, here in the middle of its images, does not notice."""
    out, refused = tmp_path / "sets" / "out", []

    def prepare_too(position: int) -> None:
        if position == COUNT // 2:
            with pytest.raises(DataError, match=r"out=.*out is being written by another process: wait until it has"):
                made(photos, out)
            refused.append(position)

    made(photos, out, watched(photos, prepare_too))
    assert refused and [file.name for file in out.parent.iterdir()] == ["out"]


def test_a_set_that_another_call_has_just_completed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first check and the lock: it is neither decoded again nor an error."""
    out, noted, complete = tmp_path / "out", [], []

    class Late(FileLock):
        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            if not complete:
                complete.append(True)
                made(photos, out)
            return super().acquire(*args, **kwargs)

    monkeypatch.setattr("gan_lab.data.prepare.FileLock", Late)
    assert made(photos, out, watched(photos, noted.append)).count == COUNT
    assert noted == [] and [file.name for file in tmp_path.glob("*out*")] == ["out"]


def test_unreadable_images(photos: Path, tmp_path: Path) -> None:
    (photos / "cats" / "07.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"cats/07\.png cannot be read: .*; dataset.on_error=skip leaves"):
        made(photos, tmp_path / "out", **BLOCK)
    assert not (tmp_path / "out").exists()
    pyramid = made(photos, tmp_path / "out", on_error="skip", **BLOCK)  # resumes in the folder of the failed call
    ((row, name),) = pyramid.skipped.items()
    assert name.endswith("cats/07.png") and read_description(str(tmp_path / "out")) == pyramid
    prepared = read_prepared(str(tmp_path / "out"), RESOLUTION, 3)
    raw = read_image_folder(str(photos))
    assert len(prepared) == COUNT - 1 and name not in [prepared.name(k) for k in range(COUNT - 1)]
    files = from_files(photos, on_error="skip", cache="memory")
    for cache in ("memory", "none"):
        arrays = from_arrays(tmp_path / "out", cache=cache)
        assert torch.equal(arrays.real_batch(5), from_arrays(tmp_path / "out").real_batch(5))
        ours, theirs = (torch.cat([images for images, _ in data.named(10)]) for data in (arrays, files))
        assert torch.equal(ours, theirs) and len(ours) == COUNT - 1
        assert next(iter(arrays.train_dataloader()))["image"].shape == (8, 3, RESOLUTION, RESOLUTION)
    assert raw.name(row) == name
    for file in photos.rglob("*.png"):
        file.write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"None of the 37 images of .*photos can be used"):
        made(photos, tmp_path / "none", on_error="skip")


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("settings", [{}, {"max_images": 20, "flip": True}, {"num_classes": None}], ids=str)
def test_it_equals_the_data_set_that_it_was_prepared_from(photos, tmp_path, cache: str, settings: dict) -> None:
    """Compares pixels, labels, order, flips, subset and names."""
    made(photos, tmp_path / "out")
    files, arrays = from_files(photos, **settings), from_arrays(tmp_path / "out", cache=cache, **settings)
    assert files.size == arrays.size and files.classes == arrays.classes
    one, two = files.train_dataloader(), arrays.train_dataloader()
    for epoch in range(2):
        one.sampler.set_epoch(epoch), two.sampler.set_epoch(epoch)
        for a, b in zip(one, two, strict=True):
            a, b = files.on_after_batch_transfer(a, 0), arrays.on_after_batch_transfer(b, 0)
            assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert torch.equal(files.real_batch(6), arrays.real_batch(6))
    for count in (None, 9):
        for (a, labels), (b, others) in zip(files.reals(count, 4), arrays.reals(count, 4), strict=True):
            assert torch.equal(a, b) and (labels is others is None or torch.equal(labels, others))
    for (a, names), (b, others) in zip(files.named(10), arrays.named(10), strict=True):
        assert torch.equal(a, b) and names == others


def test_another_resolution_has_averages(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    full, half = (
        from_arrays(tmp_path / "out", resolution=resolution).real_batch(9)
        for resolution in (RESOLUTION, RESOLUTION // 2)
    )
    assert half.shape == (9, 3, 8, 8)
    difference = (torch.nn.functional.avg_pool2d(full, 2) - half).abs().max()
    assert 0 < difference <= 1 / 255 + 1e-6  # half a gray level


def test_excluded_images_are_absent(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    names = read_image_folder(str(photos)).names
    (tmp_path / "some.csv").write_text(f"dropped\n{names[3]}\n{names[30]}\n")
    arrays = from_arrays(tmp_path / "out", exclude=str(tmp_path / "some.csv"))
    files = from_files(photos, exclude=str(tmp_path / "some.csv"))
    assert arrays.size == COUNT - 2 and torch.equal(arrays.real_batch(35), files.real_batch(35))


def test_fingerprint_depends_on_the_chosen_images_and_resolution(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    settings = [{}, {"resolution": 8}, {"max_images": 20}, {"max_images": 20, "seed": 6}]
    found = [from_arrays(tmp_path / "out", **each).fingerprint() for each in settings]
    assert len(set(found)) == len(settings)
    (tmp_path / "out").rename(tmp_path / "renamed")
    assert from_arrays(tmp_path / "renamed").fingerprint() == found[0]
    noise_file(photos / "cats" / "01.png", seed=1001)
    made(photos, tmp_path / "out")
    assert from_arrays(tmp_path / "out").fingerprint() != found[0]


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("changing", [False, True])
def test_batches_have_the_required_resolution(photos: Path, tmp_path: Path, cache: str, changing: bool) -> None:
    """In all epochs, of the images of the full resolution; instead of a missing resolution the next larger one."""
    made(photos, tmp_path / "out", resolutions=[4, 16])

    def required(images_seen: int) -> int:
        return 4 if images_seen < 16 else 8 if images_seen < 48 else 16

    def build(grow: bool) -> PreparedData:
        data = from_arrays(tmp_path / "out", cache=cache, max_images=30)
        data.resolutions = required if grow else None
        data.batch_sizes = (lambda seen: 8 if seen < 16 else 4) if changing else None
        return data

    small, full, seen, resolutions = build(True).train_dataloader(), build(False).train_dataloader(), 0, []
    for epoch in range(3):
        small.sampler.set_epoch(epoch), full.sampler.set_epoch(epoch)
        for a, b in zip(small, full, strict=True):
            resolution = a["image"].shape[-1]
            assert resolution == {4: 4, 8: 16, 16: 16}[required(seen)] and b["image"].shape[-1] == 16
            assert torch.equal(a["index"], b["index"]) and torch.equal(a["label"], b["label"])
            expected = torch.stack([smaller_images(image, [resolution])[resolution] for image in b["image"]])
            assert torch.equal(a["image"], expected)
            seen += len(a["index"])
            resolutions.append(resolution)
    assert resolutions[:2] == [4, 4] and set(resolutions[2:]) == {16} and seen >= 72

    again = build(True).train_dataloader()
    again.load_state_dict({"epoch": 0, "batches": 1})
    assert [batch["image"].shape[-1] for batch in again] == resolutions[1 : 5 if changing else 3]


def test_errors(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out", resolutions=[4, 16])
    for settings, message in {
        "resolution=8": "dataset.resolution=8 is not in .*out: choose one of 4, 16, or prepare it again",
        "channels=1": "dataset.channels=1, but .*out was prepared with 3; give dataset.channels=3",
        "num_classes=5": "dataset.num_classes=5, but .*out has 2 classes: .* give dataset.num_classes=2",
    }.items():
        name, value = settings.split("=")
        with pytest.raises(DataError, match=message):
            from_arrays(tmp_path / "out", **{name: int(value)}).setup()
    with pytest.raises(DataError, match=r"photos is not a prepared data set: it has no readable pyramid\.json"):
        from_arrays(photos).setup()
    (tmp_path / "out" / "16.npy").write_bytes((tmp_path / "out" / "16.npy").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"16\.npy is missing or damaged; delete .*out and prepare it again"):
        from_arrays(tmp_path / "out").setup()


def test_levels_can_be_pickled(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    level = Level(tmp_path / "out", 8)
    packed = pickle.dumps(level)
    assert len(packed) < 1000 and np.array_equal(pickle.loads(packed)[3], level[3]) and level[3].shape == (8, 8, 3)


DAMAGED = {
    "pyramid.json": [
        b"", b"[]", b"3", b"\xff", b"[" * 200_000, ("decoder", []), ("decoder", {}), ("decoder", {"channels": "x"}),
        ("resolutions", "x"), ("resolutions", [4, "x"]), ("resolutions", [-4]), ("count", "x"), ("count", -1),
        ("count", 1.5), ("classes", 3), ("classes", [1]), ("split", []), ("skipped", []), ("skipped", {"x": "a"}),
        ("skipped", {"99": "a"}), ("version", 2), ("version", "x"), ("content", None), ("foo", 1),
    ],
    "names.json": [b"", b"3", b"{}", b"[]", b"[1, 2]", b'["a"]', b"\xff", b"[" * 200_000, None],
    "labels.npy": [
        b"", b"x", np.zeros(3, np.int64), np.zeros((COUNT, 1), np.int64), np.zeros(COUNT), np.array(["a"] * COUNT),
        np.array([{}] * COUNT), np.int64(3), np.full(COUNT, 9), np.full(COUNT, -1),
    ],
    "16.npy": [b"", b"x", np.zeros((COUNT, 3, 16, 16)), np.zeros((3, 16, 16), np.uint8), np.array(["a"]), None],
}  # fmt: skip
"""Contents of a prepared folder that `gan-lab prepare` never writes: bytes, an entry, an array, or a pipe (None)."""


def test_a_damaged_set_is_refused(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "good")
    for name, contents in DAMAGED.items():
        for number, content in enumerate(contents):
            folder = tmp_path / f"{name}_{number}"
            shutil.copytree(tmp_path / "good", folder)
            damage(folder / name, content)
            with pytest.raises(DataError, match=r"damaged|not a prepared data set|does not match|must be between"):
                from_arrays(folder).setup()
                pytest.fail(f"{name}: {content!r:.60} is accepted")


def damage(file: Path, content: object) -> None:
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, tuple):
        file.write_text(json.dumps(json.loads(file.read_text()) | {content[0]: content[1]}))
    elif content is None:
        file.unlink()
        os.mkfifo(file)
    else:
        np.save(file, content, allow_pickle=True)


def test_a_damaged_record_of_progress_is_named(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.unfinished"
    folder.mkdir()
    for content in (b"", b"[]", b'{"pyramid": 3}', b"\xff"):
        (folder / "progress.json").write_bytes(content)
        with pytest.raises(DataError, match=r"progress.json is damaged; delete \S+out.unfinished\.$"):
            made(photos, tmp_path / "out")


def test_a_full_disk_names_the_folder_and_the_next_call_continues(photos: Path, tmp_path: Path, monkeypatch) -> None:
    left, sync = tmp_path / "out.unfinished", os.fsync

    def sync_until_full(file: int) -> None:
        progress = left / "progress.json"
        if progress.exists() and json.loads(progress.read_text())["done"] == 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with monkeypatch.context() as patch, pytest.raises(OSError) as full:
        patch.setattr(os, "fsync", sync_until_full)
        made(photos, tmp_path / "out", **BLOCK)
    assert describe(full.value, "prepare") == f"{left} cannot be written: No space left on device."

    decoded: list[int] = []
    assert made(photos, tmp_path / "out", watched(photos, decoded.append), **BLOCK).count == COUNT
    assert sorted(decoded) == list(range(16, COUNT))
