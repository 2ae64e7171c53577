"""Stacked digits: three digits in three channels, and the label of the triple."""

import pytest
import torch

from gan_lab.data.cache import DecodedImages, decode_all
from gan_lab.data.decode import Decoder
from gan_lab.data.digits import read_digits
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.loaders import DistributionLoader
from gan_lab.data.raw import RawImages
from gan_lab.data.stacked import DigitTriples, StackedData
from gan_lab.errors import ConfigError, DataError
from gan_lab.types import DataSpec


def stacked_data(**changes) -> StackedData:
    options = {"source": "scikit-learn", "reader": read_digits, "resolution": 8, "batch_size": 60, "fit": "stretch"}
    return StackedData(**{**options, "batches_per_epoch": 3, **changes})


def triples(count: int = 200) -> DigitTriples:
    """Triples of digits whose pixels are their position in the set, which identifies them."""
    positions = torch.arange(count)
    pixels = positions.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    return DigitTriples(DecodedImages(pixels, positions % 10))


def test_label_is_red_and_ten_times_green_and_a_hundred_times_blue():
    (batch,) = DistributionLoader(triples(), 1, 500, seed=3)
    assert batch["image"].shape == (500, 3, 4, 4) and batch["image"].dtype == torch.uint8
    assert batch["label"].shape == (500,) and batch["label"].dtype == torch.int64
    drawn = batch["image"][:, :, 0, 0].long()
    assert (batch["image"] == drawn[:, :, None, None]).all()
    for (red, green, blue), label in zip((drawn % 10).tolist(), batch["label"].tolist(), strict=True):
        assert label == red + 10 * green + 100 * blue


def test_channels_are_independent_and_uniform():
    (batch,) = DistributionLoader(triples(100), 1, 20_000, seed=1)
    drawn = batch["image"][:, :, 0, 0].double()  # 0..99
    assert (drawn.mean(0) - 49.5).abs().max() < 5 * (9999 / 12 / 20_000) ** 0.5
    assert (torch.corrcoef(drawn.T) - torch.eye(3)).abs().max() < 5 / 20_000**0.5
    counts = torch.bincount(batch["label"], minlength=1000).double()
    assert ((counts - 20).square() / 20).sum() < 999 + 5 * (2 * 999) ** 0.5  # chi-squared


def test_batches_differ_by_number_epoch_and_seed():
    seen = set()
    for seed in (1, 2):
        loader = DistributionLoader(triples(), 4, 16, seed)
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            seen |= {tuple(batch["label"].tolist()) for batch in loader}
    assert len(seen) == 16


def test_images_on_the_device_are_in_the_unit_range():
    data = stacked_data()
    assert data.size == 180 and data.spec == DataSpec(channels=3, resolution=8, num_classes=1000)
    raw = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(raw, 0)
    assert batch["image"].dtype == torch.float32 and float(batch["image"].min()) == -1 and batch["image"].max() == 1
    torch.testing.assert_close(batch["image"], raw["image"] / 127.5 - 1)
    assert torch.equal(batch["label"], raw["label"])


def test_every_channel_is_a_digit_of_the_set_with_its_label():
    digits = decode_all(read_digits(), Decoder(1, 8, "stretch"))
    known = {tuple(image.flatten().tolist()): int(label) for image, label in zip(*vars(digits).values(), strict=True)}
    for batch in stacked_data().train_dataloader():
        for image, label in zip(batch["image"], batch["label"].tolist(), strict=True):
            red, green, blue = (known[tuple(channel.flatten().tolist())] for channel in image)
            assert red + 10 * green + 100 * blue == label


def test_the_set_is_read_and_decoded_once(monkeypatch):
    calls = []

    def reader(source: str) -> RawImages:
        calls.append(source)
        return read_digits(source)

    monkeypatch.setattr(
        "gan_lab.data.stacked.decode_once", lambda *a, **k: calls.append("decoded") or decode_all(*a, **k)
    )
    data = stacked_data(reader=reader)
    data.prepare_data()
    data.setup("fit")
    first, second = data.train_dataloader(), data.train_dataloader()
    assert first.distribution.digits.images is second.distribution.digits.images
    assert calls == ["scikit-learn", "decoded"]


def test_real_batch_depends_only_on_the_seed():
    data = stacked_data()
    batch = data.real_batch(16)
    assert batch.shape == (16, 3, 8, 8) and batch.dtype == torch.float32 and -1 == batch.min() < batch.max() <= 1
    assert torch.equal(batch, stacked_data().real_batch(16)) and not torch.equal(batch, data.real_batch(17)[1:])
    assert not torch.equal(batch, stacked_data(seed=1).real_batch(16))
    first = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)["image"]
    assert not torch.equal(batch, first[:16])
    channels = {tuple(channel.flatten().tolist()) for channel in batch.flatten(0, 1)}
    known = {tuple(image.flatten().tolist()) for image in decode_all(read_digits(), Decoder(1, 8)).images / 127.5 - 1}
    assert channels <= known and len(channels) > 40


def test_sets_that_are_not_digits_are_errors(make_folder):
    with pytest.raises(
        DataError, match=r"images has no labels from 0 to 9; stacked digits require a data set of labeled digits\.$"
    ):
        stacked_data(source=str(make_folder(2)), reader=read_image_folder).setup()
    for wrong in ([0, 10], [-1, 3]):
        raw = RawImages(["", ""], ["a", "b"], torch.tensor(wrong))
        with pytest.raises(DataError, match=r"^dataset.source=scikit-learn has no labels from 0 to 9"):
            stacked_data(reader=lambda source, raw=raw: raw).setup()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("resolution", 0, r"^dataset.resolution=0 is too small"),
        ("batch_size", 0, r"^batch_size=0"),
        ("fit", "squash", r"^dataset.fit=squash is not known"),
        ("background", 256, r"^dataset.background=256"),
        ("batches_per_epoch", 0, r"^dataset.batches_per_epoch=0"),
        ("budget_images", 0, r"^dataset.budget_images=0"),
        ("channels", 1, r"^dataset.channels=1 is not possible; .* so it must be 3\.$"),
        ("num_classes", 10, r"^dataset.num_classes=10 is not possible; .* so it must be 1000\.$"),
    ],
)
def test_invalid_arguments(option, value, message):
    with pytest.raises(ConfigError, match=message):
        stacked_data(**{option: value})
