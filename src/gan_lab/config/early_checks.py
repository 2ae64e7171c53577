"""Checks of a command's config before torch is imported, which takes seconds: values, paths, a missing extractor."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gan_lab.config.checks import check_launch, check_rules, check_values
from gan_lab.config.command_rules import MAX_SAMPLES, PROGRAMS, RULES
from gan_lab.config.default_extractor import CLASSIFIERS, check_extractor
from gan_lab.config.unused_keys import refuse_unused_keys
from gan_lab.data.source import IMAGE_OR_IMAGES, existing_path
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import did_you_mean
from gan_lab.runs.latest import RUN, RUNS, check_directory, check_run, check_weights, dataset_of_run, folder_of_run

_DIRECTIONS = "a file of gan-lab directions"


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
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", cfg.repo):
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
    if type(value) is int and 0 <= value < MAX_SAMPLES:
        return "sample", value
    kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "seed" and name.isdecimal():
        return kind, int(name)
    if kind == "class" and name:
        return kind, int(name) if name.isdecimal() else name
    raise ConfigError(
        f"{key}={value} is not allowed: it must be the number of a sample of the seed, from 0 to "
        f"{MAX_SAMPLES - 1:,}, or a seed or a class, as in seed:3 and class:7; give both from= and to=."
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
    check_launch(cfg)
    if cfg.resume is not None:
        check_run(cfg.resume)
    elif cfg.initialize is not None and not any(Path(cfg.run.dir, "checkpoints").glob("*.ckpt")):
        check_weights(cfg.initialize)  # a run that resumes does not read it again
    check_source(cfg.dataset, cfg.resume)
    check_extractor(cfg, cfg.dataset)


def check_source(dataset: DictConfig, run: str | None = None) -> None:
    """Refuse a folder of images that does not exist; other sources may be names on a hub.

    Args:
        dataset: The `dataset` node of a config.
        run: Name of the run whose data set it is; None for a new one.

    Raises:
        DataError: Names the folder, and a similar one.
    """
    reader = OmegaConf.select(dataset, "reader._target_")
    source = OmegaConf.select(dataset, "source")  # None for ???
    if reader == "gan_lab.data.image_folder.read_image_folder" and source is not None:
        existing_path(str(source), run=None if run is None else folder_of_run(run))


def _check_source(cfg: DictConfig) -> None:
    check_source(cfg.dataset)


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
