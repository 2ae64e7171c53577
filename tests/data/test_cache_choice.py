"""Choice of the cache for decoded images."""

import os

import pytest
import torch

from gan_lab.data.cache import cache_bytes, choose_cache

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Simulates 1000 bytes of memory and a device with 100 free bytes."""
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 10, "SC_PHYS_PAGES": 100}.__getitem__)
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


def test_explicit_choices_are_unchanged():
    for mode in ("device", "memory", "none"):
        assert choose_cache(mode, 10**12, CUDA, 8) == mode
    assert choose_cache("device", 10, CPU) == "memory"


def test_cache_bytes():
    assert cache_bytes(10, 3, 32) == torch.empty(10, 3, 32, 32, dtype=torch.uint8).nbytes


def test_memory_of_this_machine_is_measured(monkeypatch):
    monkeypatch.undo()
    assert choose_cache("auto", 2**26, CPU) == "memory"  # a quarter of 256 MiB
    assert choose_cache("auto", 2**48, CPU) == "none"
