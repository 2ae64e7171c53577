"""The help of each command: its own keys with one line each, and its groups."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from gan_lab.cli.main import COMMANDS
from gan_lab.config.command_help import command_help, described_keys
from gan_lab.config.compose import compose
from gan_lab.config.groups import groups
from gan_lab.config.schema import SCHEMAS

PARTS = {"trainer", "wrapper"}
"""Keys of `train` and `bench` that groups fill."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_has_a_line(command: str) -> None:
    """All keys of the schema, those of nested ones too, are there once with a description, and no others."""
    described = list(described_keys(command))
    assert not [key for key, text in described if not text]
    assert len({key for key, _ in described}) == len(described)
    filled = {group.partition("/")[0] for group in groups(command)} | PARTS
    named = {key.partition(".")[0] for key, _ in described}
    assert named - {"evaluation", "dataset"} == {each.name for each in fields(SCHEMAS[command])} - filled


def help_of(name: str, *overrides: str) -> str:
    return command_help(name, OmegaConf.to_container(compose(*overrides, command=name), resolve=False))


def test_help_of_a_command_is_its_own() -> None:
    text = help_of("sample")
    assert "truncation=null                   threshold of the latents' coordinates" in text
    assert "Groups" not in text and "optimizer" not in text
    text = help_of("evaluate")
    assert "evaluation.samples=10000" in text and "evaluation.times" not in text and "\nmodel:" not in text


def test_a_comment_on_two_lines_is_one() -> None:
    (text,) = [text for key, text in described_keys("duplicates") if key == "threshold"]
    assert text.endswith("in features, null for half the median distance to the nearest image")


def test_choices_of_the_user_are_listed(command: Any, tmp_path: Path) -> None:
    (tmp_path / "own/loss").mkdir(parents=True)
    (tmp_path / "own/loss/mine.yaml").write_text("_target_: gan_lab.losses.adversarial.Hinge")
    out = command("train", "--help", "--config-dir", "own", "loss=mine").out
    assert re.search("^loss=mine: .*hinge, .*, mine$", out, re.MULTILINE)


OTHERS = ("model=wgan_gp", "dataset=ring", "architecture=mlp", "lr=0.5")


def shown(command: Any, name: str, *overrides: str) -> dict[str, str]:
    """Keys and values in the help of a command."""
    keys, _, _ = command(name, *overrides, "--help").out.partition("Groups (")
    return dict(re.findall(r"^([\w.]+)=(.*?)(?:  .*)?$", keys, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "overrides"), [*((name, ()) for name in COMMANDS), ("train", OTHERS), ("bench", OTHERS)]
)
def test_the_values_are_those_that_the_command_uses(name: str, overrides: tuple[str, ...], command: Any) -> None:
    """Also where a model or a data set replaces what stands in the file of the command."""
    found, config = shown(command, name, *overrides), compose(*overrides, command=name)
    assert found
    for key, text in found.items():
        value = OmegaConf.select(config, key)
        typed = None if text == "???" else OmegaConf.create(f"value: {text}").value
        assert typed == value, key


def test_the_values_of_a_plain_training(command: Any) -> None:
    found = shown(command, "train")
    assert (found["lr"], found["latent.dim"], found["dataset.budget_images"]) == ("0.001", "32", "60000")


def test_the_choices_of_a_training(command: Any) -> None:
    out = command("train", "dataset=ring", "architecture=mlp", "--help").out
    for line in ("dataset=ring: afhq, ", "model=r1_gan: acgan, ", "preset=null: ", "metrics: dc, "):
        assert f"\n{line}" in out


def test_flags_show_it(command: Any) -> None:
    out = command("sample", "--help").out
    assert "Keys (key=value)" in out and "\nseed=0 " in out and "--config-dir" in out
