"""Cache of real statistics: when it is read, when it is replaced, and that the values are the same."""

import errno
import gc
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from gan_lab.data.image_data import ImageData
from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.errors import ConfigError, DataError
from gan_lab.metrics.extractors import Shared, shared
from gan_lab.metrics.frechet import ClassFrechetDistance, FrechetDistance
from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.measuring import measure
from gan_lab.metrics.ms_ssim import MSSSIM
from gan_lab.metrics.neighbors import DensityCoverage, PrecisionRecall
from gan_lab.metrics.real_statistics import load_or_compute_real_statistics
from gan_lab.metrics.scores import InceptionScore
from gan_lab.metrics.sliced_wasserstein import SlicedWasserstein
from tests.helpers.distributed import fork_server
from tests.helpers.pixel_features import PixelFeatures, pixel_features
from tests.helpers.real_statistics_in_two_processes import measured_value, save_measured_value

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
LABELS = torch.arange(40) % 2
GENERATED = torch.rand(30, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Counted(ImageData):
    """An image set that counts how often its images are read."""

    def __init__(self, pixels: np.ndarray = PIXELS) -> None:
        raw = RawImages(pixels, NumberedNames("x", len(pixels)), LABELS[: len(pixels)], None)
        super().__init__("x", lambda source: raw, resolution=16, channels=1, num_classes=2, batch_size=4)
        self.passes = 0

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        self.passes += 1
        yield from super().reals(count, batch_size)


def every_metric() -> dict[str, Metric]:
    """All kinds: one file of moments, one shared by three metrics of features, one of labeled features, two without."""
    extractor = pixel_features()
    return {
        "fd": FrechetDistance(extractor),
        "kd": KernelDistance(extractor),
        "pr": PrecisionRecall(extractor),
        "dc": DensityCoverage(extractor),
        "fd_class": ClassFrechetDistance(extractor),
        "swd": SlicedWasserstein(images=20, patches=4, directions=8),
        "ms_ssim": MSSSIM(),
    }


def values(metrics: dict[str, Metric]) -> dict[str, dict[str, float]]:
    return measure(metrics, [(part, LABELS[:10]) for part in GENERATED.split(10)])


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.pt"))


def passes(folder: Path, metric: Metric | None = None, data: Counted | None = None, count: int | None = None) -> int:
    """How often the images are read for a metric with this cache."""
    data = data or Counted()
    load_or_compute_real_statistics({"fd": metric or FrechetDistance(pixel_features())}, data, count, 8, folder)
    return data.passes


def test_a_second_run_reads_no_image_and_has_the_same_numbers(tmp_path: Path) -> None:
    fresh, again = every_metric(), every_metric()
    data = Counted()
    load_or_compute_real_statistics(fresh, data, None, 8, tmp_path)
    assert data.passes == 1 and len(files(tmp_path)) == 3
    times = [file.stat().st_mtime_ns for file in files(tmp_path)]
    kept = {name: metric for name, metric in again.items() if name not in ("swd", "ms_ssim")}  # without statistics
    load_or_compute_real_statistics(kept, data, None, 8, tmp_path)
    assert data.passes == 1
    load_or_compute_real_statistics(again, data, None, 8, tmp_path)
    assert data.passes == 2  # for swd and ms_ssim
    without = every_metric()
    load_or_compute_real_statistics(without, Counted(), None, 8, tmp_path / "elsewhere")
    expected = values(fresh)
    images = {name: expected[name] for name in ("swd", "ms_ssim")}
    assert expected == values(kept) | images == values(again) == values(without)
    assert [file.stat().st_mtime_ns for file in files(tmp_path)] == times
    for metric, other in zip(fresh.values(), again.values(), strict=True):
        assert getattr(metric, "protocol", None) == getattr(other, "protocol", None)


def test_values_equal_those_without_a_cache(tmp_path: Path) -> None:
    (images, labels), = Counted().reals(None, 100)  # fmt: skip
    expected = every_metric()
    for name, metric in expected.items():
        if name == "fd_class":
            metric.update(images, real=True, labels=labels)
        elif name != "ms_ssim":
            metric.update(images, real=True)
    found = every_metric()
    load_or_compute_real_statistics(found, Counted(), None, 100, tmp_path)
    assert values(found) == values(expected)
    assert found["fd"].protocol["real_images"] == 40


def test_metrics_without_real_statistics_need_no_data(tmp_path: Path) -> None:
    metrics = {"score": InceptionScore(nn.Identity())}
    assert load_or_compute_real_statistics(metrics, None, None, 8, tmp_path / "cache") == {}  # type: ignore[arg-type]
    data = Counted()
    entries = load_or_compute_real_statistics({"swd": SlicedWasserstein(20, 4, 8)}, data, None, 8, tmp_path / "cache")
    assert entries == {
        "real_content": data.fingerprint(), "real_data": data.content_hash, "real_source": data.source,
        "real_split": None,
    }  # fmt: skip
    assert data.passes == 1 and not (tmp_path / "cache").exists()


def test_features_without_a_fingerprint_are_not_cached(tmp_path: Path) -> None:
    for _ in range(2):
        assert passes(tmp_path / "cache", FrechetDistance(nn.Flatten())) == 1
    assert not (tmp_path / "cache").exists()


def test_processes_with_different_files_do_not_wait(tmp_path: Path) -> None:
    """While one process computes, another computes from other images."""
    seen = []

    class During(Counted):
        def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            other = threading.Thread(target=lambda: seen.append(passes(tmp_path, data=Counted(changed()))), daemon=True)
            other.start()
            other.join(timeout=60)
            yield from super().reals(count, batch_size)

    assert passes(tmp_path, data=During()) == 1 and seen == [1]


CHANGES = {
    "pixel": lambda folder: passes(folder, data=Counted(changed())),
    "fewer images": lambda folder: passes(folder, data=Counted(PIXELS[:39])),
    "count": lambda folder: passes(folder, count=20),
    "all, counted": lambda folder: passes(folder, count=40),
    "weights": lambda folder: passes(folder, FrechetDistance(pixel_features(seed=1))),
    "preprocessing": lambda folder: passes(folder, FrechetDistance(pixel_features(preprocessing="other"))),
    "kind": lambda folder: passes(folder, KernelDistance(pixel_features())),
    "labeled kind": lambda folder: passes(folder, ClassFrechetDistance(pixel_features())),
}


def changed() -> np.ndarray:
    pixels = PIXELS.copy()
    pixels[39, 15, 15] ^= 1
    return pixels


@pytest.mark.parametrize("what", CHANGES)
def test_other_settings_are_computed_again(what: str, tmp_path: Path) -> None:
    assert passes(tmp_path) == 1
    assert CHANGES[what](tmp_path) == 1 and len(files(tmp_path)) == 2
    assert CHANGES[what](tmp_path) == 0 and passes(tmp_path) == 0 and len(files(tmp_path)) == 2


def test_metrics_of_one_kind_use_the_same_file(tmp_path: Path) -> None:
    assert passes(tmp_path, KernelDistance(pixel_features())) == 1
    assert (
        passes(tmp_path, PrecisionRecall(pixel_features(), k=2))
        == passes(tmp_path, DensityCoverage(pixel_features()))
        == 0
    )
    assert len(files(tmp_path)) == 1


def test_only_missing_statistics_are_computed(tmp_path: Path) -> None:
    passes(tmp_path, KernelDistance(pixel_features()))
    metrics, data = every_metric(), Counted()
    seen = metrics["fd"].extractor.extractor.seen
    seen.clear()
    load_or_compute_real_statistics(metrics, data, None, 8, tmp_path)
    assert data.passes == 1 and seen == [8] * 5  # once for fd and fd_class, never for the three that share a file
    assert [int(metrics[name].protocol["real_images"]) for name in ("fd", "kd", "pr", "dc", "fd_class")] == [40] * 5
    expected = every_metric()
    load_or_compute_real_statistics(expected, data, None, 8, tmp_path / "elsewhere")
    assert values(metrics) == values(expected)


class Transferable(Tensor):
    """A tensor whose `to` returns another tensor, as from the CPU to a GPU."""

    def to(self, *args: object, **options: object) -> Tensor:
        return self.as_subclass(Tensor).clone()


def test_a_batch_is_transferred_and_extracted_once_for_all_metrics(tmp_path: Path) -> None:
    class Far(Counted):
        def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            for images, labels in super().reals(count, batch_size):
                yield images.as_subclass(Transferable), labels

    metrics = every_metric()
    seen = metrics["fd"].extractor.extractor.seen
    seen.clear()
    load_or_compute_real_statistics(metrics, Far(), None, 8, tmp_path)
    assert seen == [8] * 5


# --- failures


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_an_interrupted_write_leaves_nothing(error: BaseException, tmp_path: Path, monkeypatch, caplog) -> None:
    def interrupted(state: object, file) -> None:
        file.write(b"half of it")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        if isinstance(error, OSError):
            assert passes(tmp_path) == 1
            assert "cannot be cached in" in caplog.text and "No space left" in caplog.text
        else:
            with pytest.raises(KeyboardInterrupt):
                passes(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}
    assert passes(tmp_path) == 1 and passes(tmp_path) == 0  # and no lock is left


def test_a_full_disk_reported_by_pytorch(tmp_path: Path, monkeypatch, caplog) -> None:
    """PyTorch's writer replaces the operating system's error by its own."""
    save = torch.save

    class FullDisk:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def flush(self) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda state, file: save(state, FullDisk()))
        assert passes(tmp_path) == 1
    assert "cannot be cached in" in caplog.text
    assert not files(tmp_path)


