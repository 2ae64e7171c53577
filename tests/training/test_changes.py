"""What a run keeps when it is resumed: data, model and labels; and what it may change."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit
from tests.conftest import SMALL

RUN = (*SMALL[:2], *SMALL[3:], "batch_size=8", "dataset=image_folder", "dataset.resolution=8",
       "conditioning=concat", "architecture.generator.width=4", "architecture.discriminator.width=4",
       "~callbacks.sample_grids", "~callbacks.stage_grids", "~callbacks.collapse")  # fmt: skip


def write_images(folder: Path, classes: str = "ab", count: int = 8) -> None:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (9 * k, 80 * number, 99)).save(folder / name / f"{k:02d}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `runs/old` of 16 images on the data set `two` with two classes."""
    folder = tmp_path_factory.mktemp("trained")
    write_images(folder / "two")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit(compose(*overrides("old"), "budget.images=16"))
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working directory."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overrides(name: str, source: str = "two", classes: int | None = 2) -> tuple[str, ...]:
    labels = (f"dataset.num_classes={classes}",) if classes else ("dataset.num_classes=null", "conditioning=none")
    return (*RUN, f"dataset.source={source}", *labels, f"run.name={name}")


def content(run: Path) -> dict:
    return yaml.safe_load((run / "config.yaml").read_text())["data_content"]


def contents_of(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}


def test_the_content_of_the_data_is_recorded(copied: Path) -> None:
    recorded = content(copied / "runs/old")
    assert recorded["images"] == 16 and recorded["classes"] == ["a", "b"]
    checkpoint = torch.load(copied / "runs/old/checkpoints/last.ckpt", weights_only=True)
    assert yaml.safe_load(checkpoint["gan_lab"]["config"])["data_content"] == recorded


def test_names_of_classes_are_in_grids_and_in_exports(copied: Path) -> None:
    options = [option for option in overrides("new") if option != "~callbacks.sample_grids"]
    fit(compose(*options, "budget.images=8", "callbacks.sample_grids.count=4"))
    with Image.open("runs/new/samples/final.png") as grid:
        assert grid.width > grid.height  # two rows of two images, and names
    exported = gan_lab.export(run="runs/new")
    assert exported.card["classes"] == ["a", "b"]
    assert gan_lab.load(exported.file).classes == gan_lab.load("runs/new").classes == ["a", "b"]
    with Image.open(gan_lab.sample(run=exported.file, labels="all", count=4).grid) as grid:
        assert grid.width > grid.height


def test_data_at_another_path_are_recognized(copied: Path) -> None:
    (copied / "two").rename(copied / "renamed")
    module = fit(compose(*overrides("old", "renamed"), "budget.images=32")).module
    assert module.images_seen == 32 and content(copied / "runs/old")["images"] == 16


def add(folder: Path) -> None:
    shutil.copy(folder / "a/00.png", folder / "a/99.png")


def exchange(folder: Path) -> None:
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "a/03.png")


def relabel(folder: Path) -> None:
    (folder / "a/07.png").rename(folder / "b/-1.png")


