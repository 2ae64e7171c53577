"""Reader of run folders: config, metrics, results, state and warnings of a run, complete or not."""

import math
import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_lab.durations import duration
from gan_lab.errors import DataError
from gan_lab.files import refuse_links
from gan_lab.keys import leaves
from gan_lab.metrics.naming import PREFIXES, weights_of
from gan_lab.metrics.protocol import Measurement
from gan_lab.runs import findings
from gan_lab.runs.findings import Finding
from gan_lab.runs.run_files import Row, RunFiles, json_of, mapping_of, number_of
from gan_lab.runs.state import FAILED, FINISHED, RUNNING, STOPPED, is_dead
from gan_lab.runs.training_keys import is_of_training

Settings = dict[str, str]
"""Values of a config as text, by dotted key."""

INITIALIZATION = "initialize.json"
"""File with what a run took from the weights that `initialize` names."""

SILENT_SECONDS = 300
"""A run without `state.json` counts as running if it wrote a file within this time."""

LISTED_CLASSES = 20
"""Largest number of classes that are listed by name."""


class UnusableRun(DataError):
    """A run folder without final values; the message is the reason."""


class RunFolder:
    """Contents of a run folder; missing and damaged files are empty, see `damage`.

    The folder may be untrusted: its files are read as plain data, and nothing in them is imported or resolved.

    Args:
        path: The folder.

    Attributes:
        text: Text of `config.yaml`.
        config: `config.yaml`, parsed.
        rows: Rows of `metrics.csv` with images seen, without empty cells.
        results: `results.json`: value and measurement protocol by log key. Measurements of later weights than the run
            has now, which it does after a return to an earlier checkpoint, are left out.
        state: `state.json`, see `gan_lab.runs.state`.
        overrides: What was typed on the command line, where the run came from there.
        choices: The groups that were chosen there.
        damage: A message for each file that cannot be read or is invalid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = RunFiles(path)
        self.damage = self._files.damage
        self.text = self._files.text("config.yaml")
        self.config = self._files.mapping("config.yaml")
        self.rows = self._files.rows("metrics.csv")
        self.results = self._files.measurements(self._files.mapping("results.json"), "results.json")
        self.state = self._files.mapping("state.json")
        self.results = {key: each for key, each in self.results.items() if not self._is_stale(each)}
        overrides = self._files.parsed(".hydra/overrides.yaml")
        self.overrides = [str(override) for override in overrides] if isinstance(overrides, list) else []
        notes = mapping_of(self._files.mapping(".hydra/hydra.yaml").get("hydra"))
        self.choices = {
            group: str(choice)
            for group, choice in mapping_of(mapping_of(notes.get("runtime")).get("choices")).items()
            if choice and group != "local" and not group.startswith("hydra/")
        }
        if not isinstance(self.config.get("budget", {}), dict) or not isinstance(self._budget, int | None):
            self.damage.append(f"config.yaml has budget={self.config['budget']}")
        if not isinstance(self.state.get("images_seen"), int | None):
            self.damage.append(f"state.json has images_seen={self.state['images_seen']}")

    # -- settings

    @property
    def name(self) -> str:
        """Name of the run; by default that of its folder."""
        return str(mapping_of(self.config.get("run")).get("name") or self.path.resolve().name)

    def data(self) -> str:
        """Source, number of images and names of the classes, as far as they are recorded, as text."""
        source = mapping_of(self.config.get("dataset")).get("source")
        content = mapping_of(self.config.get("data_content"))
        images, classes = content.get("images"), content.get("classes")
        parts = [str(source)] if source else []
        parts += [f"{images:,} images"] if isinstance(images, int) else []
        if isinstance(classes, list):
            rest = f", and {len(classes) - LISTED_CLASSES:,} more" if len(classes) > LISTED_CLASSES else ""
            parts.append(f"{len(classes):,} classes: {', '.join(map(str, classes[:LISTED_CLASSES]))}{rest}")
        return "; ".join(parts)

    def initialization(self) -> str:
        """What the run took from another one at its start, as text; empty for a run with random weights."""
        return str(self._files.mapping(INITIALIZATION).get("summary") or "")

    @property
    def _budget(self) -> Any:
        return mapping_of(self.config.get("budget")).get("images") or self.state.get("budget_images")

    @property
    def budget(self) -> int:
        """Length of the run in real images; 0 if unknown."""
        return self._budget if isinstance(self._budget, int) else 0

    @cached_property
    def typed(self) -> Settings:
        """Values on the command line, by key."""
        overrides = [override.lstrip("+~").partition("=") for override in self.overrides]
        return {key: value for key, _, value in overrides if not key.startswith("hydra.")}

    @cached_property
    def settings(self) -> Settings:
        """The resolved config of the training, without the seed and without paths of the run."""
        folder = str(mapping_of(self.config.get("run")).get("dir"))
        return {key: value for key, value in self._flat.items() if is_of_training(key) and folder not in value}

    @property
    def content_hash(self) -> str | None:
        """Content hash of the data set; None if unknown."""
        found = mapping_of(self.config.get("data_content")).get("hash")
        return found if isinstance(found, str) else None

    @property
    def seed(self) -> str:
        """Seed of the run; `-` if unknown."""
        return self._flat.get("seed", "-")

    @property
    def seeds(self) -> Settings:
        """All seeds of the config: that of the run, and others such as that of the choice of labels."""
        return {key: value for key, value in self._flat.items() if key.rpartition(".")[2] == "seed"}

    @cached_property
    def _flat(self) -> Settings:
        return {key: "null" if value is None else str(value) for key, value in leaves(self.config)}

    def setting(self, key: str) -> str:
        """Value of a key, or choice of a group; `-` if there is neither."""
        return self.choices.get(key) or self.settings.get(key) or self.typed.get(key) or "-"

    # -- metrics

    @cached_property
    def _last(self) -> dict[str, tuple[float, float]]:
        """Last value of every key of the log, and the images seen by then."""
        return {key: (value, row["progress/images_seen"]) for row in self.rows for key, value in row.items()}

    @cached_property
    def finals(self) -> dict[str, float]:
        """Last value of every log key, from `results.json` or from a later row of the log; those of results first."""
        last = {key: value for key, (value, _) in self._last.items()}
        newest = {key: each.value for key, each in self.results.items() if self._is_newest(key, each)}
        return {key: newest.get(key, last.get(key, math.nan)) for key in [*self.results, *last]}

    @cached_property
    def records(self) -> dict[str, Measurement]:
        """The newest measurement of each key, from `results.json` or `evaluations.csv`; raw generator last."""
        found: dict[str, Any] = {}
        for key, _, protocol, line in self._evaluations:
            numbers = {"value": number_of(line.get("value")), "ideal_value": number_of(line.get("ideal_value"))}
            found[key] = protocol | numbers
        during = self._files.measurements(found, "evaluations.csv")
        during = {key: each for key, each in during.items() if not self._is_stale(each)}
        newest = during | {k: each for k, each in self.results.items() if _seen(each) >= _seen(during.get(k))}
        return {key: newest[key] for key in raw_last([*self.results, *during])}

    @cached_property
    def _evaluations(self) -> list[tuple[str, float | None, dict[str, Any], dict[str, str]]]:
        """Log key, images seen, protocol and line of each measurement in `evaluations.csv`."""
        lines = [line for line in self._files.lines("evaluations.csv") if line.get("key") and line.get("protocol")]
        return [
            (
                PREFIXES.get(str(line.get("weights")), PREFIXES["ema"]) + line["key"],
                number_of(line.get("images_seen")),
                mapping_of(json_of(line["protocol"])),
                line,
            )
            for line in lines
        ]

    @cached_property
    def _sources(self) -> dict[tuple[str, float | None], str]:
        """Source of the real images of each evaluation, by log key and images seen."""
        found = {(key, seen): protocol.get("real_source") for key, seen, protocol, _ in self._evaluations}
        return {place: source for place, source in found.items() if isinstance(source, str)}

    def origin(self, key: str, images_seen: float | None = None) -> str:
        """Where a value of an evaluation is from, as `at 50,000 images against faces`; empty if unknown.

        Args:
            key: Log key.
            images_seen: Of the row of the log that has the value; None for the final value.
        """
        if not key.startswith("eval/"):
            return ""
        measured = self.records.get(key)
        if images_seen is None and key in self._last and (measured is None or not self._is_newest(key, measured)):
            images_seen = self._last[key][1]
        of_log = images_seen is not None
        seen = images_seen if of_log or measured is None else measured.protocol.images_seen
        parts = [] if seen is None else [f"at {seen:,.0f} images"]
        if seen is not None and self._is_lost(seen):
            parts.append(f"(the newest checkpoint has {self._newest_checkpoint:,})")
        if measured is not None and measured.protocol.real_content is not None:
            parts += self._against(key, seen) if of_log else self._against_measured(measured)
        return " ".join(parts)

    def _against_measured(self, measured: Measurement) -> list[str]:
        """The real images of a measurement as `against faces`, by the path that they had then."""
        own, protocol = self.content_hash, measured.protocol
        if None not in (own, protocol.real_data) and protocol.real_data != own:
            return [f"against other data: {protocol.real_source or protocol.real_content}"]
        return self._against_source(protocol.real_source)

    def _against(self, key: str, seen: float | None) -> list[str]:
        """The run's own images, as `against faces`, by the path that they had in an evaluation during training."""
        return self._against_source(self._sources.get((key, seen)))

    def _against_source(self, source: str | None) -> list[str]:
        source = source or mapping_of(self.config.get("dataset")).get("source")
        return [f"against {Path(source).name}"] if isinstance(source, str) else []

    def _is_lost(self, seen: float) -> bool:
        """Whether the weights after these images are in no checkpoint of an ended run: it resumes from before."""
        return self._newest_checkpoint is not None and seen > self._newest_checkpoint and self.ending()[0] != RUNNING

    def _is_newest(self, key: str, measured: Measurement) -> bool:
        """Whether a measurement of `results.json` is not older than the last row of the log with its key."""
        seen = measured.protocol.images_seen
        return seen is None or key not in self._last or seen >= self._last[key][1]

    def _is_stale(self, measured: Measurement) -> bool:
        """Whether a measurement is of later weights than the run has."""
        return _seen(measured) > max(self.images_seen, self._newest_checkpoint or 0)

    @cached_property
    def _newest_checkpoint(self) -> int | None:
        """Images seen by the newest checkpoint; None without checkpoints."""
        numbers = [file.stem.rpartition("_")[2] for file in (self.path / "checkpoints").glob("images_*.ckpt")]
        return max((int(number) for number in numbers if number.isdigit()), default=None)

    def curve(self, key: str) -> dict[float, float]:
        """Values of a log key by images seen, in increasing order."""
        return dict(sorted((row["progress/images_seen"], row[key]) for row in self.rows if key in row))

    @property
    def images_seen(self) -> int:
        """Number of real images that the run has seen."""
        return int(max([*(row["progress/images_seen"] for row in self.rows), self._images_of_state]))

    @property
    def _images_of_state(self) -> int:
        seen = self.state.get("images_seen")
        return seen if isinstance(seen, int) else 0

    @property
    def seconds(self) -> float:
        """Time of training in seconds, of all starts; of a run that has not ended, up to the last row of the log."""
        recorded = self.state.get("training_seconds")
        if self.state.get("state") != RUNNING and isinstance(recorded, (int, float)) and 0 <= recorded < math.inf:
            return float(recorded)
        return sum(seconds for _, seconds in self.spans())

    def summary(self) -> str:
        """Images seen of the budget, and the training time if it was logged: `64 of 64 images seen in 2 s of training`.

        The log at the end of a run, its report and the list of runs have the same numbers.
        """
        text = (
            f"{self.images_seen:,} of {self.budget:,} images seen"
            if self.budget
            else f"{self.images_seen:,} images seen"
        )
        if 0 < self.budget < self.images_seen:
            text = f"{self.images_seen:,} images seen (budget {self.budget:,}; the last batch is complete)"
        return f"{text} in {duration(self.seconds)} of training" if self.seconds else text

    def spans(self) -> list[tuple[Row, float]]:
        """Rows of the training log, each with the seconds since the previous one."""
        spans, before = [], 0.0
        for row in self.rows:
            if speed := row.get("progress/images_per_second"):
                spans.append((row, max(row["progress/images_seen"] - before, 0.0) / speed))
                before = row["progress/images_seen"]
        return spans

    # -- warnings, starts and images

    @cached_property
    def warnings(self) -> list[dict[str, Any]]:
        """Records of `warnings.jsonl`."""
        lines = self._files.text("warnings.jsonl").splitlines()
        return [warning for line in lines if (warning := mapping_of(json_of(line)))]

    @cached_property
    def starts(self) -> list[dict[str, Any]]:
        """Records of `environment.json`, one for each start of the run."""
        starts = json_of(self._files.text("environment.json"))
        return [start for start in starts if isinstance(start, dict)] if isinstance(starts, list) else []

    def sample_images(self, kind: str = "ema") -> dict[int, Path]:
        """Paths of sample grids by images seen; `kind` is `ema`, `raw`, `reconstructions` or `field`."""
        files = sorted(file for file in (self.path / "samples").glob(f"{kind}_*.png") if file.is_file())  # no pipes
        return {int(number): file for file in files if (number := file.stem.rpartition("_")[2]).isdigit()}

    @cached_property
    def findings(self) -> list[tuple[Path, Finding]]:
        """What commands found out about the networks, each with its folder, by name; damaged ones are left out."""
        files = sorted((self.path / findings.FOLDER).glob(f"*/{findings.FILE}"))
        return [(file.parent, found) for file in files if (found := findings.read_finding(file))]

    # -- outcome

    def age(self) -> float:
        """Seconds since the run last wrote metrics, a figure, a checkpoint or its state."""
        names = ("config.yaml", "metrics.csv", "state.json", "samples", "checkpoints")
        files = [*(self.path / name for name in names), *self.path.glob("checkpoints/*")]
        times = [file.stat().st_mtime for file in files if file.exists()]
        return max(0.0, time.time() - max(times, default=self.path.stat().st_mtime))

    def ending(self, ended: bool = False) -> tuple[str, str]:
        """State of the run as in `gan_lab.runs.state`, and the reason if known.

        Args:
            ended: True if the run is known to have ended, so it cannot be running.
        """
        state, reason = self.state.get("state"), str(self.state.get("reason") or "")
        if state and state != RUNNING:
            return str(state), reason
        if state == RUNNING and not ended:
            return (STOPPED, "killed") if is_dead(self.state) else (RUNNING, reason)
        if self.budget and self.images_seen >= self.budget:
            return FINISHED, ""
        if ended:
            errors = [
                warning["text"] for warning in self.warnings if warning.get("level") == "ERROR" and "text" in warning
            ]
            return STOPPED, str(errors[-1]) if errors else ""
        if self.age() < SILENT_SECONDS:
            return RUNNING, ""
        return (STOPPED, "") if self.budget else (FAILED, "its settings were invalid, or it has not started")


