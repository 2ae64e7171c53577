"""The check of options accepts what the signature of the target allows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest
from torch import Tensor, nn

from gan_lab.config.targets import check_node, check_options
from gan_lab.errors import ConfigError


def target(
    integer: int,
    number: float = 1.0,
    maybe: int | None = 1,
    flag: bool = False,
    text: str = "a",
    none: int = None,  # type: ignore[assignment]  # noqa: RUF013  (as libraries write it)
    factor: float | Tensor = 0.1,
    choice: Literal["a", "b"] | int = "a",
    anything: Any = None,
    network: nn.Module | None = None,
    pair: tuple[float | Tensor, float | Tensor] = (0.0, 1.0),
    several: Sequence[int] = (),
    named: Mapping[str, int] | None = None,
    function: Callable[[int], int] = abs,
) -> None: ...


GOOD: list[dict[str, Any]] = [
    {"integer": 3}, {"number": 3}, {"maybe": None}, {"flag": True}, {"text": "b"}, {"none": None}, {"factor": 1},
    {"choice": "c"}, {"anything": "x"}, {"network": None}, {"network": {"_target_": "a.b"}},
    {"pair": [1, 0.5]}, {"several": []}, {"several": [1, 2]}, {"named": {"a": 1}}, {"function": {"_target_": "a.b"}},
]  # fmt: skip
BAD = {
    "integer": [
        ("x", "a whole number"),
        (1.5, "a whole number"),
        (None, "a whole number"),
        (True, "a whole number"),
        ([1], "a whole number"),
    ],
    "number": [("x", "a number"), (False, "a number")],
    "maybe": [(1.5, "a whole number or null")],
    "flag": [(1, "true or false"), ("yes", "true or false")],
    "text": [(3, "text")],
    "factor": [("fast", "a number"), ([1, 2], "a number")],
    "network": [("x", "a mapping with a _target_ or null"), (3, "a mapping with a _target_")],
    "pair": [
        (0.5, "a list of 2 values"),
        ([1], "a list of 2"),
        ("", "a list of 2"),
        (["a", "b"], "a list of 2"),
        ({"a": 1}, "a list of 2"),
    ],
    "several": [(1, "a list of whole numbers"), ("ab", "a list"), ([0.5], "a list of whole numbers")],
    "named": [("a", "a mapping or null"), ([1], "a mapping or null")],
    "function": [
        ("abs", "a mapping with a _target_"),
        (None, "a mapping with a _target_"),
        ({}, "a mapping with a _target_"),
    ],
}


@pytest.mark.parametrize("options", GOOD, ids=str)
def test_allowed(options: dict[str, Any]) -> None:
    check_options(target, {"integer": 1, **options}, "here")


@pytest.mark.parametrize(("name", "value", "allowed"), [(n, v, a) for n, cases in BAD.items() for v, a in cases])
def test_refused(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_options(target, {"integer": 1, name: value}, "here")
    assert str(error.value).startswith(f"here.{name}={value} is not allowed: it must be {allowed}")


def test_missing_and_unknown() -> None:
    with pytest.raises(ConfigError, match=r"here.integer is missing"):
        check_options(target, {}, "here")
    check_options(target, {}, "here", complete=False)
    with pytest.raises(ConfigError, match=r"here.foo is not an option .*integer, number"):
        check_options(target, {"integer": 1, "foo": 2}, "here")
    check_options(dict, {"foo": 2}, "here")  # has no signature


def test_nested() -> None:
    """Lists, mappings and parts of parts; what has no target is only passed through."""
    inner = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": "x"}
    with pytest.raises(ConfigError, match=r"here.parts.1.deep.out_features=x"):
        check_node({"parts": [0, {"deep": inner}]}, "here")
    check_node({"parts": [0, {"deep": {**inner, "out_features": 3}}]}, "here")
    check_node({"_target_": "torch.nn.Linear", "_partial_": True, "bias": False}, "here")
