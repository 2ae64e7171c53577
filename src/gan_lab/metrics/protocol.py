"""Measurements and their protocol: data classes, JSON, text and comparison. Imports no torch."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from gan_lab.errors import DataError
from gan_lab.files import read_text

NOT_COMPARED = ("weights", "seed", "images_seen", "real_data", "real_source", "label_seed")
"""Entries of a protocol that may differ between comparable values; `real_content` describes the real images."""

_SAMPLES = ("samples", "weights", "seed", "images_seen", "batch_norm", "truncation", "version")
"""Fields that are always written, with null for None: how the samples were made."""

_OF_METRICS = ("real_images", "extractor", "extractor_fingerprint", "extractor_preprocessing")
"""Fields that come from a metric's own `protocol`."""


@dataclass(frozen=True)
class MeasurementProtocol:
    """What a measured value depends on. Values are comparable if their protocols are, see `differences`.

    It does not determine the latents: a seed gives others in evaluations of training than in `gan-lab evaluate`, which
    has those of `gan-lab sample`.

    Attributes:
        samples: Number of generated samples.
        weights: `ema` or `raw`; `images` for a folder of images.
        seed: Seed of the samples; None for a folder of images.
        images_seen: Real images that the generator was trained on; None if unknown.
        batch_norm: Statistics of the generator's batch norms: `running`, `standing` or `batch of <n>`.
        truncation: Threshold of the latents, or psi of styles; None without truncation.
        truncation_form: `resample`, `scale`, or `psi` of styles; None without truncation.
        truncation_cutoff: Number of layers whose styles are truncated; None for all.
        noise: `random` for new noise in each sample; None for the same in all, as in evaluations of training.
        version: Version of gan_lab.
        real_content: Fingerprint of the real images; None for a metric without real images.
        real_data: Hash of the real images' `DataContent`, as in the config of a run.
        real_source: Path or name of the real images, as it was given.
        real_split: Split of the published data set that the real images are from, if it has splits.
        real_images: Number of real images.
        extractor: Name of the feature extractor, if the metric has one.
        extractor_fingerprint: Hash of its weights.
        extractor_preprocessing: Preprocessing of images for the extractor.
        options: Settings of the metric by name, such as `bins`: strings, numbers, booleans, None, or lists of them.
    """

    samples: int | None = None
    weights: str | None = None
    seed: int | None = None
    images_seen: int | None = None
    batch_norm: str | None = None
    truncation: float | int | None = None
    truncation_form: str | None = None
    truncation_cutoff: int | None = None
    noise: str | None = None
    version: str | None = None
    real_content: str | None = None
    real_data: str | None = None
    real_source: str | None = None
    real_split: str | None = None
    real_images: int | None = None
    extractor: str | None = None
    extractor_fingerprint: str | None = None
    extractor_preprocessing: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def of_metric(self, name: str, settings: Mapping[str, Any]) -> "MeasurementProtocol":
        """Protocol of one metric's values.

        Args:
            name: The metric's name, a prefix for settings whose names are fields of this class, as in `swd_seed`.
            settings: The metric's own `protocol`.
        """
        known = {key: value for key, value in settings.items() if key in _OF_METRICS}
        taken = set(FIELDS) - set(_OF_METRICS)
        own = {f"{name}_{key}" if key in taken else key: v for key, v in settings.items() if key not in known}
        return replace(self, **known, options={**self.options, **own})

    def to_json(self) -> dict[str, Any]:
        """All entries in one mapping, for `from_json`; entries that do not describe the samples are omitted if None."""
        named = {name: getattr(self, name) for name in FIELDS}
        return {k: v for k, v in named.items() if v is not None or k in _SAMPLES} | dict(self.options)

    @classmethod
    def from_json(cls, entries: Mapping[str, Any], where: str) -> "MeasurementProtocol":
        """Read the output of `to_json`; missing entries are None, unknown ones are options of the metric.

        Args:
            entries: From a file, not trusted.
            where: The file and the log key, for the message.

        Raises:
            DataError: An entry has the wrong type.
        """
        for name, value in entries.items():
            right = _has_type(value, FIELDS[name]) if name in FIELDS else _is_option(value)
            if not right:
                allowed = (
                    _TYPE_NAMES[FIELDS[name]] if name in FIELDS else "text, a number, true or false, or a list of them"
                )
                raise DataError(f"{where} has {name}={_short(value)}: it must be {allowed}, or null.")
        options = {name: value for name, value in entries.items() if name not in FIELDS}
        return cls(**{name: entries.get(name) for name in FIELDS}, options=options)

    def __str__(self) -> str:
        return format_entries(self.to_json())