def read_finished(path: Path) -> RunFolder:
    """Read the folder of a run that reached its budget.

    Raises:
        UnusableRun: The run is damaged, has no config or metrics, contains a link to a target outside of it, or ended
            before its budget.
    """
    try:
        refuse_links(path)
    except DataError as error:
        raise UnusableRun(str(error).rstrip(".")) from error
    run = RunFolder(path)
    state, reason = run.state.get("state"), run.state.get("reason")
    cause = f"; it {state}: {reason}" if state in (FAILED, STOPPED) and reason else ""
    if run.damage:
        raise UnusableRun(run.damage[0])
    if not run.config:
        raise UnusableRun(f"it has no config.yaml: its settings were invalid, or it has not started{cause}")
    if not run.rows:
        raise UnusableRun(f"it has no rows in metrics.csv: it failed, or has just started{cause}")
    seen = max(row["progress/images_seen"] for row in run.rows)
    if seen < run.budget:
        raise UnusableRun(f"it has seen {seen:,.0f} of {run.budget:,} images{cause}")
    return run


def _seen(measured: Measurement | None) -> int:
    """Images seen by the weights that were measured; 0 if unknown."""
    return 0 if measured is None else measured.protocol.images_seen or 0


def raw_last(keys: Iterable[str]) -> list[str]:
    """Log keys with those of the raw generator, and of untranslated images, at the end."""
    return sorted(keys, key=lambda key: list(PREFIXES).index(weights_of(key)))
