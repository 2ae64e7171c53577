"""The commands, their flags, and completion by the shell."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_lab.cli.main import COMMANDS, HELP
from gan_lab.config.schema import CONF
from tests.conftest import SMALL

Command = Callable[..., Any]

PROGRAM = shutil.which("gan-lab", path=str(Path(sys.executable).parent))


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help(command: Command, arguments: tuple[str, ...]) -> None:
    outcome = command(*arguments)
    assert (outcome.status, outcome.out, outcome.err) == (0, HELP, "")


def test_help_imports_no_large_package() -> None:
    """So that it appears at once."""
    code = (
        "import sys\nfrom gan_lab.cli.main import main\nsys.argv = ['gan-lab']\ntry:\n    main()\n"
        "except SystemExit:\n    pass\nassert not {'torch', 'hydra', 'lightning'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_examples_of_the_help_compose(command: Command) -> None:
    """Each line of the help that starts with gan-lab and is an example."""
    examples = re.findall(r"^  gan-lab (\w+)(.*?)(?:  .*)?$", HELP, re.MULTILINE)
    assert len(examples) >= 7
    for name, arguments in examples:
        outcome = command(
            name,
            *(argument for argument in arguments.split() if argument != "-m" and "," not in argument),
            "--cfg",
            "job",
        )
        assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_of_hydra(command: Command, name: str) -> None:
    text = command(name, "--help")
    assert text.status == 0 and f"gan-lab {name}" in text.out and "--config-dir" in text.out
    plain = command(name, "--cfg", "job")
    own = {
        "train": {"lr"},
        "bench": {"bench", "lr"},
        "list": {"what"},
        "runs": {"root"},
        "compare": {"runs"},
        "duplicates": {"method"},
    }
    own |= {"prepare": {"out"}, "import": {"source"}, "new": {"kind"}}
    assert plain.status == 0 and set(yaml.safe_load(plain.out)) >= own.get(name, {"run"})
    resolved = command(name, "--cfg", "job", "--resolve")
    assert resolved.status == 0 and "${" not in resolved.out
    assert f"{name}_schema" in command(name, "--info", "defaults").out


def test_overrides_and_flags_in_any_order(command: Command) -> None:
    there = command("train", "lr=0.5", "--cfg", "job", "n_critic=3", "-p", "optimizer")
    assert there.status == 0 and yaml.safe_load(there.out)["generator"]["lr"] == "${lr}"
    complete = yaml.safe_load(command("train", "lr=0.5", "--cfg", "job", "n_critic=3").out)
    assert (complete["lr"], complete["n_critic"]) == (0.5, 3)


@pytest.mark.parametrize(
    ("flag", "example"), [("--run", "run=VALUE"), ("--run=x", "run=VALUE"), ("--out", "out=VALUE"), ("-r", "lr=1e-4")]
)
def test_keys_are_not_flags(command: Command, flag: str, example: str) -> None:
    """The flag is named, and not the value behind it."""
    outcome = command("sample", flag, "runs/mine")
    assert outcome.status == 2
    assert outcome.err.startswith(
        f"gan-lab sample: {flag} is not a flag: write overrides without dashes, as in {example}"
    )


def test_module_is_the_command(command: Command) -> None:
    arguments = ("--cfg", "job", "model=wgan_gp", "run.name=one")
    out = subprocess.run(
        [sys.executable, "-m", "gan_lab.cli.train", *arguments], capture_output=True, text=True, check=True
    )
    assert out.stdout == command("train", *arguments).out


def test_version(command: Command) -> None:
    assert re.fullmatch(r"gan-lab \d+\.\d+\.\d+\S*\n", command("--version").out)


def test_list_names_every_file(command: Command) -> None:
    out = command("list").out
    for file in CONF.glob("*/*.yaml"):
        if file.parent.name not in ("local", "hydra"):
            assert re.search(rf"^  {file.stem} +\S+", out, re.MULTILINE), file
    only = command("list", "what=loss").out
    assert "hinge" in only and "dcgan" not in only
    assert command("list", "format=markdown").out.count("arxiv.org") >= 6


def test_list_and_help_show_the_users_choices(command: Command, tmp_path: Path) -> None:
    """Those of --config-dir, beside the others; not in the next command."""
    for group in ("loss", "model"):
        (tmp_path / "mine" / group).mkdir(parents=True)
        (tmp_path / "mine" / group / "scaled.yaml").write_text("# Mine, scaled. More.\n_target_: x.Y\n")
    for arguments in (("--config-dir", "mine"), ("--config-dir=mine",)):
        out = command("list", *arguments).out
        assert re.search(r"^  hinge +\S", out, re.MULTILINE) and out.count("Mine, scaled.") == 2
    (tmp_path / "mine").rename(tmp_path / "group=mine")
    assert command("list", "format=text", "--config-dir", "group=mine").out.count("Mine, scaled.") == 2
    (tmp_path / "group=mine").rename(tmp_path / "mine")
    refused = command("train", "--config-dir", "mine", "loss=scale")
    assert refused.status == 2 and "did you mean scaled?" in refused.err
    assert "scaled" not in command("list").out


def test_multirun_gives_each_trial_a_folder(command: Command, tmp_path: Path) -> None:
    outcome = command("train", *SMALL, "-m", "seed=0,1", "logger=[csv]")
    assert outcome.status == 0, outcome.err
    folders = sorted(tmp_path.glob("runs/multirun/*/*/config.yaml"))
    assert [yaml.safe_load(file.read_text())["seed"] for file in folders] == [0, 1]
    assert all((file.parent / "checkpoints/last.ckpt").is_file() for file in folders)


def test_compare_puts_a_sweep_side_by_side(command: Command, tmp_path: Path) -> None:
    assert (
        command(
            "train", *SMALL, "-m", "loss=hinge,least_squares", "seed=0,1", "callbacks.train_log.every_batches=1"
        ).status
        == 0
    )
    outcome = command("compare")
    assert outcome.status == 0, outcome.err
    assert (
        "loss=hinge" in outcome.out
        and "loss=least_squares" in outcome.out
        and "train/generator/adversarial" in outcome.out
    )
    (sweep,) = tmp_path.glob("runs/multirun/*")
    assert all(
        (sweep / name).is_file()
        for name in ("comparison.md", "comparison.csv", "curves.png", "sheet.png", "sweep.html")
    )
    alone = command("compare", str(sweep), "out=here", "show=[train/*/*]")
    assert alone.status == 0 and (tmp_path / "here/sheet.png").is_file(), alone.err


def test_bench_leaves_nothing_behind(command: Command, tmp_path: Path) -> None:
    assert command("bench", "bench.rounds=0", "dataset=ring", "architecture=mlp", "hardware=cpu").status == 0
    assert list(tmp_path.iterdir()) == []


def test_runs_of_one_second_have_separate_folders(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.config.resolvers.time.strftime", lambda _: "20300101-000000")
    names = {yaml.safe_load(command("train", "--cfg", "job", "--resolve").out)["run"]["dir"] for _ in range(4)}
    assert len(names) == 4 and all("20300101-000000" in name for name in names)


def test_groups_of_the_user(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A loss of one's own, in a module of one's own, and a model that takes it, without touching gan_lab."""
    (tmp_path / "mine/loss").mkdir(parents=True)
    (tmp_path / "mine/model").mkdir()
    (tmp_path / "users_losses.py").write_text(
        "from gan_lab.losses.adversarial import Hinge\n"
        "class Scaled(Hinge):\n"
        "    def __init__(self, scale: float) -> None:\n"
        "        object.__setattr__(self, 'scale', scale)\n"
        "    def generator(self, fake_logits):\n"
        "        print('my loss', self.scale)\n"
        "        return self.scale * super().generator(fake_logits)\n"
    )
    (tmp_path / "mine/loss/scaled.yaml").write_text("_target_: users_losses.Scaled\nscale: 2.0\n")
    (tmp_path / "mine/model/my_gan.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /loss: scaled\n  - override /regularizer: [r1]\nn_critic: 2\n"
        "architecture:\n  discriminator:\n    norm: layer\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = command(
        "train",
        *SMALL,
        "--config-dir",
        "mine",
        "model=my_gan",
        "run.name=one",
        "loss.scale=3",
        "allow_targets=[users_losses]",
    )
    assert outcome.status == 0, outcome.err
    assert set(outcome.out.splitlines()) in ({"my loss 3.0"}, {"my loss 3"})  # and before the run
    config = yaml.safe_load((tmp_path / "runs/one/config.yaml").read_text())
    assert config["n_critic"] == 2 and list(config["regularizer"]) == ["r1"]
    assert command("sample", "run=runs/one", "count=1", "device=cpu").status == 0