FIELDS: Mapping[str, Any] = {
    each.name: get_type_hints(MeasurementProtocol)[each.name]
    for each in fields(MeasurementProtocol)
    if each.name != "options"
}
"""Named entries of a protocol, and their types."""

_TYPE_NAMES = {int | None: "a whole number", float | int | None: "a number", str | None: "text"}


@dataclass(frozen=True)
class Measurement:
    """A measured value with its protocol.

    Attributes:
        value: The value; NaN if it is not finite.
        ideal_value: Value of a perfect sampler; None if unknown.
        protocol: Everything that the value depends on.
    """

    value: float
    ideal_value: float | None = None
    protocol: MeasurementProtocol = field(default_factory=MeasurementProtocol)

    def to_json(self) -> dict[str, Any]:
        """One mapping, as in `results.json`; NaN becomes null, since JSON has no NaN."""
        return {"value": _finite(self.value), "ideal_value": _finite(self.ideal_value), **self.protocol.to_json()}

    @classmethod
    def from_json(cls, record: Any, where: str) -> "Measurement":
        """Read the output of `to_json`.

        Args:
            record: From a file, not trusted.
            where: The file and the log key, for the message.

        Raises:
            DataError: The record is not a mapping, has no value, or has an entry of the wrong type.
        """
        if not isinstance(record, dict) or "value" not in record:
            raise DataError(f"{where} is {_short(record)}: it must be a mapping with a value.")
        value, ideal_value = (record.get(name) for name in ("value", "ideal_value"))
        for name, number in (("value", value), ("ideal_value", ideal_value)):
            if not _has_type(number, float | int | None):
                raise DataError(f"{where} has {name}={_short(number)}: it must be a number, or null.")
        protocol = {name: entry for name, entry in record.items() if name not in ("value", "ideal_value")}
        return cls(
            math.nan if (number := _finite(value)) is None else number,
            _finite(ideal_value),
            MeasurementProtocol.from_json(protocol, where),
        )


def read_results(file: Path) -> dict[str, Measurement]:
    """Measurements of a `results.json` by log key; empty if the file does not exist.

    Raises:
        DataError: The file cannot be read, or does not contain measurements.
    """
    try:
        found = json.loads(read_text(file))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} is not a mapping.")
    return {key: Measurement.from_json(record, f"{key} of {file}") for key, record in found.items()}


def format_entries(entries: Mapping[str, Any]) -> str:
    """Entries of a protocol as `samples 10000, weights ema, ...`, without those that are None."""
    return ", ".join(f"{name} {value}" for name, value in entries.items() if value is not None)


def common_entries(protocols: Iterable[MeasurementProtocol]) -> dict[str, Any]:
    """Entries that are the same in all of these protocols."""
    first, *others = (protocol.to_json() for protocol in protocols)
    return {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}


def differences(protocols: Mapping[str, MeasurementProtocol]) -> dict[str, dict[str, list[str]]]:
    """Entries that make values incomparable: for each one its different values as text, with the names that have each.

    Args:
        protocols: By name, such as the name of the run.
    """
    entries = {name: protocol.to_json() for name, protocol in protocols.items()}
    found = {}
    for entry in dict.fromkeys(entry for each in entries.values() for entry in each if entry not in NOT_COMPARED):
        names: dict[str, list[str]] = defaultdict(list)
        for name, each in entries.items():
            names["none" if each.get(entry) is None else str(each[entry])].append(name)
        if len(names) > 1:
            found[entry] = dict(names)
    return found


def _finite(value: float | None) -> float | None:
    try:
        return None if value is None or not math.isfinite(value) else float(value)
    except OverflowError:  # an integer too large for a float
        return None


def _has_type(value: Any, wanted: Any) -> bool:
    return isinstance(value, wanted) and not isinstance(value, bool)  # True is an int


def _is_option(value: Any) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(each, str | float | int | None) for each in values)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
