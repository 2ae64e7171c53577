"""Data modules with and without a Lightning Trainer, and exact resume."""

import itertools
import multiprocessing
from functools import partial

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from gan_lab.data import cache
from gan_lab.data.digits import read_digits
from gan_lab.data.file_loader import FileLoader
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.loaders import MemoryLoader
from gan_lab.data.mixture_data import MixtureData
from gan_lab.data.mixtures import grid, ring
from gan_lab.data.raw import RawImages
from gan_lab.data.stacked import StackedData
from gan_lab.errors import ConfigError, DataError
from gan_lab.types import DataSpec


def image_data(**changes) -> ImageData:
    options = {
        "source": "scikit-learn",
        "reader": read_digits,
        "resolution": 8,
        "channels": 1,
        "num_classes": 10,
        "batch_size": 600,
        "fit": "stretch",
    }
    return ImageData(**{**options, **changes})


def mixture_data(**changes) -> MixtureData:
    return MixtureData(**{"mixture": ring(), "batch_size": 600, "batches_per_epoch": 2, **changes})


def stacked_data(**changes) -> StackedData:
    options = {"source": "scikit-learn", "reader": read_digits, "resolution": 8, "batch_size": 60, "fit": "stretch"}
    return StackedData(**{**options, **changes})


class Recorder(LightningModule):
    """Records its batches; its one weight is a function of all batches so far."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch, batch_idx):
        self.batches.append((self.current_epoch, batch["image"].clone(), batch["label"].clone()))
        return self.weight * batch["image"].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data, folder, epochs: int = 1, **options) -> Recorder:
    module = Recorder()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=options.pop("callbacks", None),
        enable_checkpointing=options.pop("enable_checkpointing", False),
    )
    trainer.fit(module, datamodule=data, **options)
    return module


@pytest.mark.parametrize("cache_mode", ["memory", "none"])
def test_one_epoch_in_a_trainer(tmp_path, cache_mode):
    data = image_data(cache=cache_mode)
    module = fit(data, tmp_path)
    assert len(module.batches) == 2 and data.size == 1797
    raw = read_digits()
    _, images, labels = module.batches[0]
    assert images.shape == (600, 1, 8, 8) and images.dtype == torch.float32
    assert float(images.min()) == -1 and float(images.max()) == 1
    index = next(iter(image_data().train_dataloader()))["index"]
    assert raw.labels is not None and torch.equal(labels, raw.labels[index])


DATA = {
    "memory": partial(image_data, cache="memory", flip=True),
    "none": partial(image_data, cache="none", flip=True, num_workers=1),
    "mixture": partial(mixture_data, batches_per_epoch=2),
    "stacked": partial(stacked_data, batches_per_epoch=2),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DATA)
def test_resume_in_a_trainer_is_exact(tmp_path, name):
    """Two epochs of two batches, resumed after each batch, within and at the end of an epoch."""
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    uninterrupted = fit(DATA[name](), tmp_path, epochs=2, callbacks=[saver], enable_checkpointing=True)
    assert len(uninterrupted.batches) == 4
    for done in (1, 2, 3):
        resumed = fit(DATA[name](), tmp_path, epochs=2, ckpt_path=tmp_path / f"step={done}.ckpt")
        assert len(resumed.batches) == 4 - done
        for (epoch, *found), (expected_epoch, *expected) in zip(
            resumed.batches, uninterrupted.batches[done:], strict=True
        ):
            assert epoch == expected_epoch
            assert all(torch.equal(a, b) for a, b in itertools.zip_longest(found, expected))
        assert torch.equal(resumed.weight, uninterrupted.weight)
    assert not multiprocessing.active_children()


def test_the_set_is_read_and_decoded_once(tmp_path, monkeypatch):
    calls = []

    def reader(source: str) -> RawImages:
        calls.append(source)
        return read_digits(source)

    data = image_data(reader=reader, cache="memory")
    data.prepare_data()
    data.setup("fit")
    decode_all = cache.decode_all
    monkeypatch.setattr(
        "gan_lab.data.image_data.decode_once", lambda *a, **k: calls.append("decoded") or decode_all(*a, **k)
    )
    data.train_dataloader()
    data.setup("validate")
    data.train_dataloader()
    assert calls == ["scikit-learn", "decoded"]


def test_without_a_trainer_there_is_one_process_on_the_cpu():
    assert isinstance(image_data().train_dataloader(), MemoryLoader)
    assert isinstance(image_data(cache="none").train_dataloader(), FileLoader)
    assert len(image_data(batch_size=64).train_dataloader()) == 1797 // 64


def test_flips_depend_on_epoch_and_image():
    plain, flipping = image_data(), image_data(flip=True)
    seen = []
    for epoch in (0, 1):
        pairs = []
        for data in (plain, flipping):
            loader = data.train_dataloader()
            loader.sampler.set_epoch(epoch)
            pairs.append([data.on_after_batch_transfer(batch, 0) for batch in loader])
        for before, after in zip(*pairs, strict=True):
            mirrored = (after["image"] == before["image"].flip(-1)).flatten(1).all(dim=1)
            kept = (after["image"] == before["image"]).flatten(1).all(dim=1)
            assert (mirrored | kept).all() and 200 < mirrored.sum() < 400
            seen.append(dict(zip(after["index"].tolist(), mirrored.tolist(), strict=True)))
    first, second = {**seen[0], **seen[1]}, {**seen[2], **seen[3]}
    both = first.keys() & second.keys()
    assert 0.4 < sum(first[index] == second[index] for index in both) / len(both) < 0.6


@pytest.mark.parametrize("cache_mode", ["memory", "none"])
def test_real_batch_depends_only_on_the_seed(cache_mode):
    data = image_data(cache=cache_mode)
    if cache_mode == "memory":
        data.train_dataloader()
    batch = data.real_batch(16)
    assert batch.shape == (16, 1, 8, 8) and batch.dtype == torch.float32 and -1 <= batch.min() < batch.max() <= 1
    assert torch.equal(batch, image_data(cache="none").real_batch(16))
    assert torch.equal(batch[:4], data.real_batch(4))
    assert not torch.equal(batch, image_data(seed=1).real_batch(16))
    first = next(iter(data.train_dataloader()))
    assert not torch.equal(batch, data.on_after_batch_transfer(first, 0)["image"][:16])
    with pytest.raises(DataError, match="has 1797 images, fewer than the 2000"):
        data.real_batch(2000)


@pytest.mark.parametrize("cache_mode", ["memory", "none"])
def test_reals_by_class(cache_mode):
    data = image_data(cache=cache_mode)
    groups = data.reals_by_class([3, 0], 5)
    assert [group.shape for group in groups] == [(5, *data.spec.shape)] * 2 and groups[0].dtype == torch.float32
    everything = [(images, labels) for images, labels in data.reals(None, 5000)]
    images, labels = (torch.cat(part) for part in zip(*everything, strict=True))
    for label, group in zip((3, 0), groups, strict=True):
        of_label = {image.numpy().tobytes() for image in images[labels == label]}
        assert len({image.numpy().tobytes() for image in group} & of_label) == 5
    assert len(data.reals_by_class([3], 5000)[0]) == (labels == 3).sum()
    assert all(
        torch.equal(a, b) for a, b in zip(groups, image_data(cache="none").reals_by_class([3, 0], 5), strict=True)
    )


def test_real_points_by_class():
    groups = mixture_data().reals_by_class([2, 1], 4)
    centers = torch.tensor(mixture_data().mixture.centers)
    for label, group in zip((2, 1), groups, strict=True):
        assert group.shape == (4, 2) and (torch.cdist(group, centers).argmin(1) == label).all()


def test_real_batch_skips_unreadable_images(make_folder):
    folder = make_folder(6)
    (folder / "002.png").write_bytes(b"")
    options = {"source": str(folder), "reader": read_image_folder, "num_classes": None, "cache": "none", "channels": 3}
    assert image_data(on_error="skip", **options).real_batch(5).shape == (5, 3, 8, 8)
    with pytest.raises(DataError, match="Only 5 images of"):
        image_data(on_error="skip", **options).real_batch(6)
    with pytest.raises(DataError, match=r"002\.png cannot be read: the file is empty"):
        image_data(**options).real_batch(6)


def test_without_classes_there_are_no_labels():
    for mode in ("memory", "none"):
        data = image_data(num_classes=None, cache=mode)
        assert "label" not in next(iter(data.train_dataloader()))
        assert data.classes is None and data.spec == DataSpec(1, 8, None)
    assert image_data().classes == list("0123456789")


def test_errors_of_sizes_and_classes(make_folder):
    with pytest.raises(DataError, match="has 1797 images, fewer than batch_size=2000"):
        image_data(batch_size=2000).train_dataloader()
    with pytest.raises(
        DataError, match=r"has 10 classes: 0, 1, .*, 9\. If these are right, give dataset.num_classes=10\.$"
    ):
        image_data(num_classes=3).setup()
    folder = {"source": str(make_folder(2)), "reader": read_image_folder}
    with pytest.raises(DataError, match=r"has no labels; give dataset.num_classes=null\.$"):
        image_data(**folder).setup()
    unnamed = RawImages(["", ""], ["a", "b"], torch.tensor([0, 10]))
    with pytest.raises(DataError, match="labels of scikit-learn range from 0 to 10"):
        image_data(reader=lambda source: unnamed).setup()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("cache", "ram", "^dataset.cache=ram is not known; choose one of auto, device, memory, none\\.$"),
        ("fit", "squash", "^dataset.fit=squash is not known; choose one of crop, pad, stretch\\.$"),
        ("on_error", "ignore", "^dataset.on_error=ignore is not known; choose one of stop, skip\\.$"),
        ("resolution", 0, "^dataset.resolution=0 is too small; give 1 or more\\.$"),
        ("channels", 2, "^dataset.channels=2 is not possible"),
        ("num_classes", 0, "^dataset.num_classes=0"),
        ("batch_size", 0, "^batch_size=0"),
        ("background", 256, "^dataset.background=256"),
        ("min_resolution", 0, "^dataset.min_resolution=0"),
        ("num_workers", -1, "^dataset.num_workers=-1"),
        ("budget_images", 0, "^dataset.budget_images=0"),
    ],
)
def test_invalid_arguments_of_image_data(option, value, message):
    with pytest.raises(ConfigError, match=message):
        image_data(**{option: value})


# --- mixtures


def test_mixture_in_a_trainer(tmp_path):
    data = mixture_data()
    module = fit(data, tmp_path)
    assert len(module.batches) == 2 and data.size == 1200
    assert module.batches[0][1].shape == (600, 2)
    assert data.spec == DataSpec(channels=2, resolution=None, num_classes=8) and data.classes is None
    assert not torch.equal(module.batches[0][1], module.batches[1][1])
    assert torch.equal(data.real_batch(5), mixture_data().real_batch(5)) and data.real_batch(5).shape == (5, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 32}, "^dataset.resolution=32 is not possible"),
        ({"channels": 3}, "^dataset.channels=3 is not possible"),
        ({"mixture": grid(), "num_classes": 8}, "the mixture has 25 modes; give dataset.num_classes=25"),
        ({"mixture": ring(std=0.0)}, "^dataset.mixture.std must be greater"),
        ({"mixture": ring(modes=0)}, "^dataset.mixture has no modes"),
        ({"batch_size": 0}, "^batch_size=0"),
        ({"batches_per_epoch": 0}, "^dataset.batches_per_epoch=0"),
    ],
)
def test_invalid_arguments_of_mixture_data(changes, message):
    with pytest.raises(ConfigError, match=message):
        mixture_data(**changes)


def test_max_images_chooses_a_subset_by_seed():
    def pixels(**changes) -> set:
        loader = image_data(batch_size=10, **changes).train_dataloader()
        return {tuple(image) for batch in loader for image in batch["image"].flatten(1).tolist()}

    chosen = pixels(max_images=50, seed=4, cache="memory")
    assert len(chosen) == 50 and image_data(max_images=50).size == 50
    assert chosen == pixels(max_images=50, seed=4, cache="none") != pixels(max_images=50, seed=5)
    assert chosen < pixels() | pixels(seed=1)


def test_labels_follow_a_subset():
    data = image_data(batch_size=20, max_images=20, seed=4)
    digits = read_digits("scikit-learn")
    (batch,) = data.train_dataloader()
    for image, label in zip(batch["image"], batch["label"], strict=True):
        same = [
            n for n in range(len(digits)) if torch.equal(torch.tensor(list(digits.load(n).tobytes())), image.flatten())
        ]
        assert label in digits.labels[same]
