"""Loaders: agreement with each other, exact resume, and errors for unreadable images."""

import errno
import gc
import logging
import multiprocessing
import pickle

import numpy as np
import pytest
import torch

from gan_lab.data.cache import DecodedImages, decode_all
from gan_lab.data.decode import Decoder
from gan_lab.data.file_loader import FileLoader
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.loaders import DistributionLoader, MemoryLoader, ResumableLoader
from gan_lab.data.mixtures import ring
from gan_lab.data.raw import RawImages
from gan_lab.data.sampler import EpochSampler
from gan_lab.data.stacked import DigitTriples
from gan_lab.errors import DataError

DECODER = Decoder(channels=3, resolution=6)
LABELS = torch.arange(26) % 3


def memory_loader(folder, **options) -> MemoryLoader:
    images = decode_all(read_image_folder(str(folder)), DECODER).images
    return MemoryLoader(DecodedImages(images, LABELS), EpochSampler(26, 4, seed=1, **options))


def file_loader(folder, num_workers: int = 0, on_error: str = "stop") -> FileLoader:
    raw = read_image_folder(str(folder))
    return FileLoader(raw, LABELS, DECODER, EpochSampler(26, 4, seed=1), on_error, num_workers)


def point_loader(**options) -> DistributionLoader:
    return DistributionLoader(ring(), batches_per_epoch=6, global_batch=4, seed=1, **options)


def stacked_loader(**options) -> DistributionLoader:
    digits = DecodedImages(torch.arange(200, dtype=torch.uint8).view(-1, 1, 1, 1), torch.arange(200) % 10)
    return DistributionLoader(DigitTriples(digits), batches_per_epoch=6, global_batch=4, seed=1, **options)


LOADERS = {
    "memory": memory_loader,
    "file": file_loader,
    "workers": lambda folder: file_loader(folder, num_workers=2),
    "point": lambda folder: point_loader(),
    "stacked": lambda folder: stacked_loader(),
}


