"""Where decoded images are kept."""

import pytest
import torch

from gan_lab.data import cache
from gan_lab.data.cache import cache_bytes, choose_cache

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine with 1000 bytes of memory and a device with 100 free ones."""
    monkeypatch.setattr(cache, "_memory_bytes", lambda: 1000)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 200))


@pytest.mark.parametrize(
    ("nbytes", "device", "processes", "expected"),
    [
        (250, CPU, 1, "memory"),
        (251, CPU, 1, "none"),
        (125, CPU, 2, "memory"),
        (126, CPU, 2, "none"),
        (20, CUDA, 1, "device"),
        (21, CUDA, 1, "memory"),
        (20, CUDA, 2, "memory"),
        (251, CUDA, 1, "none"),
    ],
)
def test_auto(nbytes, device, processes, expected):
    assert choose_cache("auto", nbytes, device, processes) == expected


def test_a_given_place_is_taken():
    for mode in ("device", "memory", "none"):
        assert choose_cache(mode, 10**12, CUDA, 8) == mode
    assert choose_cache("device", 10, CPU) == "memory"


def test_sizes_in_bytes():
    assert cache_bytes(10, 3, 32) == torch.empty(10, 3, 32, 32, dtype=torch.uint8).nbytes


def test_this_machines_memory_is_known(monkeypatch):
    monkeypatch.undo()
    assert 2**28 < cache._memory_bytes() < 2**50
