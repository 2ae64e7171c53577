"""Decoding in processes: the same images and errors as in threads."""

import multiprocessing
import os
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gan_lab.data.cache import decode_all, decode_once
from gan_lab.data.decode import Decoder
from gan_lab.data.image_data import ImageData
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.kept import kept_sets, sets_kept
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

COUNT = 300


@pytest.fixture
def in_processes(monkeypatch):
    if multiprocessing.get_start_method() != "fork":
        pytest.skip("processes do not start by fork")
    monkeypatch.setattr("gan_lab.data.decoding.PROCESSES_FROM", 100)
    monkeypatch.setattr("gan_lab.data.decoding._cores", lambda: 2)


def images(damaged: tuple[int, ...] = ()) -> RawImages:
    items = [np.full((2, 2), number % 251, np.uint8) for number in range(COUNT)]
    for number in damaged:
        items[number] = b"not an image"
    return RawImages(items, [f"image {number}" for number in range(COUNT)], torch.arange(COUNT))


@dataclass
class Recorder:
    """A decoder whose image is its own process."""

    channels: int = 1
    resolution: int = 8

    def __call__(self, raw: RawImages, position: int) -> Tensor:
        return torch.tensor([os.getpid()]).view(torch.uint8).repeat(8).view(1, 8, 8)


class Killed(Recorder):
    """A decoder that ends its process, as the system does without memory."""

    def __call__(self, raw: RawImages, position: int) -> Tensor:
        os._exit(1)


def test_images_come_from_other_processes_which_end(in_processes) -> None:
    found = decode_all(images(), Recorder()).images.view(torch.int64)
    processes = set(found.flatten().tolist())
    assert 1 <= len(processes) <= 2 and os.getpid() not in processes
    assert not multiprocessing.active_children()


def test_images_and_errors_are_those_of_threads(in_processes, monkeypatch, caplog) -> None:
    damaged = images(damaged=(3, 70, 299))
    found = decode_all(damaged, Decoder(1, 2), on_error="skip")
    with pytest.raises(DataError, match=r"^image 3 cannot be read: it is not an image that Pillow can decode\.$"):
        decode_all(damaged, Decoder(1, 2))
    assert not multiprocessing.active_children()
    monkeypatch.setattr("gan_lab.data.decoding.PROCESSES_FROM", COUNT + 1)
    expected = decode_all(damaged, Decoder(1, 2), on_error="skip")
    assert torch.equal(found.images, expected.images) and torch.equal(found.labels, expected.labels)
    assert len(found.images) == COUNT - 3 and found.images[-1].unique().tolist() == [298 % 251]
    assert caplog.messages[0] == caplog.messages[1]


def test_an_ended_process_is_one_sentence(in_processes) -> None:
    with pytest.raises(DataError, match=r"^The processes that decode images .* give dataset\.cache=none, "):
        decode_all(images(), Killed())


class Counting(Decoder):
    """A decoder that counts the images that it converts."""

    count = 0

    def __call__(self, raw: RawImages, position: int) -> Tensor:
        Counting.count += 1
        return super().__call__(raw, position)


def decoded(raw: RawImages, decoder: Decoder, **options: str) -> int:
    """How many images were decoded, for the right result."""
    before = Counting.count
    found = decode_once(raw, decoder, **options)
    count = Counting.count - before
    plain = Decoder(1, decoder.resolution)
    for image, position in zip(found.images, found.labels.tolist(), strict=True):
        torch.testing.assert_close(image, plain(raw, position), rtol=0, atol=0)
    return count


def test_the_runs_of_a_sweep_decode_the_same_bytes_once():
    with sets_kept():
        assert decoded(images(), Counting(1, 2)) == COUNT
        assert decoded(images(), Counting(1, 2)) == 0
        assert decoded(images(), Counting(1, 3)) == COUNT
        changed = images()
        changed.items[7] = np.full((2, 2), 255, np.uint8)
        assert decoded(changed, Counting(1, 2)) == COUNT
        assert decoded(images(), Counting(1, 2)) == 0
        assert decoded(images(damaged=(3,)), Counting(1, 2), on_error="skip") == COUNT
        assert decoded(images(damaged=(3,)), Counting(1, 2), on_error="skip") == COUNT  # and warned about again
    assert decoded(images(), Counting(1, 2)) == COUNT


def test_sets_that_fill_more_than_a_quarter_of_the_memory_are_not_kept(monkeypatch):
    size = COUNT * 4
    monkeypatch.setattr("gan_lab.data.cache._memory_bytes", lambda: 4 * size)
    with sets_kept():
        assert decoded(images(), Counting(1, 2)) == COUNT
        assert decoded(images(), Counting(1, 2)) == 0
        monkeypatch.setattr("gan_lab.data.cache._memory_bytes", lambda: 4 * size - 4)
        assert decoded(images(), Counting(1, 2)) == 0
        assert decoded(images(), Counting(1, 2)) == COUNT


def test_images_that_are_not_to_be_cached_are_not_kept(tmp_path):
    """`dataset.cache=none` decodes them for each evaluation."""
    for number in range(6):
        Image.fromarray(np.full((2, 2), number, np.uint8)).save(tmp_path / f"{number}.png")
    with sets_kept():
        data = ImageData(str(tmp_path), read_image_folder, 2, 1, None, 2, cache="none")
        assert sum(map(len, data.reals(None, 2))) == 6
        assert kept_sets.get() == {}
