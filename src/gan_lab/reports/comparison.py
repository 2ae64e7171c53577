"""Comparison of runs: a table over seeds, curves and differing settings. Writes no files."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from gan_lab.charts.line_chart import Line, LineChart
from gan_lab.errors import ConfigError, DataError, UserError
from gan_lab.files import refuse_link_out
from gan_lab.metrics.protocol import differences
from gan_lab.reports.tables import Table, aligned, cell, mean_and_sd, plain, upright
from gan_lab.reports.verdict import parameters
from gan_lab.runs.folder import RunFolder, read_finished
from gan_lab.runs.search import find_runs
from gan_lab.runs.training_keys import PATHS_OF_DATA, is_of_training

log = logging.getLogger(__name__)

MOST_DIFFERENCES, MOST_LETTERS = 12, 40
"""Maximum number of differing settings in the output of the command, and of letters of one."""

NO_RESULT = ("eval/seconds",)
"""Keys below `eval/` that are not measurements of samples."""

DIFFERS = "what differs"
"""Heading of the settings of a group."""

PERFECT = "(perfect sampler)"
"""Name of the ideal value in tables and legends."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only.

    Attributes:
        name: Short and different from those of other groups: names of the runs; in a sweep, where these are numbers,
            `settings`.
        runs: The runs.
        run_names: Their names, each different from those of all other runs.
        settings: Settings that distinguish the group from the others; empty for the only group.
    """

    name: str
    runs: list[RunFolder]
    run_names: Sequence[str] = ()
    settings: str = ""

    @property
    def members(self) -> str:
        """Names of the first three runs, and the number of the others."""
        return _abbreviated(self.run_names)

    def finals(self, key: str) -> list[float]:
        """Last numbers of a log key, one for each run that has it."""
        return [run.finals[key] for run in self.runs if key in run.finals]

    def curve(self, key: str) -> Line:
        """Mean and standard deviation over the runs, at positions where all runs have a number."""
        curves = [curve for run in self.runs if (curve := run.curve(key))]
        common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
        stats = [mean_and_sd([curve[x] for curve in curves]) for x in common]
        means = [mean for mean, _ in stats]
        return Line(common, means, [m - (sd or 0) for m, sd in stats], [m + (sd or 0) for m, sd in stats])


@dataclass(frozen=True)
class Comparison:
    """Comparison of the runs in a folder.

    Attributes:
        groups: Runs grouped by settings other than the seed, in the order of their folders.
        metrics: Compared log keys.
        refused: Folders that cannot be compared, and the reasons.
        differing: Config keys with different values in the groups; keys with the same values are one row.
        without: Names of runs without `results.json`, if other runs have one.
        mixed: Differences of the measurement protocols, with their values and runs.
    """

    groups: list[Group]
    metrics: list[str]
    refused: dict[str, str]
    differing: Table
    without: list[str]
    mixed: list[str]

    def table(self) -> Table:
        """A row for each group, with mean ± standard deviation over seeds, and one for a perfect sampler."""
        rows = [[group.members, group.settings, *map(cell, map(group.finals, self.metrics))] for group in self.groups]
        ideals = ["" if (ideal := self.ideal_value(key)) is None else f"{ideal:.4g}" for key in self.metrics]
        return [["runs", DIFFERS, *self.metrics], *rows, *([[PERFECT, "", *ideals]] if any(ideals) else [])]

    def rows(self) -> list[dict[str, Any]]:
        """A mapping for each run: its `run`, `group`, `seed`, the settings that differ, and the last numbers."""
        rows: list[dict[str, Any]] = []
        for number, group in enumerate(self.groups, 1):
            settings = {row[0]: plain(row[number]) for row in self.differing[1:]}
            for name, run in zip(group.run_names, group.runs, strict=True):
                numbers = {key: run.finals.get(key) for key in self.metrics}
                rows.append({"run": name, "group": group.name, "seed": plain(run.seed), **settings, **numbers})
        return rows

    def ideal_value(self, key: str) -> float | None:
        """The value of a perfect sampler, from the first run that records it."""
        values = (run.results[key].ideal_value for group in self.groups for run in group.runs if key in run.results)
        return next((value for value in values if value is not None), None)

    def text(self) -> str:
        """The output of the command: the table, what differs, runs that were left out, differences of protocols."""
        return "\n".join([*aligned(self.table()), *self._differences(), *self.remarks()])

    def _differences(self) -> list[str]:
        """The differing settings, abbreviated."""
        if len(self.differing) < 2:
            return []
        rows = [[_clipped(text) for text in row] for row in self.differing[: MOST_DIFFERENCES + 1]]
        more = len(self.differing) - len(rows)
        rest = [f"{more} more differing settings are in comparison.md."] if more else []
        return ["What differs:", *aligned(upright(rows)), *rest]

    @property
    def is_evaluated(self) -> bool:
        """Whether samples of at least one run were measured."""
        runs = [run for group in self.groups for run in group.runs]
        return any(key.startswith("eval/") and key not in NO_RESULT for run in runs for key in run.finals)

    def _other_losses(self) -> list[str]:
        """The losses of the groups, if they differ and their values are compared."""
        heads = [group.runs[0] for group in self.groups]
        settings = [{key: value for key, value in head.settings.items() if key.startswith("loss.")} for head in heads]
        if not any(key.startswith("train/") for key in self.metrics) or all(each == settings[0] for each in settings):
            return []
        names = [head.choices.get("loss", _class_name(each)) for head, each in zip(heads, settings, strict=True)]
        return list(dict.fromkeys(names))

    def charts(self, groups: Sequence[Group], note: str = "") -> list[LineChart]:
        """Curves of the groups over images seen, for metrics with more than one number."""
        charts = []
        for key in self.metrics:
            lines = {group.name: group.curve(key) for group in groups}
            if any(len(line.x) > 1 for line in lines.values()):
                ideal = self.ideal_value(key)
                charts.append(LineChart(heading(key), lines, note, {} if ideal is None else {PERFECT: ideal}))
        return charts

    def remarks(self) -> list[str]:
        """Remarks on the table: runs that were left out, missing results, different protocols."""
        left_out = [f"Left out: {path}: {reason}." for path, reason in self.refused.items()]
        if not self.is_evaluated:
            left_out.append(
                "No run was evaluated, so compare the images in sheet.png. gan-lab evaluate run=... measures one."
            )
        if losses := self._other_losses():
            left_out.append(f"Values of different losses ({', '.join(losses)}) do not rank the runs.")
        if self.without:
            left_out.append(f"Without results.json, so from the end of metrics.csv: {', '.join(self.without)}.")
        left_out += [f"The same seed, so no other result: {', '.join(names)}." for names in self.repeated()]
        left_out += [f"Evaluated {origin}: {_abbreviated(names)}." for origin, names in self.origins().items()]
        return [*left_out, *(f"Measured differently: {difference}." for difference in self.mixed)]

    def repeated(self) -> list[list[str]]:
        """Names of runs of a group that have the same seeds, so that the deviation is not over seeds."""
        found: dict[tuple[int, frozenset[tuple[str, str]]], list[str]] = defaultdict(list)
        for number, group in enumerate(self.groups):
            for name, run in zip(group.run_names, group.runs, strict=True):
                if run.seed != "-":
                    found[number, frozenset(run.seeds.items())].append(name)
        return [names for names in found.values() if len(names) > 1]

    def origins(self) -> dict[str, list[str]]:
        """Names of the runs by what their evaluations are of, as `at 50,000 images against faces`."""
        found: dict[str, list[str]] = defaultdict(list)
        for group in self.groups:
            for name, run in zip(group.run_names, group.runs, strict=True):
                for origin in dict.fromkeys(filter(None, map(run.origin, self.metrics))):
                    found[origin].append(name)
        return found

    def markdown(self) -> str:
        """The same as Markdown, with the differing config keys."""
        parts = ["# Comparison", "\n".join(aligned(self.table())), "Mean ± standard deviation over seeds."]
        parts += ["\n".join(f"- {remark}" for remark in remarks)] if (remarks := self.remarks()) else []
        parts += ["## What differs", "\n".join(aligned(self.differing))] if len(self.differing) > 1 else []
        return "\n\n".join(parts) + "\n"


def heading(key: str) -> str:
    """A log key as a heading: `kl_10k`, or `generator loss: adversarial` for a term of a loss."""
    parts = key.split("/")
    if len(parts) == 3 and parts[0] == "train":
        return f"{parts[1]} loss: {parts[2].replace('_', ' ')}"
    return key.removeprefix("eval/")


def compare(root: Path | Sequence[Path], patterns: Sequence[str]) -> Comparison:
    """Read all runs below a folder, or below several, and group those that differ in the seed only.

    Raises:
        ConfigError: No log key of the runs matches the patterns.
        DataError: The folder contains no finished run.
    """
    roots = [root] if isinstance(root, Path) else list(root)
    common = common_folder(roots)
    runs, refused = [], {}
    found = {path: folder for folder in roots for path in find_runs(folder)}
    for path, folder in found.items():
        try:
            refuse_link_out(path, folder)
            runs.append(read_finished(path))
        except Exception as error:  # a foreign folder may hold anything; the others are compared
            known = isinstance(error, (UserError, yaml.YAMLError, ValueError, OSError))
            message = str(error) if known else f"it is unreadable: {type(error).__name__} {error}"
            refused[os.path.relpath(path, common)] = " ".join(message.split()).rstrip(".")
    if not runs:
        where = ", ".join(map(str, roots))
        reasons = "".join(f" ({path}: {reason})" for path, reason in list(refused.items())[:1])
        raise DataError(f"{where} contains no finished run{reasons}: name some, as in gan-lab compare runs/a runs/b.")
    groups, metrics, named = grouped(runs), _chosen(runs, patterns), named_runs(runs)
    without = [name for name, run in named.items() if not run.results]
    without = without if len(without) < len(runs) else []
    return Comparison(groups, metrics, refused, _differing(groups), without, _mixed(named, metrics))


def common_folder(roots: Sequence[Path]) -> Path:
    """The only folder, or the deepest one that contains all of several."""
    return roots[0] if len(roots) == 1 else Path(os.path.commonpath([each.resolve() for each in roots]))


def grouped(runs: Sequence[RunFolder]) -> list[Group]:
    """Groups of runs with the same settings of training."""
    same: dict[frozenset[tuple[str, str]], list[tuple[str, RunFolder]]] = defaultdict(list)
    for name, run in named_runs(runs).items():
        free = PATHS_OF_DATA if run.content_hash else ()
        same[frozenset(item for item in run.settings.items() if item[0] not in free)].append((name, run))
    heads = [members[0][1] for members in same.values()]
    keys = distinguishing_keys(heads, runs)
    settings = [_settings_text(head, keys) for head in heads]
    is_sweep = all(run.path.name.isdigit() for run in runs) and all(settings) and len(set(settings)) == len(settings)
    groups = []
    for members, text in zip(same.values(), settings, strict=True):
        names = [name for name, _ in members]
        groups.append(Group(text if is_sweep else _abbreviated(names), [run for _, run in members], names, text))
    return groups


def named_runs(runs: Sequence[RunFolder]) -> dict[str, RunFolder]:
    """Runs by the names of their folders; by paths below the common folder if some have the same name."""
    folders = [run.path.resolve() for run in runs]
    names = [folder.name for folder in folders]
    if len(set(names)) < len(names):
        common = os.path.commonpath(folders)
        names = [os.path.relpath(folder, common) for folder in folders]
    return dict(zip(names, runs, strict=True))


def distinguishing_keys(heads: Sequence[RunFolder], runs: Sequence[RunFolder]) -> list[str]:
    """Keys that distinguish all of `heads`: overrides first, then groups, then any key, shallow ones first."""
    typed = [key for run in runs for key in run.typed]
    groups = [key for run in runs for key in run.choices]
    settings = sorted((key for run in runs for key in run.settings), key=lambda key: key.count("."))
    chosen: list[str] = []
    for key in filter(_comparing(heads), dict.fromkeys([*typed, *groups, *settings])):
        kinds = len({_values(head, chosen) for head in heads})
        if kinds == len(heads):
            break
        if len({_values(head, [*chosen, key]) for head in heads}) > kinds:
            chosen.append(key)
    return chosen


def _comparing(heads: Sequence[RunFolder]) -> Callable[[str], bool]:
    """Whether a key is compared: a property of the training, and no path of data with the same content."""
    contents = {head.content_hash for head in heads}
    free = PATHS_OF_DATA if len(contents) == 1 and None not in contents else ()
    return lambda key: is_of_training(key) and key not in free


def _values(run: RunFolder, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(run.setting(key) for key in keys)


def _settings_text(run: RunFolder, keys: Sequence[str]) -> str:
    """Settings of a group, as short as they are distinct: `generator.lr=0.1 loss=Hinge`."""
    plain = [key.removesuffix("._target_") for key in keys]
    values = [_short_value(key, run.setting(key)) for key in keys]
    return " ".join(f"{_short_key(key, plain)}={value}" for key, value in zip(plain, values, strict=True))


def _short_key(key: str, others: Sequence[str]) -> str:
    """The last parts of a dotted key, as many as no other one ends with."""
    parts = key.split(".")
    for count in range(1, len(parts)):
        ending = ".".join(parts[-count:])
        if not any(other != key and f".{other}".endswith(f".{ending}") for other in others):
            return ending
    return key


def _short_value(key: str, value: str) -> str:
    if key.endswith("_target_"):
        return value.rpartition(".")[2]
    return Path(value).name if value.startswith(("/", "./", "../", "~")) else value


def _clipped(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _class_name(settings: dict[str, str]) -> str:
    return settings.get("loss._target_", "unknown").rpartition(".")[2]


def _differing(groups: Sequence[Group]) -> Table:
    """Config keys with different values in the groups. Of several keys with the same values, the shallowest."""
    heads = [group.runs[0] for group in groups]
    keys = sorted(
        {key for head in heads for key in filter(_comparing(heads), head.settings)},
        key=lambda key: (key.startswith("data_content."), key.count("."), key),
    )
    columns: dict[tuple[str, ...], str] = {}
    counts = tuple(f"{sum(parameters(head).values()):,}" if parameters(head) else "-" for head in heads)
    if len(set(counts)) > 1:
        columns[counts] = "parameters"
    for key in keys:
        values = tuple(head.settings.get(key, "-") for head in heads)
        if len(set(values)) > 1:
            columns.setdefault(values, key)
    return [["key", *(group.name for group in groups)], *([key, *values] for values, key in columns.items())]


def _chosen(runs: Sequence[RunFolder], patterns: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(key for run in runs for key in [*run.results, *sorted(run.finals)]))
    chosen = [
        key
        for pattern in patterns
        for key in known
        if PurePosixPath(key).match(pattern) and (key not in NO_RESULT or key == pattern)
    ]
    if not chosen:
        raise ConfigError(f"show={list(patterns)} matches no log key of these runs: they have {', '.join(known)}.")
    return list(dict.fromkeys(chosen))


def _mixed(runs: Mapping[str, RunFolder], metrics: Sequence[str]) -> list[str]:
    """Differences of the known protocols of these log keys."""
    keys_of: dict[tuple[str, str], list[str]] = defaultdict(list)  # an entry with its values, to the keys
    for key in metrics:
        protocols = {name: run.results[key].protocol for name, run in runs.items() if key in run.results}
        for entry, names_of in differences(protocols).items():
            kinds = " and ".join(f"{value} in {_abbreviated(names)}" for value, names in names_of.items())
            keys_of[entry, kinds].append(key)
    return [f"{entry} of {_abbreviated(keys)} is {kinds}" for (entry, kinds), keys in keys_of.items()]


def _abbreviated(names: Sequence[str]) -> str:
    """The first three names and the number of the others."""
    return ", ".join([*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])])
