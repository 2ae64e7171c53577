"""Data sets of PyTorch and data modules of Lightning, given to `gan_lab.fit` and the commands from Python."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import gan_lab
from gan_lab.config.build import instantiate
from gan_lab.data.given import Given, GivenData, given_data, giving
from gan_lab.errors import ConfigError, DataError, UserError
from tests.conftest import SMALL, Outcome
from tests.helpers.equality import unequal

GRAY = torch.arange(64, dtype=torch.uint8).view(8, 8) * 4
RGB = torch.stack([GRAY, GRAY.T, 255 - GRAY])
UNIT = RGB / 255


def items(*samples: Any) -> list[np.ndarray]:
    """The images of samples, as the reader gets them."""
    given = Given(list(samples))
    return [np.asarray(given[position]) for position in range(len(given))]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (GRAY, GRAY),
        (GRAY[None], GRAY),
        (GRAY.numpy(), GRAY),
        (Image.fromarray(GRAY.numpy()), GRAY),
        (RGB, RGB),
        (RGB.numpy(), RGB),
        (RGB.permute(1, 2, 0).numpy(), RGB),
        (Image.fromarray(RGB.permute(1, 2, 0).contiguous().numpy()), RGB),
        (UNIT, RGB),
        (2 * UNIT - 1, RGB),
        (UNIT.double().permute(1, 2, 0).numpy(), RGB),
        ((UNIT, 3), RGB),
        ([UNIT, 3, "more"], RGB),
        ({"image": UNIT, "label": 3}, RGB),
    ],
)
def test_forms_of_samples(sample: Any, expected: torch.Tensor) -> None:
    (found,) = items(sample)
    assert found.dtype == np.uint8
    assert np.array_equal(found if found.ndim == 2 else found.transpose(2, 0, 1), expected.numpy())


def test_modes_that_pillow_converts() -> None:
    palette = Image.fromarray(RGB.permute(1, 2, 0).contiguous().numpy()).quantize(8)
    with giving([palette, palette]):
        images, _ = next(given_data(batch_size=2).reals(None, 2))
    assert images.shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "I;16", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "HSV", "La", "RGBa", "RGBX"]
)
def test_every_mode_of_pillow(mode: str) -> None:
    image = Image.fromarray(RGB.permute(1, 2, 0).contiguous().numpy())
    through = {"La": "LA", "RGBa": "RGBA", "I;16": "I"}.get(mode, "RGB" if mode != "PA" else "P")
    image = image.convert(through).convert(mode) if mode != "I;16" else image.convert("I").convert("I;16")
    with giving([image, image]):
        images, _ = next(given_data(batch_size=2).reals(None, 2))
    assert images.shape[2:] == (8, 8)
    if mode in ("CMYK", "RGBX"):
        assert (images[0] / 2 + 0.5 - UNIT).abs().max() < 0.01


@pytest.mark.parametrize("mode", ["F", "I"])
def test_modes_of_pillow_without_a_range(mode: str) -> None:
    with pytest.raises(DataError, match=rf"a sample is a Pillow image of mode {mode}: convert it to L, RGB or RGBA"):
        Given([Image.new(mode, (8, 8))])


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.clone().requires_grad_(),
        lambda image: image.to(torch.bfloat16),
        lambda image: image.to(torch.float16),
        lambda image: image.to_sparse(),
    ],
    ids=["requires grad", "bfloat16", "float16", "sparse"],
)
def test_tensors_of_all_kinds(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    (found,) = items(change(UNIT))
    assert np.abs(found.transpose(2, 0, 1).astype(int) - RGB.numpy()).max() <= 1


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter([GRAY])


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ([], "data= is list without samples"),
        (5, "data= is int, which has no length or no numbered samples"),
        (
            type("Endless", (IterableDataset,), {"__iter__": lambda self: iter([GRAY])})(),
            "data= is Endless, which has no length",
        ),
        (["cat.png"], "a sample is str, and it must be an image, an image and a label"),
        ([{"pixels": GRAY}], "The samples of list are mappings with pixels: add image"),
        ([torch.zeros(2)], r"a sample has the shape 2, and images are of height x width"),
        ([torch.zeros(5, 8, 8)], r"a sample has the shape 5 x 8 x 8"),
        ([torch.full((1, 8, 8), 200.0)], r"a sample is float32 from 200 to 200, and images are uint8, or"),
        ([GRAY.long()], r"a sample is int64 from 0 to 252"),
    ],
)
def test_what_is_not_an_image(samples: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence), giving(samples):
        pass


class Mirrored(Dataset):
    """A random transform, as data sets often have."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, position: int) -> torch.Tensor:
        return GRAY.flip(1) if torch.rand(()) < 0.5 else GRAY


