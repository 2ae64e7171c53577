"""The protocol of a value: JSON, text and comparison, and rejection of malformed files."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gan_lab.errors import DataError
from gan_lab.metrics.protocol import (
    FIELDS,
    Measurement,
    MeasurementProtocol,
    common_entries,
    differences,
    format_entries,
    read_results,
)

FULL = MeasurementProtocol(
    samples=20, weights="ema", seed=3, images_seen=16, batch_norm="running", truncation=0.5,
    truncation_form="scale", truncation_cutoff=2, noise="random", version="1",
    real_content="ab", real_data="cd", real_source="faces", real_split="train",
    real_images=30, extractor="pixels", extractor_fingerprint="ff",
    extractor_preprocessing="to 2x2", options={"bins": 50, "exact": True, "scales": [8, 16], "name": None},
)  # fmt: skip


FREE = ("weights", "seed", "images_seen", "real_data", "real_source")
"""Entries that may differ between comparable values."""


def other(value: Any) -> Any:
    return value + "x" if isinstance(value, str) else value + 1


def test_every_entry_is_written_and_read() -> None:
    assert None not in [getattr(FULL, each.name) for each in fields(FULL)]  # so a new field cannot be forgotten
    for protocol in (FULL, MeasurementProtocol()):
        entries = json.loads(json.dumps(protocol.to_json()))
        assert MeasurementProtocol.from_json(entries, "x") == protocol
    assert MeasurementProtocol().to_json() == dict.fromkeys(
        ["samples", "weights", "seed", "images_seen", "batch_norm", "truncation", "version"]
    )


def test_numbers_are_written_and_read(tmp_path: Path) -> None:
    found = {"a": Measurement(1.5, 0.25, FULL), "b": Measurement(-math.inf, math.inf, FULL)}
    (tmp_path / "results.json").write_text(json.dumps({key: each.to_json() for key, each in found.items()}))
    again = read_results(tmp_path / "results.json")
    assert again["a"] == found["a"]
    assert math.isnan(again["b"].value) and again["b"].ideal_value is None and again["b"].protocol == FULL
    assert read_results(tmp_path / "nothing.json") == {}


def test_text_omits_missing_entries() -> None:
    protocol = MeasurementProtocol(samples=10, weights="ema", seed=0, options={"bins": 50, "name": None})
    assert str(protocol) == format_entries(protocol.to_json()) == "samples 10, weights ema, seed 0, bins 50"


def test_settings_of_a_metric() -> None:
    """The extractor's have entries; a setting named like an entry gets the metric's name as prefix; all are kept."""
    own = MeasurementProtocol(samples=10, seed=3, options={"a": 1}).of_metric(
        "x", {"seed": 7, "samples": 5, "real_images": 4, "extractor": "pixels", "bins": 2}
    )
    expected = MeasurementProtocol(
        samples=10,
        seed=3,
        real_images=4,
        extractor="pixels",
        options={"a": 1, "x_seed": 7, "x_samples": 5, "bins": 2},
    )
    assert own == expected


def test_every_entry_is_compared_except_those_that_may_differ() -> None:
    entries = FULL.to_json() | {"name": "n", "exact": 1}
    first = MeasurementProtocol.from_json(entries, "x")
    for name in entries:
        value = [1] if name == "scales" else other(entries[name])
        second = MeasurementProtocol.from_json(entries | {name: value}, "x")
        found = differences({"a": first, "b": second, "c": first})
        expected = {name: {str(entries[name]): ["a", "c"], str(value): ["b"]}}
        assert found == ({} if name in FREE else expected), name
        assert common_entries([first, second, first]) == {k: v for k, v in entries.items() if k != name}
    without = {name: value for name, value in entries.items() if name != "real_split"}
    assert differences({"a": first, "b": MeasurementProtocol.from_json(without, "x")}) == {
        "real_split": {"train": ["a"], "none": ["b"]}
    }


WRONG = {
    int | None: ["3", 1.5, True, [1], {}],
    float | int | None: ["x", True, {}],
    str | None: [3, 1.5, False, ["a"], {}],
}


@pytest.mark.parametrize("name", FIELDS)
def test_wrong_types_are_refused(name: str) -> None:
    for value in WRONG[FIELDS[name]]:
        with pytest.raises(
            DataError, match=rf"^a of f has {name}=.*: it must be (a whole number|a number|text), or null\.$"
        ):
            Measurement.from_json({"value": 1, name: value}, "a of f")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ('{"eval/fd": "x"}', r"eval/fd of .* is x: it must be a mapping with a value\."),
        (
            '{"eval/fd": {"ideal_value": 1}}',
            r"eval/fd of .* is \{'ideal_value': 1\}: it must be a mapping with a value\.",
        ),
        ('{"eval/fd": {"value": "x"}}', r"eval/fd of .* has value=x: it must be a number, or null\."),
        ('{"eval/fd": {"value": true}}', r"eval/fd of .* has value=True: it must be a number, or null\."),
        (
            '{"eval/fd": {"value": 1, "ideal_value": [2]}}',
            r"eval/fd of .* has ideal_value=\[2\]: it must be a number, or null\.",
        ),
        (
            '{"eval/fd": {"value": 1, "mine": {"a": 1}}}',
            r"eval/fd of .* has mine=\{'a': 1\}: it must be text, a number, .*, or null\.",
        ),
        (
            '{"eval/fd": {"value": 1, "mine": [[1]]}}',
            r"eval/fd of .* has mine=\[\[1\]\]: it must be text, a number, .*, or null\.",
        ),
        ("[1]", r".*results\.json is not a mapping\."),
        ("{", r".*results\.json cannot be read: Expecting .*\."),
        ("[" * 100_000, r".*results\.json cannot be read: .*\."),
    ],
)  # fmt: skip
def test_malformed_files(text: str, pattern: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=f"^{pattern}$"):
        read_results(tmp_path / "results.json")


def test_numbers_beyond_the_range_of_floats_are_not_finite(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"a": {"value": 1' + "0" * 400 + ', "ideal_value": Infinity}}')
    found = read_results(tmp_path / "results.json")["a"]
    assert math.isnan(found.value) and found.ideal_value is None
