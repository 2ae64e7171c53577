"""A run resumes from its newest valid checkpoint, whatever is in its logs, figures and notes."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gan_lab.config.compose import compose
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.state import is_dead, read_state
from gan_lab.training.fit import fit
from tests.conftest import SMALL

RUN = (*SMALL[2:], "batch_size=8", "dataset.resolution=8", "dataset.max_images=64",
       "callbacks.train_log.every_batches=1", "callbacks.checkpoints.every_images=16",
       "callbacks.sample_grids.count=4", "~evaluation.metrics.label_accuracy")  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 32 images."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    fit(compose(*RUN, "budget.images=32", f"run.dir={folder}"))
    return folder


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


def cut(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        os.truncate(folder / name, (folder / name).stat().st_size // 2)

    return damage


def copied(name: str, copy: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        shutil.copy(folder / name, folder / copy)

    return damage


FIRST = "samples/ema_0000000000.png"
NEWEST = "checkpoints/images_0000000032.ckpt"
DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "an empty figure": (write(FIRST, b""), "ema_0000000000.png is damaged"),
    "half a figure": (cut(FIRST), "ema_0000000000.png is damaged"),
    "a figure that is a text": (write(FIRST, b"text"), "ema_0000000000.png is damaged"),
    "a figure of one's own": (copied(FIRST, "samples/ema_x.png"), ""),
    "a copy of a checkpoint": (copied(NEWEST, "checkpoints/images_0000000032 (copy).ckpt"), ""),
    "a checkpoint with a name of one's own": (copied(NEWEST, "checkpoints/images_old.ckpt"), ""),
    "a byte in the warnings": (write("warnings.jsonl", b"\xff\n"), ""),
    "no state": (write("state.json", b""), ""),
    "a state that is a list": (write("state.json", b"[]"), ""),
    "a state that is nested": (write("state.json", b"[" * 200_000), ""),
    "text in the state": (write("state.json", b'{"state": "running", "process": "x", "images_seen": "y"}'), ""),
    "half the environment": (cut("environment.json"), ""),
    "half a row": (
        lambda folder: os.truncate(folder / "metrics.csv", (folder / "metrics.csv").stat().st_size - 9),
        "lacks 1 of",
    ),
    "no rows": (write("metrics.csv", b""), "lacks"),
    "zeros in the log": (write("metrics.csv", bytes(100) + b"\n"), "damaged lines"),
    "no config": (lambda folder: (folder / "config.yaml").unlink(), ""),
    "an empty config": (write("config.yaml", b""), ""),
}
ONE_OF_EACH = (
    "half a figure",
    "a copy of a checkpoint",
    "a byte in the warnings",
    "a state that is nested",
    "half a row",
    "zeros in the log",
    "no config",
)
"""One damage of each kind of file; the others are slow."""


@pytest.mark.parametrize(
    ("damage", "warning"),
    [pytest.param(*case, marks=[] if name in ONE_OF_EACH else pytest.mark.slow) for name, case in DAMAGE.items()],
    ids=DAMAGE,
)
def test_a_damaged_folder_is_resumed(
    damage: Callable[[Path], None], warning: str, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    damage(folder)
    experiment = fit(compose(*RUN, "budget.images=64", f"run.dir={folder}"))
    assert experiment.module.images_seen == 64
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(warning in text for text in warnings) if warning else not warnings
    run = RunFolder(folder)
    assert run.ending() == ("finished", "") and run.rows[-1]["progress/images_seen"] == 64
    assert (folder / "samples" / "ema.gif").stat().st_size and (folder / "report.html").is_file()
    assert yaml.safe_load((folder / "config.yaml").read_text())["run"]["name"] == "run"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 200_000, b"3"])
def test_a_damaged_state_is_an_empty_one(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert read_state(tmp_path) == {}


@pytest.mark.parametrize("process", ["x", 0, 1, -1, 2**40, 1.5, True, None])
def test_no_signal_is_sent_to_a_process_that_cannot_be_a_run(process: object) -> None:
    assert not is_dead({"host": socket.gethostname(), "process": process})


def test_a_pipe_among_the_figures_is_passed(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / FIRST).unlink()
    os.mkfifo(folder / FIRST)
    assert fit(compose(*RUN, "budget.images=64", f"run.dir={folder}")).module.images_seen == 64


def test_nothing_stands_twice_in_the_log_when_the_end_is_repeated(finished: Path, tmp_path: Path) -> None:
    """A run that was killed after its last checkpoint evaluates again."""
    folder = tmp_path / "run"
    options = (*RUN, "dataset=ring", "architecture=mlp", "metrics=[points]", f"run.dir={folder}")
    of_images = ("dataset.", "callbacks.sample", "~evaluation.")
    options = tuple(option for option in options if not option.startswith(of_images))
    fit(compose(*options, "budget.images=32"))
    before = RunFolder(folder).rows
    (folder / "state.json").unlink()
    fit(compose(*options, "budget.images=32"))
    assert len(RunFolder(folder).rows) == len(before)


def test_a_refused_run_leaves_no_folder(command, tmp_path: Path) -> None:
    for override in (
        "lr=-1",
        "dataset=image_folder",
        "dataset=image_folder dataset.source=missing hydra/job_logging=default",
        "loss=foo",
        "architecture.generator.latent_dim=7",
    ):
        assert command("train", *override.split(), "hardware=cpu").status == 2
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_a_refused_command_keeps_the_overrides_of_a_run_without_config(command, finished: Path, tmp_path: Path) -> None:
    """Its checkpoints are valid, and `resume=` reads the overrides."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for name in ("config.yaml", "state.json"):
        (folder / name).unlink()
    (folder / ".hydra" / "overrides.yaml").write_text("[]")
    assert command("train", "lr=-1", f"run.dir={folder}").status == 2
    assert (folder / ".hydra").is_dir()


@pytest.mark.parametrize("arguments", [("resume=killed",), ("lr=-1", "run.dir=killed")])
def test_a_refused_command_keeps_the_record_of_a_run_that_was_killed_early(
    arguments: tuple[str, ...], command, tmp_path: Path
) -> None:
    """The folder has only `.hydra`, as Hydra writes it before anything else."""
    record = tmp_path / "killed" / ".hydra" / "overrides.yaml"
    record.parent.mkdir(parents=True)
    record.write_text("- lr=0.5\n")
    assert command("train", *arguments, "hardware=cpu").status == 2
    assert [path.name for path in record.parent.iterdir()] == [record.name] and record.read_text() == "- lr=0.5\n"
    assert {path.name for path in (tmp_path / "killed").iterdir()} <= {".hydra", ".lock"}


def test_a_refused_run_leaves_what_was_there(command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert command("train", "lr=-1", "run.dir=mine").status == 2
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
