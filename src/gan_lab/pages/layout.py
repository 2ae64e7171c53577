"""What somebody who trains GANs looks at, in which order: the one list of it, for the report of a run."""

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Panel:
    """One chart.

    Args:
        keys: Regular expression of the log keys whose lines are in it. Its groups are put into `title`: a chart for each of their values.
        title: With `{}` for each group of `keys`.
        note: What to look for.
        zero_to_one: Whether the axis always is from 0 to 1.
        exact: Whether the numbers are set and not measured, so that they are drawn as they are.
    """

    keys: str
    title: str
    note: str = ""
    zero_to_one: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Section:
    """Charts under one heading. The page shows `folded` ones when asked."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


SECTIONS = (
    Section(
        "Measures of the samples",
        (Panel(r"eval/(?:raw/)?(?!raw/|seconds)(.+)", "{}", "The averaged generator beside the raw one."),),
    ),
    Section(
        "Losses",
        (
            Panel(
                r"train/(?!logits/|accuracy/|grad_norm/|lr/)([^/]+)/(?:.+)",
                "Loss terms: {}",
                "Each with its weight, as it is minimized.",
            ),
        ),
    ),
    Section(
        "The discriminator's judgement",
        (
            Panel(r"train/logits/.+", "Logits", "Far apart: the discriminator wins. Equal: it knows nothing."),
            Panel(r"train/accuracy/.+", "Accuracy on the batches", zero_to_one=True),
            Panel(
                r"accuracy/.+",
                "Share called real",
                "Far apart: it knows its training images by heart.",
                zero_to_one=True,
            ),
        ),
    ),
    Section(
        "Gradients and rates",
        (
            Panel(r"train/grad_norm/.+", "Gradient norms", "A jump by orders of magnitude comes before a collapse."),
            Panel(r"train/lr/.+", "Learning rates", exact=True),
        ),
    ),
    Section(
        "Speed and schedule",
        (
            Panel(r"progress/images_per_second", "Images per second"),
            Panel(r"time/.+", "Shares of the time", "Since the record before.", zero_to_one=True),
            Panel(r"progress/(?!images_seen|images_per_second)(.+)", "{}", exact=True),
            Panel(r"eval/(seconds)", "{} of an evaluation"),
            Panel(r"alarms/count", "Alarms so far", exact=True),
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
        "Whatever else was logged",
        (Panel(r"(?!step$|progress/images_seen$|spectra/)([^/]+)(?:/.+)?", "{}"),),
        folded=True,
    ),
)
"""Every key is in the first panel that fits it, so that the last shows what no other knows."""


@dataclass(frozen=True)
class Chart:
    """A panel with the log keys that a run has for it."""

    title: str
    keys: tuple[str, ...]
    panel: Panel


def arranged(keys: Iterable[str]) -> list[tuple[Section, list[Chart]]]:
    """Sections that have something to show, each with its charts."""
    free = sorted(keys)
    found = []
    for section in SECTIONS:
        charts = []
        for panel in section.panels:
            members: dict[str, list[str]] = {}
            for key in free:
                if match := re.fullmatch(panel.keys, key):
                    words = [word.replace("_", " ") for word in match.groups()]
                    members.setdefault(panel.title.format(*words), []).append(key)
            taken = {key for each in members.values() for key in each}
            free = [key for key in free if key not in taken]
            charts += [Chart(title, tuple(each), panel) for title, each in members.items()]
        if charts:
            found.append((section, charts))
    return found


def line_name(key: str, chart: Chart) -> str:
    """What tells a line from the others of its chart: the part of its key that is not shared."""
    if key.startswith("eval/") and key != "eval/seconds":
        return "raw" if key.startswith("eval/raw/") else "averaged"
    if len(chart.keys) == 1:
        return key.rpartition("/")[2]
    parts = [each.split("/") for each in chart.keys]
    shared = 0
    while len({tuple(each[: shared + 1]) for each in parts}) == 1 and all(len(each) > shared + 1 for each in parts):
        shared += 1
    words = key.split("/")[shared:]
    return "/".join(words[:-1] if key.startswith("spectra/") else words)
