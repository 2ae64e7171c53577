"""Keys without effect beside the other settings: a command refuses them, training reports them. Imports no torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gan_lab.config.groups import choices, default_choices
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError


@dataclass(frozen=True)
class Unused:
    """Keys that have no effect under a condition.

    Args:
        keys: The keys.
        condition: Whether they have no effect in this config.
        advice: End of the message: the condition, and what to do.
    """

    keys: tuple[str, ...]
    condition: Callable[[DictConfig], bool]
    advice: str


def _uses_no_features(cfg: DictConfig) -> bool:
    metrics = cfg.evaluation.metrics.values()
    return not any(isinstance(node, DictConfig) and "extractor" in node for node in metrics)


def _walks_from(prefix: str) -> Callable[[DictConfig], bool]:
    return lambda cfg: str(cfg["from"]).startswith(prefix)


_FORM = Unused(
    ("truncation_form",),
    lambda cfg: cfg.truncation is None,
    "without truncation: give it, or leave truncation_form out",
)

_STEP = Unused(("number", "distance"), lambda cfg: cfg.direction is None, "without direction: give the file, too")

_OF_SAMPLES = (
    "run", "weights", "seed", "truncation", "truncation_form", "truncation_cutoff", "batch_norm", "noise",
    "evaluation.samples",
)  # fmt: skip
"""Keys of `gan-lab evaluate` for samples of a run."""

UNUSED: dict[str, tuple[Unused, ...]] = {
    "train": (
        Unused(
            ("betas",),
            lambda cfg: not any("betas" in node for node in cfg.optimizer.values()),
            "since no optimizer of this run has betas",
        ),
        Unused(("latent.bound",), lambda cfg: cfg.latent.distribution == "normal", "with latent.distribution=normal"),
        Unused(
            ("trouble.rollback.times", "trouble.rollback.lr_factor"),
            lambda cfg: "rollback" not in (cfg.trouble.on_collapse, cfg.trouble.on_non_finite),
            "without trouble.on_collapse=rollback or trouble.on_non_finite=rollback",
        ),
        Unused(("extractor",), _uses_no_features, "without a metric of features, as in metrics=[fd]"),
    ),
    "bench": (
        Unused(
            ("resume", "initialize", "allow_changes"),
            lambda _: True,
            "on gan-lab bench, which starts from scratch: give the settings of the run instead",
        ),
    ),
    "sample": (
        _FORM,
        _STEP,
        Unused(("direction",), lambda cfg: cfg.mixing is not None, "with mixing: leave one of them out"),
    ),
    "interpolate": (
        _FORM,
        _STEP,
        Unused(("smoothing",), lambda cfg: cfg.direction is not None, "with a direction: leave it out"),
        Unused(("direction", "smoothing"), lambda cfg: cfg["from"] is not None, "with from and to: leave it out"),
        Unused(
            ("count",),
            lambda cfg: isinstance(cfg["from"], int),
            "with numbers of samples as from and to, which show one: leave it out",
        ),
        Unused(("seed",), _walks_from("seed:"), "with seeds as from and to: leave it out"),
        Unused(("labels", "generator"), _walks_from("class:"), "with classes as from and to: leave it out"),
    ),
    "directions": (
        Unused(("layer",), lambda cfg: cfg.method != "pca", "without method=pca: leave it out"),
        Unused(("tail",), lambda cfg: cfg.method != "boundary", "without method=boundary: leave it out"),
        Unused(("threshold",), lambda cfg: cfg.rule is None, "without a rule: give one, or leave it out"),
        Unused(("classifier",), lambda cfg: cfg.method != "boundary", "without method=boundary: leave it out"),
        Unused(
            ("dataset",),
            lambda cfg: cfg.label is None and cfg.classifier is None,
            "without a classifier: give label or classifier, or leave it out",
        ),
        Unused(("directions",), lambda cfg: cfg.method == "boundary", "with method=boundary, which has one direction"),
    ),
    "export": (
        Unused(("out", "format"), lambda cfg: cfg.space is not None, "with space, which is a folder: leave it out"),
    ),
    "forget": (
        Unused(("concept.threshold",), lambda cfg: cfg.concept.rule is None, "without concept.rule: leave it out"),
        Unused(
            ("insert",), lambda cfg: cfg.concept.rule is None, "without concept.rule, which measures it: leave it out"
        ),
        Unused(
            ("test_samples",),
            lambda cfg: cfg.concept.masks is not None or cfg.concept.boxes is not None,
            "with masks or boxes, whose held-out samples are used: leave it out",
        ),
        Unused(
            ("concept.patch", "concept.area", "classifier", "dataset"),
            lambda cfg: cfg.concept.label is None,
            "without concept.label: leave it out",
        ),
    ),
    "arithmetic": (
        Unused(("steps",), lambda cfg: cfg.to is None, "without to: leave it out"),
        Unused(("noise", "rescale"), lambda cfg: cfg.to is not None, "with to: leave it out"),
        Unused(
            ("threshold", "classes", "classifier", "exemplars", "trials", "samples", "dataset"),
            lambda cfg: cfg.rule is None,
            "without rule: give one, or leave it out",
        ),
    ),
    "probe": (
        Unused(("draws", "search_draws"), lambda cfg: cfg.labels_per_class is None, "with all labels: leave it out"),
    ),
    "invert": (Unused(("fit",), lambda cfg: cfg.images is None, "without images: leave it out"),),
    "evaluate": (
        Unused(
            _OF_SAMPLES,
            lambda cfg: cfg.images is not None,
            "on images=..., which are generated already: give one of them",
        ),
        _FORM,
        Unused(
            ("count",),
            lambda cfg: not isinstance(cfg.truncation, ListConfig),
            "without a curve: give a list, as in truncation=[0.5,1,null], or leave count out",
        ),
        Unused(
            ("extractor",),
            _uses_no_features,
            "without a metric of features: choose one, as in metrics=[fd], or leave it out",
        ),
    ),
    "duplicates": (
        Unused(
            ("extractor",),
            lambda cfg: cfg.method != "extractor",
            "with method=autoencoder: add method=extractor, or leave it out",
        ),
        Unused(("epochs",), lambda cfg: cfg.method == "extractor", "with method=extractor: leave it out"),
    ),
    "list": (
        Unused(
            ("format",),
            lambda cfg: cfg.what not in ("all", "model"),
            "on other groups than model: give what=model, or leave format out",
        ),
    ),
}
"""Keys that may have no effect, by command."""


def unused_keys(command: str, cfg: DictConfig) -> Iterator[str]:
    """A message for each key that has no effect and another value than its default."""
    rules = [rule for rule in UNUSED.get(command, ()) if rule.condition(cfg)]
    defaults = _defaults(command, frozenset(key.partition(".")[0] for rule in rules for key in rule.keys))
    for rule in rules:
        for key in rule.keys:
            value: Any = OmegaConf.select(cfg, key)
            if (value or None) != (OmegaConf.select(defaults, key) or None):
                yield f"{key if isinstance(value, DictConfig) else f'{key}={value}'} has no effect {rule.advice}."


def refuse_unused_keys(command: str, cfg: DictConfig) -> None:
    """Refuse a key that has no effect on a command.

    Raises:
        ConfigError: Names the key and what to do.
    """
    for message in unused_keys(command, cfg):
        raise ConfigError(message)


@cache
def _defaults(command: str, names: frozenset[str]) -> Any:
    """The values in the file of a command, and in those of the groups of these names that it chooses by default."""
    chosen = {group: str(choice) for group, choice in default_choices(command).items() if choice and group in names}
    nodes = {group: OmegaConf.load(choices(group)[choice]) for group, choice in chosen.items()}
    return OmegaConf.merge(nodes, OmegaConf.load(CONF / f"{command}.yaml"))
