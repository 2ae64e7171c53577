"""A prepared pyramid: its pixels, interrupted writing, and the data module that reads it."""

import json
import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.data import prepare as writing
from gan_lab.data.decode import Decoder
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.prepare import prepare
from gan_lab.data.prepared_data import PreparedData
from gan_lab.data.pyramid import Level, Pyramid, read_description, read_prepared, sides_from, smaller_images
from gan_lab.errors import DataError

COUNT = 37
SIDE = 16


def noise_file(path: Path, seed: int, side: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of two classes that must be cut and scaled."""
    for number in range(COUNT):
        noise_file(tmp_path / "photos" / ("cats" if number % 3 else "dogs") / f"{number:02d}.png", number)
    return tmp_path / "photos"


def made(photos: Path, folder: Path, **settings) -> Pyramid:
    decoder = Decoder(settings.pop("channels", 3), settings.pop("resolution", SIDE))
    sides = settings.pop("sides", sides_from(decoder.resolution))
    return prepare(read_image_folder(str(photos)), decoder, sides, folder, str(photos), **settings)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(writing, "_LARGEST_BLOCK", 8)
    return 8


def from_files(photos: Path, **settings) -> ImageData:
    return ImageData(str(photos), read_image_folder, **{**defaults(), **settings})


def from_arrays(folder: Path, **settings) -> PreparedData:
    return PreparedData(str(folder), **{**defaults(), **settings})


def defaults() -> dict:
    return {"resolution": SIDE, "channels": 3, "num_classes": 2, "batch_size": 8, "seed": 5}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_sides_are_halves_down_to_four() -> None:
    assert sides_from(64) == [4, 8, 16, 32, 64]
    assert sides_from(96) == [6, 12, 24, 48, 96]
    assert sides_from(28) == [7, 14, 28]
    assert sides_from(4) == [4]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_levels_are_means_of_the_full_image_rounded_once(channels: int) -> None:
    """Against NumPy's mean in float64 of all pixels below each one; rounding level by level would differ."""
    image = torch.randint(0, 256, (channels, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    levels = smaller_images(image, [4, 8, 32, 64])
    assert list(sorted(levels)) == [4, 8, 32, 64] and torch.equal(levels[64], image)
    for side, level in levels.items():
        blocks = image.numpy().astype(np.float64).reshape(channels, side, 64 // side, side, 64 // side)
        assert level.dtype == torch.uint8 and np.array_equal(level.numpy(), np.rint(blocks.mean((2, 4))))


def test_the_arrays_have_what_the_decoder_makes(photos: Path, tmp_path: Path) -> None:
    pyramid = made(photos, tmp_path / "out", sides=[4, 16])
    assert pyramid == read_description(str(tmp_path / "out"))
    assert (pyramid.count, pyramid.resolutions, pyramid.classes) == (COUNT, [4, 16], ["cats", "dogs"])
    raw, decoder = read_image_folder(str(photos)), Decoder(3, SIDE)
    full, small = (np.load(tmp_path / "out" / f"{side}.npy") for side in (16, 4))
    for position in range(COUNT):
        image = decoder(raw, position)
        assert np.array_equal(full[position], image)
        assert np.array_equal(small[position], smaller_images(image, [4])[4])
    prepared = read_prepared(str(tmp_path / "out"), 4, 3)
    assert torch.equal(prepared.labels, raw.labels) and prepared.names == list(raw.names)
    assert sorted(contents(tmp_path / "out")) == ["16.npy", "4.npy", "labels.npy", "names.json", "pyramid.json"]


def made_until(last: int, photos: Path, folder: Path) -> None:
    """Dies without warning as it comes to image `last`; blocks of eight images."""
    decode = writing._made

    def dies(raw, position, *rest):
        if position == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(raw, position, *rest)

    writing._LARGEST_BLOCK, writing._made = 8, dies
    made(photos, folder)


def test_a_killed_run_goes_on_where_it_stopped(photos: Path, tmp_path: Path, small_blocks: int, monkeypatch) -> None:
    whole, out, left = tmp_path / "whole", tmp_path / "out", tmp_path / "out.unfinished"
    made(photos, whole)
    decode, noted = writing._made, []

    def notes(raw, position, *rest):
        noted.append(position)
        return decode(raw, position, *rest)

    child = multiprocessing.get_context("spawn").Process(target=made_until, args=(29, photos, out))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not out.exists()  # what is not whole has another name
    assert json.loads((left / "progress.json").read_text())["done"] == 24
    with (left / "8.npy").open("ab") as file:
        file.write(b"half a block")  # written, but not recorded
    with pytest.raises(DataError, match=r"out.unfinished was begun with another source or other settings: delete it"):
        made(photos, out, sides=[8])
    monkeypatch.setattr(writing, "_made", notes)
    made(photos, out)
    assert sorted(noted) == list(range(24, COUNT))
    assert not left.exists() and contents(out) == contents(whole)


def test_a_finished_set_is_not_made_again_and_no_other_is_mixed_in(photos: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out"
    first = made(photos, out)
    before = contents(out)
    monkeypatch.setattr(writing, "_made", None)  # would fail at the first image
    assert made(photos, out) == first and contents(out) == before
    other = r"out=.*out holds a data set of another source or other settings: delete it, or give another name\."
    for change in ({"sides": [8]}, {"channels": 1}, {"resolution": 8}):
        with pytest.raises(DataError, match=other):
            made(photos, out, **change)
    noise_file(photos / "cats" / "01.png", seed=1001)
    with pytest.raises(DataError, match=other):
        made(photos, out)
    with pytest.raises(DataError, match="photos is there already and is no prepared data set: give another name"):
        made(photos, photos)
    assert contents(out) == before


def test_images_that_cannot_be_read(photos: Path, tmp_path: Path, small_blocks: int) -> None:
    (photos / "cats" / "07.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cats/07\.png cannot be read"):
        made(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pyramid = made(photos, tmp_path / "out", on_error="skip")  # goes on in the folder of the run that stopped
    ((row, name),) = pyramid.skipped.items()
    assert name.endswith("cats/07.png") and read_description(str(tmp_path / "out")) == pyramid
    prepared = read_prepared(str(tmp_path / "out"), SIDE, 3)
    raw = read_image_folder(str(photos))
    assert len(prepared) == COUNT - 1 and name not in [prepared.name(k) for k in range(COUNT - 1)]
    files = from_files(photos, on_error="skip", cache="memory")
    for cache in ("memory", "none"):
        arrays = from_arrays(tmp_path / "out", cache=cache)
        assert torch.equal(arrays.real_batch(5), from_arrays(tmp_path / "out").real_batch(5))
        ours, theirs = (torch.cat([images for images, _ in data.named(10)]) for data in (arrays, files))
        assert torch.equal(ours, theirs) and len(ours) == COUNT - 1
        assert next(iter(arrays.train_dataloader()))["image"].shape == (8, 3, SIDE, SIDE)
    assert raw.name(row) == name
    for file in photos.rglob("*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"None of the 37 images of .*photos can be used"):
        made(photos, tmp_path / "none", on_error="skip")


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("settings", [{}, {"max_images": 20, "flip": True}, {"num_classes": None}], ids=str)
def test_it_is_the_data_set_that_it_was_prepared_from(photos, tmp_path, cache: str, settings: dict) -> None:
    """Pixels, labels, order, flips, subset and names."""
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
    full, half = (from_arrays(tmp_path / "out", resolution=side).real_batch(9) for side in (SIDE, SIDE // 2))
    assert half.shape == (9, 3, 8, 8)
    difference = (torch.nn.functional.avg_pool2d(full, 2) - half).abs().max()
    assert 0 < difference <= 1 / 255 + 1e-6  # half a grey level


def test_excluded_images_are_left_out(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    names = read_image_folder(str(photos)).names
    (tmp_path / "some.csv").write_text(f"dropped\n{names[3]}\n{names[30]}\n")
    arrays = from_arrays(tmp_path / "out", exclude=str(tmp_path / "some.csv"))
    files = from_files(photos, exclude=str(tmp_path / "some.csv"))
    assert arrays.size == COUNT - 2 and torch.equal(arrays.real_batch(35), files.real_batch(35))


def test_fingerprint_follows_what_is_read(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    words = [{}, {"resolution": 8}, {"max_images": 20}, {"max_images": 20, "seed": 6}]
    found = [from_arrays(tmp_path / "out", **each).fingerprint() for each in words]
    assert len(set(found)) == len(words)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert from_arrays(tmp_path / "moved").fingerprint() == found[0]
    noise_file(photos / "cats" / "01.png", seed=1001)
    made(photos, tmp_path / "out")
    assert from_arrays(tmp_path / "out").fingerprint() != found[0]


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("changing", [False, True])
def test_batches_come_at_the_side_that_is_due(photos: Path, tmp_path: Path, cache: str, changing: bool) -> None:
    """In all epochs, of the same images as those of full size; a side that is not there is the next larger."""
    made(photos, tmp_path / "out", sides=[4, 16])

    def due(images_seen: int) -> int:
        return 4 if images_seen < 16 else 8 if images_seen < 48 else 16

    def build(grow: bool) -> PreparedData:
        data = from_arrays(tmp_path / "out", cache=cache, max_images=30)
        data.resolutions = due if grow else None
        data.batch_sizes = (lambda seen: 8 if seen < 16 else 4) if changing else None
        return data

    small, full, seen, sides = build(True).train_dataloader(), build(False).train_dataloader(), 0, []
    for epoch in range(3):
        small.sampler.set_epoch(epoch), full.sampler.set_epoch(epoch)
        for a, b in zip(small, full, strict=True):
            side = a["image"].shape[-1]
            assert side == {4: 4, 8: 16, 16: 16}[due(seen)] and b["image"].shape[-1] == 16
            assert torch.equal(a["index"], b["index"]) and torch.equal(a["label"], b["label"])
            wanted = torch.stack([smaller_images(image, [side])[side] for image in b["image"]])
            assert torch.equal(a["image"], wanted)
            seen += len(a["index"])
            sides.append(side)
    assert sides[:2] == [4, 4] and set(sides[2:]) == {16} and seen >= 72

    again = build(True).train_dataloader()
    again.load_state_dict({"epoch": 0, "batches": 1})
    assert [batch["image"].shape[-1] for batch in again] == sides[1 : 5 if changing else 3]


def test_refusals(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out", sides=[4, 16])
    for settings, sentence in {
        "resolution=8": "dataset.resolution=8 is not in .*out: choose one of 4, 16, or prepare it anew",
        "channels=1": "dataset.channels=1, but .*out was prepared with 3; give dataset.channels=3",
        "num_classes=5": "dataset.num_classes=5, but .*out has 2 classes; give dataset.num_classes=2",
    }.items():
        name, value = settings.split("=")
        with pytest.raises(DataError, match=sentence):
            from_arrays(tmp_path / "out", **{name: int(value)}).setup()
    with pytest.raises(DataError, match=r"photos is no prepared data set, for it has no readable pyramid\.json"):
        from_arrays(photos).setup()
    (tmp_path / "out" / "16.npy").write_bytes((tmp_path / "out" / "16.npy").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"16\.npy is missing or damaged: delete .*out and prepare it anew"):
        from_arrays(tmp_path / "out").setup()


def test_a_level_survives_pickling(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "out")
    level = Level(tmp_path / "out", 8)
    packed = pickle.dumps(level)
    assert len(packed) < 1000 and np.array_equal(pickle.loads(packed)[3], level[3]) and level[3].shape == (8, 8, 3)
