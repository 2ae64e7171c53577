"""Atomic writes: files are complete or absent, and links are not followed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gan_lab.errors import DataError
from gan_lab.files import (
    atomic_write,
    copy_file,
    did_you_mean,
    link_file,
    open_to_append,
    read_text,
    remove_temporary_files,
    write_text,
)
from gan_lab.terminal import printable


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "new/folder/x.txt"
    with atomic_write(file) as target:
        target.write(b"content")
        assert not file.exists() and Path(target.name).suffix == ".txt" and Path(target.name).parent == file.parent
    assert file.read_bytes() == b"content" and list(file.parent.iterdir()) == [file]


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "before")
    with pytest.raises(KeyError), atomic_write(tmp_path / "x") as target:
        target.write(b"half")
        raise KeyError
    assert (tmp_path / "x").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as error, atomic_write(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as of a write, without a name
    assert error.value.filename == str(tmp_path / "x")


def test_no_path_is_suggested_for_itself(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").touch()
    assert did_you_mean(tmp_path / "x.safetensors") == ""
    assert did_you_mean(tmp_path / "x.safetensor") == f" Did you mean {tmp_path}/x.safetensors?"


@pytest.mark.parametrize(
    "write", [lambda f, s: write_text(f, "new"), lambda f, s: copy_file(s, f), lambda f, s: link_file(s, f)]
)
def test_a_link_is_replaced_and_not_followed(write: object, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    (tmp_path / "mine").write_text("mine")
    for target in ("mine", "nothing"):
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / target)
        write(link, tmp_path / "source")  # type: ignore[operator]
        assert not link.is_symlink() and link.read_text() == "new"
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "nothing").exists()


def test_a_hard_link_is_replaced_and_its_file_kept(tmp_path: Path) -> None:
    """A hard link in a run folder is replaced by the new file; the linked file is unchanged."""
    (tmp_path / "mine").write_text("mine")
    os.link(tmp_path / "mine", tmp_path / "x")
    write_text(tmp_path / "x", "new")
    assert (tmp_path / "mine").read_text() == "mine"


def test_default_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    (tmp_path / "b").write_text("")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_devices_and_folders_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link"):
        with pytest.raises(DataError, match=f"{name} is not a regular file"):
            write_text(tmp_path / name, "x")
    with pytest.raises(IsADirectoryError, match="folder"):
        write_text(tmp_path / "folder", "x")
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()


def test_only_regular_files_of_limited_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing", "."):
        with pytest.raises(FileNotFoundError):
            read_text(tmp_path / name)
    monkeypatch.setattr("gan_lab.files.MAX_TEXT_BYTES", 8)
    (tmp_path / "x").write_bytes(b"eight \xff!")
    assert read_text(tmp_path / "x") == "eight \ufffd!"
    (tmp_path / "x").write_bytes(bytes(9))
    with pytest.raises(OSError, match="more than the limit"):
        read_text(tmp_path / "x")


def test_lines_are_not_appended_through_a_link(tmp_path: Path) -> None:
    for _ in range(2):
        with open_to_append(tmp_path / "log") as lines:
            lines.write("a\r\n")
    assert (tmp_path / "log").read_bytes() == b"a\r\na\r\n"
    (tmp_path / "link").symlink_to("log")
    with pytest.raises(OSError, match="link") as error:
        open_to_append(tmp_path / "link")
    assert error.value.errno == errno.ELOOP


def test_appended_lines_leave_a_second_name_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "backup", "a\n")
    (tmp_path / "log").hardlink_to(tmp_path / "backup")
    for _ in range(2):
        with open_to_append(tmp_path / "log") as lines:
            lines.write("b\n")
    assert (tmp_path / "log").read_text() == "a\nb\nb\n" and (tmp_path / "backup").read_text() == "a\n"


def test_control_characters_are_escaped() -> None:
    every = "".join(map(chr, range(0x250)))
    escaped = printable(every)
    assert [c for c in escaped if ord(c) < 32 or 127 <= ord(c) < 160] == ["\t", "\n"]
    assert printable("\x1b[2J\r\x9b") == "\\x1b[2J\\x0d\\x9b" and printable("läuf\tß\n") == "läuf\tß\n"


def test_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    killed = """
import os, sys
from pathlib import Path
from gan_lab.files import atomic_write
files = [atomic_write(Path(sys.argv[1]) / name) for name in ("metrics.csv", "samples/grid.png", "x" * 250, "no_suffix")]
for file in files:
    file.__enter__().write(b"half")
os._exit(0)
"""
    (tmp_path / "samples").mkdir()
    (tmp_path / ".hydra").mkdir()
    kept = [tmp_path / name for name in (".lock", ".hydra/overrides.yaml", ".x.csv", ".a.1-0.csv", "samples/1.png")]
    for file in kept:
        file.write_text("mine")
    subprocess.run([sys.executable, "-c", killed, tmp_path], check=True)
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == len(kept) + 4
    with atomic_write(tmp_path / "state.json"):  # as of another command that runs now
        remove_temporary_files(tmp_path)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == {*kept, tmp_path / "state.json"}


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path: Path, monkeypatch) -> None:
    def refuse(file: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(file))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError) as error, atomic_write(tmp_path / "state.json"):
        pass
    assert error.value.filename == str(tmp_path / "state.json")