def test_random_transforms_are_refused() -> None:
    with pytest.raises(DataError, match=r"gives another image each time that a sample is read, .*: remove random"):
        Given(Mirrored())


def test_a_value_out_of_range_is_named_where_it_is_read() -> None:
    samples = [torch.zeros(1, 8, 8)] * 40
    samples[34] = torch.full((1, 8, 8), -0.5)
    with (
        giving(samples),
        pytest.raises(DataError, match="image 34 of list cannot be read: a sample is float32"),
    ):
        list(given_data(batch_size=2).reals(None, 40))


def test_sizes_are_those_of_the_images() -> None:
    def module(*samples: Any, **options: Any) -> GivenData:
        with giving(list(samples)):
            return given_data(batch_size=1, **options)

    spec = module(GRAY, RGB).spec
    assert (spec.channels, spec.resolution, spec.num_classes) == (3, 8, None)
    assert module(GRAY[:, :4], resolution=4).spec.resolution == 4
    for samples in ([GRAY[:, :4]], [GRAY, GRAY[:4, :4]]):
        with pytest.raises(ConfigError, match=r"list has images of [\dx, ]+ pixels: give dataset.resolution, to which"):
            module(*samples)


class Labeled(Dataset):
    """Like a data set of torchvision; counts its reads."""

    classes = ("ant", "bee", "cow")

    def __init__(self) -> None:
        self.targets = [position % 3 for position in range(30)]
        self.reads = 0

    def __len__(self) -> int:
        return 30

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        self.reads += 1
        return GRAY + position, self.targets[position]


def test_labels_are_found_without_reading_the_images() -> None:
    dataset = Labeled()
    given = Given(Subset(dataset, range(10, 30)))
    before = dataset.reads
    assert given.labels is not None and given.labels.tolist() == dataset.targets[10:] and dataset.reads <= before + 1
    assert given.name == "Labeled" and given.raw(labeled=True).classes == ["ant", "bee", "cow"]
    assert given.raw(labeled=False).labels is None


@pytest.mark.parametrize("change", [{"targets": None}, {"target_transform": abs}, {"targets": [7] * 30}])
def test_other_labels_are_read(change: dict[str, Any]) -> None:
    dataset = Labeled()
    values = dataset.targets
    dataset.__class__ = type("Changed", (Labeled,), {"__getitem__": lambda self, k: (GRAY, torch.tensor(values[k]))})
    vars(dataset).update(change)
    assert Given(dataset).labels.tolist() == values  # type: ignore[union-attr]


def test_labels_of_a_wrapper_are_those_of_its_samples() -> None:
    """It has the attributes of the data set below, as many wrappers do, and other samples."""

    class Shuffled(Dataset):
        def __init__(self, inner: Labeled) -> None:
            self.inner = inner
            self.order = [0, *reversed(range(1, len(inner)))]

        def __len__(self) -> int:
            return len(self.inner)

        def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
            return self.inner[self.order[position]]

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["inner"], name)

    dataset = Shuffled(Labeled())
    given = Given(dataset)
    assert given.labels is not None and given.labels.tolist() == [
        label for _, label in map(dataset.__getitem__, range(30))
    ]


def test_labels_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match=r"labels of list are not whole numbers, such as cat: give dataset\."):
        _ = Given([(GRAY, "cat")]).labels


def test_workers_of_loaders_get_a_copy() -> None:
    copied = pickle.loads(pickle.dumps(Given([GRAY])))
    assert np.array_equal(copied[0], GRAY.numpy())


class Module(LightningDataModule):
    def setup(self, stage: str) -> None:
        self.samples = TensorDataset(UNIT[None].repeat(4, 1, 1, 1), torch.arange(4))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.samples, batch_size=2)


