"""Which checkpoints are written and kept, and which one is read if some are damaged."""

import errno
import io
import logging
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_lab.callbacks import checkpoints
from gan_lab.config.compose import compose
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.runs.checkpoints import find_checkpoint, newest_checkpoint, read_checkpoint
from gan_lab.training.fit import fit
from tests.conftest import TINY

OVERRIDES = [
    *(override for override in TINY if "checkpoints" not in override),
    "dataset.resolution=8",
    "budget.images=80",
]
OFTEN = "callbacks.checkpoints.every_images=16"


def train(folder: Path, *more: str):
    return fit(compose(*OVERRIDES, f"run.dir={folder}", *more))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "one"
    train(folder, OFTEN, "callbacks.checkpoints.keep=3", f"callbacks.checkpoints.copy_to={folder.parent}/second")
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "one") / "checkpoints"


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_the_newest_are_kept_and_copied(run: Path) -> None:
    assert names(run / "checkpoints") == [*(f"images_00000000{n}.ckpt" for n in (48, 64, 80)), "last.ckpt"]
    assert copied(run).read_bytes() == (run / "checkpoints" / "last.ckpt").read_bytes()


def copied(run: Path) -> Path:
    return run.parent / "second" / run.parent.name / run.name / "last.ckpt"


def test_a_copy_belongs_to_one_run(run: Path, tmp_path: Path) -> None:
    """A run with folders of the same names neither uses nor replaces it; the first one resumes from it."""
    content, copy_to = copied(run).read_bytes(), f"callbacks.checkpoints.copy_to={run.parent}/second"
    other = tmp_path / run.parent.name / run.name
    with pytest.raises(ConfigError) as refusal:
        train(other, copy_to)
    assert str(refusal.value) == (
        f"callbacks.checkpoints.copy_to={run.parent}/second contains {copied(run)}, a copy of another run, {run}, "
        f"which would be replaced: choose another folder; resume={copied(run)} resumes from it."
    )
    assert copied(run).read_bytes() == content and not (other / "checkpoints").exists()
    assert train(tmp_path / "sweep" / run.name, copy_to).module.images_seen == 80  # the parent has another name
    assert copied(run).read_bytes() == content


