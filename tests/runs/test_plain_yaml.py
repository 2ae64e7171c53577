"""YAML of untrusted files: plain data within limits, refused before it is expanded."""

import time

import pytest
import yaml

from gan_lab.config.untrusted import foreign_config
from gan_lab.errors import CheckpointError
from gan_lab.runs.plain_yaml import MAX_CHARACTERS, MAX_DEPTH, parse_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 10)}]\n" for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Ten lines that stand for 10^9 values."""

HOSTILE = {
    "aliases": BOMB,
    "an alias to itself": "a: &a [*a]",
    "merged aliases": "a: &a {b: 1}\nc:\n  <<: *a",
    "lists in lists": "[" * 200_000,
    "mappings in mappings": "{a: " * 20_000,
    "many lines": "a: 1\n" * MAX_CHARACTERS,
    "an object": "!!python/object/apply:os.system [true]",
    "a control character": "a: \x00",
    "a syntax error": "a: b: c",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_at_once(text: str) -> None:
    begin = time.process_time()
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)
    with pytest.raises(CheckpointError, match="has a config that cannot be read: "):
        foreign_config(text, "x.ckpt")
    assert time.process_time() - begin < 1


def test_what_runs_write_is_read() -> None:
    text = "name: x\nlr: 0.0002\nbetas: [0.5, 0.999]\nnested: {a: {b: null}}\nflag: true\n"
    expected = {"name": "x", "lr": 0.0002, "betas": [0.5, 0.999], "nested": {"a": {"b": None}}, "flag": True}
    assert parse_yaml(text) == expected and parse_yaml("") is None
    parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
