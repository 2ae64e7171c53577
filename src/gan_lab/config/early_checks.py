"""Checks of a command's config before torch is imported, which takes seconds: values, paths, a missing extractor."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gan_lab.config.checks import Choice, Rule, check_rules, check_values
from gan_lab.config.default_extractor import CLASSIFIERS, check_extractor
from gan_lab.config.unused_keys import refuse_unused_keys
from gan_lab.data.source import IMAGE_OR_IMAGES, existing_path
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import did_you_mean
from gan_lab.runs.latest import RUN, RUNS, check_directory, check_run, check_weights, dataset_of_run


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


PROGRAMS = {"onnx": (".onnx", "onnx", "onnxscript", "onnxruntime"), "torch_export": (".pt2",)}
"""Suffix of the file and needed packages of each format of programs."""

PIXEL_RULES = ("bright", "dark", "red", "green", "blue", "different")
"""Rules that make a mask of the pixels of samples, as in `gan_lab.analysis.concepts`, which imports torch."""

_RECTANGLE = "[left, top, right, bottom] as fractions of the image, left < right and top < bottom, or null"


def _is_rectangle(value: Any) -> bool:
    if value is None:
        return True
    left, top, right, bottom = value if len(value) == 4 else (1, 1, 0, 0)
    return bool(0 <= left < right <= 1 and 0 <= top < bottom <= 1)


_MOST_SAMPLES = 10_000
_SAMPLES = f"a list of numbers of samples, from 0 to {_MOST_SAMPLES - 1:,}"


def _are_samples(value: Any) -> bool:
    return bool(value) and all(0 <= number < _MOST_SAMPLES for number in value)


def _is_label(value: Any) -> bool:
    return value is None or isinstance(value, str) or (type(value) is int and value >= 0)


_LABEL = "the number or name of a class, or null"


def _are_two_labels(value: Any) -> bool:
    if value is None:
        return True
    given = list(value) if isinstance(value, ListConfig) else []
    return len(given) == 2 and None not in given and all(map(_is_label, given)) and given[0] != given[1]


_DIRECTIONS = "a file of gan-lab directions"
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


def check_command(command: str, cfg: DictConfig) -> None:
    """Refuse values out of range or without effect, runs that do not exist, metrics without features. No torch.

    Raises:
        UserError: Names the key and what is allowed.
    """
    if command == "train":
        check_values(cfg)
    else:
        check_rules(cfg, RULES.get(command, ()))
        refuse_unused_keys(command, cfg)
    for check in CHECKS.get(command, ()):
        check(cfg)


def _check_run(cfg: DictConfig) -> None:
    check_run(cfg.run)


def _check_program(cfg: DictConfig) -> None:
    if cfg.format not in PROGRAMS:
        return
    suffix, *packages = PROGRAMS[cfg.format]
    if cfg.out is not None and Path(cfg.out).suffix != suffix:
        raise ConfigError(f"out={cfg.out} is not allowed: with format={cfg.format} it must end with {suffix}.")
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ConfigError(
            f"format={cfg.format} needs the {'package' if len(missing) == 1 else 'packages'} {', '.join(missing)}: run "
            f'pip install "gan-lab-lightning[{cfg.format}]".'
        )


def _check_repo(cfg: DictConfig) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", cfg.repo):
        raise ConfigError(f"repo={cfg.repo} is not allowed: it must be <user>/<name>.")


def _check_weights_file(cfg: DictConfig) -> None:
    """Refuse files that do not exist before torch is imported."""
    for key in ("source", "discriminator"):
        file = None if cfg[key] is None else Path(cfg[key]).expanduser()
        if file is not None and not (cfg[key] and file.exists()):
            raise ConfigError(f"{key}={cfg[key]} does not exist; give a file of published weights.{did_you_mean(file)}")


def _check_out(cfg: DictConfig) -> None:
    """Refuse a file in the place of the output folder before minutes of work are lost."""
    if cfg.out is not None and Path(cfg.out).exists() and not Path(cfg.out).is_dir():
        raise ConfigError(f"out={cfg.out} is not a directory: give the name of a folder.")


def _check_evaluation(cfg: DictConfig) -> None:
    if not any(cfg.evaluation.metrics.values()):
        raise ConfigError("metrics=[] measures nothing: choose some, as in metrics=[fd,pr].")
    if cfg.images is None:
        _check_run(cfg)
    else:
        existing_path(cfg.images, "images")
    check_extractor(cfg, _dataset(cfg))


def _check_translation(cfg: DictConfig) -> None:
    existing_path(cfg.source, "source", IMAGE_OR_IMAGES)
    _check_run(cfg)


def _check_memorization(cfg: DictConfig) -> None:
    if cfg.count > cfg.samples:
        raise ConfigError(f"count={cfg.count} is not allowed: it must be at most samples={cfg.samples}.")
    _check_run(cfg)
    check_extractor(cfg, _dataset(cfg))


def _check_concept(cfg: DictConfig) -> None:
    given = [name for name in ("rule", "rectangle", "masks", "boxes", "label") if cfg.concept[name] is not None]
    if len(given) != 1:
        what = " and ".join(f"concept.{name}" for name in given) or "none"
        raise ConfigError(
            "A concept needs exactly one of concept.rule, concept.rectangle, concept.masks, concept.boxes and "
            f"concept.label, not {what}."
        )
    if given[0] in ("masks", "boxes"):
        what = "a folder of masks" if given[0] == "masks" else "a CSV file"
        existing_path(cfg.concept[given[0]], f"concept.{given[0]}", what)
    if cfg.held_out >= cfg.samples:
        raise ConfigError(f"held_out={cfg.held_out} is not allowed: it must be less than samples={cfg.samples}.")


def _check_score(cfg: DictConfig) -> None:
    given = [name for name in ("rule", "label", "scores") if cfg[name] is not None]
    if cfg.method == "boundary" and len(given) != 1:
        raise ConfigError(f"method=boundary needs one of rule, label and scores, not {' and '.join(given) or 'none'}.")
    if cfg.method != "boundary" and (given or cfg.orthogonal_to):
        key = given[0] if given else "orthogonal_to"
        raise ConfigError(f"{key}={cfg[key]} has no effect with method={cfg.method}: it is for method=boundary.")
    for file in (*cfg.orthogonal_to, *([cfg.scores] if cfg.scores else [])):
        key, what = ("orthogonal_to", _DIRECTIONS) if file in cfg.orthogonal_to else ("scores", "a CSV file")
        existing_path(file, key, what)


def _check_images(cfg: DictConfig) -> None:
    if cfg.images is not None:
        existing_path(cfg.images, "images", IMAGE_OR_IMAGES)


def _check_terms(cfg: DictConfig) -> None:
    given = [name for name in ("a", "b", "c", "to") if cfg[name] is not None]
    if cfg.rule is not None and given:
        raise ConfigError(f"{given[0]}={cfg[given[0]]} has no effect with rule={cfg.rule}, which chooses the samples.")
    if cfg.rule is None and given not in (["a", "b", "c"], ["a", "b", "to"]):
        raise ConfigError(
            "Arithmetic needs a, b and one of c, for A - B + C, and to, for samples to which A - B is added; or rule, "
            "which chooses them."
        )


def _check_classifier(cfg: DictConfig) -> None:
    if cfg.classifier in (None, *CLASSIFIERS):
        return
    try:
        check_run(cfg.classifier or "nothing")
    except CheckpointError as error:
        known = " or ".join(CLASSIFIERS)
        raise ConfigError(f"classifier={cfg.classifier} is not {known}, and as a run, {error}") from error


def ends_of_walk(cfg: DictConfig) -> tuple[str, int | str, int | str] | None:
    """What `from` and `to` of `gan-lab interpolate` name; None without them.

    Returns:
        `sample`, `seed` or `class`, and the numbers of both; of classes also names.

    Raises:
        ConfigError: One is missing, is none of these, or is of another kind.
    """
    ends = {key: cfg[key] for key in ("from", "to")}
    if all(value is None for value in ends.values()):
        return None
    (kind, first), (other, second) = (_end_of_walk(key, value) for key, value in ends.items())
    if kind != other:
        raise ConfigError(
            f"from={cfg['from']} and to={cfg.to} are a {kind} and a {other}: both must be samples, seeds or classes."
        )
    return kind, first, second


def _end_of_walk(key: str, value: Any) -> tuple[str, int | str]:
    if type(value) is int and 0 <= value < _MOST_SAMPLES:
        return "sample", value
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "seed" and name.isdecimal():
        return kind, int(name)
    if kind == "class" and name:
        return kind, int(name) if name.isdecimal() else name
    raise ConfigError(
        f"{key}={value} is not allowed: it must be the number of a sample of the seed, from 0 to "
        f"{_MOST_SAMPLES - 1:,}, or a seed or a class, as in seed:3 and class:7; give both from= and to=."
    )


def _check_ends(cfg: DictConfig) -> None:
    ends_of_walk(cfg)


def _check_direction(cfg: DictConfig) -> None:
    if cfg.direction is not None:
        existing_path(cfg.direction, "direction", _DIRECTIONS)


def _check_other(cfg: DictConfig) -> None:
    if cfg.other is not None:
        check_run(cfg.other)


def _check_directions(cfg: DictConfig) -> None:
    if cfg.directions is not None:
        existing_path(cfg.directions, "directions", _DIRECTIONS)


def _check_training(cfg: DictConfig) -> None:
    if cfg.resume is not None:
        check_run(cfg.resume)
    elif cfg.initialize is not None and not any(Path(cfg.run.dir, "checkpoints").glob("*.ckpt")):
        check_weights(cfg.initialize)  # a run that resumes does not read it again
    _check_source(cfg)
    check_extractor(cfg, cfg.dataset)


def _check_source(cfg: DictConfig) -> None:
    """Refuse a folder of images that does not exist; other sources may be names on a hub."""
    reader = OmegaConf.select(cfg, "dataset.reader._target_")
    source = OmegaConf.select(cfg, "dataset.source")  # None for ???
    if reader == "gan_lab.data.image_folder.read_image_folder" and source is not None:
        existing_path(str(source))


def _check_report(cfg: DictConfig) -> None:
    if cfg.run != "latest":
        check_directory("run", Path(cfg.run), RUN)


def _check_comparison(cfg: DictConfig) -> None:
    given = cfg.runs if isinstance(cfg.runs, ListConfig) else [cfg.runs]
    if not given or not all(isinstance(runs, str) for runs in given):
        raise ConfigError(f"runs={cfg.runs} is not allowed: it must be a folder or a list of folders.")
    for runs in given:
        if runs != "latest":
            check_directory("runs", Path(runs), RUNS)


def _dataset(cfg: DictConfig) -> Any:
    """The data set of the run with the given keys, or the given one; None if the former is not known yet."""
    given = cfg.get("dataset") or {}
    if "_target_" in given or cfg.get("images"):
        return given or None
    of_run = dataset_of_run(cfg.run)
    return {**of_run, **given} if isinstance(of_run, dict) else None


CHECKS: dict[str, tuple[Callable[[DictConfig], None], ...]] = {
    "train": (_check_training,),
    "sample": (_check_direction, _check_run),
    "interpolate": (_check_ends, _check_direction, _check_run),
    "translate": (_check_out, _check_translation),
    "export": (_check_program, _check_run),
    "push": (_check_repo, _check_run),
    "import": (_check_weights_file,),
    "evaluate": (_check_out, _check_evaluation),
    "memorization": (_check_out, _check_memorization),
    "probe": (_check_out, _check_run),
    "visualize": (_check_out, _check_run),
    "forget": (_check_out, _check_concept, _check_classifier, _check_run),
    "directions": (_check_out, _check_score, _check_classifier, _check_run),
    "invert": (_check_out, _check_images, _check_run),
    "arithmetic": (_check_out, _check_terms, _check_classifier, _check_run),
    "explore": (_check_directions, _check_run, _check_other),
    "prepare": (_check_source,),
    "duplicates": (_check_out, _check_source),
    "report": (_check_report,),
    "compare": (_check_comparison,),
}
"""Checks of several keys or of paths, by command."""