def test_a_run_resumes_from_its_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy_to = f"callbacks.checkpoints.copy_to={tmp_path}/second"
    train(tmp_path / "one", copy_to)
    shutil.rmtree(tmp_path / "one" / "checkpoints")
    with caplog.at_level(logging.INFO):
        assert train(tmp_path / "one", copy_to, "budget.images=88").module.images_seen == 88
    assert f"Resuming from {copied(tmp_path / 'one')}, after 80 images." in caplog.text


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """One flipped bit of a weight, which `torch.load` alone does not detect."""
    position = data.index(b"data/0") + 4000
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def crafted(pickled: bytes) -> Callable[[bytes], bytes]:
    """A valid archive of PyTorch with another pickle in it."""

    def archive(data: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("archive/data.pkl", pickled)
            file.writestr("archive/version", "3")
        return buffer.getvalue()

    return archive


def test_out_of_memory_does_not_mean_damage(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No earlier checkpoint is used for it."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("torch.load", fail)
    with pytest.raises(MemoryError):
        find_checkpoint(copy.parent)


CRAFTED = {
    "not iterable": b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
    "empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02t.",
    "no attribute": b"\x80\x02K\x01}b.",
}


@pytest.mark.parametrize(
    "damage",
    [cut, flip, lambda data: b"", *map(crafted, CRAFTED.values())],
    ids=["cut short", "one bit", "empty", *CRAFTED],
)
def test_the_checkpoint_before_a_damaged_one_is_used(damage, copy: Path, caplog) -> None:
    newest = copy / "images_0000000080.ckpt"
    content = damage(newest.read_bytes())
    newest.unlink(), newest.write_bytes(content)
    (copy / "last.ckpt").unlink(), os.link(newest, copy / "last.ckpt")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(copy.parent).file == copy / "images_0000000064.ckpt"
    expected = f"{newest} cannot be read: it is incomplete, damaged, or not a checkpoint. Using an earlier one."
    assert expected in caplog.text


def test_flipped_bits_are_detected(tmp_path: Path) -> None:
    """A flipped bit in each of 300 random bytes is detected, or does not change the contents."""
    content = {"state_dict": {"w": torch.arange(300.0)}, "gan_lab": {"config": "lr: 1"}}
    torch.save(content, tmp_path / "x.ckpt")
    original, detected = (tmp_path / "x.ckpt").read_bytes(), 0
    for position in random.Random(0).sample(range(len(original)), 300):
        flipped = bytes([original[position] ^ 1])
        (tmp_path / "x.ckpt").write_bytes(original[:position] + flipped + original[position + 1 :])
        try:
            found = read_checkpoint(tmp_path / "x.ckpt")
        except CheckpointError:
            detected += 1
        else:
            assert torch.equal(found["state_dict"]["w"], content["state_dict"]["w"])
            assert found["gan_lab"] == content["gan_lab"]
    assert detected > 150


def test_an_error_if_all_are_damaged_unless_there_is_a_copy(copy: Path, run: Path) -> None:
    for file in copy.iterdir():
        file.unlink(), file.write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"has no checkpoint that can be read: .* To train from scratch, give another run.name"
    ):
        newest_checkpoint(copy)
    second = copied(run).parent
    newest = newest_checkpoint(copy, second)
    assert newest is not None and newest.file == second / "last.ckpt"


def test_later_checkpoints_are_renamed_when_an_earlier_one_is_resumed(copy: Path) -> None:
    (copy / ".images_0000000096.ckpt.4999999-0123abcd.ckpt").write_bytes(b"half")
    module = train(copy.parent, OFTEN, "budget.images=72", f"resume={copy}/images_0000000048.ckpt").module
    assert module.images_seen == 72
    assert names(copy) == [
        "images_0000000064.ckpt", "images_0000000064.ckpt.aside", "images_0000000072.ckpt",
        "images_0000000080.ckpt.aside", "last.ckpt",
    ]  # fmt: skip


def test_checkpoints_at_intervals_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock advances by a second when it is read: at the start, in each batch and after each checkpoint."""
    ticks = iter(range(1000))
    monkeypatch.setattr(checkpoints, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(ticks))}))
    minutes = ("callbacks.checkpoints.every_images=1000", "callbacks.checkpoints.every_minutes=0.05")
    train(tmp_path, *minutes, "callbacks.checkpoints.keep=9")
    assert names(tmp_path / "checkpoints") == [*(f"images_00000000{n}.ckpt" for n in (24, 48, 72, 80)), "last.ckpt"]


@pytest.mark.parametrize(("mode", "pick"), [("min", min), ("max", max)])
def test_the_checkpoint_with_the_best_logged_value_is_kept(mode: str, pick, tmp_path: Path) -> None:
    key = "train/generator/adversarial"
    best = (f"callbacks.checkpoints.best={key}", f"callbacks.checkpoints.best_mode={mode}")
    train(tmp_path, "callbacks.train_log.every_batches=2", "logger=[csv]", *best)
    import csv

    rows = {int(row["step"]): float(row[key]) for row in csv.DictReader((tmp_path / "metrics.csv").open())}
    seen = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["state_dict"]["_extra_state"]["images_seen"]
    assert len(rows) == 5 and rows[seen] == pick(rows.values())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("keep=0", "callbacks.checkpoints.keep=0 is not allowed: it must be at least 1."),
        ("every_minutes=0", "callbacks.checkpoints.every_minutes=0 is not allowed: it must be greater than 0, or "
         "null."),
        ("best_mode=top", "callbacks.checkpoints.best_mode=top is not allowed: choose min or max."),
        ("best=eval/fid_10k", "callbacks.checkpoints.best=eval/fid_10k is not allowed: it must be a key of "
         "train_log; use evaluation.best for metrics."),
    ],
)  # fmt: skip
def test_invalid_settings(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        train(tmp_path, f"callbacks.checkpoints.{override}")
    assert str(refusal.value) == message


def test_unknown_log_key_of_the_best_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"callbacks.checkpoints.best=train/x is not logged: choose from train/"):
        train(tmp_path, "callbacks.checkpoints.best=train/x", "callbacks.train_log.every_batches=2")


def test_a_run_that_ends_before_its_first_row_has_no_best_checkpoint(tmp_path: Path, caplog) -> None:
    train(tmp_path, "callbacks.checkpoints.best=train/generator/adversarial", "callbacks.train_log.every_batches=50")
    assert not (tmp_path / "checkpoints/best.ckpt").exists()
    assert "There is no best.ckpt" in caplog.text and "best=train/generator/adversarial" in caplog.text


def test_a_failing_copy_is_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "second").write_text("a file instead of a folder")
    module = train(tmp_path / "one", f"callbacks.checkpoints.copy_to={tmp_path}/second").module
    assert module.images_seen == 80 and f"{copied(tmp_path / 'one')} cannot be written" in caplog.text
    assert (tmp_path / "one" / "checkpoints" / "last.ckpt").is_file()


def test_a_full_disk_stops_the_run_with_a_valid_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, []

    def fail_from_the_second_on(content: object, file: object) -> None:
        calls.append(0)
        if len(calls) > 1:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file)

    monkeypatch.setattr("torch.save", fail_from_the_second_on)
    with pytest.raises(CheckpointError) as refusal:
        train(tmp_path, OFTEN)
    folder = tmp_path / "checkpoints"
    assert str(refusal.value) == (
        f"{folder}/images_0000000032.ckpt cannot be written: No space left on device; the run stops after 32 images. "
        f"{folder}/last.ckpt is valid; the same command with run.dir={tmp_path} resumes from it."
    )
    monkeypatch.undo()
    assert names(folder) == ["images_0000000016.ckpt", "last.ckpt"]
    assert train(tmp_path, OFTEN).module.images_seen == 80


def test_a_last_checkpoint_that_cannot_be_replaced(tmp_path: Path) -> None:
    """The message has the name of the file, not of the temporary one, and the newest of those that are there."""
    folder = tmp_path / "checkpoints"
    (folder / "last.ckpt").mkdir(parents=True)
    with pytest.raises(CheckpointError) as refusal:
        train(tmp_path, OFTEN)
    assert str(refusal.value) == (
        f"{folder}/last.ckpt cannot be written: Is a directory; the run stops after 16 images. "
        f"The newest other checkpoint is {folder}/images_0000000016.ckpt."
    )


def test_checkpoints_of_earlier_versions_are_refused(tmp_path: Path) -> None:
    """The error does not call them damaged, and no other checkpoint is used instead."""
    file = tmp_path / "checkpoints" / "last.ckpt"
    file.parent.mkdir()
    torch.save({"state_dict": {"generator_ema.w": torch.zeros(1)}, "gan_lab": {"config": ""}}, file)
    for read in (
        lambda: read_checkpoint(file),
        lambda: newest_checkpoint(file.parent),
        lambda: find_checkpoint(tmp_path),
    ):
        with pytest.raises(CheckpointError, match=r"last\.ckpt was written by an earlier version of gan_lab"):
            read()
