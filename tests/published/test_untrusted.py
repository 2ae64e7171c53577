"""Files of others are read as data: nothing in them is run, and damage is reported in a sentence."""

import contextlib
import os
import pickle
import pickletools
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_lab import plain_pickle
from gan_lab.errors import CheckpointError
from gan_lab.published import network_pickles
from gan_lab.published.formats import read
from gan_lab.published.network_pickles import Record, read_pickle, tensors_of
from tests.helpers.published_files import persistent, write_pickle
from tests.published.test_stylegan2 import networks, stylegan2_snapshot

Command = Callable[..., Any]


class Runs:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def refusal(file: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        read(file)
    return str(error.value)


@pytest.mark.parametrize("protocol", [3, 4])
def test_plain_content(protocol: int, tmp_path: Path) -> None:
    content = {
        "tensor": torch.arange(12.0).view(3, 4).T,
        "half": torch.ones(2, dtype=torch.float16),
        "parameter": torch.nn.Parameter(torch.zeros(())),
        "array": np.arange(6, dtype=">f4").reshape(2, 3).T,
        "scalar": np.float64(0.5),
        "plain": [1, (2.5, None, True, b"x"), {3}, OrderedDict(a=2**70), "text"],
    }
    found = read_pickle(write_pickle(tmp_path / "x.pkl", content, protocol))
    assert found.keys() == content.keys() and found["plain"] == content["plain"] and found["scalar"] == 0.5
    assert torch.equal(found["tensor"], content["tensor"]) and torch.equal(found["half"], content["half"])
    assert np.array_equal(found["array"], content["array"]) and found["parameter"].shape == ()


def test_source_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    network = persistent("Generator", {"a.weight": torch.ones(2)}, {"a": {"gain": 3}})
    found = read_pickle(write_pickle(tmp_path / "x.pkl", network))
    assert isinstance(found, Record) and tensors_of(found, tmp_path)["a.weight"].tolist() == [1, 1]
    assert "CODE_OF_A_FILE_RAN" not in os.environ


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (Runs(), "system"),
        ({"G_ema": [Runs()]}, "system"),
        (print, "builtins.print"),
        (Path("x"), "PosixPath"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (np.array([object()], dtype=object), "builtins.object"),
    ],
)
def test_other_globals_are_refused(content: Any, asked: str, tmp_path: Path, command: Command) -> None:
    write_pickle(tmp_path / "x.pkl", content)
    outcome = command("import", "x.pkl")
    assert outcome.status == 2 and "no code of the file was run" in outcome.err, outcome.err
    assert asked in outcome.err and len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_a_file_of_torch_save_with_other_globals_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for old in (False, True):
        torch.save({"state": Runs()}, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
        assert "asks for posix.system, which published networks do not contain" in refusal(tmp_path / "x.pth")
    assert not (tmp_path / "ran").exists()


OPERATIONS = {
    "a huge tensor of one number": lambda: tensor_with((2**40,), (0,)),
    "a tensor beyond its storage": lambda: tensor_with((5,), (1,)),
    "a length beyond the file": lambda: b"\x80\x05\x96" + b"\xff" * 6 + b"\x00\x00.",
    "a tensor with steps beyond its storage": lambda: tensor_with((2,), (100,)),
    "an operation of old pickles": lambda: b"\x80\x04(I1\nl.",
    "an extension": lambda: b"\x80\x04\x82\x01.",
    "a persistent name": lambda: b"\x80\x04\x8c\x01xQ.",
    "no value": lambda: b"\x80\x04.",
    "an unknown place of the memo": lambda: b"\x80\x04h\x07.",
    "an unhashable key": lambda: b"\x80\x04}]K\x01s.",
    "a function as a module's name": lambda: b"\x80\x04]]\x93.",
    "an attribute of a list": lambda: b"\x80\x04]}b.",
    "an attribute of a class": lambda: b"\x80\x04ccollections\nOrderedDict\nN}\x8c\x06update\x8c\x01xs\x86b.",
    "arguments in a list": lambda: b"\x80\x04ccollections\nOrderedDict\n]R.",
}


def tensor_with(size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A pickle of a tensor of four floats with another size and stride."""

    class Rebuilt:
        def __reduce__(self) -> tuple[Any, ...]:
            _, arguments = torch.zeros(4).__reduce_ex__(2)[:2]
            storage = arguments[0]
            return torch._utils._rebuild_tensor_v2, (storage, 0, size, stride, False, OrderedDict())

    return pickle.dumps(Rebuilt(), 4)


@pytest.mark.parametrize("content", OPERATIONS.values(), ids=list(OPERATIONS))
def test_malformed_operations(content: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(content())
    assert "x.pkl" in refusal(tmp_path / "x.pkl")


def test_damaged_weights_of_torch_save_are_noticed(tmp_path: Path) -> None:
    torch.save({"a": torch.full((100,), 3.0)}, tmp_path / "x.pth")
    content = (tmp_path / "x.pth").read_bytes()
    place = content.index(np.full(100, 3.0, np.float32).tobytes())
    (tmp_path / "x.pth").write_bytes(content[: place + 8] + b"\x01" + content[place + 9 :])
    assert "x.pth cannot be read: it is truncated, damaged, or of another kind" in refusal(tmp_path / "x.pth")


def test_every_truncation_is_reported(tmp_path: Path) -> None:
    file = write_pickle(tmp_path / "x.pkl", stylegan2_snapshot(*networks()))
    complete = file.read_bytes()
    for length in (0, 1, 2, 50, 1000, len(complete) // 2, len(complete) - 1):
        file.write_bytes(complete[:length])
        assert "x.pkl" in refusal(file)


def test_random_damage_ends_in_a_sentence_or_is_read(tmp_path: Path) -> None:
    file = write_pickle(tmp_path / "x.pkl", {"a": torch.ones(2), "b": [np.float64(1), {"c": (1, 2)}]})
    complete, source = file.read_bytes(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(complete)
        damaged[source.randrange(len(damaged))] = source.randrange(256)
        file.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read(file)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = persistent("Generator", {f"a{k}.weight": torch.ones(1) for k in range(20)}, {})
    file = write_pickle(tmp_path / "x.pkl", network)
    monkeypatch.setattr(network_pickles, "MAX_MODULES", 10)
    with pytest.raises(CheckpointError, match="cannot be used"):
        tensors_of(read_pickle(file), file)
    monkeypatch.setattr(plain_pickle, "MAX_OPERATIONS", len(list(pickletools.genops(file.read_bytes()))) - 1)
    with pytest.raises(CheckpointError, match="operations and is not read"):
        read_pickle(file)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    {
        "none.pkl": "source=none.pkl does not exist; give a file of published weights. Did you mean note.pkl?",
        "note.pkl": "note.pkl is neither a pickle nor a file of torch.save",
        "list.pkl": "list.pkl has none of the formats that can be imported: stylegan2",
        "list.pkl format=stylegan2": "list.pkl is not a pickle of StyleGAN2",
        "list.pkl format=foo": "format=foo is not known: choose",
        "list.pkl weights=both": "weights=both is not known: choose ema or raw",
        "list.pkl out=x.pt": "out=x.pt is not allowed: it must be a file name that ends with .safetensors",
        "archive.zip": "archive.zip cannot be read: it is truncated, damaged",
        "folder": "folder has no files <...>gen_params<...>_01.npy and so on: give a file, or the folder of",
    }.items(),
)
def test_refusals(arguments: str, sentence: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "note.pkl").write_text("no pickle")
    write_pickle(tmp_path / "list.pkl", [1, 2])
    (tmp_path / "folder").mkdir()
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    outcome = command("import", *arguments.split())
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
