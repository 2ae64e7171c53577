"""Links that lead out of a run folder are refused by every command that reads or writes one."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lab
from gan_lab.config.resolvers import notes_folder
from gan_lab.errors import DataError
from gan_lab.files import refuse_links
from gan_lab.reports.compare import compare_runs
from gan_lab.reports.listing import list_runs
from gan_lab.reports.run_page import write_report
from gan_lab.training.resuming import lock_run_folder
from tests.helpers.attacks import assert_refused

Command = Callable[..., Any]


LINKS = (
    "config.yaml", "metrics.csv", "state.json", "results.json", "evaluations.csv", "warnings.jsonl",
    "environment.json", "wandb_run.json",
    ".lock", "report.html", "export_ema", "export_ema/model.safetensors", "memorization.png",
    "memorization.json", "truncation.json",
    "comparison.md", "curves.png", "sweep.html", "fit-profile.txt", "samples", "samples/seed_0",
    "samples/seed_0/grid.png",
    "samples/seed_0/0.png", "samples/walk_seed_0.gif", "samples/final.png", "samples/real.png", "samples/ema.gif",
    "samples/ema_0000000000.png", "checkpoints", "checkpoints/last.ckpt", "checkpoints/images_0000000008.ckpt",
    "tensorboard", "wandb",
    ".hydra", ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/resumed", "deep/er/x",
)  # fmt: skip
READERS: dict[str, Callable[[Path], object]] = {
    "load": gan_lab.load,
    "report": write_report,
    "compare": lambda run: compare_runs(run, ["*"], 2),
    "lock": lambda run: lock_run_folder(run).__enter__(),
    "notes": lambda run: notes_folder(str(run)),
}


@pytest.fixture(scope="module")
def small_run(checkpoint: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the files that commands read first."""
    run = tmp_path_factory.mktemp("links") / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save(checkpoint, run / "checkpoints/last.ckpt")
    (run / "config.yaml").write_text(checkpoint["gan_lab"]["config"])
    (run / "metrics.csv").write_text("step,progress/images_seen\n8,8\n")
    return run


@pytest.mark.parametrize("name", LINKS)
def test_links_out_of_a_run_folder(name: str, small_run: Path, tmp_path: Path) -> None:
    """Links to a file, to a folder, to nothing and to itself: no command reads or writes through them."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private/secret").write_text("a: secret\n")
    for target in (
        tmp_path / "private/secret", tmp_path / "private", tmp_path / "nothing", "relative", None,
    ):  # fmt: skip
        run = tmp_path / "run"
        shutil.copytree(small_run, run)
        link = run / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_dir():
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        relative = os.path.relpath(tmp_path / "private/secret", link.parent)
        link.symlink_to(link if target is None else relative if target == "relative" else target)
        for reader, read in READERS.items():
            with pytest.raises(DataError) as error:
                read(run)
            sentence = f"{link} is a link that leads out of the run folder"
            no_run = reader == "compare" and name == "config.yaml" and "no finished run" in str(error.value)
            assert sentence in str(error.value) or no_run, reader
        assert re.search("unreadable: .* is a link that leads out|There are no runs", str(list_runs(run)))
        shutil.rmtree(run)
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["secret"]
    assert (tmp_path / "private/secret").read_text() == "a: secret\n" and not (tmp_path / "nothing").exists()


def test_links_within_a_run_folder_are_fine(small_run: Path, tmp_path: Path) -> None:
    """Also a link to the folder itself, and those that W&B makes to its own logs."""
    shutil.copytree(small_run, tmp_path / "run")
    (tmp_path / "run/newest.ckpt").symlink_to("checkpoints/last.ckpt")
    (tmp_path / "run/wandb").mkdir()
    (tmp_path / "run/wandb/debug.log").symlink_to("/var/log/x")
    (tmp_path / "link").symlink_to("run")
    for read in READERS.values():
        with contextlib.suppress(DataError):  # there may be nothing to compare
            read(tmp_path / "link")
    refuse_links(tmp_path / "link")


@pytest.mark.parametrize(
    "command_line",
    [
        "sample count=1",
        "interpolate count=1 seconds=0.1",
        "export",
        "report",
        "evaluate metrics=[swd_small]",
        "train hardware=cpu",
    ],
)
def test_commands_refuse_links(command: Command, command_line: str, small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    shutil.copytree(small_run, tmp_path / "gift")
    (tmp_path / "gift/.hydra").mkdir()
    (tmp_path / "gift/.hydra/overrides.yaml").write_text("[]")
    (tmp_path / "gift/.hydra/hydra.yaml").symlink_to(tmp_path / "mine")
    key = "resume" if command_line.startswith("train") else "run"
    assert_refused(
        command(*command_line.split(), f"{key}=gift"),
        "gift/.hydra/hydra.yaml is a link that leads out of the run folder",
    )
    assert (tmp_path / "mine").read_text() == "mine"
