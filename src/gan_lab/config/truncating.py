"""The truncation curve of a checkpoint (Brock et al., 2019, section 3.1): fidelity against diversity over thresholds."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image
from torchmetrics import Metric

from gan_lab.charts import GREY, Line, line_charts
from gan_lab.config.build import instantiate_each
from gan_lab.config.checks import Rule, check_rules
from gan_lab.config.comparing import aligned
from gan_lab.config.evaluating import HINT, sampling_protocol
from gan_lab.config.evaluating import RULES as OF_EVALUATIONS
from gan_lab.config.inputs import RealImages, device_named, run_named, with_data_of
from gan_lab.config.load import Loaded, load
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import measure, records, to_device
from gan_lab.metrics.reals import learn_reals
from gan_lab.pictures import extent_of, picture, strip

RULES = (
    *OF_EVALUATIONS,
    Rule("count", lambda v: v >= 1, "at least 1"),
    Rule(
        "thresholds",
        lambda v: len(v) > 0 and v[0] >= 0 and all(a < b for a, b in pairwise(v)),
        "an ascending list of numbers, at least 0",
    ),
)

AGAINST = (("recall", "precision"), ("coverage", "density"), ("fid", "score_inception"), ("fd", "score_inception"))
"""Words in the keys of two numbers that are drawn one over the other: the first says how diverse the samples are, or how far off."""

_SIDE = 240  # pixels, of a grid in the picture


@dataclass(frozen=True)
class Place:
    """One place of the curve: a threshold, or None for the latents as they are, and the numbers with their protocol."""

    threshold: float | None
    found: dict[str, dict[str, Any]]

    @property
    def name(self) -> str:
        return "none" if self.threshold is None else f"{self.threshold:g}"

    def value(self, key: str) -> float:
        """A number; NaN where it is not finite."""
        value = self.found[key]["value"]
        return float("nan") if value is None else value


def truncation_curve(cfg: DictConfig) -> str:
    """Do what a composed `truncation` config says, and write `truncation.json`, `.csv`, `.png` and `truncation_samples.png`.

    Returns:
        What to print: a table, and how the numbers were made.

    Raises:
        UserError: A value, the run or the data cannot be used.
    """
    check_rules(cfg, RULES)
    _refuse_metrics(cfg)
    path, device = run_named(cfg.run), device_named(cfg.device)
    loaded = load(path, cfg.weights, device)
    thresholds = [*cfg.thresholds, None]
    generators = [loaded.adjusted(each, cfg.truncation_form, cfg.batch_norm, cfg.seed) for each in thresholds]
    whole = with_data_of(cfg, loaded.config)
    metrics: dict[str, Metric] = instantiate_each(whole.evaluation.metrics, "evaluation.metrics")
    to_device(metrics, device)
    real = learn_reals(metrics, RealImages(whole, HINT), cfg.evaluation.real_images, cfg.evaluation.batch_size)
    places = [_measured(cfg, *pair, metrics, real) for pair in zip(thresholds, generators, strict=True)]
    folder = Path(cfg.out) if cfg.out is not None else path if path.is_dir() else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    _write(places, folder)
    _chart(places).save(folder / "truncation.png")
    _grids(cfg, places, generators).save(folder / "truncation_samples.png")
    written = "truncation.json, truncation.csv, truncation.png, truncation_samples.png"
    return "\n".join([*aligned(_table(places)), _protocol(places), f"Written to {folder}: {written}."])


def _refuse_metrics(cfg: DictConfig) -> None:
    if not any(cfg.evaluation.metrics.values()):
        raise ConfigError("metrics=[] measures nothing: choose some, as in metrics=[fd,pr] extractor=efflite0.")
    blind = [name for name, node in cfg.evaluation.metrics.items() if node and node.get("extractor", "") is None]
    if blind:
        raise ConfigError(
            f"extractor is not given: choose the features that metrics=[{','.join(blind)}] see, as in extractor=efflite0."
        )


def _measured(
    cfg: DictConfig, threshold: float | None, generator: Loaded, metrics: dict[str, Metric], real: dict[str, str | None]
) -> Place:
    count = cfg.evaluation.samples
    values = measure(metrics, generator.chunks(count, cfg.seed, batch_size=cfg.evaluation.batch_size))
    return Place(threshold, records(metrics, values, count, sampling_protocol(cfg, generator, threshold), real))


def _keys(places: Sequence[Place]) -> list[str]:
    return list(places[0].found)


def _table(places: Sequence[Place]) -> list[list[str]]:
    """A row for each threshold, a column for each number."""
    keys = _keys(places)
    return [["threshold", *keys], *([place.name, *(f"{place.value(key):.5g}" for key in keys)] for place in places)]


def _write(places: Sequence[Place], folder: Path) -> None:
    record = [{"threshold": place.threshold, "metrics": place.found} for place in places]
    (folder / "truncation.json").write_text(json.dumps(record, indent=2) + "\n")
    with (folder / "truncation.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(_table(places))


def _protocol(places: Sequence[Place]) -> str:
    """What all numbers have in common."""
    records = [record for place in places for record in place.found.values()]
    shared = {k: v for k, v in records[0].items() if all(k in r and r[k] == v for r in records)}
    shared["truncation_form"] = records[0]["truncation_form"]
    return f"Protocol: {', '.join(f'{key} {value}' for key, value in shared.items() if key not in ('value', 'floor'))}."


def _chart(places: Sequence[Place]) -> Image.Image:
    """Each number over the thresholds, with a grey line where it is without truncation, and pairs of numbers."""
    *truncated, plain = places
    thresholds = [float(place.name) for place in truncated]
    panels = {}
    for key in _keys(places):
        flat = _line([0.0, max(*thresholds, 1e-9)], [plain.value(key)] * 2, GREY)
        panels[f"{key} over the threshold"] = {
            "truncated": _line(thresholds, [place.value(key) for place in truncated]), "no truncation": flat,
        }  # fmt: skip
    for across, up in _pairs(_keys(places)):
        curve = [(place.value(across), place.value(up)) for place in places]
        end = _line([plain.value(across)], [plain.value(up)], GREY)  # a dot
        panels[f"{up} over {across}"] = {"truncated": _line(*zip(*curve, strict=True)), "no truncation": end}
    return line_charts(panels)


def _pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """The keys that are drawn one over the other, of those that were measured."""
    found = [[next((key for key in keys if f"_{word}_" in f"_{key}_"), None) for word in words] for words in AGAINST]
    return [(across, up) for across, up in found if across is not None and up is not None]


def _line(x: Sequence[float], y: Sequence[float], colour: tuple[int, int, int] | None = None) -> Line:
    return Line(x, y, y, y, colour)


def _grids(cfg: DictConfig, places: Sequence[Place], generators: Sequence[Loaded]) -> Image.Image:
    """The same latents under each threshold; points all at the scale of those without truncation."""
    samples = [generator.sample(cfg.count, cfg.seed) for generator in generators]
    extent = extent_of(samples[-1]) if samples[-1].dim() == 2 else None
    return strip([picture(each, extent=extent) for each in samples], [place.name for place in places], _SIDE)
