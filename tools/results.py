"""Write what the runs below a folder measured as a CSV file of docs/results.

    python tools/results.py runs/multirun/d2gan_figure docs/results/d2gan_figure.csv [--last]

A row is an evaluation of the averaged (`ema`) or of the raw generator; with `--last` only the last of each run. The
columns at the end are the protocol of the numbers, and what the run was: images seen and seconds of training until its
end, state, versions and device.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan_lab.runs.folder import RunFolder
from gan_lab.runs.search import find_runs

OF_THIS_MACHINE = ("run.", "hydra.", "logger", "callbacks.progress", "dataset.source", "sweep=")
PROTOCOL = ("weights", "images_seen", "ideal_value", "value", "version", "real_source", "seed")
"""Entries of protocols that are columns of their own, or the same in all rows."""
START = ("commit", "torch", "device")


def settings(run: RunFolder) -> str:
    """The overrides of a run, without those of the machine."""
    return " ".join(override for override in run.overrides if not override.lstrip("+~").startswith(OF_THIS_MACHINE))


def evaluations(run: RunFolder) -> Iterator[dict[str, Any]]:
    """Rows of one run in the order of `evaluations.csv`."""
    with open(run.path / "evaluations.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    found: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for line in lines:
        protocol = json.loads(line["protocol"])
        row = found[line["images_seen"], line["weights"]]
        row[line["key"]] = f"{float(line['value']):.4g}" if line["value"] else ""
        row.setdefault("protocol", {}).update(
            {k: v for k, v in protocol.items() if k not in PROTOCOL and v is not None}
        )
    start = run.starts[-1] if run.starts else {}
    of_run = {
        "training_seconds": round(run.seconds),
        "state": run.state.get("state"),
        **{name: start.get(name) for name in START},
    }
    for (images_seen, weights), row in found.items():
        protocol = " ".join(f"{name}={value}" for name, value in row.pop("protocol").items())
        yield {
            "settings": settings(run), "images_seen": images_seen, "weights": weights, **row, "protocol": protocol,
        } | of_run  # fmt: skip


def rows(folder: Path, last: bool) -> Iterator[dict[str, Any]]:
    """Rows of all runs that were measured."""
    for path in find_runs(folder):
        if (path / "evaluations.csv").exists():
            found = list(evaluations(RunFolder(path)))
            newest = found[-1]["images_seen"]
            yield from (row for row in found if not last or row["images_seen"] == newest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--last", action="store_true", help="only the last evaluation of each run")
    args = parser.parse_args()
    found = list(rows(args.folder, args.last))
    columns = list(dict.fromkeys(name for row in found for name in row))
    with args.file.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(found)
    print(f"{len(found)} rows in {args.file}.")


if __name__ == "__main__":
    main()