def test_data_modules() -> None:
    with giving(Module()):
        assert given_data(batch_size=2, num_classes=4).size == 4
    broken = Module()
    broken.train_dataloader = lambda: SimpleNamespace()  # type: ignore[method-assign, assignment, return-value]
    for module in (broken, LightningDataModule()):
        sentence = rf"data= is {type(module).__name__}, whose train_dataloader is not a torch\.utils\.data\."
        with pytest.raises(DataError, match=sentence):
            giving(module).__enter__()
    own = instantiate(gan_lab.compose("run.name=x").dataset, "dataset")
    with pytest.raises(DataError, match="data= is ImageData, a data module of gan_lab: name its class in the config"):
        giving(own).__enter__()


# -- runs


def digits(count: int = 40, shift: float = 0.0) -> TensorDataset:
    noise = torch.Generator().manual_seed(0)
    return TensorDataset((torch.rand(count, 1, 16, 16, generator=noise) + shift).clamp(max=1), torch.arange(count) % 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 32 of 48 images, which was then resumed."""
    folder = tmp_path_factory.mktemp("given") / "run"
    shared = ("dataset=python", "dataset.num_classes=3", f"run.dir={folder}", "logger=[csv]")
    gan_lab.fit(gan_lab.compose(*SMALL, *shared), data=digits())
    gan_lab.fit(gan_lab.compose(f"resume={folder}", "budget.images=48"), data=digits())
    return folder


def test_resumes_exactly(run: Path, tmp_path: Path) -> None:
    shared = ("dataset=python", "dataset.num_classes=3", f"run.dir={tmp_path}/run", "logger=[csv]")
    experiment = gan_lab.fit(gan_lab.compose(*SMALL, *shared, "budget.images=48"), data=digits())
    resumed = torch.load(run / "checkpoints/last.ckpt")["state_dict"]
    assert not list(unequal(experiment.module.state_dict(), resumed))
    assert experiment.config.dataset.source == "TensorDataset" and experiment.config.dataset.resolution == 16


def test_other_images_are_another_run(run: Path) -> None:
    for data, what in ((digits(shift=0.01), "other images or labels"), (digits(39), r"40 images \(now 39\)")):
        with pytest.raises(ConfigError, match=rf"was trained with {what}"):
            gan_lab.fit(gan_lab.compose(f"resume={run}", "budget.images=64"), data=data)


def test_commands_take_the_images_too(run: Path, command: Callable[..., Outcome]) -> None:
    small = {"metrics": ["swd_small"], "evaluation.samples": 20, "evaluation.real_images": 30, "device": "cpu"}
    found = gan_lab.evaluate(run, data=digits(), **small)
    assert next(iter(found.records.values())).protocol.real_source == "TensorDataset"
    with pytest.raises(UserError, match="exist in Python only: give them there, as in"):
        gan_lab.evaluate(run, **small)
    outcome = command("evaluate", f"run={run}", "metrics=[swd_small]", "evaluation.samples=20", "device=cpu")
    assert outcome.status == 2 and "dataset=python exist in Python only" in outcome.err.splitlines()[-1]
    outcome = command("train", f"resume={run}", "budget.images=64")
    assert outcome.status == 2 and "dataset=python exist in Python only" in outcome.err.splitlines()[-1]


def test_data_without_effect(run: Path) -> None:
    with pytest.raises(ConfigError, match="data= needs a config of dataset=python"):
        gan_lab.fit(gan_lab.compose(*SMALL), data=digits())
    with pytest.raises(ConfigError, match="data= has no effect: it is for configs and runs of dataset=python"):
        gan_lab.list_runs(run.parent, data=digits())


def test_labels_are_advised(tmp_path: Path) -> None:
    config = gan_lab.compose(*SMALL, "model=acgan", "dataset=python", f"run.dir={tmp_path}/run")
    with pytest.raises(ConfigError, match="TensorDataset has labels from 0 to 2; give"):
        gan_lab.fit(config, data=digits())
    with pytest.raises(ConfigError, match="list has none; its samples must be an image, an image and a label"):
        gan_lab.fit(config, data=[GRAY] * 40)
