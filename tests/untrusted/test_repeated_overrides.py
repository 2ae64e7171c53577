"""Overrides that `resume=` repeats from a run folder: harmless ones are repeated, all others are refused."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from gan_lab.config.compose import compose
from gan_lab.config.resumed_overrides import DESTINATIONS, FOLDERS, OF_LOGGERS, with_overrides_of_run
from gan_lab.config.schema import CONF
from gan_lab.config.targets import find_target, shipped_targets
from gan_lab.errors import ConfigError
from tests.conftest import TINY
from tests.helpers.attacks import assert_refused

Command = Callable[..., Any]


def repeated(folder: Path, *overrides: str, typed: tuple[str, ...] = ()) -> list[str]:
    """Overrides repeated from the run folder `folder/gift`, given those typed now."""
    notes = folder / "gift/.hydra/overrides.yaml"
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text(yaml.safe_dump(list(overrides)))
    result = with_overrides_of_run([f"resume={folder}/gift", *typed])
    assert result[-len(typed) - 2 :] == [f"resume={folder}/gift", *typed, f"run.dir='{folder}/gift'"]
    return result[: -len(typed) - 2]


def refused(folder: Path, override: str, *typed: str) -> str:
    """The message that refuses an override: it names the file and the override."""
    with pytest.raises(ConfigError) as error:
        repeated(folder, "lr=0.5", override, typed=typed)
    sentence = str(error.value)
    assert (
        sentence.startswith(f"{folder}/gift/.hydra/overrides.yaml has {override[:200]}")
        and "is not repeated" in sentence
    )
    return sentence


ORDINARY = (
    "model=wgan_gp", "dataset=image_folder", "dataset.source=../photos and more", "lr=1e-4", "logger=[csv,wandb]",
    "experiment=null",
    "wrapper/discriminator=[spectral_norm,packing]", "experiment=ring/gan", "regularizer=[]", "~augment",
    "betas=[0.0,0.9]", "batch_size=${width}",
    "+callbacks.collapse_watch={_target_: gan_lab.callbacks.collapse_watch.CollapseWatch, "
    "budget_images: '${budget.images}'}",
    "+callbacks.x._target_=gan_lab.callbacks.profiling.TimeFractions", "+dataset.reader._partial_=true",
    "logger.wandb.project=faces",
    "callbacks.checkpoints.copy_to=null", "+logger.wandb.tags=[a,b]",
)  # fmt: skip


def test_ordinary_settings_are_repeated(tmp_path: Path) -> None:
    assert repeated(tmp_path, *ORDINARY) == list(ORDINARY)


def test_settings_of_one_command_are_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor are those that are typed again. Other omitted ones are reported."""
    own = ("run.dir=/x", "+run={root: /x}", "run.name=one", "resume=other")
    assert repeated(tmp_path, *own, "lr=0.5", "width=8", typed=("lr=0.1",)) == ["width=8"]
    assert repeated(tmp_path, "+callbacks.x.y=1", typed=("+callbacks.x.y=2",)) == []
    assert capsys.readouterr().err == ""
    assert repeated(tmp_path, "time_limit='1:00:00'", "allow_changes=true") == []
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "time_limit='1:00:00'",
        "allow_changes=true",
    ]


@pytest.mark.parametrize(
    "group", sorted(str(folder.relative_to(CONF)) for folder in CONF.rglob("*") if folder.is_dir())
)
def test_choices_outside_of_the_configs(group: str, tmp_path: Path) -> None:
    """Every way out of a group's folder, as one choice and in a list; Hydra's own groups are refused entirely."""
    (tmp_path / "evil.yaml").write_text("allow_targets: [os]\n")
    ways = (
        "../../evil",
        f"{tmp_path}/evil",
        "/etc/x",
        "..",
        "./evil",
        "evil",
        "'../evil.yaml'",
        "file:///x",
        "'a@_global_'",
        "${a}",
    )
    for override in ways:
        refused(tmp_path, f"{group}={override}")
        refused(tmp_path, f"++{group}=[{override}]")
    refused(tmp_path, f"+{group}@_global_=none")
    refused(tmp_path, f"+{group}@hydra.callbacks=none")
    refused(tmp_path, f"{group}=a,b")
    if group.startswith("hydra"):
        refused(tmp_path, f"{group}={next((CONF / group).rglob('*.yaml')).stem}")
        refused(tmp_path, f"~{group}")


