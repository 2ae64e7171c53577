"""Commands that read the data set of a run, which may have a new place: keys of `dataset` replace those of the run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit
from tests.conftest import TINY

Command = Callable[..., Any]

PIXELS = "tests.helpers.pixel_features.pixel_features"
COMMON = ("device=cpu", f"allow_targets=[{PIXELS}]")
FD = ("metrics=[fd]", f"evaluation.metrics.fd.extractor={{_target_:{PIXELS}}}")
EVALUATE = ("evaluate", *COMMON, *FD, "evaluation.samples=16", "evaluation.real_images=null")
MEMORIZATION = ("memorization", *COMMON, f"+extractor._target_={PIXELS}", "samples=8", "count=1", "nearest=1")
COMMANDS = [pytest.param(EVALUATE, id="evaluate"), pytest.param(MEMORIZATION, id="memorization")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/one`, which was trained on the 16 images of 16 pixels in `photos`."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "photos").mkdir()
    for number in range(16):
        Image.effect_noise((16, 16), 90).convert("RGB").save(folder / "photos" / f"{number:02d}.png")
    overrides = [override for override in TINY if "checkpoints" not in override]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        data = ("dataset=image_folder", "dataset.source=photos", "dataset.resolution=16")
        fit(compose(*overrides, *data, "budget.images=16", "run.dir=runs/one"))
    return folder


@pytest.fixture
def relocated(trained: Path, tmp_path: Path) -> Path:
    """A copy of it in the working directory of `command`, with the images in `elsewhere`."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    return tmp_path


@pytest.mark.parametrize("typed", COMMANDS)
def test_data_at_a_new_path(typed: tuple[str, ...], command: Command, relocated: Path) -> None:
    refused = command(*typed)
    assert refused.status == 2 and "dataset.source=photos does not exist; give the path" in refused.err
    outcome = command(*typed, "dataset.source=elsewhere")
    assert outcome.status == 0, outcome.err
    (relocated / "elsewhere").rename(relocated / "photos")
    assert command(*typed, "out=there").status == 0
    (name,) = {"evaluate": ["results.json"], "memorization": ["memorization.json"]}[typed[0]]
    here, there = (json.loads((folder / name).read_text()) for folder in (relocated / "runs/one", relocated / "there"))
    if typed[0] == "evaluate":
        assert here["eval/fd_pixels_16"]["value"] == there["eval/fd_pixels_16"]["value"]
        assert here["eval/fd_pixels_16"]["real_content"] == there["eval/fd_pixels_16"]["real_content"]
    else:
        assert here["distance"] == there["distance"]


@pytest.mark.parametrize("typed", [EVALUATE, MEMORIZATION, ("train",)])
def test_the_path_of_the_images_in_another_working_directory(
    typed: tuple[str, ...], command: Command, trained: Path
) -> None:
    """The config of the run has it relative to the folder where the run was trained."""
    refused = command(*typed, f"{'resume' if typed == ('train',) else 'run'}={trained}/runs/one")
    assert refused.status == 2 and "Traceback" not in refused.err
    assert "dataset.source=photos does not exist; give the path" in refused.err
    assert f"A relative path starts in the working directory, {Path.cwd()}." in refused.err
    assert f"Did you mean {trained}/photos?" in refused.err


@pytest.mark.parametrize("typed", COMMANDS)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("dataset=image_folder",), "dataset.resolution=64, but the samples have 16: give dataset.resolution=16."),
        (("dataset.channels=1",), "dataset.channels=1, but the samples have 3: give dataset.channels=3."),
        (("dataset.sourc=x",), "dataset.sourc is not a key of this config: did you mean dataset.source?"),
    ],
)
def test_keys_that_do_not_fit_the_run(
    data: tuple[str, ...], message: str, typed: tuple[str, ...], command: Command, relocated: Path
) -> None:
    """Features would be those of resized images, and their distance would look like another one."""
    outcome = command(*typed, "dataset.source=elsewhere", *data)
    assert outcome.status == 2 and outcome.err.rstrip().endswith(message), outcome.err


def test_generated_images_of_another_size(command: Command, relocated: Path) -> None:
    given = ("images=elsewhere", "dataset=image_folder", "dataset.source=elsewhere")
    evaluate = [each for each in EVALUATE if each != "evaluation.samples=16"]
    outcome = command(*evaluate, *given)
    assert outcome.status == 2 and outcome.err.rstrip().endswith("give dataset.resolution=16.")
    assert command(*evaluate, *given, "dataset.resolution=16").status == 0


def test_from_python(relocated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(relocated)
    found = gan_lab.evaluate("runs/one", *EVALUATE[1:], **{"dataset.source": "elsewhere"})
    assert found.records["fd_pixels_16"].protocol.to_json()["real_source"] == "elsewhere"


@pytest.mark.parametrize(("name", "hint"), [("duplicates", "dataset=digits"), ("prepare", "dataset=image_folder")])
def test_keys_without_a_data_set(name: str, hint: str) -> None:
    function = getattr(gan_lab, name)
    with pytest.raises(ConfigError, match=rf"^dataset.source=x is given, but not the data set: .*, as in {hint}\.$"):
        function(**{"dataset.source": "x"})


def test_a_command_without_data(command: Command) -> None:
    """It is not advised to choose a data set."""
    outcome = command("sample", "dataset.source=x")
    assert outcome.status == 2 and "dataset.source is not a key of this config: add --cfg job to print" in outcome.err
