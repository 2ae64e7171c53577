"""Data sets for image-to-image translation: pairs, and two sets without pairs."""

import zipfile
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.data.domains import place_of
from gan_lab.data.hub import read_hub
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.paired_data import PairedData
from gan_lab.data.pairs import read_pairs
from gan_lab.data.sampler import CyclingSampler, EpochSampler
from gan_lab.data.summary import summary
from gan_lab.data.translation_data import TranslationData
from gan_lab.data.unpaired import read_unpaired
from gan_lab.data.unpaired_data import UnpairedData
from gan_lab.errors import ConfigError, DataError
from gan_lab.types import Batch

Files = Mapping[str, Image.Image]

COLORS = [(255, 0, 0), (0, 0, 255), (255, 255, 0)]


def plain(value: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, value if mode == "L" else (value,) * 3)


def side_by_side(left: int, right: int) -> Image.Image:
    image = plain(right, (16, 8))
    image.paste(plain(left), (0, 0))
    return image


def noise(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def palette(size: int = 9) -> Image.Image:
    """A label map with an edge between any neighbors."""
    image = Image.fromarray(np.indices((size, size)).sum(0).astype(np.uint8) % len(COLORS)).convert("P")
    image.putpalette([channel for color in COLORS for channel in color])
    return image


def write(folder: Path, files: Files) -> str:
    for name, image in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    return str(folder)


def pack(path: Path, files: Files) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in files.items():
            with archive.open(name, "w") as member:
                image.save(member, format="PNG")
    return str(path)


def values(raw) -> list[int]:
    """The first gray value of each image."""
    return [int(np.asarray(raw.load(position)).flat[0]) for position in range(len(raw))]


def paired(source: str, **options) -> PairedData:
    return PairedData(source, read_pairs, **{"direction": "AtoB", **SIZES, **options})


def unpaired(source: str, **options) -> UnpairedData:
    return UnpairedData(source, read_unpaired, **{"direction": "AtoB", **SIZES, **options})


SIZES = {"resolution": 8, "channels": 3, "source_channels": 3, "batch_size": 2}


def batches(data: TranslationData, epoch: int = 0, start: int = 0) -> list[Batch]:
    """The batches of an epoch as training gets them, after a resume if `start` is not 0."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    if start:
        loader.load_state_dict({"epoch": epoch, "batches": start})
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
        for a, b in zip(first, second, strict=True)
    )


# --- layouts of pairs

SPLITS = {
    "side by side": {
        **{f"train/{k}.png": side_by_side(k, 100 + k) for k in range(3)},
        "test/0.png": side_by_side(50, 150),
        "val/0.png": side_by_side(60, 160),
    },
    "splits in domains": {
        **{f"A/train/{k}.png": plain(k) for k in range(3)},
        **{f"B/train/{k}.bmp": plain(100 + k) for k in range(3)},  # other formats have the same name as well
        "A/test/0.png": plain(50),
        "B/test/0.png": plain(150),
    },
    "domains in splits": {
        **{f"set/train/A/x/{k}.png": plain(k) for k in range(3)},
        **{f"set/train/B/x/{k}.png": plain(100 + k) for k in range(3)},
        "set/test/A/0.png": plain(50),
        "set/test/B/0.png": plain(150),
    },
    "names": {
        **{f"trainA/{k}.png": plain(k) for k in range(3)},
        **{f"trainB/{k}.png": plain(100 + k) for k in range(3)},
        "testA/0.png": plain(50),
        "testB/0.png": plain(150),
    },
}


@pytest.mark.parametrize("layout", SPLITS)
@pytest.mark.parametrize("in_archive", [False, True], ids=["folder", "zip"])
def test_pairs_of_files(layout, in_archive, tmp_path):
    source = pack(tmp_path / "set.zip", SPLITS[layout]) if in_archive else write(tmp_path / "set", SPLITS[layout])
    raw = read_pairs(source)
    assert (values(raw.given()), values(raw), raw.split) == ([0, 1, 2], [100, 101, 102], "train")
    raw = read_pairs(source, direction="BtoA")
    assert (values(raw.given()), values(raw)) == ([100, 101, 102], [0, 1, 2])
    raw = read_pairs(source, "test").at(torch.tensor([0]))
    assert (values(raw.given()), values(raw)) == ([50], [150])
    assert [image.getpixel((7, 7)) for image in raw.load_pair(0)] == [(50,) * 3, (150,) * 3]


def test_without_folders_of_splits_all_pairs_are_for_training(tmp_path):
    for name, files in {
        "halves": {"1.png": side_by_side(1, 2)},
        "folders": {"a/1.png": plain(1), "b/1.png": plain(2)},
    }.items():
        source = write(tmp_path / name, files)
        raw = read_pairs(source)
        assert (values(raw.given()), values(raw)) == ([1], [2])
        with pytest.raises(DataError, match=r"split=test is not in .*; it has the split train\.$"):
            read_pairs(source, "test")


def table(folder: Path, declared: bool, split: str = "train", **columns: list[int | None]) -> str:
    """A parquet file with columns of images; `declared` as images, else structs."""
    png = {value: _png(value) for values in columns.values() for value in values if value is not None}
    rows = {
        name: [None if value is None else {"bytes": png[value], "path": f"{value}.png"} for value in values]
        for name, values in columns.items()
    }
    kind = datasets.Image() if declared else {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    features = datasets.Features(dict.fromkeys(columns, kind))
    file = folder / "data" / f"{split}-00000-of-00001.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(file))
    return str(folder)


def _png(value: int) -> bytes:
    stream = BytesIO()
    plain(value).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("declared", [True, False], ids=["images", "structs"])
def test_pairs_of_columns(declared, tmp_path):
    source = table(tmp_path / "set", declared, imageA=[1, 2], imageB=[101, 102])
    raw = read_pairs(source)
    assert (values(raw.given()), values(raw)) == ([1, 2], [101, 102])
    raw = read_pairs(source, direction="BtoA", columns=["imageB", "imageA"])
    assert (values(raw.given()), values(raw)) == ([1, 2], [101, 102])
    assert values(read_pairs(source, "train[50%:]")) == [102]  # held-out pairs of a set without a test split
    with pytest.raises(DataError, match=r"columns of images imageA, imageB .*columns=\[imageA,edges\] must name 2"):
        read_pairs(source, columns=["imageA", "edges"])
    with pytest.raises(DataError, match="is not in"):
        read_pairs(source, "test")
    with pytest.raises(DataError, match=r"dataset\.reader\.image=imageA, or give dataset=paired for pairs\.$"):
        read_hub(source)


def test_a_single_column_of_images_has_no_pairs(tmp_path):
    with pytest.raises(
        DataError, match=r"columns of images image in its split train, and 2 are needed: name them with"
    ):
        read_pairs(table(tmp_path, True, image=[1]))


def test_places_of_files():
    for name, place in {
        "1.png": (None, None, "1"),
        "edges2shoes/train/1_AB.jpg": ("train", None, "1_AB"),
        "Train_A/b/1.png": ("train", "A", "b/1"),
        "A/b/1.tar.png": (None, "A", "b/1.tar"),
        "validation/B/x.png": ("validation", "B", "x"),
    }.items():
        assert place_of(name) == place, name


# --- pairs in training and evaluation


def noise_pairs(folder: Path, count: int = 5, size: int = 16) -> str:
    """A is noise, and B its negative."""
    files = {}
    for number in range(count):
        first = noise(number, size)
        files[f"train/{number}.png"] = Image.fromarray(np.concatenate([first, 255 - first], 1))
    return write(folder, files)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_both_images_of_a_pair_get_the_same_jitter(cache, tmp_path):
    data = paired(noise_pairs(tmp_path), resolution=16, jitter=1.25, flip=True, cache=cache)
    epochs = [batches(data, epoch) for epoch in (0, 1)]
    for batch in epochs[0] + epochs[1]:
        assert batch["image"].shape == batch["source"].shape == (2, 3, 16, 16)
        assert batch["image"].dtype == torch.float32 and batch["image"].abs().max() <= 1
        torch.testing.assert_close(batch["image"], -batch["source"], atol=0.02, rtol=0)
    assert not same(*epochs)


def test_jitter_is_a_crop_of_the_enlarged_image_or_its_mirror(tmp_path):
    data = paired(noise_pairs(tmp_path, 8), resolution=16, jitter=1.25, flip=True, batch_size=8)
    (enlarged,) = batches(paired(noise_pairs(tmp_path, 8), resolution=20, batch_size=8))
    (batch,) = batches(data)
    large = dict(zip(enlarged["index"].tolist(), enlarged["image"], strict=True))
    offsets, mirrored = set(), set()
    for index, image in zip(batch["index"].tolist(), batch["image"], strict=True):
        found = _places(image, large[index])
        assert len(found) == 1
        offsets.add(found[0][:2])
        mirrored.add(found[0][2])
    assert len(offsets) > 3 and mirrored == {False, True}


def _places(image: torch.Tensor, large: torch.Tensor) -> list[tuple[int, int, bool]]:
    size, found = image.shape[-1], []
    for top in range(large.shape[1] - size + 1):
        for left in range(large.shape[2] - size + 1):
            crop = large[:, top : top + size, left : left + size]
            found += [
                (top, left, flip) for flip in (False, True) if torch.equal(image, crop.flip(-1) if flip else crop)
            ]
    return found


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_a_resumed_epoch_continues_with_the_same_images(kind, cache, tmp_path):
    files = {
        f"train{domain}/{k}.png": Image.fromarray(noise(10 * k)) for domain, n in (("A", 3), ("B", 7)) for k in range(n)
    }
    source = noise_pairs(tmp_path) if kind == "paired" else write(tmp_path, files)
    make = partial(paired if kind == "paired" else unpaired, source, jitter=1.5, flip=True)
    complete = batches(make(cache=cache), epoch=3)
    assert same(batches(make(cache="memory"), epoch=3, start=1), complete[1:])
    assert len(complete) == (2 if kind == "paired" else 3)
    assert not same(batches(make(cache=cache, seed=1), epoch=3), complete)


def test_evaluations_get_all_images_without_jitter(tmp_path):
    files = {f"train/{k}.png": side_by_side(k, 100 + k) for k in range(3)}
    files |= {f"val/{k}.png": side_by_side(50 + k, 150 + k) for k in range(4)}
    data = paired(write(tmp_path, files), jitter=1.5, flip=True)
    assert (data.held_out_size, data.held_out_split, data.has_pairs) == (4, "val", True)
    examples = data.examples(10)
    assert examples["image"].shape == examples["source"].shape == (4, 3, 8, 8)
    torch.testing.assert_close(examples["image"] - examples["source"], torch.full((4, 3, 8, 8), 100 / 127.5))
    halves = list(data.held_out_pairs(None, 3))
    assert [len(half["image"]) for half in halves] == [3, 1]
    assert torch.equal(torch.cat([half["source"] for half in halves]), examples["source"])
    assert torch.equal(data.examples(2)["image"], examples["image"][:2])
    reals = torch.cat([images for images, _ in data.reals(None, 2)])
    assert ((reals[:, 0, 0, 0] + 1) * 127.5).round().tolist() == [100, 101, 102]
    assert data.real_batch(3).shape == (3, 3, 8, 8)
    names = [name for _, called in data.named(2) for name in called]
    assert names == [f"{tmp_path}/train/{k}.png" for k in range(3)]
    assert data.summary() == (
        "B, to make: 3 images; 8x8 pixels, RGB; A, given: 3 images; 8x8 pixels, RGB; "
        "held out: 4 images of the split val"
    )
    with pytest.raises(DataError, match=r"^.* whose images cannot be prepared"):
        data.undecoded()
    training = paired(write(tmp_path, files), held_out=[])
    assert training.held_out_size == 3 and training.summary().endswith("no held-out images")


def test_content_depends_on_both_domains_and_the_direction(tmp_path):
    files = {"A/1.png": plain(1), "B/1.png": plain(2)}
    source = write(tmp_path / "set", files)
    hashes = {paired(source).content.hash, paired(source, direction="BtoA").content.hash}
    hashes |= {paired(write(tmp_path / "other", {**files, "A/1.png": plain(3)})).content.hash}
    assert len(hashes) == 3
    assert paired(write(tmp_path / "copy", files)).content == paired(source).content
    assert paired(source).fingerprint() != paired(source, direction="BtoA").fingerprint()


def test_channels_of_each_domain(tmp_path):
    files = {"A/1.png": plain(10, mode="L"), "B/1.png": Image.fromarray(noise(0)).convert("RGBA")}
    data = paired(write(tmp_path, files), batch_size=1, source_channels=1, channels=4)
    (batch,) = batches(data)
    assert batch["source"].shape == (1, 1, 8, 8) and batch["image"].shape == (1, 4, 8, 8)
    assert (data.spec.channels, data.spec.source_channels) == (4, 1)
    data = paired(write(tmp_path, files), batch_size=1, source_channels=4, channels=1, direction="BtoA")
    assert batches(data)[0]["source"].shape == (1, 4, 8, 8)


def colors(images: torch.Tensor) -> set[tuple[int, ...]]:
    pixels = ((images + 1) * 127.5).round().int().movedim(1, -1).reshape(-1, 3)
    return set(map(tuple, pixels.tolist()))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_colors_of_label_maps_are_never_mixed(fit, tmp_path):
    """Of palettes always, else on request; the photo of the pair is still interpolated."""
    photo = Image.fromarray(noise(0, 9))
    for label_map, options in ((palette(), {}), (palette().convert("RGB"), {"label_maps": ["A"]})):
        source = write(tmp_path, {"A/1.png": label_map, "B/1.png": photo})
        data = paired(source, batch_size=1, resolution=7, jitter=1.3, fit=fit, **options)
        found = colors(torch.cat([batches(data)[0]["source"], data.examples(1)["source"]]))
        assert found == set(COLORS)
        assert not colors(data.examples(1)["image"]) <= colors(
            torch.from_numpy(noise(0, 9)).movedim(2, 0)[None] / 127.5 - 1
        )
    mixed = paired(source, batch_size=1, resolution=7, fit=fit)
    assert len(colors(mixed.examples(1)["source"])) > len(COLORS)


def test_a_pair_that_cannot_be_used_is_skipped_as_a_whole(tmp_path):
    files = {f"{domain}/{k}.png": plain(k if domain == "A" else 100 + k) for domain in "AB" for k in range(4)}
    files["A/2.png"] = plain(2, (9, 8))
    source = write(tmp_path, files)
    (tmp_path / "B" / "1.png").write_bytes((tmp_path / "B" / "1.png").read_bytes()[:50])
    for cache in ("memory", "none"):
        data = paired(source, on_error="skip", cache=cache)
        images = torch.cat([batch["image"] - batch["source"] for batch in batches(data)])
        torch.testing.assert_close(images, torch.full_like(images, 100 / 127.5))
        assert len(data.examples(9)["image"]) == 2


# --- two sets


def test_sets_of_files_without_pairs(tmp_path):
    files = {f"trainA/x{k}.png": plain(k) for k in range(2)} | {f"trainB/y{k}.png": plain(100 + k) for k in range(5)}
    files |= {"testA/1.png": plain(50), "testB/2.png": plain(150), "testB/3.png": plain(151)}
    for source in (write(tmp_path / "set", files), pack(tmp_path / "set.zip", files)):
        raw = read_unpaired(source)
        assert (values(raw.given()), values(raw)) == ([0, 1], [100, 101, 102, 103, 104])
        raw = read_unpaired(source, direction="BtoA").at(torch.tensor([1]))
        assert (values(raw.given()), values(raw)) == ([100, 101, 102, 103, 104], [1])
    data = unpaired(source)
    assert (data.held_out_size, data.held_out_split, data.has_pairs) == (1, "test", False)
    assert {key: len(rows) for key, rows in data.examples(5).items()} == {"image": 1, "source": 1}
    with pytest.raises(DataError, match=r"two domains.*: give dataset=paired or dataset=unpaired, or give the folder"):
        read_image_folder(str(tmp_path / "set"))


def test_sets_of_columns_without_pairs(tmp_path):
    """Two columns of which the shorter ends early, splits with the names of the domains, or two configurations."""
    source = table(tmp_path / "columns", True, imageA=[1, None, 3], imageB=[101, 102, 103])
    raw = read_unpaired(source)
    assert (values(raw.given()), values(raw)) == ([1, 3], [101, 102, 103])
    table(tmp_path / "splits", True, "trainA", image=[1])
    raw = read_unpaired(table(tmp_path / "splits", True, "trainB", image=[101, 102]))
    assert (values(raw.given()), values(raw)) == ([1], [101, 102])
    table(tmp_path / "subsets" / "horse", True, image=[1])
    table(tmp_path / "subsets" / "zebra", True, image=[101, 102])
    raw = read_unpaired(str(tmp_path / "subsets"), subset=["horse", "zebra"])
    assert (values(raw.given()), values(raw)) == ([1], [101, 102])


@pytest.mark.parametrize("world", [1, 2])
def test_each_source_comes_once_before_any_comes_again(world):
    """In order of the images seen, over epochs and processes."""
    samplers = [CyclingSampler(5, EpochSampler(7, 4, 0, rank, world), seed=9) for rank in range(world)]
    seen = []
    for epoch in range(5):
        for sampler in samplers:
            sampler.first.set_epoch(epoch)
        for parts in zip(*(sampler.batches() for sampler in samplers), strict=True):
            seen += torch.stack(list(parts), 1).flatten().tolist()
    assert [sorted(seen[start : start + 5]) for start in range(0, 20, 5)] == [[0, 1, 2, 3, 4]] * 4
    assert seen[:5] != seen[5:10]
    assert [batch.tolist() for batch in samplers[0].batches(1)] == []


def test_unpaired_images_have_their_own_jitter(tmp_path):
    files = {f"train{domain}/{k}.png": Image.fromarray(noise(0)) for domain in "AB" for k in range(8)}
    (batch,) = batches(unpaired(write(tmp_path, files), jitter=2, batch_size=8))
    places = [
        [_places(image, large)[0][:2] for image in batch[key]]
        for large in [unpaired(str(tmp_path), resolution=16).examples(1)["image"][0]]
        for key in ("image", "source")
    ]
    assert places[0] != places[1]


# --- bad input

BAD: dict[str, tuple[Files, str]] = {
    "no partner": (
        {"A/1.png": plain(1), "A/2.png": plain(1), "A/3.png": plain(1), "B/1.png": plain(1)},
        r"/A/2\.png has no partner of the same name in B, the first of 2 such files; dataset=unpaired needs none\.$",
    ),
    "no partner in A": (
        {"A/1.png": plain(1), "B/1.png": plain(1), "B/x.png": plain(1)}, r"/B/x\.png has no partner .* A;"
    ),
    "one domain": ({"A/1.png": plain(1)}, r"/A/1\.png has no partner of the same name in B;"),
    "beside the domains": (
        {"A/1.png": plain(1), "B/1.png": plain(1), "0.png": plain(1)}, r"/0\.png is neither in the folder A nor in B"
    ),
    "same names": (
        {"A/1.png": plain(1), "A/1.bmp": plain(1), "B/1.png": plain(1)},
        r"/A/1\.bmp and A/1\.png differ in their extension only; keep one\.$",
    ),
    "unequal sizes": (
        {"A/1.png": plain(1), "B/1.png": plain(1, (9, 8))},
        r"^The pair .*/A/1\.png and .*/B/1\.png has images of 8x8 and 9x8 pixels; dataset\.on_error=skip leaves",
    ),
    "odd width": ({"1.png": plain(1, (9, 4))}, r"/1\.png is 9x4 pixels, and an odd width has no two equal halves"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_pairs_that_do_not_fit_are_refused(case, tmp_path):
    files, message = BAD[case]
    with pytest.raises(DataError, match=message):
        paired(write(tmp_path, files), batch_size=1).train_dataloader()


def test_sources_and_values_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.source=.* contains no images"):
        (tmp_path / "empty" / "A").mkdir(parents=True)
        pack(tmp_path / "empty.zip", {})
        read_pairs(str(tmp_path / "empty.zip"))
    for read in (read_pairs, read_unpaired):
        with pytest.raises(DataError, match=r"dataset\.source=\./nowhere does not exist"):
            read("./nowhere")
        with pytest.raises(DataError, match=r"dataset\.source=.*empty contains no images"):
            read(str(tmp_path / "empty"))
    source = write(tmp_path / "set", {"1.png": side_by_side(1, 2), "2.png": side_by_side(1, 2)})
    with pytest.raises(DataError, match=r"no folder of A and B in its split train; .*dataset=paired\.$"):
        read_unpaired(source)
    with pytest.raises(DataError, match=r"has no folder of B in its split train"):
        read_unpaired(write(tmp_path / "one", {"trainA/1.png": plain(1)}))
    for options, message in {
        "direction=BtoC": r"^dataset\.direction=BtoC is not known; choose one of AtoB, BtoA\.$",
        "source_channels=2": r"^dataset\.source_channels=2 is not possible; choose 1",
        "channels=2": r"^dataset\.channels=2 is not possible",
        "jitter=0.5": r"^dataset\.jitter=0\.5 is not allowed; give a factor from 1 to 2",
        "label_maps=C": r"^dataset\.label_maps=C is not known; choose one of A, B",
        "num_classes=3": r"^dataset\.num_classes=3 is not possible",
    }.items():
        key, _, value = options.partition("=")
        number = {"jitter": float, "direction": str, "label_maps": list}.get(key, int)
        with pytest.raises(ConfigError, match=message):
            paired(source, **{key: number(value)})


def test_images_twice_as_wide_as_high_may_be_pairs(tmp_path):
    raw = read_image_folder(write(tmp_path, {"1.png": side_by_side(1, 2)}))
    assert "(dataset=paired reads pairs side by side)" in summary(raw, paired("x")._decoder, None)
