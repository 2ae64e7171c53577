"""Allowed values of the keys of each command except `train`, whose are in `checks.py`. Imports nothing heavy."""

import re
from itertools import pairwise
from typing import Any

from omegaconf import ListConfig

from gan_lab.config.checks import Choice, Rule

PROGRAMS = {"onnx": (".onnx", "onnx", "onnxscript", "onnxruntime"), "torch_export": (".pt2",)}
"""Suffix of the file and needed packages of each format of programs."""

PIXEL_RULES = ("bright", "dark", "red", "green", "blue", "different")
"""Rules that make a mask of the pixels of samples, as in `gan_lab.analysis.concepts`, which imports torch."""

MAX_SAMPLES = 10_000
"""Samples of a seed that can be named by their numbers."""

_RECTANGLE = "[left, top, right, bottom] as fractions of the image, left < right and top < bottom, or null"
_SAMPLES = f"a list of numbers of samples, from 0 to {MAX_SAMPLES - 1:,}"
_LABEL = "the number or name of a class, or null"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_thresholds(value: Any) -> bool:
    """An ascending list of numbers, at least 0, with None at most at its end, and at least one number."""
    if not isinstance(value, ListConfig):
        return False
    numbers = list(value[:-1] if len(value) and value[-1] is None else value)
    return (
        len(numbers) > 0
        and all(map(_is_number, numbers))
        and numbers[0] >= 0
        and all(first < second for first, second in pairwise(numbers))
    )


def _is_test(value: Any) -> bool:
    return value is None or isinstance(value, str) or (type(value) is int and value >= 1)


def _are_costs(value: Any) -> bool:
    return len(value) > 0 and value[0] > 0 and all(first < second for first, second in pairwise(value))


def _is_rectangle(value: Any) -> bool:
    if value is None:
        return True
    left, top, right, bottom = value if len(value) == 4 else (1, 1, 0, 0)
    return bool(0 <= left < right <= 1 and 0 <= top < bottom <= 1)


def _are_samples(value: Any) -> bool:
    return bool(value) and all(0 <= number < MAX_SAMPLES for number in value)


def _is_label(value: Any) -> bool:
    return value is None or isinstance(value, str) or (type(value) is int and value >= 0)


def _are_two_labels(value: Any) -> bool:
    if value is None:
        return True
    given = list(value) if isinstance(value, ListConfig) else []
    return len(given) == 2 and None not in given and all(map(_is_label, given)) and given[0] != given[1]


_ATTRIBUTE = Rule("rule", lambda v: v is None or v in PIXEL_RULES[:-1], f"{', '.join(PIXEL_RULES[:-1])}, or null")
_COUNT = Rule("count", lambda v: v >= 1, "at least 1")
_COLUMNS = Rule("columns", lambda v: v is None or v >= 1, "at least 1, or null for a square")
_BATCH_SIZE = Rule("batch_size", lambda v: v >= 1, "at least 1")
_LICENSE = Rule(
    "license",
    lambda v: v is None or re.fullmatch(r"[a-z0-9][a-z0-9.-]*", v) is not None,
    "an identifier of the hub such as mit or cc-by-nc-4.0, or null",
)
_WEIGHTS = Choice("weights", ("ema", "raw"))
_TRUNCATION = Rule("truncation", lambda v: v is None or v >= 0, "at least 0, or null for none")
_FORM = Choice("truncation_form", ("resample", "scale"))
_CUTOFF = Rule("truncation_cutoff", lambda v: v is None or v >= 1, "at least 1, or null for all layers")
_SPACE = Rule("space", lambda v: v in (None, "z", "w"), "z, w, or null")
_NOISE = Choice("noise", ("fixed", "random"))
_BATCH_NORM = Choice("batch_norm", ("running", "standing", "batch"))

