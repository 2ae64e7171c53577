"""`report.html`: a run on one page, from what its folder has, however it ended."""

import csv
import json
import logging
import math
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import yaml
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from markupsafe import Markup
from omegaconf import DictConfig

from gan_lab.config.run_folders import RUNNING, STOPPED, is_dead
from gan_lab.errors import ConfigError, DataError
from gan_lab.pages.embedding import embedded
from gan_lab.pages.layout import Chart, arranged, line_name
from gan_lab.pages.line_chart import line_chart
from gan_lab.pages.rendering import write_page
from gan_lab.pictures import evenly

log = logging.getLogger(__name__)

REPORT = "report.html"
SILENT_SECONDS = 300
"""A run that says nothing of its end counts as running if it wrote something so lately."""

FRAMES, FRAME_SIDE = 8, 200
"""Pictures over time in a row, and the largest side of one, in pixels."""

PICTURE_SIDE, SHEET_SIDE = 560, 1200
"""Largest side of the newest pictures, and of the sheet of a game that grows, in pixels."""

MOST_ALARMS = 50

Row = dict[str, float]
Result = TypeVar("Result")


def reported(train: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """A function that trains what a config describes, and leaves `report.html` in the run folder however it ends."""

    @wraps(train)
    def train_and_report(cfg: DictConfig) -> Result:
        try:
            return train(cfg)
        finally:
            folder = Path(cfg.run.dir)
            if getattr(rank_zero_only, "rank", 0) == 0 and (folder / "config.yaml").is_file():
                try:
                    write_report(folder, ended=True)
                except Exception as error:  # a page is not worth a run
                    log.warning("%s could not be written: %s", folder / REPORT, error)

    return train_and_report


def write_report(folder: Path, out: Path | None = None, ended: bool = False) -> Path:
    """Write the report of a run.

    Args:
        folder: Of the run.
        out: The file; None for `report.html` in the folder.
        ended: Whether the run is known to have ended, so that it cannot be still running.

    Returns:
        Where it is.

    Raises:
        ConfigError: There is no such folder.
        DataError: No run has begun in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"run={folder} is no folder: give the folder of a run of gan-lab train.")
    run = _Run(folder)
    if not (run.config or run.rows):
        raise DataError(f"{folder} has neither config.yaml nor metrics.csv: no run has begun there.")
    file = out or folder / REPORT
    file.parent.mkdir(parents=True, exist_ok=True)
    link = "" if file.parent.resolve() != folder.resolve() else "samples/"
    write_page(file, "run.html", _facts(run, ended, link))
    return file


def newest_folder(root: Path) -> Path:
    """The run under `root` that began last, with or without a checkpoint.

    Raises:
        ConfigError: There is none.
    """
    configs = sorted(root.rglob("config.yaml"), key=lambda file: file.stat().st_mtime)
    runs = [file.parent for file in configs if file.parent.name != ".hydra"]
    if not runs:
        raise ConfigError(f"run=latest finds no run under {root}: train one, or give run=<run folder>.")
    return runs[-1]


class _Run:
    """All that a run left in its folder; what is missing or damaged is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = _text(folder / "config.yaml")
        self.config = _mapping(_yaml(self.text))
        self.rows = _rows(folder / "metrics.csv")
        self.records = _records(folder)
        self.state = _mapping(_json(_text(folder / "state.json")))
        self.alarms = [a for line in _text(folder / "alarms.jsonl").splitlines() if (a := _mapping(_json(line)))]
        starts = _json(_text(folder / "surroundings.json"))
        self.starts = [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []
        self.typed = [str(word) for word in _yaml(_text(folder / ".hydra/overrides.yaml")) or []]
        notes = _mapping(_yaml(_text(folder / ".hydra/hydra.yaml")))
        choices = _mapping(_mapping(_mapping(notes.get("hydra")).get("runtime")).get("choices"))
        self.choices = {
            group: choice
            for group, choice in choices.items()
            if choice and group != "local" and not group.startswith("hydra/")
        }

    @property
    def name(self) -> str:
        return str(_mapping(self.config.get("run")).get("name") or self.folder.resolve().name)

    @property
    def budget(self) -> int:
        return _mapping(self.config.get("budget")).get("images") or self.state.get("budget_images") or 0

    @property
    def images_seen(self) -> int:
        seen = [row["progress/images_seen"] for row in self.rows]
        return int(max([*seen, self.state.get("images_seen") or 0]))

    @property
    def seconds(self) -> float:
        """Time in training, without the start."""
        return sum(seconds for _, seconds in self.spans())

    def spans(self) -> list[tuple[Row, float]]:
        """Records of the training with the seconds that each tells of."""
        spans, before = [], 0.0
        for row in self.rows:
            if speed := row.get("progress/images_per_second"):
                spans.append((row, max(row["progress/images_seen"] - before, 0.0) / speed))
                before = row["progress/images_seen"]
        return spans

    def curve(self, key: str) -> list[tuple[float, float]]:
        return sorted((row["progress/images_seen"], row[key]) for row in self.rows if key in row)

    def pictures(self, kind: str) -> dict[int, Path]:
        """Pictures of a kind by images seen."""
        files = sorted((self.folder / "samples").glob(f"{kind}_*.png"))
        return {int(number): file for file in files if (number := file.stem.rpartition("_")[2]).isdigit()}

    def age(self) -> float:
        """Seconds since it last wrote a number, a picture or its state."""
        files = [self.folder / name for name in ("config.yaml", "metrics.csv", "state.json", "samples", "checkpoints")]
        return time.time() - max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def ending(run: _Run, ended: bool) -> tuple[str, str]:
    """What has become of a run, in a word, and why if that is known."""
    told, reason = run.state.get("state"), str(run.state.get("reason") or "")
    if told and told != RUNNING:
        return str(told), reason
    if run.budget and run.images_seen >= run.budget:
        return "finished", ""
    if ended:
        errors = [alarm["text"] for alarm in run.alarms if alarm.get("level") == "ERROR" and "text" in alarm]
        return "stopped", str(errors[-1]) if errors else ""
    if told == RUNNING and is_dead(run.state):
        return STOPPED, "killed"
    if run.age() < SILENT_SECONDS:
        return "running", ""
    return "unfinished", f"it last wrote something {duration(run.age())} ago"


def duration(seconds: float) -> str:
    """A length of time as `3:07 min`, `2:15 h` or `4.2 d`."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h" if whole < 100 * 3600 else f"{seconds / 86400:.1f} d"


def _facts(run: _Run, ended: bool, link: str) -> dict[str, Any]:
    """Everything that the template asks for."""
    state, reason = ending(run, ended)
    times = _times(run)
    return {
        "name": run.name,
        "state": state,
        "headline": _headline(run, reason),
        "share": min(100, round(100 * run.images_seen / run.budget)) if run.budget else None,
        "command": shlex.join(["gan-lab", "train", *run.typed]) if run.choices else "",
        "tiles": _tiles(run),
        "alarms": [_alarm(alarm) for alarm in run.alarms[: -MOST_ALARMS - 1 : -1]],
        "more_alarms": max(0, len(run.alarms) - MOST_ALARMS),
        "pictures": _pictures(run, link),
        "strip": _strip(run, link),
        "sections": _sections(run),
        "times": times,
        "times_note": "Mean over the run, weighted by time; every batch is measured, in the first process.",
        "metrics": [_metric(key, record) for key, record in run.records.items()],
        "choices": [f"{group}={choice}" for group, choice in sorted(run.choices.items())],
        "config": run.text,
        "starts": _starts(run.starts),
        "written": time.strftime("%Y-%m-%d %H:%M"),
    }


def _headline(run: _Run, reason: str) -> str:
    of = f" of {run.budget:,}" if run.budget else ""
    words = [f"{run.images_seen:,}{of} images seen"]
    words += [f"in {duration(run.seconds)}"] if run.seconds else []
    words += [f"({reason})"] if reason else []
    return " ".join(words)


def _tiles(run: _Run) -> list[dict[str, str]]:
    tiles = []
    for key, record in run.records.items():
        if not key.startswith("eval/raw/"):
            raw = run.records.get(key.replace("eval/", "eval/raw/", 1))
            beside = [f"raw {number(raw.get('value'))}"] if raw else []
            beside += [f"perfect {number(record['floor'])}"] if record.get("floor") is not None else []
            tiles.append(
                {"name": key.removeprefix("eval/"), "value": number(record.get("value")), "beside": ", ".join(beside)}
            )
    if spans := run.spans():
        seen = max(row["progress/images_seen"] for row, _ in spans)
        speed = f"{seen / max(run.seconds, 1e-9):,.0f}"
        tiles.append({"name": "images per second", "value": speed, "beside": f"{duration(run.seconds)} of training"})
    return tiles


def number(value: Any) -> str:
    """A number in four digits; what JSON has for NaN is one, too."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else "nan"


def _alarm(alarm: Mapping[str, Any]) -> dict[str, str]:
    moment, seen = alarm.get("time"), alarm.get("images_seen")
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if isinstance(moment, (int, float)) else "",
        "images_seen": f"{seen:,}" if isinstance(seen, int) else "",
        "level": str(alarm.get("level", "")).lower(),
        "text": str(alarm.get("text", "")),
    }


def _pictures(run: _Run, link: str) -> list[dict[str, Any]]:
    """The newest samples of both generators, real ones, and the sheet of a game that grows."""
    found = []
    for kind, caption in {
        "ema": "averaged generator",
        "raw": "raw generator",
        "field": "discriminator's logit",
    }.items():
        if files := run.pictures(kind):
            seen, file = max(files.items())
            text = f"{caption}, {seen:,} images seen"
            found.append((file, PICTURE_SIDE, text))
    found += [
        (run.folder / "samples/real.png", PICTURE_SIDE, "real"),
        (run.folder / "samples/stages.png", SHEET_SIDE, "every resolution"),
    ]
    pictures = []
    for file, side, text in found:
        if image := embedded(file, side, text, _linked(file, link)):
            pictures.append({"image": image, "caption": text, "wide": side == SHEET_SIDE})
    return pictures


def _linked(file: Path, link: str) -> str:
    return f"{link}{file.name}" if link else ""


def _strip(run: _Run, link: str) -> dict[str, Any]:
    """Rows of small pictures of each kind at the same images seen."""
    kinds = {"averaged": run.pictures("ema"), "raw": run.pictures("raw"), "logit": run.pictures("field")}
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
    return Markup("") if file is None else embedded(file, FRAME_SIDE, text, _linked(file, link))


def _sections(run: _Run) -> list[dict[str, Any]]:
    keys = {key for row in run.rows for key in row}
    return [
        {"title": section.title, "folded": section.folded, "charts": [_chart(run, chart) for chart in charts]}
        for section, charts in arranged(keys)
    ]


def _chart(run: _Run, chart: Chart) -> Markup:
    parts = [f"time/{part['name']}" for part in _times(run)]  # in the order of the bar, so that colours are the same
    keys = _raw_last(chart.keys) if set(chart.keys) != set(parts) else parts
    floors = [floor for key in keys if isinstance(floor := run.records.get(key, {}).get("floor"), (int, float))]
    return line_chart(
        chart.title,
        {line_name(key, chart): run.curve(key) for key in keys},
        note=chart.panel.note,
        levels={"perfect sampler": floors[0]} if floors else {},
        zero_to_one=chart.panel.zero_to_one,
        exact=chart.panel.exact,
        end=run.images_seen,
    )


def _times(run: _Run) -> list[dict[str, Any]]:
    """Parts of the time of the whole run in percent, the largest first, the rest last."""
    spans = [(row, seconds) for row, seconds in run.spans() if any(key.startswith("time/") for key in row)]
    whole = sum(seconds for _, seconds in spans)
    if not whole:
        return []
    parts = {key for row, _ in spans for key in row if key.startswith("time/")}
    shares = {key.removeprefix("time/"): sum(row.get(key, 0) * s for row, s in spans) / whole for key in parts}
    ordered = sorted(shares, key=lambda part: (part == "other", -shares[part]))
    return [{"name": part, "percent": round(100 * shares[part], 1)} for part in ordered]


def _metric(key: str, record: Mapping[str, Any]) -> dict[str, str]:
    protocol = {name: value for name, value in record.items() if name not in ("value", "floor") and value is not None}
    return {
        "key": key,
        "value": number(record.get("value")),
        "floor": "" if record.get("floor") is None else number(record["floor"]),
        "protocol": ", ".join(f"{name} {value}" for name, value in protocol.items()),
    }


def _starts(starts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row for each fact and a column for each start of the run, the newest first, at most four."""
    newest = list(reversed(starts))[:4]
    facts = dict.fromkeys(fact for start in newest for fact in start)
    shown = [[fact.replace("_", " "), *(_word(start.get(fact)) for start in newest)] for fact in facts]
    return [row for row in shown if any(row[1:])]


def _word(value: Any) -> str:
    return shlex.join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _rows(file: Path) -> list[Row]:
    """Numbers by log key, of records that say how many images were seen; half a line at the end is left out."""
    rows = []
    for line in csv.DictReader(_text(file).splitlines()):
        row = {key: value for key, text in line.items() if key and (value := _float(text)) is not None}
        if math.isfinite(row.get("progress/images_seen", math.nan)):
            rows.append(row)
    return rows


def _float(text: Any) -> float | None:
    try:
        return float(text) if isinstance(text, str) and text else None
    except ValueError:
        return None


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """`results.json`, and from `evaluations.csv` the newest numbers where a run has not come to its end."""
    found = {
        key: record
        for key, record in _mapping(_json(_text(folder / "results.json"))).items()
        if isinstance(record, dict)
    }
    if found:
        return found
    for line in csv.DictReader(_text(folder / "evaluations.csv").splitlines()):
        if line.get("key") and line.get("protocol"):
            key = f"eval/{'raw/' if line.get('weights') == 'raw' else ''}{line['key']}"
            numbers = {"value": _float(line.get("value")), "floor": _float(line.get("floor"))}
            found[key] = numbers | _mapping(_json(line["protocol"]))
    return {key: found[key] for key in _raw_last(found)}


def _raw_last(keys: Iterable[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.startswith("eval/raw/"))


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace") if file.is_file() else ""  # a device may never end
    except OSError:
        return ""


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