def test_settings_of_this_machine(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`conf/local/default.yaml` is not in git: it is used where there is one."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf, ignore=shutil.ignore_patterns("local"))
    monkeypatch.setattr("gan_lab.config.schema.CONF", conf)
    before = yaml.safe_load(command("train", "--cfg", "job").out)
    (conf / "local").mkdir()
    (conf / "local/default.yaml").write_text(
        "# @package _global_\nrun:\n  root: elsewhere\nhardware:\n  num_workers: 7\n"
    )
    after = yaml.safe_load(command("train", "--cfg", "job").out)
    assert (before["run"]["root"], after["run"]["root"], after["hardware"]["num_workers"]) == ("runs", "elsewhere", 7)


# -- completion -------------------------------------------------------------------------------------------------------


def query(command: Command, monkeypatch: pytest.MonkeyPatch, line: str, shell: str = "bash") -> list[str]:
    """What the shell is offered when TAB is pressed after `line`."""
    monkeypatch.setenv("COMP_LINE", line)
    outcome = command("-sc", f"query={shell}")
    assert outcome.status == 0, outcome.err
    return outcome.out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(command: Command, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    def ask(line: str) -> list[str]:
        return query(command, monkeypatch, line, shell)

    assert ask("gan-lab ") == list(COMMANDS)
    assert ask("gan-lab tr") == ["train", "translate"]
    assert ask("gan-lab trai") == ["train"]
    assert ask("gan-lab  train") == ["train"]
    assert ask("gan-lab train model=") == [f"model={file.stem}" for file in sorted(CONF.glob("model/*.yaml"))]
    assert ask("/some/where-else/gan-lab train model=dcgan n_cri") == ["n_critic="]
    assert "optimizer.generator.momentum=" in ask("gan-lab train model=gan optimizer.generator.m")
    assert ask("gan-lab sample wei") == ["weights="]
    assert ask("gan-lab unheard_of mod") == []


def test_fish_gets_one_choice_per_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in ("gan-lab ", "gan-lab train model="):
        monkeypatch.setenv("COMP_LINE", line)
        assert len(command("-sc", "query=fish").out.splitlines()) >= 4


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_completion_script_is_for_this_program(command: Command, shell: str) -> None:
    outcome = command("-sc", f"install={shell}")
    assert outcome.status == 0
    assert re.search(r"complete .*gan-lab", outcome.out)


@pytest.mark.skipif(shutil.which("bash") is None or PROGRAM is None, reason="needs bash and the installed program")
def test_completion_in_bash() -> None:
    """The script itself, called as bash calls it."""
    script = (
        'eval "$(gan-lab -sc install=bash)"\n'
        "press_tab() { COMP_LINE=$1; COMP_POINT=${#1}; COMP_CWORD=$2; COMPREPLY=(); "
        'hydra_bash_completion 2> /dev/null; echo "${COMPREPLY[@]}"; }\n'
        'complete -p gan-lab\npress_tab "gan-lab trai" 1\npress_tab "gan-lab train model=wgan_" 2\n'
    )
    path = f"{Path(PROGRAM or '').parent}{os.pathsep}{os.environ['PATH']}"
    out = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env={**os.environ, "PATH": path}, check=True
    )
    rule, commands, models = out.stdout.splitlines()
    assert "hydra_bash_completion gan-lab" in rule
    assert commands == "train"
    assert models.split() == ["model=wgan_div", "model=wgan_gp"]


def test_a_closed_pipe_is_not_an_error() -> None:
    """`gan-lab list | head -1`: no traceback when the pipe closes."""
    command = f"{sys.executable} -m gan_lab.cli.main list | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout == "algorithm=\n"
    assert done.stderr == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["list", "loss"], ["train", "--cfg", "job"]], ids=" ".join
)
def test_an_output_that_cannot_be_written(arguments: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "gan_lab.cli.main", *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered}, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert ended.returncode == 2
    assert re.fullmatch(
        r"gan-lab( \w+)?: The (standard|run folder or the) output cannot be written: No space left on device\.\n",
        ended.stderr,
    )


def test_an_error_of_a_connection_is_not_one_of_the_output(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(cfg: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr("gan_lab.commands.list.choices", refused)
    with pytest.raises(ConnectionRefusedError):
        command("list", "loss")