@pytest.mark.parametrize(
    "override",
    [
        "hydra.launcher._target_=os.system", "++hydra.callbacks.x._target_=os.system", "+hydra={callbacks: {x: 1}}",
        "hydra=x",
        "+={hydra: {callbacks: {x: 1}}}", "=x", "+={allow_targets: [os]}", "hydra.searchpath=[x]",
        "hydra/launcher=joblib", "~hydra.sweeper",
        "allow_targets=[os]", "+allow_targets=[os]", "~allow_targets", "+callbacks.x.allow_targets=[os]",
        "+callbacks={x: {allow_targets: [os]}}",
        "--config-dir=x", "-cd=x", "--multirun", "$x=1", "lr=[", "+defaults=[x]", "+callbacks.defaults=[x]",
        "+x={defaults: [x]}",
        "+callbacks.x._args_=[1]", "+callbacks.x._recursive_=false", "+callbacks.x._convert_=all",
        "+x={y: [{_args_: [1]}]}",
        "+callbacks.x._target_.y=1", "+callbacks.x._target_=[os.system]", "+callbacks.x._target_={a: 1}", "seed=1,2",
        "seed=range(1,3)",
        "seed=choice(1,2)", "accumulate=../../x", "unknown=/etc/x", "unknown=[a/b]",
    ],
)  # fmt: skip
def test_settings_that_are_not_repeated(override: str, tmp_path: Path) -> None:
    refused(tmp_path, override)