def test_file_has_its_name_only_when_complete(tmp_path: Path, monkeypatch) -> None:
    events: list[object] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: events.append(files(tmp_path)) or sync(number))
    monkeypatch.setattr(Path, "replace", lambda draft, path: events.append("renamed") or rename(draft, path))
    passes(tmp_path)
    assert events[:2] == [[], "renamed"] and len(files(tmp_path)) == 1  # then the folder is flushed


DAMAGE = {
    "empty": lambda good: b"",
    "cut": lambda good: good[: len(good) // 2],
    "text": lambda good: b"hello",
    "zeros": lambda good: bytes(len(good)),
    "a number": lambda good: good.replace(b"moments", b"moments"[::-1]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_replaced(kind: str, tmp_path: Path, caplog) -> None:
    passes(tmp_path)
    (file,) = files(tmp_path)
    good = file.read_bytes()
    file.write_bytes(DAMAGE[kind](good))
    metric = FrechetDistance(pixel_features())
    assert passes(tmp_path, metric) == 1 and metric.protocol["real_images"] == 40
    assert "are computed again" in caplog.text and file.name in caplog.text
    assert passes(tmp_path) == 0 and len(files(tmp_path)) == 1


def test_a_file_of_random_bytes_is_replaced(tmp_path: Path) -> None:
    passes(tmp_path)
    (file,) = files(tmp_path)
    for seed in range(20):
        file.write_bytes(np.random.default_rng(seed).bytes(200))
        assert passes(tmp_path) == 1


@pytest.mark.parametrize("content", [[1.0], torch.zeros(3), {"features": torch.zeros(3, 4)}, {"moments": 3}, {}])
def test_a_file_with_other_content_is_replaced(content: object, tmp_path: Path) -> None:
    passes(tmp_path)
    torch.save(content, files(tmp_path)[0])
    assert passes(tmp_path) == 1 and passes(tmp_path) == 0


def test_unwritable_folder_logs_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    metric = FrechetDistance(pixel_features())
    with caplog.at_level(logging.WARNING):
        assert passes(tmp_path / "file" / "reals", metric) == 1
    assert "cannot be cached in" in caplog.text and "Not a directory" in caplog.text
    assert metric.protocol["real_images"] == 40


def test_read_only_folder_is_read(tmp_path: Path, monkeypatch, caplog) -> None:
    passes(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("gan_lab.metrics.real_statistics.FileLock.acquire", refuse)
    assert passes(tmp_path) == 0
    assert "Permission denied" in caplog.text


def test_two_processes_compute_once(tmp_path: Path) -> None:
    for name in ("ready", "passes"):
        (tmp_path / name).mkdir()
    other = fork_server().Process(target=save_measured_value, args=(tmp_path, "there"))
    other.start()
    value = measured_value(tmp_path, "here")
    other.join(120)
    assert other.exitcode == 0 and (tmp_path / "there.txt").read_text() == str(value)
    assert len(list((tmp_path / "passes").iterdir())) == 1 and len(files(tmp_path / "cache")) == 1


def test_environment_variable_sets_the_cache_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path))
    load_or_compute_real_statistics({"fd": FrechetDistance(pixel_features())}, Counted(), None, 8)
    assert len(files(tmp_path / "reals")) == 1


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (
            lambda: FrechetDistance(pixel_features(broken=True)),
            r"^The real features are not finite: extractor pixels .*\.$",
        ),
        (FrechetDistance, r"^Feature distances need an extractor for samples of shape .* as in extractor=efflite0\.$"),
    ],
)
def test_images_refused_by_a_metric_are_a_user_error(metric, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=sentence):
        passes(tmp_path, metric())
    assert not files(tmp_path)
    with pytest.raises(DataError, match=r"evaluation.real_images=41"):
        passes(tmp_path, count=41)
    assert passes(tmp_path) == 1  # no lock is left


# --- shared extractors


def test_one_object_for_the_same_weights_and_preprocessing() -> None:
    one = pixel_features()
    assert pixel_features() is one and isinstance(one, Shared)
    others = [pixel_features(seed=1), pixel_features(preprocessing="other")]
    assert len({id(each) for each in (one, *others)}) == 3
    renamed = PixelFeatures()
    renamed.name = "other"
    assert shared(renamed) is not one


def test_a_shared_extractor_is_freed_with_its_last_metric() -> None:
    metrics = [FrechetDistance(pixel_features(seed=9)), KernelDistance(pixel_features(seed=9))]
    first = id(metrics[0].extractor.extractor)
    assert metrics[0].extractor is metrics[1].extractor
    del metrics[0]
    gc.collect()
    assert id(pixel_features(seed=9).extractor) == first
    extractor = metrics[0].extractor
    metrics.clear()
    assert pixel_features(seed=9) is extractor
    extractor.marked = True
    del extractor
    gc.collect()
    assert not hasattr(pixel_features(seed=9), "marked")
