"""Errors of the system are sentences that name the file, and whether it is read or written."""

import errno
import os
import re
import shlex
import tempfile
from pathlib import Path

import pytest
import torch

from gan_lab.config import messages
from gan_lab.config.compose import compose
from gan_lab.config.messages import describe
from gan_lab.errors import ConfigError, is_out_of_memory

CODES = ("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EACCES", "EPERM", "EEXIST", "ENOENT", "ENOTDIR", "ENXIO", "EISDIR",
         "ELOOP", "ENAMETOOLONG")  # fmt: skip


@pytest.mark.parametrize("name", CODES)
def test_errors_of_the_disk(name: str) -> None:
    code = getattr(errno, name)
    sentence = describe(OSError(code, os.strerror(code), "some/file"), "train")
    assert sentence == f"some/file cannot be written: {os.strerror(code)}."
    hidden = RuntimeError("PytorchStreamWriter failed")
    hidden.__context__ = OSError(code, os.strerror(code), "some/file")
    assert describe(hidden, "train") == sentence


def test_a_file_that_may_not_be_read_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read everything."""
    monkeypatch.setattr(messages.os, "access", lambda file, mode: False)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert describe(error, "runs") == f"{tmp_path} cannot be read: Permission denied."


@pytest.mark.parametrize(
    ("command", "override", "sentence"),
    [
        ("train", "lr=foo", "lr=foo is not allowed: it must be a number."),
        ("train", "width=1.5", "width=1.5 is not allowed: it must be a whole number or null."),
        ("train", "betas=3", "betas=3 is not allowed: it must be a list of numbers."),
        ("train", "betas=[0.1,x]", "betas=[0.1,x] is not allowed: it must be a list of numbers."),
        ("train", "allow_changes=maybe", "allow_changes=maybe is not allowed: it must be true or false."),
        ("train", "seed=null", "seed=null is not allowed: it must be a whole number."),
        ("train", "run=x", "run=x is not allowed: it must be a group of keys, as in run.root=VALUE."),
        ("evaluate", "evaluation.samples=lots", "evaluation.samples=lots is not allowed: it must be a whole number."),
        ("sample", "run=[a,b]", "run=[a,b] is not allowed: it must be text."),
    ],
)
def test_values_of_another_type(command: str, override: str, sentence: str) -> None:
    """Each message names the key, the value as typed and what is allowed."""
    with pytest.raises(ConfigError) as error:
        compose(override, command=command)
    assert str(error.value) == sentence


@pytest.mark.parametrize("value", ["~/photos", "photos (1)", "photos(1)/a b", "it's here", "a=b", "$HOME/(a)"])
def test_a_value_that_needs_quotes_is_shown_with_them(value: str) -> None:
    """The argument in the message is one for a shell, and gives the value as it was meant."""
    with pytest.raises(ConfigError) as error:
        compose("dataset=image_folder", f"dataset.source={value}")
    pattern = r"dataset\.source=.* cannot be read.*: the value needs quotes inside those of the shell, as in (.*)\."
    (argument,) = shlex.split(re.fullmatch(pattern, str(error.value))[1])
    assert compose("dataset=image_folder", argument).dataset.source == value


@pytest.mark.parametrize("argument", ["betas=[0.1", "lr", "dataset.source='a"])
def test_other_arguments_that_cannot_be_read(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read.*: write key=value, and quotes around a value with special"):
        compose(argument)


def test_no_working_directory() -> None:
    assert "working directory does not exist" in str(describe(FileNotFoundError(errno.ENOENT, "No such file"), "list"))


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/none/of/these"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(FileNotFoundError) as error:
        tempfile.gettempdir()
    message = "No usable temporary directory found in ['/none/of/these']: set TMPDIR to a folder that can be written."
    assert str(describe(error.value, "list")) == message


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "EAGAIN"])
def test_limits_of_the_system(name: str) -> None:
    code = getattr(errno, name)
    sentence = describe(OSError(code, os.strerror(code)), "train")
    assert sentence is not None and "ulimit" in sentence and "hardware.num_workers=0" in sentence


MEMORY = {
    "CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "oneDNN": RuntimeError("could not create a primitive"),
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "Apple": RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    "Python": MemoryError(),
    "NumPy": MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,)"),
}


@pytest.mark.parametrize("error", MEMORY.values(), ids=MEMORY)
def test_memory_that_runs_out(error: Exception) -> None:
    sentence = describe(error, "sample")
    assert is_out_of_memory(error) and str(sentence).startswith("The memory is too small")
    assert str(sentence).endswith("choose a smaller count, batch size, network or resolution.")


def test_the_real_error_of_the_cpu() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_other_errors_keep_their_traceback() -> None:
    for error in (RuntimeError("shapes cannot be multiplied"), OSError(errno.EBADF, "Bad file descriptor"), KeyError()):
        assert describe(error, "train") is None and not is_out_of_memory(error)