def rename(folder: Path) -> None:
    (folder / "b").rename(folder / "z")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (add, "16 images (now 17)"),
        (exchange, "other images or labels in the data set"),
        (relabel, "other images or labels in the data set"),
        (rename, "the classes a, b (now the classes a, z; label 1 was b and is now z)"),
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_other_data_behind_the_same_path(
    change: Callable[[Path], None], difference: str, allowed: bool, copied: Path
) -> None:
    """They never continue in the folder of the run, also not with `allow_changes=true`; nothing in it is changed."""
    change(copied / "two")
    before = contents_of(copied / "runs")
    with pytest.raises(ConfigError) as error:
        fit(compose(*overrides("old"), "budget.images=32", f"allow_changes={allowed}"))
    assert f"runs/old was trained with {difference}, and a run keeps its data" in str(error.value)
    assert "with another run.name; initialize=runs/old gives it the weights that fit." in str(error.value)
    assert "add resume=runs/old run.dir=runs/NEW_NAME allow_changes=true to this command" in str(error.value)
    after = contents_of(copied / "runs")
    assert after.pop(copied / "runs/old/report.html") and before.pop(copied / "runs/old/report.html")
    assert after == before


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_branch_that_would_mislabel_its_weights_is_not_advised(
    name: str, copied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first of two classes comes last under its new name, and both labels change."""
    (copied / "two/a").rename(copied / "two/z")
    branch = (*overrides(name), "resume=runs/old", "budget.images=24")
    meanings = "(now the classes b, z; label 0 was a and is now b, label 1 was b and is now z)"
    with pytest.raises(ConfigError) as error:
        fit(compose(*branch))
    assert f"the classes a, b {meanings}, and its weights would be mislabeled: restore" in str(error.value)
    assert "give new names that sort in the old order, and add" in str(error.value)
    if name == "new":
        fit(compose(*branch, "allow_changes=true"))
        assert f"Resuming with changed settings: the classes a, b {meanings}." in caplog.text


@pytest.mark.parametrize("typed", ["loss=hinge", "latent.distribution=normal", "dataset.flip=true"])
def test_another_model_in_the_folder_of_a_run(typed: str, copied: Path) -> None:
    with pytest.raises(ConfigError, match="and a run keeps its data, model and labels"):
        fit(compose(*overrides("old"), typed, "budget.images=32", "allow_changes=true"))


def test_other_data_in_a_branch(copied: Path) -> None:
    """A branch needs `allow_changes=true` as well, starts its own files, and leaves the other run as it was."""
    exchange(copied / "two")
    before = contents_of(copied / "runs/old")
    branch = (*overrides("new"), "resume=runs/old", "budget.images=32")
    with pytest.raises(ConfigError, match=r"add allow_changes=true to continue in runs/new with the new ones"):
        fit(compose(*branch))
    assert fit(compose(*branch, "allow_changes=true")).module.images_seen == 32
    assert contents_of(copied / "runs/old") == before
    assert content(copied / "runs/new")["hash"] != content(copied / "runs/old")["hash"]


def test_a_branch_whose_budget_is_reached(copied: Path) -> None:
    with pytest.raises(ConfigError, match=r"^Nothing was trained: runs/old has seen 16 images already, and budget"):
        fit(compose(*overrides("new"), "resume=runs/old", "budget.images=16"))
    assert not (copied / "runs/new/config.yaml").exists()


@pytest.mark.parametrize(
    ("source", "classes", "typed", "difference"),
    [
        ("three", 3, "seed=0", "(runs/old has 2 classes and this run 3: their networks differ)"),
        ("two", 2, "dataset.resolution=16", "(runs/old has 8 pixels and this run 16: their networks differ)"),
        ("two", None, "seed=0", "(runs/old has 2 classes and this run none: their networks differ)"),
        ("two", 2, "architecture.generator.width=8", "architecture.generator.width=4 (now 8)"),
        ("two", 2, "regularizer=[lecam]", "regularizer.lecam._target_=None"),
    ],
)
@pytest.mark.parametrize(("name", "allowed"), [("old", False), ("new", True)])
def test_weights_that_do_not_fit(
    source: str, classes: int | None, typed: str, difference: str, name: str, allowed: bool, copied: Path
) -> None:
    """No message then advises to continue from them."""
    write_images(copied / "three", "abc")
    command = (*overrides(name, source, classes), typed, "resume=runs/old", "budget.images=32")
    with pytest.raises(ConfigError, match=r"and its weights do not fit this run, for example .*: restore") as error:
        fit(compose(*command, f"allow_changes={allowed}"))
    assert difference in str(error.value) and "allow_changes" not in str(error.value)
    assert not (copied / "runs/new/config.yaml").exists()


def added(error: pytest.ExceptionInfo) -> list[str]:
    """The overrides that a message advises to add to the command."""
    found = re.search(r"add ((?:\S+=\S+ ?)+)", str(error.value))
    assert found, error.value
    return shlex.split(found[1])


@pytest.mark.parametrize("name", ["old", "new"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param((add, "seed=0"), id="data"),
        pytest.param((lambda folder: None, "loss=hinge"), id="model"),
        pytest.param((lambda folder: None, "lr=0.01"), id="training"),
    ],
)
def test_what_a_message_advises_to_add(change: tuple[Callable[[Path], None], str], name: str, copied: Path) -> None:
    """The same command continues with it, from the weights of the run."""
    change[0](copied / "two")
    command = (*overrides(name), change[1], "budget.images=24", *(["resume=runs/old"] if name == "new" else []))
    with pytest.raises(ConfigError) as error:
        fit(compose(*command))
    in_new_folder = name == "old" and change[1] != "lr=0.01"
    experiment = fit(compose(*command, *added(error)))
    assert experiment.module.images_seen == 24
    assert experiment.config.run.name == ("NEW_NAME" if in_new_folder else name)


@pytest.mark.parametrize("name", ["old", "new"])
def test_classes_that_are_renamed_as_advised(name: str, copied: Path) -> None:
    """New names in the old order continue in a new folder, as the first message advises."""
    command = (*overrides(name), "resume=runs/old", "budget.images=24")
    (copied / "two/a").rename(copied / "two/z")
    with pytest.raises(ConfigError, match="give new names that sort in the old order") as error:
        fit(compose(*command))
    (copied / "two/z").rename(copied / "two/A")
    experiment = fit(compose(*command, *added(error)))
    assert experiment.module.images_seen == 24 and experiment.data.classes == ["A", "b"]


def test_advice_of_a_longer_budget(copied: Path) -> None:
    """A branch of a run that has reached its budget needs a larger one; in another unit it would be a second one."""
    add(copied / "two")
    command = (*overrides("old"), "budget.images=null", "budget.kimg=0.016")
    with pytest.raises(ConfigError, match=r"allow_changes=true and budget.images above 16 instead of budget.kimg to"):
        fit(compose(*command))
    branch = (*command, "resume=runs/old", "run.name=new", "allow_changes=true")
    with pytest.raises(ConfigError, match=r"^Nothing was trained: .* give budget.images above 16 instead of budget.k"):
        fit(compose(*branch))
    assert fit(compose(*branch, "budget.kimg=null", "budget.images=17")).module.images_seen == 24


def test_a_checkpoint_file_repeats_no_settings(copied: Path) -> None:
    file = f"runs/old/checkpoints/images_{16:010d}.ckpt"
    with pytest.raises(ConfigError) as error:
        fit(compose(f"resume={file}", "run.dir=runs/old", "hardware=cpu"))
    assert f"give its settings as well, since resume={file} repeats none, unlike resume=runs/old;" in str(error.value)
    assert fit(compose("resume=runs/old", "budget.images=24")).module.images_seen == 24
    assert fit(compose(*overrides("old"), f"resume={file}", "budget.images=32")).module.images_seen == 32
    assert (copied / f"runs/old/checkpoints/images_{24:010d}.ckpt.aside").is_file()


@pytest.mark.parametrize("record", [None, "no: list"])
def test_a_run_without_a_record_of_its_settings(record: str | None, copied: Path) -> None:
    """It is resumed as the message advises: with all settings and `run.dir`, without `resume`."""
    file = copied / "runs/old/.hydra/overrides.yaml"
    file.unlink() if record is None else file.write_text(record)
    with pytest.raises(ConfigError, match=r"give run.dir=runs/old and all of its settings, .*, without resume=[.]"):
        compose("resume=runs/old", "budget.images=24")
    settings = [typed for typed in overrides("old") if not typed.startswith("run.name")]
    assert fit(compose(*settings, "run.dir=runs/old", "budget.images=24")).module.images_seen == 24


def test_another_optimizer_cannot_use_the_state(copied: Path) -> None:
    branch = (*overrides("new"), "resume=runs/old", "budget.images=32", "allow_changes=true")
    with pytest.raises(ConfigError, match="no optimizer can use the state of another one"):
        fit(compose(*branch, "optimizer=rmsprop"))


def test_hardware_may_change(copied: Path) -> None:
    typed = ("hardware.precision=bf16-mixed", "hardware.strategy=ddp_by_player", "hardware.num_workers=1")
    assert fit(compose(*overrides("old"), *typed, "budget.images=24")).module.images_seen == 24


def test_accepted_changes_need_no_second_permission(copied: Path) -> None:
    """Also before the first checkpoint with them, which a run that was killed has not written."""
    old = copied / "runs/old"
    config = yaml.safe_load((old / "config.yaml").read_text())
    changed = (*overrides("old"), "lr=0.01", "budget.images=24")
    with pytest.raises(ConfigError, match=r"lr=0.0002 \(now 0.01\): restore them, or add allow_changes"):
        fit(compose(*changed))
    (old / "config.yaml").write_text(yaml.safe_dump(config | {"lr": 0.01}))
    groups = [optimizer.param_groups[0] for optimizer in fit(compose(*changed)).trainer.optimizers]
    assert [group["lr"] for group in groups] == [0.01, 0.01]


def test_what_is_not_exact_on_other_hardware_is_logged(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = copied / "runs/old/checkpoints/images_0000000016.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    assert checkpoint["gan_lab"]["hardware"] == {"device": "cpu", "processes": 1}
    checkpoint["gan_lab"]["hardware"]["processes"] = 4
    torch.save(checkpoint, file)
    with caplog.at_level("INFO"):
        fit(compose(*overrides("old"), "budget.images=24"))
    assert caplog.text.count("The checkpoint was written with processes 4 (now 1). Batches, latents and labels") == 1


def test_a_damaged_record_of_the_data_is_unknown(copied: Path) -> None:
    file = copied / "runs/old/checkpoints/images_0000000016.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    config = yaml.safe_load(checkpoint["gan_lab"]["config"])
    checkpoint["gan_lab"]["config"] = yaml.safe_dump(config | {"data_content": {"images": "x", "classes": 3}})
    torch.save(checkpoint, file)
    assert fit(compose(*overrides("old"), "budget.images=24")).module.images_seen == 24
