"""Sections and charts of a run's report, in their order."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """Definition of one or several charts.

    Args:
        keys: Regular expression that matches the log keys of the lines. There is one chart for each distinct value of
            its groups, which are inserted into `title`.
        title: Title with `{}` for each group of `keys`.
        note: Advice for reading the chart.
        zero_to_one: Whether the value axis is always from 0 to 1.
        exact: Whether the values are settings rather than measurements, which are drawn without smoothing or clamping.
    """

    keys: str
    title: str
    note: str = ""
    zero_to_one: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Section:
    """Charts under one heading; a `folded` section is initially collapsed."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


SECTIONS = (
    Section(
        "Metrics of the samples",
        (
            Panel(
                r"eval/(?:raw/|copy/)?(?!raw/|copy/|seconds)(.+)",
                "{}",
                "The averaged and the raw generator; of translations also the untranslated images.",
            ),
        ),
    ),
    Section(
        "Losses",
        (
            Panel(
                r"train/(?!logits/|accuracy/|grad_norm/|lr/)([^/]+)/(?:.+)",
                "Loss terms: {}",
                "Each multiplied by its weight, as minimized.",
            ),
        ),
    ),
    Section(
        "Discriminator outputs",
        (
            Panel(
                r"train/logits/.+",
                "Logits",
                "Far apart: the discriminator wins. Equal: it cannot distinguish the samples.",
            ),
            Panel(r"train/accuracy/.+", "Accuracy on the batches", zero_to_one=True),
            Panel(
                r"accuracy/.+",
                "Fraction classified as real",
                "Far apart: it has memorized its training images.",
                zero_to_one=True,
            ),
        ),
    ),
    Section(
        "Gradients and learning rates",
        (
            Panel(r"train/grad_norm/.+", "Gradient norms", "A jump by orders of magnitude precedes a collapse."),
            Panel(r"train/lr/.+", "Learning rates", exact=True),
        ),
    ),
    Section(
        "Speed and schedule",
        (
            Panel(r"progress/images_per_second", "Images per second"),
            Panel(r"time/.+", "Fractions of the time", "Since the previous record.", zero_to_one=True),
            Panel(r"progress/(?!images_seen|images_per_second)(.+)", "{}", exact=True),
            Panel(r"eval/(seconds)", "{} of an evaluation"),
            Panel(r"warnings/count", "Warnings so far", exact=True),
        ),
    ),
    Section(
        "Spectra of the weights",
        (
            Panel(
                r"spectra/([^/]+)/.+/1", "Largest singular values: {}", "Steady growth is healthy; an explosion is not."
            ),
        ),
        folded=True,
    ),
    Section(
        "Other logged values",
        (Panel(r"(?!step$|progress/images_seen$|spectra/)([^/]+)(?:/.+)?", "{}"),),
        folded=True,
    ),
)
"""Every key is shown in the first panel that matches it; the last panel matches all remaining keys."""


@dataclass(frozen=True)
class Chart:
    """A chart of a run: a panel with the matching log keys."""

    title: str
    keys: tuple[str, ...]
    panel: Panel


def arranged(keys: Iterable[str]) -> list[tuple[Section, list[Chart]]]:
    """The sections that are not empty, each with its charts."""
    free = sorted(keys)
    found = []
    for section in SECTIONS:
        charts = []
        for panel in section.panels:
            members: dict[str, list[str]] = {}
            for key in free:
                if match := re.fullmatch(panel.keys, key):
                    parts = [part.replace("_", " ") for part in match.groups()]
                    members.setdefault(panel.title.format(*parts), []).append(key)
            taken = {key for each in members.values() for key in each}
            free = [key for key in free if key not in taken]
            charts += [Chart(title, tuple(each), panel) for title, each in members.items()]
        if charts:
            found.append((section, charts))
    return found


_LINES = {"eval/raw/": "raw", "eval/copy/": "untranslated"}
"""Names of the lines of a metric by their prefix; others are of the averaged generator."""


def line_name(key: str, chart: Chart) -> str:
    """Name of a line in the legend: its key without the prefix common to the chart."""
    if key.startswith("eval/") and key != "eval/seconds":
        return next((name for prefix, name in _LINES.items() if key.startswith(prefix)), "averaged")
    if len(chart.keys) == 1:
        return key.rpartition("/")[2].replace("_", " ")
    parts = [each.split("/") for each in chart.keys]
    common = 0
    while len({tuple(each[: common + 1]) for each in parts}) == 1 and all(len(each) > common + 1 for each in parts):
        common += 1
    name = key.split("/")[common:]
    if key.startswith("spectra/"):
        return "/".join(name[:-1])  # the name of a layer
    return ", ".join(name).replace("_", " ")
