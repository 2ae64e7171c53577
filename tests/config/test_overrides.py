"""Overrides as text: what is printed can be pasted, and names of runs are taken as typed."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan_lab.config.compose import compose
from gan_lab.config.overrides import command_to_paste, names_as_typed, override, to_paste
from gan_lab.errors import UserError

PATHS = ["runs/a", "runs/a b", "läuf", "a'b", 'a"b', "a$b", "a`b", "1e5", "true", "null", "a,b", "a=b", "[x]", "a\\b",
"x!", "~a", "{a}", "a#b",
         "a:b", "(a)", "a\\", "100%", "-a", "*", "?"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_what_is_printed_can_be_pasted(path: str) -> None:
    """A shell passes one argument on, which Hydra parses as the text."""
    (argument,) = shlex.split(to_paste("run", path))
    override = OverridesParser.create().parse_override(argument)
    assert override.key_or_group == "run" and override.value() == path


def test_plain_paths_need_no_quotes() -> None:
    assert to_paste("run", "runs/digits-dcgan") == "run=runs/digits-dcgan"
    assert to_paste("run", "runs/a b") == "\"run='runs/a b'\""


@pytest.mark.parametrize("path", PATHS)
def test_commands_from_python_can_be_pasted(path: str) -> None:
    """Their values are text in Hydra's quotes."""
    command, argument = shlex.split(command_to_paste(["train", override("run.name", path)]))
    assert command == "train" and OverridesParser.create().parse_override(argument).value() == path


@pytest.mark.parametrize(
    ("argument", "pasted"),
    [
        ("run.name='py'", "run.name=py"),
        ("run.name='1e5'", "\"run.name='1e5'\""),
        ("metrics=['fd','pr']", "\"metrics=['fd','pr']\""),
        ("metrics=[fd,pr]", "'metrics=[fd,pr]'"),
        ("name='${seed}'", "'name='\"'\"'${seed}'\"'\"''"),
        ("b c", "'b c'"),
        ("-m", "-m"),
    ],
)
def test_commands_have_no_more_quotes_than_needed(argument: str, pasted: str) -> None:
    assert command_to_paste([argument]) == pasted and shlex.split(pasted)[0] in (argument, "run.name=py")


@pytest.mark.parametrize("name", ["1e5", "true", "007", "a b", "null", "nan", "0x10", "a/b", "ä"])
def test_a_name_is_taken_as_typed(name: str) -> None:
    quoted = f"run.name={name}" if " " not in name and name.isascii() else f"run.name='{name}'"
    assert compose(quoted).run.name == name
    assert compose(quoted).run.dir == f"runs/{name}"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../out", "a/../../b", "/tmp/x", "a//b", "a/", "x" * 256, "ä" * 128, "a/./b"]
)
def test_names_that_are_not_folders_below_the_root_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"run\.name"):
        compose(f"run.name='{name}'")


def test_the_longest_name_is_allowed() -> None:
    assert compose(f"run.name={'x' * 255}").run.name == "x" * 255


def test_other_overrides_stay() -> None:
    assert names_as_typed(["lr=1e5", "run.name=digits", "run.name=a,b", "run.dir=/x", "+run.name=5"]) == [
        "lr=1e5",
        "run.name=digits",
        "run.name=a,b",
        "run.dir=/x",
        "+run.name=5",
    ]
