"""A checkpoint that is damaged in any part ends training in one sentence; in a run folder an earlier one is used."""

import copy
import logging
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from gan_lab.config.compose import compose
from gan_lab.errors import CheckpointError
from gan_lab.runs.checkpoints import Checkpoint, find_checkpoint, newest_checkpoint
from gan_lab.training.fit import fit
from tests.conftest import TINY

RUN = (
    *(override for override in TINY if "checkpoints" not in override and "collapse" not in override),
    "dataset=ring", "architecture=mlp", "callbacks.collapse.every_images=8", "callbacks.collapse.samples=4",
    "callbacks.checkpoints.every_images=8", "callbacks.train_log.every_batches=3",
)  # fmt: skip
"""Checkpoints after every batch, with the state of all callbacks."""


@cache  # composing takes as long as training
def composed() -> DictConfig:
    return compose(*RUN)


def settings(folder: Path, images: int, resume: Path | None = None) -> DictConfig:
    cfg = copy.deepcopy(composed())
    cfg.run.dir, cfg.budget.images, cfg.resume = str(folder), images, None if resume is None else str(resume)
    return cfg


Contents = dict[str, Any]
Damage = Callable[[Contents], None]

REQUIRED = {
    "gan_lab": (),
    "gan_lab/config": ("x", "2.4.0"),  # compared with the run's config
    "state_dict": (),
    "state_dict/_extra_state": (),
    "state_dict/_extra_state/images_seen": (8,),
    "state_dict/_extra_state/batches_seen": (8,),
    "state_dict/_extra_state/averaged_at": (8,),
    "pytorch-lightning_version": ("2.4.0",),
    "loops": (),
    "loops/fit_loop": (),
    "callbacks": ({},),
    "lr_schedulers": ([],),
    "optimizer_states": ([],),  # their number is compared with the run's optimizers
    "optimizer_states/0": (),
    "optimizer_states/0/state": ({},),
    "optimizer_states/0/param_groups": ([],),
}
"""Entries that training needs, each with those of the values below that are well-formed."""

VALUES = ([], {}, "x", "2.4.0", None, 8, -5, 10**30, 1.5, float("nan"), True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 32 images."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    fit(settings(folder, 32))
    return folder


@pytest.fixture(scope="module")
def good(finished: Path) -> Contents:
    """The contents of its last checkpoint."""
    return torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)


def part(contents: Contents, path: str) -> tuple[Any, Any]:
    """The container and the key of an entry."""
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in parents:
        contents = contents[key]
    return contents, last


def put(path: str, value: Any) -> Damage:
    def damage(contents: Contents) -> None:
        container, key = part(contents, path)
        container[key] = value

    return damage


def without(path: str) -> Damage:
    def damage(contents: Contents) -> None:
        container, key = part(contents, path)
        del container[key]

    return damage


def saved(contents: Contents, damage: Damage, file: Path) -> Path:
    """The file of a damaged copy."""
    damaged = copy.deepcopy(contents)
    damage(damaged)
    file.unlink(missing_ok=True)  # a hard link, whose other names must not change
    torch.save(damaged, file)
    return file


@pytest.mark.parametrize("path", REQUIRED)
def test_each_part_is_required_and_has_a_kind(path: str, good: Contents, tmp_path: Path) -> None:
    damages = {repr(value): put(path, value) for value in VALUES if value not in REQUIRED[path] or value is True}
    if path != "optimizer_states/0":
        damages["nothing"] = without(path)
    for value, damage in damages.items():
        file = saved(good, damage, tmp_path / "bad.ckpt")
        with pytest.raises(CheckpointError, match=r"^\S+bad.ckpt (is not a|has a config|cannot be read)") as caught:
            Checkpoint(file, for_training=True)
            pytest.fail(f"{path}={value} is accepted")
        assert len(str(caught.value).splitlines()) == 1


def test_samples_need_no_state_of_training(good: Contents, tmp_path: Path) -> None:
    """A checkpoint may be shared without the optimizers."""
    file = saved(good, without("optimizer_states"), tmp_path / "shared.ckpt")
    assert find_checkpoint(file).images_seen == 32


def test_a_checkpoint_of_another_kind(tmp_path: Path) -> None:
    for content in ([1], {}, {"state_dict": {}}, 3, None, {"gan_lab": {}, "state_dict": None}):
        torch.save(content, tmp_path / "bad.ckpt")
        with pytest.raises(CheckpointError, match="is not a"):
            Checkpoint(tmp_path / "bad.ckpt")


def _of_callback(name: str, value: Any) -> Damage:
    def damage(contents: Contents) -> None:
        key = next(key for key in contents["callbacks"] if key.startswith(name))
        contents["callbacks"][key] = value

    return damage


UNFIT: dict[str, Damage] = {
    "a weight of another shape": put("state_dict/generator.0.weight", torch.zeros(1, 2, 3)),
    "a weight too many": put("state_dict/foo", torch.zeros(1)),
    "a weight too few": without("state_dict/generator.0.weight"),
    "an optimizer too few": lambda contents: contents["optimizer_states"].pop(),
    "moments of another shape": put("optimizer_states/0/state/0/exp_avg", torch.zeros(7)),
    "a learning rate that is a text": put("optimizer_states/0/param_groups/0/lr", "x"),
    "loops of another kind": put("loops/fit_loop/epoch_progress", "x"),
    "a callback of another kind": _of_callback("Collapse", {"history": [{"a": 1}], "warned": False}),
    "a log that is a text": put("train_log", "x"),
    "rows of the log without values": put("train_log/pending/accuracy", torch.zeros(0)),
}
"""Well-formed contents that are not those of the run."""


def weight_name(contents: Contents) -> str:
    return next(key for key in contents["state_dict"] if key.startswith("generator") and key.endswith("weight"))


@pytest.mark.parametrize("damage", UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_a_sentence(damage: Damage, good: Contents, tmp_path: Path) -> None:
    contents = dict(good, state_dict={**good["state_dict"]})
    name = weight_name(contents)
    contents["state_dict"]["generator.0.weight"] = contents["state_dict"].pop(name)
    damaged = copy.deepcopy(contents)
    damage(damaged)
    if "generator.0.weight" in damaged["state_dict"]:
        damaged["state_dict"][name] = damaged["state_dict"].pop("generator.0.weight")
    torch.save(damaged, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match=r"bad.ckpt does not fit this run, or is damaged: \w+: \S") as caught:
        fit(settings(tmp_path / "run", 40, tmp_path / "bad.ckpt"))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("damage", [put("gan_lab", []), put("optimizer_states", [])], ids=["malformed", "unfit"])
def test_a_run_resumes_from_the_newest_valid_one(
    damage: Damage, good: Contents, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    newest = saved(good, damage, folder / "checkpoints" / "images_0000000032.ckpt")
    (folder / "checkpoints" / "last.ckpt").unlink()
    with caplog.at_level(logging.WARNING):
        module = fit(settings(folder, 40)).module
    assert module.images_seen == 40
    warned = [record.getMessage() for record in caplog.records if str(newest) in record.getMessage()]
    assert len(warned) == 1 and warned[0].endswith("Using an earlier one.")


def test_an_error_if_the_named_or_every_checkpoint_is_unfit(good: Contents, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for file in folder.glob("checkpoints/*.ckpt"):
        saved(good, put("optimizer_states", []), file)
    with pytest.raises(CheckpointError, match=r"\.ckpt does not fit this run"):
        fit(settings(folder, 40))
    assert newest_checkpoint(folder / "checkpoints", for_training=True) is not None