RULES: dict[str, tuple[Rule | Choice, ...]] = {
    "sample": (
        _COUNT,
        _COLUMNS,
        _WEIGHTS,
        _TRUNCATION,
        _FORM,
        _BATCH_NORM,
        _CUTOFF,
        _NOISE,
    ),
    "interpolate": (
        _COUNT,
        _COLUMNS,
        _WEIGHTS,
        _TRUNCATION,
        _FORM,
        _CUTOFF,
        _NOISE,
        Choice("space", ("z", "w")),
        Rule("seconds", lambda v: v > 0, "greater than 0"),
        Rule("fps", lambda v: 1 <= v <= 100, "from 1 to 100"),
        Rule("smoothing", lambda v: v >= 0, "at least 0"),
    ),
    "translate": (
        _WEIGHTS,
        _BATCH_SIZE,
        Rule("direction", lambda v: v in (None, "AtoB", "BtoA"), "AtoB, BtoA, or null for that of the training"),
        Rule("resize", lambda v: v is None or v >= 1, "at least 1, or null for the size of each image"),
    ),
    "export": (_WEIGHTS, _LICENSE, Choice("format", ("safetensors", *PROGRAMS))),
    "push": (
        _WEIGHTS,
        _LICENSE,
        Rule("message", lambda v: v is None or v.strip() != "", "a text, or null"),
    ),
    "import": (_WEIGHTS, Rule("truncation", lambda v: 0 <= v <= 1, "in [0, 1]")),
    "evaluate": (
        Rule("evaluation.samples", lambda v: v >= 1, "at least 1"),
        Rule("evaluation.batch_size", lambda v: v >= 1, "at least 1"),
        Rule("evaluation.times", lambda v: v >= 1, "at least 1"),
        Rule("evaluation.max_time_fraction", lambda v: 0 < v <= 1, "in (0, 1]"),
        Rule("evaluation.real_images", lambda v: v is None or v >= 1, "at least 1, or null for all"),
        _COUNT,
        _WEIGHTS,
        _FORM,
        _CUTOFF,
        _BATCH_NORM,
        _NOISE,
        Rule(
            "truncation",
            lambda v: v is None or _is_number(v) or _are_thresholds(v),
            "a number, null, or an ascending list of numbers, at least 0, with null (no truncation) only at its end",
        ),
    ),
    "memorization": (
        _COUNT,
        _WEIGHTS,
        _BATCH_SIZE,
        Rule("nearest", lambda v: v >= 1, "at least 1"),
        Rule("samples", lambda v: v >= 1, "at least 1"),
    ),
    "probe": (
        _BATCH_SIZE,
        Choice("network", ("discriminator", "encoder")),
        Rule("labels_per_class", lambda v: v is None or v >= 1, "at least 1, or null for all labels"),
        Rule("draws", lambda v: v >= 1, "at least 1"),
        Rule("search_draws", lambda v: v >= 1, "at least 1"),
        Rule("validation", lambda v: v is None or v >= 1, "at least 1, or null"),
        Rule("test", _is_test, "the name of a split, a number of images of at least 1, or null"),
        Rule("costs", _are_costs, "an ascending list of numbers greater than 0"),
        Rule("layers", lambda v: v is None or len(v) > 0, "a list of numbers of layers, or null for all"),
        Rule("pool", lambda v: v is None or v >= 1, "at least 1, or null for no pooling"),
        Choice("statistics", ("population", "running")),
        Rule("pca", lambda v: v is None or v >= 1, "at least 1, or null for no such row"),
        Rule("supervised", lambda v: v is None or v >= 1, "at least 1, or null for no such row"),
    ),
    "visualize": (
        _COUNT,
        _BATCH_SIZE,
        Rule("maps", lambda v: len(v) > 0, "a list of numbers of maps, from 0"),
        Rule("images", lambda v: v is None or v >= 1, "at least 1, or null for all"),
        Choice("rule", ("relu", "leaky", "plain")),
    ),
    "forget": (
        _COUNT,
        _WEIGHTS,
        _BATCH_SIZE,
        Rule("concept.rule", lambda v: v is None or v in PIXEL_RULES, f"{', '.join(PIXEL_RULES)}, or null"),
        Rule("concept.rectangle", _is_rectangle, _RECTANGLE),
        Rule("concept.label", _is_label, _LABEL),
        Rule("concept.patch", lambda v: 0 < v <= 1, "in (0, 1]"),
        Rule("concept.area", lambda v: 0 < v <= 1, "in (0, 1]"),
        Rule("insert", _is_rectangle, _RECTANGLE),
        Rule("samples", lambda v: v >= 2, "at least 2"),
        Rule("held_out", lambda v: v >= 1, "at least 1"),
        Rule("test_samples", lambda v: v >= 1, "at least 1"),
        Rule("random_sets", lambda v: v >= 1, "at least 1"),
        Rule("show", lambda v: v >= 1, "at least 1"),
        Rule("drop", lambda v: all(each >= 1 for each in v), "a list of numbers of at least 1"),
    ),
    "directions": (
        _COUNT,
        _WEIGHTS,
        _BATCH_SIZE,
        Choice("method", ("pca", "sefa", "boundary")),
        _SPACE,
        _ATTRIBUTE,
        Rule("label", _is_label, _LABEL),
        Rule("directions", lambda v: v >= 1, "at least 1"),
        Rule("samples", lambda v: v >= 2, "at least 2"),
        Rule("tail", lambda v: 0 < v <= 0.5, "in (0, 0.5]"),
        Rule("show", lambda v: v >= 0, "at least 0"),
        Rule("distances", lambda v: len(v) > 0, "a list of numbers"),
    ),
    "invert": (
        _COUNT,
        _WEIGHTS,
        Choice("fit", ("crop", "pad", "stretch")),
        Choice("distance", ("pixels", "discriminator")),
        Rule("space", lambda v: v in (None, "z", "w", "w+"), "z, w, w+, or null"),
        Rule("steps", lambda v: v >= 1, "at least 1"),
        Rule("starts", lambda v: v >= 1, "at least 1"),
        Rule("start", lambda v: v in (None, "encoder", "random"), "encoder, random, or null"),
        Rule("lr", lambda v: v is None or v > 0, "greater than 0, or null"),
        Rule("prior_weight", lambda v: v >= 0, "at least 0"),
        Rule("style_noise", lambda v: v >= 0, "at least 0"),
    ),
    "arithmetic": (
        _WEIGHTS,
        _SPACE,
        Rule("a", lambda v: v is None or _are_samples(v), f"{_SAMPLES}, or null"),
        Rule("b", lambda v: v is None or _are_samples(v), f"{_SAMPLES}, or null"),
        Rule("c", lambda v: v is None or _are_samples(v), f"{_SAMPLES}, or null"),
        Rule("to", lambda v: v is None or _are_samples(v), f"{_SAMPLES}, or null"),
        Rule("steps", lambda v: v >= 2, "at least 2"),
        Rule("noise", lambda v: v >= 0, "at least 0"),
        _ATTRIBUTE,
        Rule("classes", _are_two_labels, "two different classes, by number or name, or null"),
        Rule("exemplars", lambda v: len(v) > 0 and min(v) >= 1, "a list of numbers of at least 1"),
        Rule("trials", lambda v: v >= 1, "at least 1"),
        Rule("samples", lambda v: v >= 2, "at least 2"),
    ),
    "explore": (
        _WEIGHTS,
        _SPACE,
        Choice("method", ("pca", "sefa")),
        Rule("host", lambda v: v.strip() != "", "an address of this machine"),
        Rule("port", lambda v: 0 <= v <= 65535, "from 0 to 65535"),
        Rule("proxy", lambda v: v is None or re.fullmatch(r"[\w.-]+", v) is not None, "the name of a host, or null"),
        Rule("minutes", lambda v: v is None or 0 <= v <= 10_000, "from 0 to 10,000, or null"),
    ),
    "duplicates": (
        _COUNT,
        _BATCH_SIZE,
        Rule("epochs", lambda v: v >= 1, "at least 1"),
        Choice("method", ("autoencoder", "extractor")),
    ),
    "compare": (Rule("columns", lambda v: v >= 2, "at least 2"),),
    "runs": (Choice("sort", ("age", "name", "model", "dataset", "seed", "state", "progress", "best")),),
    "list": (Choice("format", ("text", "markdown")),),
}
"""Allowed values of keys, by command; those of `train` are in `checks.py`."""
