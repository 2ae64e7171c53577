"""The line on what was found: changed images, images beside class folders, and what to do about labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_lab.config.build import build
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.errors import ConfigError, DataError
from tests.data.conftest import MakeFolder, noise_image


def images(folder: Path, resolution: int = 16, **options: object) -> ImageData:
    settings = {"channels": 3, "num_classes": None, "batch_size": 2, **options}
    return ImageData(str(folder), read_image_folder, resolution, **settings)


@pytest.fixture
def mixed(make_folder: MakeFolder) -> Path:
    """Three images of 8x8 pixels, one of 16x16, one of 16x40."""
    folder = make_folder(3)
    Image.new("RGB", (16, 16)).save(folder / "square.png")
    Image.new("RGB", (16, 40)).save(folder / "long.png")
    return folder


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Two classes with two images each, and a third image beside them."""
    for k in range(4):
        folder = tmp_path / "photos" / "ab"[k // 2]
        folder.mkdir(parents=True, exist_ok=True)
        noise_image(k, 16).save(folder / f"{k}.png")
    noise_image(4, 16).save(tmp_path / "photos/loose.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("fit", "changes"),
    [
        (
            "crop",
            "3 of 5 are smaller than 16 pixels and are enlarged; "
            "1 of 5 are more than 1.5 times as long as wide and lose all outside of the square in the middle",
        ),
        (
            "stretch",
            "3 of 5 are smaller than 16 pixels and are enlarged; "
            "1 of 5 are more than 1.5 times as long as wide and are distorted",
        ),
        ("pad", "3 of 5 are smaller than 16 pixels and are surrounded by background"),
    ],
)
def test_changed_images_are_counted(mixed: Path, fit: str, changes: str) -> None:
    assert images(mixed, fit=fit).summary() == f"5 images; 8x8 to 16x40 pixels, RGB; {changes}"


def test_images_that_cannot_be_used_are_counted_as_such(mixed: Path) -> None:
    """They are not enlarged: the next message refuses them."""
    Image.new("RGB", (1, 1)).save(mixed / "point.png")
    (mixed / "empty.png").write_bytes(b"")
    assert images(mixed, fit="stretch", min_resolution=10).summary() == (
        "7 images; 16x16 to 16x40 pixels, RGB; 1 of 7 cannot be read; "
        "4 of 7 are smaller than dataset.min_resolution=10 and cannot be used; "
        "1 of 7 are more than 1.5 times as long as wide and are distorted"
    )


@pytest.fixture
def unusable(mixed: Path) -> Path:
    """Images of which five cannot be used, for three reasons."""
    for name in ("point", "dot"):
        Image.new("RGB", (1, 1)).save(mixed / f"{name}.png")
    (mixed / "text.png").write_text("text")
    (mixed / "cut.png").write_bytes((mixed / "000.png").read_bytes()[:99])
    Image.fromarray(np.full((16, 16), -1, np.float32)).save(mixed / "negative.tif")
    return mixed


KINDS = "2 cannot be decoded, 2 below dataset.min_resolution=2, 1 of unknown range"


def test_skipped_images_are_counted_by_reason(unusable: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = images(unusable, cache="memory", on_error="skip")
    assert sum(len(chunk) for chunk, _ in data.reals(None, 4)) == 5
    assert f"Skipped 5 of 10 images ({KINDS}): {unusable}/cut.png, " in caplog.text
    caplog.clear()
    list(images(unusable, cache="none", on_error="skip").train_dataloader())
    assert caplog.text.count("; it and others that cannot be used are replaced by the next readable image.") == 1
    assert any(reason in caplog.text for reason in ("cannot be read: ", "is 1x1 pixels", "cannot be converted: "))


def test_images_that_prepare_skips_are_counted_by_reason(unusable: Path, command: Callable) -> None:
    settings = ("dataset=image_folder", f"dataset.source={unusable}", "dataset.resolution=8", "out=out")
    outcome = command("prepare", *settings, "dataset.on_error=skip")
    assert outcome.status == 0 and f"5 were skipped ({KINDS}): {unusable}/cut.png, " in outcome.out
    assert KINDS in command("prepare", *settings, "dataset.on_error=skip").out  # which reads the description


def test_color_modes_have_names(mixed: Path) -> None:
    Image.new("L", (16, 16)).save(mixed / "gray.png")
    assert "8x8 to 16x40 pixels, RGB and grayscale" in images(mixed).summary()


def test_images_as_they_are_need_no_remark(mixed: Path) -> None:
    (mixed / "long.png").unlink()
    assert images(mixed, resolution=8).summary() == "4 images; 8x8 to 16x16 pixels, RGB"
    assert images(mixed, resolution=64).summary().endswith("; all are smaller than 64 pixels and are enlarged")


def test_a_part_of_a_large_set_is_checked(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.data.summary.CHECKED", 3)
    text = images(mixed, resolution=64).summary()
    assert text.endswith(
        "(of 3 that were checked); all images that were checked are smaller than 64 pixels and are enlarged"
    )


def test_images_beside_the_folders(classes: Path) -> None:
    beside = "loose.png is beside the folders a, b"
    assert images(classes).summary() == f"5 images; no labels, since {beside}; 16x16 pixels, RGB"
    with pytest.raises(DataError, match=f"has no labels, since {beside}; give .*null, or put all images into one f"):
        images(classes, num_classes=2).setup()
    noise_image(5, 16).save(classes / "more.png")
    assert "no labels, since 2 of them, such as loose.png, are beside the folders" in images(classes).summary()
    (classes / "more.png").unlink()
    (classes / "loose.png").unlink()
    assert "; 2 classes, not used since dataset.num_classes=null: a, b; " in images(classes).summary()
    assert "; 2 classes: a (2), b (2); " in images(classes, num_classes=2).summary()


def test_a_conditioning_without_a_number_of_classes_names_them(classes: Path, tiny: Callable) -> None:
    settings = (f"dataset.source={classes}", "dataset=image_folder", "dataset.resolution=16", "conditioning=concat")
    with pytest.raises(
        ConfigError, match=r"photos has none, since loose.png is beside the folders a, b; .*conditioning=none\.$"
    ):
        build(tiny(*settings))
    (classes / "loose.png").unlink()
    with pytest.raises(
        ConfigError, match=r"has 2 classes, a, b; give dataset.num_classes=2, .* or conditioning=none\.$"
    ):
        build(tiny(*settings))


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_an_unreadable_image_names_the_way_to_train_without_it(make_folder: MakeFolder, cache: str) -> None:
    folder = make_folder(3)
    (folder / "001.png").write_bytes(b"")
    advice = r"001.png cannot be read: the file is empty; dataset.on_error=skip leaves such images out\.$"
    data = images(folder, cache=cache)
    for use in (lambda: list(data.train_dataloader()), lambda: data.real_batch(3), lambda: list(data.reals(None, 2))):
        with pytest.raises(DataError, match=advice):
            use()


def test_a_prepared_set_keeps_labels_that_training_does_not_use(classes: Path, command: Callable) -> None:
    (classes / "loose.png").unlink()
    outcome = command(
        "prepare", "dataset=image_folder", f"dataset.source={classes}", "dataset.resolution=16", "out=out"
    )
    assert "Data: 4 images; 2 classes: a (2), b (2); 16x16 pixels, RGB.\n" in outcome.err
