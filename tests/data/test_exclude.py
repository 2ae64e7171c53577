"""Names of images, and exclusion of images by name."""

from functools import partial
from pathlib import Path

import pytest
import torch

from gan_lab.data.exclude import read_excluded, without
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.mixture_data import MixtureData
from gan_lab.data.mixtures import ring
from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.errors import DataError


def numbered(count: int = 6) -> RawImages:
    return RawImages(
        [torch.full((2, 2), k).byte().numpy() for k in range(count)], NumberedNames("set", count), torch.arange(count)
    )


def names(data: ImageData, batch_size: int = 4) -> dict[str, float]:
    """From the name of each image to its mean."""
    return {
        name: round(float((image.mean() + 1) * 127.5), 3)
        for images, called in data.named(batch_size)
        for image, name in zip(images, called, strict=True)
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from PIL import Image

    for k in range(9):
        Image.new("L", (8, 8), 10 * k).save(tmp_path / f"{k}.png")
    (tmp_path / "3.png").write_text("not an image")
    (tmp_path / "5.png").write_bytes(b"")
    return tmp_path


def folder_data(source: Path, **options) -> ImageData:
    return ImageData(str(source), read_image_folder, 8, 1, None, batch_size=2, on_error="skip", **options)


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_names_match_their_images_if_some_are_skipped(photos: Path, cache: str, batch_size: int) -> None:
    expected = {f"{photos}/{k}.png": 10.0 * k for k in (0, 1, 2, 4, 6, 7, 8)}
    assert names(folder_data(photos, cache=cache), batch_size) == expected
    data = folder_data(photos, cache=cache)
    assert torch.equal(
        torch.cat([images for images, _ in data.named(3)]), torch.cat([images for images, _ in data.reals(None, 3)])
    )


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_exclusion_applies_before_max_images(photos: Path, cache: str) -> None:
    (photos / "list.csv").write_text(f"distance,dropped\n1,{photos}/1.png\n2,{photos}/8.png\n")
    data = folder_data(photos, cache=cache, exclude=str(photos / "list.csv"))
    assert list(names(data)) == [f"{photos}/{k}.png" for k in (0, 2, 4, 6, 7)]
    some = folder_data(photos, cache=cache, exclude=str(photos / "list.csv"), max_images=4)
    assert set(names(some)) < set(names(data))


def test_without_preserves_order_names_and_labels() -> None:
    left = without(numbered(), {"image 1 of set", "image 4 of set"}, "list.csv")
    assert [left.name(k) for k in range(len(left))] == [f"image {k} of set" for k in (0, 2, 3, 5)]
    assert left.labels.tolist() == [0, 2, 3, 5] and left.items[1].max() == 2
    assert len(without(numbered(), set(), "list.csv")) == 6


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"exclude=list.csv names image 7 of set, which is not in the data set"):
        without(numbered(), {"image 1 of set", "image 7 of set"}, "list.csv")
    with pytest.raises(DataError, match="leaves none of the 2 images"):
        without(numbered(2), {"image 0 of set", "image 1 of set"}, "list.csv")
    with pytest.raises(DataError, match=r"exclude=.*nothing.csv cannot be read: No such file"):
        read_excluded(str(tmp_path / "nothing.csv"))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="has no column dropped"):
        read_excluded(str(tmp_path / "other.csv"))
    with pytest.raises(DataError, match="it is not a CSV file"):
        read_excluded(str(tmp_path / "bytes.csv"))


def test_distributions_have_no_names() -> None:
    data = partial(MixtureData, channels=2, num_classes=None, resolution=None, batch_size=4)(mixture=ring(modes=8))
    with pytest.raises(DataError, match=r"MixtureData samples a distribution .*dataset=image_folder"):
        data.named(4)
