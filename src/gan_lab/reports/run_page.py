"""`report.html`: page of a run from the files in its folder; the run may be running or have failed."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gan_lab.charts.line_chart import Line, LineChart
from gan_lab.config.overrides import command_to_paste
from gan_lab.durations import duration
from gan_lab.errors import DataError
from gan_lab.figures import evenly
from gan_lab.files import refuse_links
from gan_lab.metrics.naming import PREFIXES, weights_of
from gan_lab.metrics.protocol import Measurement
from gan_lab.pages.embedding import embedded
from gan_lab.pages.layout import Chart, arranged, line_name
from gan_lab.pages.line_chart import line_chart
from gan_lab.pages.rendering import write_page
from gan_lab.ranks import is_first_process
from gan_lab.reports.verdict import identity, verdict
from gan_lab.runs.folder import RunFolder, raw_last
from gan_lab.runs.latest import RUN, check_directory
from gan_lab.runs.state import STOPPED

log = logging.getLogger(__name__)

REPORT = "report.html"

FRAMES, FRAME_SIZE = 5, 320
"""Number of figures in a row over time, and their maximum width or height in pixels."""

FIGURE_SIZE, SHEET_SIZE = 560, 1200
"""Maximum width or height in pixels of the newest figures, and of the sheet of growing networks."""

MOST_WARNINGS = 50

MOST_TILES = 5
"""Tiles in a row."""

TIMED = "Speed and schedule"
"""Section with the bar of where the time went."""

Curves = Mapping[str, Mapping[float, float]]
"""Values over images seen, by log key."""


def report_ended_run(folder: Path) -> None:
    """Write `report.html` into the folder of a run that has ended; a failed page is a warning."""
    if is_first_process() and (folder / "config.yaml").is_file():
        try:
            write_report(folder, ended=True)
        except Exception as error:  # must not fail the run
            log.warning("%s could not be written: %s", folder / REPORT, error)


def write_report(folder: Path, out: Path | None = None, ended: bool = False) -> Path:
    """Write the report of a run.

    Args:
        folder: The run folder.
        out: The file; None for `report.html` in the folder.
        ended: Whether the run is known to have ended.

    Returns:
        The file.

    Raises:
        ConfigError: The folder does not exist.
        DataError: No run has started in it, or it contains a link that leads out of it.
    """
    check_directory("run", folder, RUN)
    refuse_links(folder)
    run = RunFolder(folder)
    if not (run.config or run.rows):
        raise DataError(f"{folder} has neither config.yaml nor metrics.csv: no run has started there.")
    file = out or folder / REPORT
    file.parent.mkdir(parents=True, exist_ok=True)
    link = "" if file.parent.resolve() != folder.resolve() else "samples/"
    write_page(file, "run.html", _facts(run, ended, link))
    return file


def _facts(run: RunFolder, ended: bool, link: str) -> dict[str, Any]:
    """Variables of the template."""
    state, reason = run.ending(ended)
    if state == STOPPED and not (reason or ended):
        reason = f"its last write was {duration(run.age())} ago"
    times = _times(run)
    return {
        "name": run.name,
        "state": state,
        "headline": _headline(run, reason),
        "verdict": verdict(run),
        "identity": identity(run),
        "data": run.data(),
        "initialization": run.initialization(),
        "percent": min(100, round(100 * run.images_seen / run.budget)) if run.budget else None,
        "command": command_to_paste(["gan-lab", "train", *run.overrides]) if run.choices else "",
        "tiles": (tiles := _tiles(run)),
        "tile_columns": -(-len(tiles) // max(1, -(-len(tiles) // MOST_TILES))),  # as many in each row
        "warnings": [_warning(warning) for warning in run.warnings[: -MOST_WARNINGS - 1 : -1]],
        "more_warnings": max(0, len(run.warnings) - MOST_WARNINGS),
        "figures": _figures(run, link),
        "strip": _strip(run, link),
        "findings": _findings(run, bool(link)),
        "sections": _sections(run, bool(times)),
        "timed": TIMED,
        "times": times,
        "times_note": "Mean over the run, weighted by time; every batch is measured, in the first process.",
        "metrics": [_metric(key, record) for key, record in run.records.items()],
        "choices": [f"{group}={choice}" for group, choice in sorted(run.choices.items())],
        "config": run.text,
        "starts": _starts(run.starts),
        "written": time.strftime("%Y-%m-%d %H:%M"),
    }


def _headline(run: RunFolder, reason: str) -> str:
    return f"{run.summary()} ({reason})" if reason else run.summary()


def _tiles(run: RunFolder) -> list[dict[str, str]]:
    tiles = []
    for key, record in run.records.items():
        if weights_of(key) == "ema":
            others = {"raw": PREFIXES["raw"], "untranslated": PREFIXES["copy"]}
            found = {name: run.records.get(key.replace("eval/", prefix, 1)) for name, prefix in others.items()}
            detail = [f"{name} {number(record.value)}" for name, record in found.items() if record]
            detail += [f"perfect {number(record.ideal_value)}"] if record.ideal_value is not None else []
            detail += [origin] if (origin := run.origin(key)) else []
            tiles.append(
                {
                    "name": key.removeprefix("eval/").replace("_", " "),
                    "value": number(record.value),
                    "detail": ", ".join(detail),
                }
            )
    if spans := run.spans():
        seen = max(row["progress/images_seen"] for row, _ in spans)
        speed = f"{seen / max(sum(seconds for _, seconds in spans), 1e-9):,.0f}"
        tiles.append({"name": "images per second", "value": speed, "detail": f"{duration(run.seconds)} of training"})
    return tiles


def number(value: float) -> str:
    """A number with four digits."""
    return f"{value:.4g}"


def _warning(warning: Mapping[str, Any]) -> dict[str, str]:
    moment, seen = warning.get("time"), warning.get("images_seen")
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if isinstance(moment, (int, float)) else "",
        "images_seen": f"{seen:,}" if isinstance(seen, int) else "",
        "level": str(warning.get("level", "")).lower(),
        "text": str(warning.get("text", "")),
    }


def _figures(run: RunFolder, link: str) -> list[dict[str, Any]]:
    """The newest samples of both generators, real samples, and the sheet of growing networks."""
    found = []
    for kind, caption in {
        "ema": "averaged generator",
        "raw": "raw generator",
        "reconstructions": "real images and reconstructions",
        "field": "discriminator's logit",
        "levels": "levels of the pyramid",
        "chain": "samples, level by level",
    }.items():
        if files := run.sample_images(kind):
            seen, file = max(files.items())
            text = f"{caption}, {seen:,} images seen"
            found.append((file, SHEET_SIZE if kind in ("levels", "chain") else FIGURE_SIZE, text))
    found += [
        (run.path / "samples/real.png", FIGURE_SIZE, "real"),
        (run.path / "samples/stages.png", SHEET_SIZE, "every resolution"),
    ]
    figures = []
    for file, size, text in found:
        if image := embedded(file, size, text, _linked(file, link)):
            figures.append({"image": image, "caption": text, "wide": size == SHEET_SIZE})
    return figures


def _linked(file: Path, link: str) -> str:
    return f"{link}{file.name}" if link else ""


def _strip(run: RunFolder, link: str) -> dict[str, Any]:
    """Rows of small figures of each kind at the same images seen."""
    kinds = {"averaged": run.sample_images("ema"), "raw": run.sample_images("raw"), "logit": run.sample_images("field")}
    if len(kinds["averaged"]) < 2:
        return {"rows": [], "titles": []}
    wanted = evenly(sorted(kinds["averaged"]), FRAMES)
    rows = []
    for name, files in kinds.items():
        images = [_frame(files.get(seen), f"{name}, {seen:,} images seen", link) for seen in wanted]
        if any(images):
            rows.append({"name": name, "images": images})
    return {"rows": rows, "titles": [f"{seen:,}" for seen in wanted]}


def _frame(file: Path | None, text: str, link: str) -> Markup:
    return Markup("") if file is None else embedded(file, FRAME_SIZE, text, _linked(file, link))


def _findings(run: RunFolder, linked: bool) -> list[dict[str, Any]]:
    """What commands found out about the networks, with embedded figures."""
    found = []
    for folder, finding in run.findings:
        figures = []
        for figure in finding.figures:
            link = f"{folder.relative_to(run.path).as_posix()}/{figure.file}" if linked else ""
            if image := embedded(folder / figure.file, SHEET_SIZE, figure.caption, link):
                figures.append({"image": image, "caption": figure.caption})
        facts = {name: getattr(finding, name) for name in ("title", "table", "protocol", "notes")}
        command = command_to_paste(finding.command) if finding.command else ""
        found.append({**facts, "figures": figures, "command": command})
    return found


def _sections(run: RunFolder, timed: bool) -> list[dict[str, Any]]:
    """Charts of the page. Sections with one chart are two in a row; a chart that would be alone is across the page."""
    curves = {key: run.curve(key) for key in {key for row in run.rows for key in row}}
    sections: list[dict[str, Any]] = []
    for section, charts in arranged(curves):
        curved = [chart for chart in charts if _is_curved(chart, curves)]
        flat = [chart for chart in charts if chart not in curved]
        single = [chart for chart in flat if all(len(curves[key]) <= 1 for key in chart.keys)]
        lists = {
            "Constant": [_constant(chart, curves) for chart in flat if chart not in single],
            "One value only": [_constant(chart, curves) for chart in single],
        }
        sections.append({"title": section.title, "folded": section.folded, "charts": curved, "lists": lists})
    halves = [each for each in sections if len(each["charts"]) == 1 and not each["folded"]]
    halves = [each for each in halves if not (timed and each["title"] == TIMED)]
    for facts in sections:
        curved = facts["charts"]
        facts["half"] = any(facts is each for each in halves[: len(halves) // 2 * 2])
        alone = len(curved) % 2 == 1 and not facts["half"]
        facts["charts"] = [_chart(run, chart, curves, wide=alone and chart is curved[-1]) for chart in curved]
    return sections


def _is_curved(chart: Chart, curves: Curves) -> bool:
    """Whether one of the lines has more than one value."""
    return any(len(set(curves[key].values())) > 1 for key in chart.keys)


def _constant(chart: Chart, curves: Curves) -> str:
    """The lines of a chart as text, if each has one value."""
    values = {line_name(key, chart): next(iter(curves[key].values()), None) for key in raw_last(chart.keys)}
    lines = [f"{name} {number(value)}" for name, value in values.items() if value is not None]
    return f"{chart.title}: {', '.join(lines)}"


def _chart(run: RunFolder, chart: Chart, curves: Curves, wide: bool) -> Markup:
    parts = [f"time/{part['name']}" for part in _times(run)]  # in the order of the bar, for the same colors
    keys = raw_last(chart.keys) if set(chart.keys) != set(parts) else parts
    records = [run.records[key] for key in keys if key in run.records]
    ideals = [record.ideal_value for record in records if record.ideal_value is not None]
    lines = {line_name(key, chart): curves[key] for key in keys}
    return line_chart(
        LineChart(
            chart.title,
            {name: Line(list(curve), list(curve.values())) for name, curve in lines.items()},
            note=chart.panel.note,
            levels={"perfect sampler": ideals[0]} if ideals else {},
            zero_to_one=chart.panel.zero_to_one,
            exact=chart.panel.exact,
            end=run.images_seen,
        ),
        wide=wide,
    )


def _times(run: RunFolder) -> list[dict[str, Any]]:
    """Parts of the time of the run in percent, the largest first, `other` last."""
    spans = [(row, seconds) for row, seconds in run.spans() if any(key.startswith("time/") for key in row)]
    total = sum(seconds for _, seconds in spans)
    if not total:
        return []
    parts = {key for row, _ in spans for key in row if key.startswith("time/")}
    fractions = {key.removeprefix("time/"): sum(row.get(key, 0) * s for row, s in spans) / total for key in parts}
    ordered = sorted(fractions, key=lambda part: (part == "other", -fractions[part]))
    return [{"name": part, "percent": round(100 * fractions[part], 1)} for part in ordered]


def _metric(key: str, record: Measurement) -> dict[str, str]:
    ideal = "" if record.ideal_value is None else number(record.ideal_value)
    return {"key": key, "value": number(record.value), "ideal_value": ideal, "protocol": str(record.protocol)}


def _starts(starts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row for each fact and a column for each start of the run, the newest first, at most four starts."""
    newest = list(reversed(starts))[:4]
    facts = dict.fromkeys(fact for start in newest for fact in start)
    shown = [[fact.replace("_", " "), *(_text(start.get(fact)) for start in newest)] for fact in facts]
    return [row for row in shown if any(row[1:])]


def _text(value: Any) -> str:
    if isinstance(value, list):  # a command
        return command_to_paste(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return "" if value is None else str(value)