TARGETS = (
    "os.system", "joblib.load", "gan_lab.sampling.pretrained.load", "gan_lab.training.fit.fit",
    "lightning.pytorch.loggers.WandbLogger",
    "gan_lab.metrics.measuring.write_results", "torch.load", "${x}", "my_networks.Mine",
    "gan_lab.losses.adversarial._hidden",
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_targets_in_settings(target: str, tmp_path: Path) -> None:
    """In every notation and position of the key."""
    for override in (
        f"loss._target_={target}", f"+callbacks.x._target_={target}", f"+callbacks.x={{_target_: '{target}'}}",
        f"loss={{_target_: '{target}'}}",
        f"+callbacks={{x: {{y: [{{_target_: '{target}'}}]}}}}", f"+a={{b.c: {{_target_: '{target}'}}}}",
        f"+a={{b._target_: '{target}'}}",
        f"++trainer.profiler._target_={target}",
    ):  # fmt: skip
        refused(tmp_path, override)


def test_targets_that_the_user_allows_are_repeated(tmp_path: Path) -> None:
    override = "architecture.generator._target_=my_networks.Mine"
    assert repeated(tmp_path, override, typed=("allow_targets=[my_networks]",)) == [override]
    refused(tmp_path, override, "allow_targets=[my_network]")


@pytest.mark.parametrize(
    "name", ["oc.env", "oc.decode", "oc.create", "hydra", "run_id", "run_folder", "notes_folder", "prepared", "x"]
)
def test_resolvers_in_settings(name: str, tmp_path: Path) -> None:
    """No resolver that reads the environment or files, also if assembled from parts that are harmless alone."""
    for text in (
        f"${{{name}:HOME}}",
        f"a${{{name}:}}b",
        f"${{x.${{{name}:a}}}}",
        f"\\${{{name}:a}}",
        f"${{${{x}}{name}:a}}",
        f"{{{name}:HOME}}",
    ):
        refused(tmp_path, f"objective.metric='{text}'")
        refused(tmp_path, f"+x=[{{a: '{text}'}}]")
    refused(tmp_path, f"objective.metric=${{{name}:HOME}}")
    refused(tmp_path, "objective.metric='a$'")


def test_arguments_that_reach_folders_and_servers() -> None:
    """Every text argument of a target in `conf/` is classified: a choice, a file that is read, or refused."""
    choices = {
        "accelerator", "action", "activation", "attention_form", "averaged", "best", "best_mode", "blocks", "cache",
        "checkpoints", "columns", "condition", "devices", "direction", "distance", "distribution", "dropout_layers",
        "filter", "fit", "form", "gradient_clip_algorithm", "heatmap", "held_out", "hidden", "hidden_activation",
        "image", "init", "job_type", "key", "label", "label_maps", "max_time", "metrics", "multipliers", "network",
        "noise", "norm", "on_error", "own", "params", "player", "policy", "pool", "precision", "prior", "profiler",
        "published", "show", "split", "strategy", "subset", "time_limit", "upsampling", "val_check_interval", "widths",
        "without_copies_of",
    }  # fmt: skip
    read = {"source", "exclude", "weights"}  # images, a list of images, and weights, which are read as data
    for target in sorted(shipped_targets()):
        for name, parameter in inspect.signature(find_target(target, "here")).parameters.items():
            kind = parameter.annotation if isinstance(parameter.annotation, str) else str(parameter.annotation)
            if re.search(r"\bstr\b|Path", kind) and "Callable" not in kind:
                assert name in choices | read | FOLDERS | DESTINATIONS | OF_LOGGERS, f"{target}({name})"


@pytest.mark.parametrize("name", sorted(FOLDERS | DESTINATIONS))
def test_folders_and_servers_in_settings(name: str, tmp_path: Path) -> None:
    for override in (f"callbacks.checkpoints.{name}=/x",
    f"+callbacks.x={{_target_: gan_lab.callbacks.warning_log.WarningLog, {name}: /x}}",
                 f"+trainer.{name}=x", f"+trainer={{profiler: {{{name}: x}}}}", f"+callbacks.x.{name}.y=1",
                 f"+callbacks.x.{name}=[a]"):  # fmt: skip
        refused(tmp_path, override)
        key = override.partition("=")[0].lstrip("+")
        assert repeated(tmp_path, override, typed=(f"{key}=null",)) == []


@pytest.mark.parametrize(
    "name", ["settings.base_url", "settings", "host", "tracking_uri", "api_key", "id", "offline", "save_dir", "x"]
)
def test_loggers_in_settings(name: str, tmp_path: Path) -> None:
    refused(tmp_path, f"+logger.wandb.{name}=http://127.0.0.1")


def test_output_folders_in_configs_are_not_repeated(tmp_path: Path) -> None:
    """No key derived from `run.dir` in `conf/` can be set by a foreign run folder."""
    cfg = compose("logger=[csv,tensorboard,wandb]", "debug=profile", "callbacks=monitored")
    found = [
        key for key, value in flat(OmegaConf.to_container(cfg)) if "${run." in str(value) and not key.startswith("run.")
    ]
    assert len(found) > 10
    for key in found:
        if key != "logger.wandb.name":
            refused(tmp_path, f"{key}=x")


def flat(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield key, node
        return
    for name, child in node.items():
        yield from flat(child, f"{key}.{name}".lstrip("."))


@pytest.mark.parametrize(
    "content",
    ["", "5", "- null", "- [a]", "!!python/name:os.system", "- lr=1\n- !x y", "a: b", "- a: b", "[", b"\xff\xfe"],
)
def test_files_without_a_list_of_overrides(content: str | bytes, tmp_path: Path) -> None:
    notes = tmp_path / ".hydra/overrides.yaml"
    notes.parent.mkdir()
    notes.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=r"overrides.yaml cannot be read as a list of overrides"):
        with_overrides_of_run([f"resume={tmp_path}"])


@pytest.mark.parametrize("name", ["a b", "l'été", "x'", "a=b,c", "[x]"])
def test_names_of_run_folders_are_quoted(name: str, tmp_path: Path) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (tmp_path / name / ".hydra").mkdir(parents=True)
    (tmp_path / name / ".hydra/overrides.yaml").write_text("[]")
    *_, last = with_overrides_of_run(['resume="' + str(tmp_path / name) + '"'])
    assert OverridesParser.create().parse_override(last).value() == str(tmp_path / name)


def test_foreign_overrides_on_the_command_line(command: Command, mark: Path, tmp_path: Path) -> None:
    """One message, and no code is run."""
    loss = f"loss={{_target_:os.system,command:'touch {mark}'}}"
    notes = tmp_path / "gift/.hydra/overrides.yaml"
    notes.parent.mkdir(parents=True)
    notes.write_text(yaml.safe_dump(["lr=0.5", loss]))
    assert_refused(
        command("train", "resume=gift", "hardware=cpu"),
        r"gift/.hydra/overrides.yaml has loss=\{_target_:os.system,.* is not repeated",
    )


def test_checkpoints_of_another_run_are_kept(command: Command, tmp_path: Path) -> None:
    """Also if the folder is a link."""
    small = [override for override in TINY if override != "logger=[]" and "checkpoints" not in override]
    assert command("train", *small, "run.name=mine", "budget.images=8", "dataset.max_images=16").status == 0
    mine = tmp_path / "runs/mine/checkpoints"
    before = {file.name: file.stat().st_mtime_ns for file in mine.iterdir()}
    sentence = r"callbacks.checkpoints.folder=.* contains .*\.ckpt of another run"
    typed = ("run.name=new", "budget.images=16", "dataset.max_images=16", f"callbacks.checkpoints.folder={mine}")
    assert_refused(command("train", *small, *typed), sentence)
    (tmp_path / "runs/linked").mkdir()
    (tmp_path / "runs/linked/checkpoints").symlink_to(mine)
    refused = "runs/linked/checkpoints is a link that leads out"
    assert_refused(command("train", *small, "run.name=linked", "budget.images=16", "dataset.max_images=16"), refused)
    assert {file.name: file.stat().st_mtime_ns for file in mine.iterdir()} == before
