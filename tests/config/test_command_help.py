"""The help of each command: its own keys with one line each, and its groups."""

from dataclasses import fields
from typing import Any

import pytest

from gan_lab.cli.main import COMMANDS
from gan_lab.config.command_help import command_help, described_keys
from gan_lab.config.groups import groups
from gan_lab.config.schema import SCHEMAS

PARTS = {"trainer", "wrapper"}
"""Keys of `train` and `bench` that groups fill."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_has_a_line(command: str) -> None:
    """All keys of the schema, those of nested ones too, are there once with a description, and no others."""
    described = list(described_keys(command))
    assert not [key for key, _, text in described if not text]
    assert len({key for key, *_ in described}) == len(described)
    filled = {group.partition("/")[0] for group in groups(command)} | PARTS
    named = {key.partition(".")[0] for key, *_ in described}
    assert named - {"evaluation"} == {each.name for each in fields(SCHEMAS[command])} - filled


def test_help_of_a_command_is_its_own() -> None:
    text = command_help("sample")
    assert "truncation=null                   threshold of the latents' coordinates" in text
    assert "Groups" not in text and "optimizer" not in text
    text = command_help("evaluate")
    assert "evaluation.samples=10000" in text and "evaluation.times" not in text and "\nmodel:" not in text


def test_a_comment_on_two_lines_is_one() -> None:
    (text,) = [text for key, _, text in described_keys("duplicates") if key == "threshold"]
    assert text.endswith("in features, null for half the median distance to the nearest image")


@pytest.mark.parametrize("name", COMMANDS)
def test_hydra_has_nothing_to_replace(name: str) -> None:
    """It substitutes what begins with a dollar sign."""
    assert "$" not in command_help(name)


def test_flags_show_it(command: Any) -> None:
    out = command("sample", "--help").out
    assert "Keys (key=value)" in out and "\nseed=0 " in out and "--config-dir" in out
