"""The recorded command of a run, which `resume=` repeats."""

from pathlib import Path
from typing import Any

import pytest

from gan_lab.config.notes import NOTES, accepted_overrides, first_key, read_overrides
from gan_lab.config.resolvers import notes_folder


@pytest.mark.parametrize(
    ("override", "key"),
    [("lr=1", "lr"), ("+run.x=1", "run"), ("wrapper/generator=[a]", "wrapper"), ("~augment", "augment"),
     ("loss@x=a", "loss"), ("resume='a b'", "resume")],
)  # fmt: skip
def test_first_part_of_a_key(override: str, key: str) -> None:
    assert first_key(override) == key


@pytest.mark.parametrize(
    ("before", "now", "recorded"),
    [
        (["run.name=a"], ["lr=1", "lr=2", "resume=runs/a", "allow_changes=true"], ["run.name=a", "lr=1", "lr=2"]),
        (["resume=runs/a", "run.name=b", "lr=1"], ["lr=1", "run.dir='/b'", "time_limit=9"], ["run.name=b", "lr=1"]),
        ([], ["run.name=a", "lr=1"], ["run.name=a", "lr=1"]),
        (None, ["lr=1"], ["lr=1"]),
        ([3, "run.name=a"], ["lr=1"], ["run.name=a", "lr=1"]),
        ("text", ["lr=1"], ["lr=1"]),
    ],
)
def test_overrides_of_an_accepted_command(before: Any, now: list[str], recorded: list[str]) -> None:
    """Keys of one command are left out, and the run keeps the name that was typed first."""
    assert accepted_overrides(before, now) == recorded


@pytest.mark.parametrize("text", ["[", "\xff", "[" * 100_000, "- lr=1\n" * 100_000])
def test_a_damaged_record_is_not_read(text: str, tmp_path: Path) -> None:
    (tmp_path / NOTES).parent.mkdir()
    (tmp_path / NOTES).write_bytes(text.encode("latin-1"))
    assert read_overrides(tmp_path) is None


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints"])
def test_a_command_that_may_be_refused_does_not_replace_the_record(name: str, tmp_path: Path) -> None:
    assert notes_folder(str(tmp_path)) == ".hydra"
    (tmp_path / name).mkdir()
    assert notes_folder(str(tmp_path)) == ".hydra/resumed"