def epoch_of(loader: ResumableLoader, epoch: int) -> list[dict]:
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(first: list[dict], second: list[dict]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(autouse=True)
def end_workers(monkeypatch):
    """Close every file loader that a test created."""
    made = []
    init = FileLoader.__init__

    def remember(self, *arguments):
        init(self, *arguments)
        made.append(self)

    monkeypatch.setattr(FileLoader, "__init__", remember)
    yield
    for loader in made:
        loader.close()


@pytest.fixture
def folder(make_folder):
    return make_folder(26)


def test_batches_hold_the_images_of_their_index(folder):
    raw = read_image_folder(str(folder))
    (batch, *_) = loader = list(memory_loader(folder))
    assert len(loader) == 6
    assert batch["image"].shape == (4, 3, 6, 6) and batch["image"].dtype == torch.uint8
    for image, label, index in zip(batch["image"], batch["label"], batch["index"], strict=True):
        assert torch.equal(image, DECODER(raw, int(index))) and label == index % 3


def test_images_whose_size_is_not_a_multiple_of_eight_bytes():
    images = torch.arange(5 * 3, dtype=torch.uint8).view(5, 1, 3, 1)
    for batch in MemoryLoader(DecodedImages(images, None), EpochSampler(5, 2, seed=0)):
        assert torch.equal(batch["image"], images[batch["index"]]) and "label" not in batch


@pytest.mark.parametrize("num_workers", [0, 2])
def test_file_loader_equals_memory_loader(folder, num_workers):
    memory, files = memory_loader(folder), file_loader(folder, num_workers)
    for epoch in (0, 1):
        assert same(epoch_of(memory, epoch), epoch_of(files, epoch))
    assert not same(epoch_of(memory, 0), epoch_of(memory, 1))


def test_points_are_new_in_every_batch_and_epoch():
    loader = point_loader()
    batches = [batch["image"] for epoch in (0, 1) for batch in epoch_of(loader, epoch)]
    assert len({tuple(batch.flatten().tolist()) for batch in batches}) == 12


def test_ranks_joined_are_the_batch_of_one_process(folder):
    for make in (lambda **options: memory_loader(folder, **options), point_loader, stacked_loader):
        by_rank = [epoch_of(make(rank=rank, world=2), 3) for rank in (0, 1)]
        for expected, *parts in zip(epoch_of(make(), 3), *by_rank, strict=True):
            for key in ("image", "label"):
                joined = torch.stack([part[key] for part in parts], dim=1).flatten(0, 1)
                assert torch.equal(joined, expected[key])


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_resume_continues_with_the_next_batch(folder, name, stop):
    uninterrupted = LOADERS[name](folder)
    expected = epoch_of(uninterrupted, 2) + epoch_of(uninterrupted, 3)
    first = LOADERS[name](folder)
    first.sampler.set_epoch(2)
    iterator = iter(first)
    seen = [next(iterator) for _ in range(stop)]
    state = pickle.loads(pickle.dumps(first.state_dict()))
    second = LOADERS[name](folder)
    second.load_state_dict(state)
    if stop == 0:
        state = second.state_dict()  # no batch was drawn, so the state is that of a new loader
        second.sampler.set_epoch(2)
    assert second.state_dict() == state  # saved again before the first batch
    iterator = iter(second)  # created before the epoch is set, as in Lightning
    second.sampler.set_epoch(3 if stop == 6 else 2)
    seen += list(iterator)
    if stop < 6:
        assert second.state_dict() == {"epoch": 2, "batches": 6}
        seen += epoch_of(second, 3)
    assert same(seen, expected)


def test_an_abandoned_epoch_has_no_effect(folder):
    loader = file_loader(folder, num_workers=2)
    loader.sampler.set_epoch(0)
    next(iter(loader))
    assert same(epoch_of(loader, 1), epoch_of(memory_loader(folder), 1))


def test_workers_wait_for_the_next_epoch_and_end_with_close(folder):
    loader = file_loader(folder, num_workers=2)
    first = list(loader)
    workers = {process.pid for process in multiprocessing.active_children()}
    assert same(list(loader), first)
    assert {process.pid for process in multiprocessing.active_children()} == workers and len(workers) == 2
    loader.close()
    assert not multiprocessing.active_children()
    assert same(list(loader), first)
    loader.close()


# --- unreadable images


@pytest.fixture
def damaged(folder):
    """Folder in which 3 of the 26 files are not images, including the last."""
    for number in (3, 4, 25):
        (folder / f"{number:03d}.png").write_text("not an image")
    return folder


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_workers_error_is_one_line(damaged, num_workers):
    with pytest.raises(DataError) as caught:
        list(file_loader(damaged, num_workers))
    name = str(caught.value).partition(".png")[0][-3:]
    reason = "it is not an image that Pillow can decode; dataset.on_error=skip leaves such images out."
    assert str(caught.value) == f"{damaged}/{name}.png cannot be read: {reason}"
    assert name in ("003", "004", "025")
    assert not multiprocessing.active_children()


def test_a_full_shared_memory_is_named(folder, monkeypatch):
    """Not a thread of the worker, whose failure would leave the training process waiting."""

    def full(tensor):
        raise RuntimeError("unable to write to file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(DataError, match=r"shared memory in /dev/shm is full; set hardware\.num_workers=0"):
        list(file_loader(folder, 2))
    assert not multiprocessing.active_children()


def test_limits_that_stop_workers_are_named(folder, monkeypatch):
    """One sentence, also if some workers run already: PyTorch's incomplete iterator raises when it is deleted."""
    process_class, ignored = multiprocessing.process.BaseProcess, []
    start = process_class.start

    def start_one(process):
        if multiprocessing.active_children():
            raise OSError(errno.EMFILE, "Too many open files")
        start(process)

    monkeypatch.setattr(process_class, "start", start_one)
    monkeypatch.setattr("sys.unraisablehook", ignored.append)
    with pytest.raises(DataError, match=r"cannot run: Too many open files; set hardware\.num_workers=0 or a smaller"):
        list(file_loader(folder, 2))
    gc.collect()
    assert not ignored and not multiprocessing.active_children()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_skipped_files_are_replaced_and_recorded(damaged, num_workers, caplog):
    loader = file_loader(damaged, num_workers, on_error="skip")
    raw = read_image_folder(str(damaged))
    wanted = torch.cat(list(EpochSampler(26, 4, seed=1))).tolist()
    batches = list(loader)
    found = torch.cat([batch["index"] for batch in batches]).tolist()
    assert found == [{3: 5, 4: 5, 25: 0}.get(index, index) for index in wanted]
    for batch in batches:
        assert torch.equal(batch["image"], torch.stack([DECODER(raw, index) for index in batch["index"].tolist()]))
        assert torch.equal(batch["label"], batch["index"] % 3)
    assert loader.skipped == {index for index in (3, 4, 25) if index in wanted} | ({4} if 3 in wanted else set())
    list(loader)
    assert len(caplog.records) == 1


def test_decode_all_stops_at_the_first_bad_image(damaged):
    with pytest.raises(DataError, match=r"003\.png cannot be read"):
        decode_all(read_image_folder(str(damaged)), DECODER)


def test_decode_all_skips_bad_images_with_one_warning(damaged, caplog):
    raw = read_image_folder(str(damaged))
    with caplog.at_level(logging.WARNING):
        decoded = decode_all(RawImages(raw.items, raw.names, torch.arange(26)), DECODER, on_error="skip")
    kept = [number for number in range(26) if number not in (3, 4, 25)]
    assert decoded.labels is not None and decoded.labels.tolist() == kept
    assert torch.equal(decoded.images, torch.stack([DECODER(raw, number) for number in kept]))
    (record,) = caplog.records
    assert record.getMessage().startswith("Skipped 3 of 26 images (3 cannot be decoded): ")
    assert all(f"{number:03d}.png" in record.getMessage() for number in (3, 4, 25))


@pytest.mark.parametrize("num_workers", [None, 0, 2])
def test_no_readable_image_is_an_error(tmp_path, num_workers):
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(b"")
    raw = read_image_folder(str(tmp_path))
    with pytest.raises(DataError, match="None of the 8 images can be used"):
        if num_workers is None:
            decode_all(raw, DECODER, on_error="skip")
        else:
            list(FileLoader(raw, None, DECODER, EpochSampler(8, 2, seed=0), "skip", num_workers))


def test_order_is_preserved_over_many_chunks():
    raw = RawImages([np.full((2, 2), number % 251, np.uint8) for number in range(1000)], ["x"] * 1000)
    images = decode_all(raw, Decoder(1, 2)).images
    assert torch.equal(images[:, 0, 0, 0], (torch.arange(1000) % 251).to(torch.uint8))
