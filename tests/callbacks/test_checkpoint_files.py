"""Which checkpoints are written and kept, and which one is read when some are damaged."""

import errno
import logging
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from tests.conftest import TINY

from gan_lab.callbacks import checkpoints as written
from gan_lab.config.checkpoint_files import find_checkpoint, newest_checkpoint, read_checkpoint
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.errors import CheckpointError, ConfigError

WORDS = [*(word for word in TINY if "checkpoints" not in word), "dataset.resolution=8", "budget.images=80"]
OFTEN = "callbacks.checkpoints.every_images=16"


def train(folder: Path, *more: str):
    return fit(compose(*WORDS, f"run.dir={folder}", *more))


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
    second = run.parent / "second" / "one" / "last.ckpt"
    assert second.read_bytes() == (run / "checkpoints" / "last.ckpt").read_bytes()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """One bit of a weight: what `torch.load` alone takes for good."""
    place = data.index(b"data/0") + 4000
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda data: b""], ids=["cut short", "one bit", "empty"])
def test_the_one_before_a_damaged_one_is_taken(damage, copy: Path, caplog) -> None:
    newest = copy / "images_0000000080.ckpt"
    content = damage(newest.read_bytes())
    newest.unlink(), newest.write_bytes(content)
    (copy / "last.ckpt").unlink(), os.link(newest, copy / "last.ckpt")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(copy.parent) == copy / "images_0000000064.ckpt"
    assert (
        f"{newest} cannot be read: it is cut short, damaged, or no checkpoint. The one before it is taken."
        in caplog.text
    )


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    """Every bit of a sample of bytes: either it is noticed, or it changes nothing that is read."""
    content = {"state_dict": {"w": torch.arange(300.0)}, "gan_lab": {"config": "lr: 1"}}
    torch.save(content, tmp_path / "x.ckpt")
    whole, noticed = (tmp_path / "x.ckpt").read_bytes(), 0
    for place in random.Random(0).sample(range(len(whole)), 300):
        (tmp_path / "x.ckpt").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            found = read_checkpoint(tmp_path / "x.ckpt")
        except CheckpointError:
            noticed += 1
        else:
            assert torch.equal(found["state_dict"]["w"], content["state_dict"]["w"])
            assert found["gan_lab"] == content["gan_lab"]
    assert noticed > 150


def test_all_damaged_is_told_and_the_copy_is_the_last_resort(copy: Path, run: Path) -> None:
    for file in copy.iterdir():
        file.unlink(), file.write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"has no whole checkpoint: give another run.name to begin anew, or remove"
    ):
        newest_checkpoint(copy)
    second = run.parent / "second" / "one"
    assert newest_checkpoint(copy, second) == second / "last.ckpt"


def test_a_run_that_goes_on_from_an_earlier_one_puts_the_later_aside(copy: Path) -> None:
    (copy / ".images_0000000096.ckpt.4711").write_bytes(b"half")
    module = train(copy.parent, OFTEN, "budget.images=72", f"resume={copy}/images_0000000048.ckpt").module
    assert module.images_seen == 72
    assert names(copy) == [
        "images_0000000064.ckpt", "images_0000000064.ckpt.aside", "images_0000000072.ckpt", "images_0000000080.ckpt.aside",
        "last.ckpt",
    ]  # fmt: skip


def test_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for each look at the clock: one when training begins, then one for each batch and one for each checkpoint."""
    ticks = iter(range(1000))
    monkeypatch.setattr(written, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(ticks))}))
    minutes = ("callbacks.checkpoints.every_images=1000", "callbacks.checkpoints.every_minutes=0.05")
    train(tmp_path, *minutes, "callbacks.checkpoints.keep=9")
    assert names(tmp_path / "checkpoints") == [*(f"images_00000000{n}.ckpt" for n in (24, 48, 72, 80)), "last.ckpt"]


@pytest.mark.parametrize(("mode", "pick"), [("min", min), ("max", max)])
def test_the_best_of_a_logged_value_is_kept(mode: str, pick, tmp_path: Path) -> None:
    key = "train/generator/adversarial"
    best = (f"callbacks.checkpoints.best={key}", f"callbacks.checkpoints.best_mode={mode}")
    train(tmp_path, "callbacks.train_log.every_batches=2", "logger=[csv]", *best)
    import csv

    rows = {int(row["step"]): float(row[key]) for row in csv.DictReader((tmp_path / "metrics.csv").open())}
    seen = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")["state_dict"]["_extra_state"]["images_seen"]
    assert len(rows) == 5 and rows[seen] == pick(rows.values())


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("keep=0", "callbacks.checkpoints.keep=0 is not allowed: it must be at least 1."),
        ("every_minutes=0", "callbacks.checkpoints.every_minutes=0 is not allowed: it must be greater than 0, or null."),
        ("best_mode=top", "callbacks.checkpoints.best_mode=top is not known: choose min or max."),
        ("best=eval/fid_10k", "callbacks.checkpoints.best=eval/fid_10k is for what is logged in training: use "
         "evaluation.best for what is measured."),
    ],
)  # fmt: skip
def test_what_is_refused(word: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        train(tmp_path, f"callbacks.checkpoints.{word}")
    assert str(refusal.value) == sentence


def test_an_unknown_key_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"callbacks.checkpoints.best=train/x is not logged: choose from train/"):
        train(tmp_path, "callbacks.checkpoints.best=train/x", "callbacks.train_log.every_batches=2")


def test_a_second_path_that_fails_warns_and_the_run_goes_on(tmp_path: Path, caplog) -> None:
    (tmp_path / "second").write_text("in the way")
    module = train(tmp_path / "one", f"callbacks.checkpoints.copy_to={tmp_path}/second").module
    assert module.images_seen == 80 and f"{tmp_path}/second/one/last.ckpt cannot be written" in caplog.text
    assert (tmp_path / "one" / "checkpoints" / "last.ckpt").is_file()


def test_a_full_disk_stops_the_run_and_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, []

    def full_from_the_second_on(content: object, file: object) -> None:
        calls.append(0)
        if len(calls) > 1:
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(content, file)

    monkeypatch.setattr("torch.save", full_from_the_second_on)
    with pytest.raises(CheckpointError) as refusal:
        train(tmp_path, OFTEN)
    folder = tmp_path / "checkpoints"
    assert str(refusal.value) == (
        f"{folder}/images_0000000032.ckpt cannot be written: No space left on device; the run stops after 32 images. "
        f"{folder}/last.ckpt is whole, and the same command goes on from it."
    )
    monkeypatch.undo()
    assert names(folder) == ["images_0000000016.ckpt", "last.ckpt"]
    assert train(tmp_path, OFTEN).module.images_seen == 80
