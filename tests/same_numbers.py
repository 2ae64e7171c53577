"""Compare two commits: every model must train to the same losses, weights and optimizer states, bit for bit.

    python -m tests.same_numbers OLD [NEW] [--only REGEX] [--renamed REGEX=NEW ...] [--runs FOLDER]

trains each case for 20 batches on one CPU thread at both commits and compares the results. NEW defaults to the working
tree. Only the command line is used, so the Python API may change. Results differ between processors, so none are
stored.
"""

import argparse
import contextlib
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.helpers.equality import unequal

ROOT = Path(__file__).parents[1]
BATCHES, BATCH_SIZE = 20, 8
SMALL = (
    "architecture.generator.width=8", "architecture.discriminator.width=8", "hardware=cpu", "logger=[csv]", "seed=3",
    f"batch_size={BATCH_SIZE}", f"budget.images={BATCHES * BATCH_SIZE}", "callbacks.train_log.every_batches=1",
    "~callbacks.progress", "~callbacks.sample_grids", "~callbacks.stage_grids", "~callbacks.collapse",
    "~callbacks.evaluation",
)  # fmt: skip
LAZY = ("regularizer=[r1]", "regularizer.r1.interval=4", "architecture.discriminator.norm=none")
MORE = {
    "dcgan_lazy_r1_ada": ("model=dcgan", *LAZY, "augment=ada", "accumulate=2"),
    "pggan_in_a_fade": ("model=pggan", "growth=cifar10", "growth.hold_images=40", "growth.fade_images=60"),
    "dcgan_on_points": ("model=gan", "dataset=ring", "architecture=mlp"),
    "d2gan_lazy_r1": ("model=d2gan", *LAZY),
    "mdgan_lazy_r1": ("model=mdgan", *LAZY),
    "lapgan_with_labels": ("model=lapgan", "conditioning=mapping", "regularizer=[r1]", "generator_batches=1"),
    "wgan_gp_decay": ("model=wgan_gp", "schedule=linear_decay", "clip_norm=1.0", "generator_batches=2"),
    "sngan_penalties": ("model=sngan", "generator_batches=1", "regularizer=[consistency,lecam]", "augment=diffaugment"),
    "feature_matching": ("model=dcgan", "regularizer=[feature_matching,top_k]", "adversarial_weight=0.5"),
}
"""Combinations of parts that no model has."""
TIME_KEYS = re.compile(r"time/|progress/images_per_second")
TRAIN_ALL = """
import json, sys
from gan_lab.cli.main import main

for overrides in json.load(sys.stdin):
    sys.argv = ["gan-lab", "train", *overrides]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def cases(pattern: str) -> dict[str, tuple[str, ...]]:
    """Overrides by case name: all models of the catalog and `MORE`."""
    from gan_lab.gans.catalog import CATALOG

    models = {entry.name: (f"model={entry.name}",) for entry in CATALOG}
    return {name: overrides for name, overrides in (models | MORE).items() if re.search(pattern, name)}


def train(checkout: Path, chosen: dict[str, tuple[str, ...]], folder: Path) -> None:
    """Run `gan-lab train` of a checkout for each case, in one process."""
    runs = [
        [*SMALL, *_data(name, overrides), *overrides, f"run.dir={folder}/{name}"] for name, overrides in chosen.items()
    ]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", TRAIN_ALL]
    done = subprocess.run(
        command, env=environment, cwd=checkout, input=json.dumps(runs), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"The runs at {checkout} ended with status {done.returncode}: {done.stderr[-2000:]}")


def _data(name: str, overrides: tuple[str, ...]) -> tuple[str, ...]:
    if any(override.startswith("dataset=") for override in overrides):
        return ()
    from tests.helpers.model_data import MODELS, small_data

    return small_data(name) if name in MODELS else ("dataset.resolution=16",)


def differences(a: Path, b: Path, renamed: dict[str, str]) -> Iterator[str]:
    """Keys of the log and the last checkpoint whose values differ between two runs."""
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (a, b)]
    for number, pair in enumerate(zip(*rows, strict=False)):
        for key in sorted(pair[0].keys() | pair[1].keys()):
            if pair[0].get(key) != pair[1].get(key) and not TIME_KEYS.match(key):
                yield f"metrics.csv row {number} {key}: {pair[0].get(key)} and {pair[1].get(key)}"
    if len(rows[0]) != len(rows[1]):
        yield f"metrics.csv: {len(rows[0])} and {len(rows[1])} rows"
    contents = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (a, b)]
    for old, new in renamed.items():
        contents[0]["state_dict"] = {re.sub(old, new, key): value for key, value in contents[0]["state_dict"].items()}
    for key in ("state_dict", "optimizer_states"):
        yield from (text[:100] for text in unequal(contents[0][key], contents[1][key], key))


@contextlib.contextmanager
def checked_out(commit: str | None) -> Iterator[Path]:
    """Context manager for a folder with the files of a commit; the working tree for None."""
    if commit is None:
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def main() -> None:
    parser: Any = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--only", default="", help="pattern that is searched in the names of the cases")
    parser.add_argument("--renamed", nargs="*", default=[], help="REGEX=NEW: new names of state-dict keys of OLD")
    parser.add_argument("--runs", type=Path, help="folder for the runs of OLD, which the next comparison reuses")
    options = parser.parse_args()
    chosen, differing = cases(options.only), []
    renamed = dict(override.split("=") for override in options.renamed)
    with checked_out(options.old) as old, checked_out(options.new) as new, tempfile.TemporaryDirectory() as runs:
        folders = options.runs or Path(runs) / "old", Path(runs) / "new"
        for checkout, folder in zip((old, new), folders, strict=True):
            missing = {name: overrides for name, overrides in chosen.items() if not (folder / name).is_dir()}
            train(checkout, missing, folder.resolve())
        for name in chosen:
            found = list(differences(*(folder / name for folder in folders), renamed))
            print(f"{name:24} {'equal' if not found else f'{len(found)} differences: {found[0]}'}", flush=True)
            differing += [name] if found else []
    print(f"{len(differing)} of {len(chosen)} cases differ{': ' if differing else ''}{', '.join(differing)}.")
    raise SystemExit(bool(differing))


if __name__ == "__main__":
    main()
