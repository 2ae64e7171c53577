"""Configs and pickles in checkpoints and exports are refused in one sentence and run no code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import gan_lab
from gan_lab.config.untrusted import foreign_config
from gan_lab.errors import CheckpointError
from gan_lab.sampling.export_file import read_card
from tests.conftest import TINY
from tests.helpers.attacks import NODES, Bomb, armed, assert_refused, config_of

Command = Callable[..., Any]


def test_the_attacks_would_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks, Hydra imports the module and unpickles the file."""
    import hydra.utils

    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("import", "torch.load"):
        with pytest.MonkeyPatch.context() as patch:
            patch.delitem(__import__("sys").modules, "evil", raising=False)
            node = armed(NODES[name], tmp_path)
            try:
                hydra.utils.instantiate(node)
            except Exception as error:
                assert "unpickl" not in str(error).lower(), error
        assert (tmp_path / "attacked").exists(), name
        (tmp_path / "attacked").unlink()


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("place", ["architecture.generator", "wrapper.generator.evil", "nested"])
def test_config_in_a_file(
    name: str,
    place: str,
    checkpoint: dict[str, Any],
    mark: Path,
    tmp_path: Path,
    disguise: Callable[[Any], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TARGET", "os.system")
    config = {**config_of(checkpoint), "allow_targets": ["os", "evil", "builtins", "gan_lab", "torch", "subprocess"]}
    node = armed(NODES[name], tmp_path)
    if place == "nested":
        config["architecture"]["generator"]["width"] = node
    elif place == "architecture.generator":
        config["architecture"]["generator"] = node
    else:
        config["wrapper"]["generator"]["evil"] = node
    file = disguise(config)
    with pytest.raises(CheckpointError, match=r"gift.* (asks for|has the config) ") as error:
        gan_lab.load(file)
    assert "\n" not in str(error.value)


def test_commands_refuse(
    command: Command, checkpoint: dict[str, Any], mark: Path, tmp_path: Path, disguise: Callable[[Any], Path]
) -> None:
    """Every command that takes run= gives the same message; the data set is checked separately."""
    config = config_of(checkpoint)
    config["architecture"]["generator"] = armed(NODES["system"], tmp_path)
    gift = disguise(config)
    part = r"which is not part of gan_lab\.architectures"  # and no advice to allow it
    pattern = rf"gift.* asks for architecture\.generator\._target_=os\.system, {part} [^ ]+\.$"
    for overrides in (
        "sample",
        "interpolate",
        "export out=x.safetensors",
        "memorization extractor=digits",
        "evaluate metrics=[swd_small]",
        "evaluate metrics=[swd_small] truncation=[1,null]",
    ):
        assert_refused(
            command(*overrides.split(), f"run={gift}", "device=cpu")
            if "export" not in overrides
            else command(*overrides.split(), f"run={gift}"),
            pattern,
        )
    config = config_of(checkpoint)
    config["dataset"]["reader"] = armed(NODES["system"], tmp_path)
    gift = disguise(config)
    pattern = r"The run asks for dataset\.reader\._target_=os\.system, which is not part of gan_lab\.data "
    assert command("sample", f"run={gift}", "count=1", "device=cpu").status == 0  # needs no data
    assert_refused(command("evaluate", "metrics=[swd_small]", f"run={gift}", "device=cpu"), pattern)


@pytest.mark.parametrize(
    "text",
    [
        'a: "\\u0024{oc.env:HOME}"',
        "a: ${oc.env:HOME}",
        "a: [{b: '${run_id:}'}]",
        "a: ???",
        "a: !!python/object/apply:os.system ['true']",
        "- a",
        "a: [",
        "[" * 3_000,
        5,
        None,
        {"a": "${oc.env:HOME}"},
    ],
    ids=lambda text: str(text)[:30],
)
def test_configs_that_are_not_resolved_plain_mappings(text: Any) -> None:
    with pytest.raises(CheckpointError, match=r"gift has (a|the) config ") as error:
        foreign_config(text, "gift")
    assert len(str(error.value)) < 150


def test_allow_targets_in_a_file_is_ignored() -> None:
    assert "allow_targets" not in foreign_config({"allow_targets": ["os"], "a": 1}, "gift")


def test_pickles(command: Command, checkpoint: dict[str, Any], mark: Path, tmp_path: Path) -> None:
    """As a checkpoint to sample from, and as one to resume from."""
    torch.save({**checkpoint, "loops": Bomb(mark)}, tmp_path / "gift.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Bomb(mark)))
    small = [override for override in TINY if override != "logger=[]"]
    for name in ("gift.ckpt", "plain.ckpt"):
        assert_refused(command("sample", f"run={name}"), f"{name} cannot be read: ")
        assert_refused(command("train", *small, f"resume={name}", "run.name=one"), f"{name} cannot be read: ")


def test_a_file_without_a_card(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="has no card: it was not written by gan-lab export"):
        read_card(tmp_path / "x.safetensors")
