"""What a signature allows is what the check lets through."""

from typing import Any, Literal

import pytest
from torch import Tensor, nn

from gan_lab.config.targets import check_node, check_options
from gan_lab.errors import ConfigError


def target(
    whole: int,
    number: float = 1.0,
    maybe: int | None = 1,
    flag: bool = False,
    text: str = "a",
    none: int = None,  # type: ignore[assignment]  # noqa: RUF013  (as libraries write it)
    rate: float | Tensor = 0.1,
    word: Literal["a", "b"] | int = "a",
    anything: Any = None,
    network: nn.Module | None = None,
) -> None: ...


GOOD: list[dict[str, Any]] = [
    {"whole": 3}, {"number": 3}, {"maybe": None}, {"flag": True}, {"text": "b"}, {"none": None}, {"rate": 1},
    {"word": "c"}, {"anything": "x"}, {"network": "x"}, {"network": None},
]  # fmt: skip
BAD = {
    "whole": [
        ("x", "a whole number"),
        (1.5, "a whole number"),
        (None, "a whole number"),
        (True, "a whole number"),
        ([1], "a whole"),
    ],
    "number": [("x", "a number"), (False, "a number")],
    "maybe": [(1.5, "a whole number or null")],
    "flag": [(1, "true or false"), ("yes", "true or false")],
    "text": [(3, "text")],
    "rate": [("fast", "a number")],
}


@pytest.mark.parametrize("options", GOOD, ids=str)
def test_allowed(options: dict[str, Any]) -> None:
    check_options(target, {"whole": 1, **options}, "here")


@pytest.mark.parametrize(("name", "value", "allowed"), [(n, v, a) for n, cases in BAD.items() for v, a in cases])
def test_refused(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_options(target, {"whole": 1, name: value}, "here")
    assert str(error.value).startswith(f"here.{name}={value} is not allowed: it must be {allowed}")


def test_missing_and_unknown() -> None:
    with pytest.raises(ConfigError, match=r"here.whole is missing"):
        check_options(target, {}, "here")
    check_options(target, {}, "here", complete=False)
    with pytest.raises(ConfigError, match=r"here.foo is not an option .*whole, number"):
        check_options(target, {"whole": 1, "foo": 2}, "here")
    check_options(dict, {"foo": 2}, "here")  # says nothing of its options


def test_nested() -> None:
    """Lists, mappings and parts of parts; what has no target is only passed through."""
    inner = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": "x"}
    with pytest.raises(ConfigError, match=r"here.parts.1.deep.out_features=x"):
        check_node({"parts": [0, {"deep": inner}]}, "here")
    check_node({"parts": [0, {"deep": {**inner, "out_features": 3}}]}, "here")
    check_node({"_target_": "torch.nn.Linear", "_partial_": True, "bias": False}, "here")
