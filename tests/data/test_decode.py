"""Decoding of modes, shapes and damaged files, compared with hand-computed values."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from gan_lab.data.decode import Decoder, to_tensor
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

RESOLUTION = 4


def corner(image: Image.Image, channels: int = 3, **options) -> list[int]:
    """The values of the first pixel."""
    tensor = to_tensor(image, channels, RESOLUTION, **options)
    assert tensor.dtype == torch.uint8 and tensor.shape == (channels, RESOLUTION, RESOLUTION) and tensor.is_contiguous()
    return tensor[:, 0, 0].tolist()


def full(mode: str, color, **info) -> Image.Image:
    image = Image.new(mode, (RESOLUTION, RESOLUTION), color)
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (full("1", 1), [255, 255, 255]),
        (full("L", 100), [100, 100, 100]),
        (full("RGB", (10, 20, 30)), [10, 20, 30]),
        (full("CMYK", (255, 0, 0, 0)), [0, 255, 255]),
        (full("CMYK", (0, 0, 0, 255)), [0, 0, 0]),
        (full("LA", (100, 255)), [100, 100, 100]),
        (full("LA", (100, 0)), [200, 200, 200]),  # only background
        (full("LA", (100, 51)), [180, 180, 180]),  # 0.2 * 100 + 0.8 * 200
        (full("RGBA", (255, 0, 50, 51)), [211, 160, 170]),  # 0.2 * color + 0.8 * 200
        (full("L", 100, transparency=100), [200, 200, 200]),
        (full("RGB", (1, 2, 3), transparency=(1, 2, 3)), [200, 200, 200]),
        (full("RGB", (1, 2, 4), transparency=(1, 2, 3)), [1, 2, 4]),
    ],
)
def test_modes(image, expected):
    assert corner(image, background=200) == expected


def test_palettes_with_and_without_transparency():
    image = Image.new("P", (RESOLUTION, RESOLUTION), 1)
    image.putpalette([0, 0, 0, 255, 128, 0])
    assert corner(image) == [255, 128, 0]
    image.info["transparency"] = 1
    assert corner(image) == [255, 255, 255]
    assert corner(image, background=7) == [7, 7, 7]


def test_four_channels_keep_transparency():
    assert corner(full("RGBA", (10, 20, 30, 40)), channels=4) == [10, 20, 30, 40]
    assert corner(full("L", 9), channels=4) == [9, 9, 9, 255]


def test_color_to_gray_uses_the_luma_weights():
    assert corner(full("RGB", (255, 0, 0)), channels=1) == [76]  # 0.299 * 255
    assert corner(full("L", 77), channels=1) == [77]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lab_white_and_black(channels):
    white, black = (corner(full("LAB", (level, 128, 128)), channels) for level in (255, 0))
    assert min(white) >= 254  # the conversion rounds
    assert max(black[:3]) <= 1 and black[3:] == [255] * (channels - 3)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I"])
def test_16_bit_gray_is_scaled_and_not_clipped(mode):
    levels = {65535: 255, 32768: 128, 257: 1, 0: 0, 128: 0, 129: 1}
    pixels = np.tile(np.array(sorted(levels), np.uint16), (len(levels), 1))
    if mode == "I":
        image = Image.fromarray(pixels.astype(np.int32))
    else:
        order = ">" if mode.endswith("B") else "<"
        image = Image.frombytes(mode, pixels.shape, pixels.astype(f"{order}u2").tobytes())
    assert image.mode == mode
    assert to_tensor(image, 1, len(levels))[0, 0].tolist() == [levels[level] for level in sorted(levels)]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_files(format):
    file = io.BytesIO()
    Image.fromarray(np.full((RESOLUTION, RESOLUTION), 200, np.uint16)).save(file, format)  # dark, and below 256
    assert corner(Image.open(file), channels=1) == [1]


def test_integers_within_8_bits_and_floats():
    assert corner(Image.fromarray(np.full((RESOLUTION, RESOLUTION), 200, np.int32)), channels=1) == [200]
    assert corner(Image.fromarray(np.full((RESOLUTION, RESOLUTION), 200, np.float32)), channels=1) == [200]
    assert corner(Image.fromarray(np.full((RESOLUTION, RESOLUTION), 65535, np.float32)), channels=1) == [255]
    assert corner(Image.fromarray(np.full((RESOLUTION, RESOLUTION), 0.4, np.float32)), channels=1) == [102]


def test_exif_orientation():
    # stored with height 2, width 4 and a white left half; orientation 6 rotates it clockwise by 90 degrees
    pixels = np.zeros((2, 4), np.uint8)
    pixels[:, :2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    upright = to_tensor(Image.open(file), 1, 4, fit="pad", background=9)[0]
    assert upright.tolist() == [[9, 255, 255, 9], [9, 255, 255, 9], [9, 0, 0, 9], [9, 0, 0, 9]]


def test_first_frame_of_an_animation():
    file = io.BytesIO()
    frames = [full("RGB", (250, 0, 0)), full("RGB", (0, 250, 0))]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert corner(Image.open(file)) == [250, 0, 0]


# --- shapes


def wide() -> Image.Image:
    """Width 8, height 4: columns 0 and 1 are 10; 2 to 5 are 20; 6 and 7 are 30."""
    return Image.fromarray(np.tile(np.repeat(np.array([10, 20, 30], np.uint8), [2, 4, 2]), (4, 1)))


def test_crop_takes_the_center():
    assert to_tensor(wide(), 1, 4, fit="crop").unique().tolist() == [20]
    tall = wide().transpose(Image.Transpose.ROTATE_90)
    assert to_tensor(tall, 1, 4, fit="crop").unique().tolist() == [20]


def test_stretch_keeps_the_full_width():
    row = to_tensor(wide(), 1, 8, fit="stretch")[0, 0].tolist()
    assert row == [10, 10, 20, 20, 20, 20, 30, 30]


def test_pad_centers_and_never_enlarges():
    tensor = to_tensor(wide(), 1, 10, fit="pad", background=99)[0]
    assert (tensor[3:7, 1:9] == torch.from_numpy(np.array(wide()))).all()
    assert (tensor != 99).sum() == 32
    shrunk = to_tensor(wide(), 1, 4, fit="pad", background=99)[0]  # to width 4, height 2
    assert (shrunk[[0, 3]] == 99).all() and (shrunk[1:3] != 99).all()
    rgba = to_tensor(full("RGBA", (1, 2, 3, 255)), 4, 6, fit="pad")
    assert rgba[3, 0, 0] == 0 and rgba[3, 1, 1] == 255


def test_shrinking_is_antialiased():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))  # columns alternate
    inner = to_tensor(stripes, 1, 8)[0, :, 1:-1].int()
    assert (inner - 127).abs().max() <= 6


# --- unreadable files


def write_bad_files(folder: Path) -> None:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 100).save(file, "JPEG")
    (folder / "a_cut.jpg").write_bytes(file.getvalue()[:600])
    (folder / "b_empty.png").write_bytes(b"")
    (folder / "c_text.png").write_text("not an image")
    Image.new("L", (1, 1)).save(folder / "d_dot.png")
    file = io.BytesIO()
    Image.effect_noise((64, 64), 100).save(file, "PNG")
    damaged = bytearray(file.getvalue())
    damaged[200:300] = bytes(100)
    (folder / "e_damaged.png").write_bytes(damaged)


def test_each_bad_file_has_a_one_line_error_with_its_name(tmp_path):
    write_bad_files(tmp_path)
    raw = read_image_folder(str(tmp_path))
    expected = [
        "a_cut.jpg cannot be read: .*truncated",
        "b_empty.png cannot be read: the file is empty",
        "c_text.png cannot be read: it is not an image that Pillow can decode",
        "d_dot.png is 1x1 pixels, smaller than dataset.min_resolution=2",
        "e_damaged.png cannot be read: ",
    ]
    for position, message in enumerate(expected):
        with pytest.raises(DataError, match=f"^{tmp_path}/{message}") as caught:
            Decoder(3, 8)(raw, position)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_min_resolution_can_be_lowered():
    raw = RawImages([np.full((1, 1), 5, np.uint8)], ["dot"])
    assert Decoder(1, 4, min_resolution=1)(raw, 0).unique().tolist() == [5]


def test_missing_file(tmp_path):
    raw = RawImages([tmp_path / "gone.png"], ["gone.png"])
    with pytest.raises(DataError, match=r"gone\.png cannot be read: No such file or directory"):
        raw.load(0)


def test_decompression_bomb(monkeypatch):
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bomb\.png cannot be read: it has more than 2000 pixels"):
        RawImages([file.getvalue()], ["bomb.png"]).load(0)


@pytest.mark.parametrize("value", [-0.5, 70_000.0, float("nan")])
def test_floats_of_an_unknown_range_are_refused(value: float, tmp_path: Path) -> None:
    """They would be clipped in silence."""
    pixels = np.full((RESOLUTION, RESOLUTION), 0.5, np.float32)
    pixels[0, 0] = value
    Image.fromarray(pixels).save(tmp_path / "1.tif")
    with pytest.raises(DataError, match=r"1\.tif cannot be converted: its values are from"):
        Decoder(1, RESOLUTION)(read_image_folder(str(tmp_path)), 0)


# --- JPEG files at a reduced size


def photograph(width: int, height: int, **options) -> bytes:
    """Waves of several lengths and some noise, as a JPEG file."""
    y, x = np.mgrid[:height, :width] / 40
    waves = [np.sin(x + k) + np.cos(2 * y * (k + 1)) for k in range(3)]
    noise = np.random.default_rng(0).normal(0, 10, (height, width, 3))
    pixels = (128 + 50 * np.stack(waves, 2) + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), options.pop("format", "JPEG"), quality=90, **options)
    return file.getvalue()


def encoded(*files: bytes) -> RawImages:
    return RawImages(list(files), ["x"] * len(files))


def test_reduced_sizes_are_at_least_what_is_enough():
    raw = encoded(photograph(650, 520))
    assert raw.load(0).size == (650, 520)
    assert [raw.load(0, least).size for least in (520, 261, 260, 130, 65, 10)] == [
        (650, 520), (650, 520), (325, 260), (163, 130), (82, 65), (82, 65),
    ]  # fmt: skip


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_reduced_is_lanczos_up_to_small_differences(fit):
    raw = encoded(photograph(650, 520))
    exact, reduced = (Decoder(3, 64, fit, filter=name)(raw, 0).float() for name in ("lanczos", "reduced"))
    assert 0 < (exact - reduced).abs().mean() < 1.5 and exact.std() > 20


def test_reduced_changes_only_large_jpeg_files():
    raw = encoded(photograph(255, 255), photograph(650, 520, format="PNG"))
    for position in range(2):
        assert torch.equal(*(Decoder(3, 64, filter=name)(raw, position) for name in ("lanczos", "reduced")))


def test_reduced_images_are_not_refused_as_too_small():
    raw = encoded(photograph(650, 520, exif=_sideways()))
    assert Decoder(3, 32, filter="reduced", min_resolution=500)(raw, 0).shape == (3, 32, 32)


def _sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


# --- value ranges of sets


def floats(tmp_path: Path, *peaks: float, lowest: float = 0) -> ImageData:
    """A set of TIFF files whose values are from `lowest` to a peak, which is white in the first rows."""
    for number, peak in enumerate(peaks):
        pixels = np.full((RESOLUTION, RESOLUTION), peak, np.float32)
        pixels[-1] = lowest
        Image.fromarray(pixels).save(tmp_path / f"{number}.tif")
    return ImageData(str(tmp_path), read_image_folder, RESOLUTION, 1, None, 1)


def whites(data: ImageData) -> list[int]:
    raw, decoder = data.undecoded()
    return [int(decoder(raw, position).max()) for position in range(len(raw))]


@pytest.mark.parametrize(("scale", "expected"), [(1, [128, 255, 255, 255]), (255, [128, 255, 255, 255])])
def test_overshooting_floats_are_clamped(scale: int, expected: list[int], tmp_path: Path) -> None:
    """As of a filter that was applied to them; read as the next larger range, they would be black."""
    data = floats(tmp_path, 0.5 * scale, scale, 1.0005 * scale, 1.25 * scale, lowest=-0.25 * scale)
    assert whites(data) == expected


def test_one_range_is_chosen_for_a_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A dark image of a set from 0 to 255 stays dark; so that none is black by mistake, there is a warning."""
    assert whites(floats(tmp_path, 255, 0.9, 128)) == [255, 1, 128]
    assert caplog.messages == [
        f"1 of 3 images of {tmp_path} that were checked have values from 0 to 1, and others to 255: all are read as "
        "values from 0 to 255, so the former are nearly black; scale the values of all images alike."
    ]


def test_an_image_beyond_the_range_of_its_set_is_refused(tmp_path: Path) -> None:
    data = floats(tmp_path, *[1] * 40)
    floats(tmp_path, 1, 200)  # which is not among those that are tried
    with pytest.raises(DataError, match=r"1\.tif .* from 0 to 200, and those of other images of the set are from 0"):
        whites(data)


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize(("peak", "is_dark"), [(4095, True), (65535, False)])
def test_nearly_black_sets_are_reported(cache: str, peak: int, is_dark: bool, tmp_path: Path, caplog) -> None:
    pixels = np.linspace(0, peak, RESOLUTION**2).astype(np.uint16).reshape(RESOLUTION, RESOLUTION)
    for number in range(3):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    data = ImageData(str(tmp_path), read_image_folder, RESOLUTION, 1, None, 1, cache=cache)
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.setup("fit")
    sentence = f"All images of {tmp_path} use only the gray values from 0 to 16, of 0 (black) to 255 (white), as masks"
    found = [text for name, _, text in caplog.record_tuples if name.startswith("gan_lab")]
    assert [text.startswith(sentence) for text in found] == [True] * is_dark
