"""Skeletons of parts of one's own: they train at once, and their own tests pass."""

import importlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gan_lab
from gan_lab.commands.new import KINDS
from tests.conftest import Outcome

ONE_BATCH = (
    "debug=fast", "batch_size=8", "budget.images=8", "width=8", "hardware=cpu", "logger=[]", "~callbacks.progress",
    "run.dir=run",
)  # fmt: skip

ONCE = """
import os, signal
from lightning.pytorch import Callback

class Once(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        if module.images_seen == 8:
            os.kill(os.getpid(), signal.SIGTERM)
"""

Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The working directory can be imported, and no package of these names from elsewhere, before or after."""
    others = [place for place in sys.path if not (Path(place) / "my_gan").is_dir()]
    monkeypatch.setattr(sys, "path", [*others, str(tmp_path)])
    forget()
    yield
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_gan", "parts")]:
        del sys.modules[name]


def run_tests(module: str) -> int:
    tests = [each for name, each in vars(importlib.import_module(module)).items() if name.startswith("test_")]
    for test in tests:
        test()
    return len(tests)


def test_all_kinds_together(command: Command) -> None:
    for kind in KINDS:
        outcome = command("new", kind, "my_part" if kind == "loss" else f"my_{kind}", "package=parts")
        assert outcome.status == 0, outcome.err
    assert "Next: gan-lab train --config-dir parts/conf algorithm=my_algorithm allow_targets=[parts]" in outcome.out
    chosen = ["loss=my_part", "regularizer=[my_penalty]", "architecture=my_architecture", "dataset=my_dataset"]
    own = ["--config-dir", "parts/conf", *chosen, "algorithm=my_algorithm", "allow_targets=[parts]"]
    outcome = command("train", *own, "conditioning=none", *ONE_BATCH)
    assert outcome.status == 0, outcome.err
    sample = shlex.split(outcome.err.rstrip().rpartition(", or gan-lab ")[2])  # as the last line advises
    assert sample == ["sample", "run=run", "allow_targets=[parts]"]
    assert command(*sample, "count=2", "device=cpu").status == 0
    assert all(run_tests(f"parts.test_{name}") for name in ("my_part", "my_penalty", "my_architecture", "my_dataset"))
    assert "A loss of your own" in command("list", "loss", "--config-dir", "parts/conf").out
    assert "MyPart(Loss)" in Path("parts/my_part.py").read_text()


def test_printed_commands_repeat_what_own_parts_need(command: Command) -> None:
    """A stopped run, and an exported generator, with a folder of configs and a package of one's own."""
    for kind in ("loss", "architecture"):
        assert command("new", kind, f"my_{kind}", "package=parts").status == 0
    own = ["--config-dir", "parts/conf", "loss=my_loss", "architecture=my_architecture", "allow_targets=[parts]"]
    Path("parts/ending.py").write_text(ONCE)
    stop = ("+callbacks.once._target_=parts.ending.Once", "budget.images=24")
    stopped = command("train", *own, "conditioning=none", *ONE_BATCH, *stop)
    assert stopped.status == 75, stopped.err
    resumed = shlex.split(stopped.err.rstrip().rpartition("To resume: gan-lab ")[2])
    assert resumed == ["train", "--config-dir", "parts/conf", "resume=run", "allow_targets=[parts]"]
    assert "give --config-dir as before" in command("train", "resume=run").err
    finished = command(*resumed)
    assert finished.status == 0 and "24 of 24 images" in finished.err, finished.err
    exported = command("export", "run=run", "out=own.safetensors", "allow_targets=[parts]")
    assert exported.status == 0, exported.err
    sample = shlex.split(exported.out.rstrip().rpartition("Next: gan-lab ")[2])
    assert command(*sample, "count=2", "device=cpu").status == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_command_trains(kind: str, command: Command) -> None:
    out = command("new", kind, "mine", f"package=own_{kind}").out
    train = shlex.split(out.partition("Next: gan-lab ")[2].partition(", and pytest")[0])
    outcome = command(*train, *ONE_BATCH)
    assert outcome.status == 0, outcome.err
    assert run_tests(f"own_{kind}.test_mine")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "kind has no value yet"),
        ("loss", "name has no value yet"),
        ("los mine", "kind=los is not known"),
        ("loss My-Loss", "name=My-Loss is not allowed: it must be a name in Python of lower-case letters"),
        ("loss nan", "name=nan is not allowed: it must be a name in Python of lower-case letters"),
        ("loss class", "name=class is not allowed: it must be a name"),
        ("loss 3d", "name=3d is not allowed: it must be a name"),
        ("loss hinge", "name=hinge is not allowed: gan_lab has loss=hinge already"),
        ("penalty r1", "name=r1 is not allowed: gan_lab has regularizer=r1 already"),
        ("loss mine package=my-gan", "package=my-gan is not allowed: it must be a name in Python"),
        ("loss mine package=torch", "package=torch is not allowed: Python has a package of this name"),
        ("loss mine package=json", "package=json is not allowed: Python has a package of this name"),
        ("loss mine package=taken", "package=taken is not a directory"),
        ("loss mine more", "more"),
    ],
)
def test_refusals(arguments: str, sentence: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    outcome = command("new", *arguments.split())
    assert outcome.status == 2 and sentence in outcome.err and "Traceback" not in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("existing", ["mine.py", "conf/loss/mine.yaml", "test_mine.py"])
def test_an_existing_file_stays(existing: str, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "my_gan" / existing
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    outcome = command("new", "loss", "mine")
    assert outcome.status == 2 and f"my_gan/{existing} exists already: give another name or package" in outcome.err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file] and file.read_text() == "mine"


def test_a_package_that_exists_is_kept(command: Command, tmp_path: Path) -> None:
    (tmp_path / "my_gan").mkdir()
    (tmp_path / "my_gan/__init__.py").write_text('"""Mine."""\n')
    assert command("new", "loss", "mine").status == 0
    assert gan_lab.new(kind="penalty", name="mine_too").files[0] == Path("my_gan/mine_too.py")
    assert (tmp_path / "my_gan/__init__.py").read_text() == '"""Mine."""\n'
