"""The commands as functions: all of them are there, return the printed data, and raise the command's errors."""

import inspect
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

import gan_lab
from gan_lab.cli.main import COMMANDS
from gan_lab.config.compose import override
from gan_lab.config.schema import SCHEMAS
from gan_lab.errors import ConfigError, UserError
from tests.conftest import SMALL
from tests.helpers.published_files import stylegan2_snapshot, write_pickle
from tests.helpers.translators import write_translator
from tests.published.test_stylegan2 import networks

Command = Callable[..., Any]

SMALL_SAMPLE = {"device": "cpu", "evaluation.samples": 20, "evaluation.real_images": 30}
SPACE = {
    "+extractor._target_": "tests.helpers.pixel_features.pixel_features",
    "allow_targets": ["tests.helpers.pixel_features"],
}
QUICK = {"architecture.generator.width": 8, "architecture.discriminator.width": 8, "bench.rounds": 0, "hardware": "cpu"}

CALLS: dict[str, dict[str, Any]] = {
    "sample": {"count": 4, "device": "cpu", "files": True},
    "interpolate": {"count": 4, "seconds": 0.5, "device": "cpu"},
    "translate": {"source": "it's [mine].png", "out": "here/made", "device": "cpu"},
    "export": {"out": "here/it's [mine].safetensors"},
    "push": {"repo": "me/digits", "dry_run": True},
    "import": {"out": "here/it's [mine].safetensors"},
    "evaluate": {"metrics": ["ms_ssim", "swd_small"], **SMALL_SAMPLE},
    "memorization": {"samples": 20, "count": 3, "nearest": 2, "device": "cpu", **SPACE},
    "duplicates": {"dataset": "digits", "dataset.max_images": 30, "epochs": 1, "device": "cpu"},
    "prepare": {"dataset": "digits", "dataset.max_images": 10, "resolutions": [4, 8]},
    "probe": {"labels_per_class": None, "validation": 10, "test": 10, "costs": [0.01], "device": "cpu"},
    "visualize": {"images": 20, "count": 2, "device": "cpu"},
    "forget": {
        "concept.rectangle": [0, 0, 0.5, 0.5],
        "samples": 8,
        "held_out": 3,
        "test_samples": 4,
        "drop": [2],
        "device": "cpu",
    },
    "directions": {"samples": 50, "directions": 2, "count": 2, "distances": [-1, 1], "device": "cpu"},
    "invert": {"count": 2, "steps": 2, "starts": 1, "device": "cpu"},
    "arithmetic": {"a": [0], "b": [1], "c": [2], "device": "cpu"},
    "explore": {"minutes": 0, "port": 0, "method": "sefa", "device": "cpu"},
    "report": {},
    "compare": {"show": ["train/*/adversarial"]},
    "bench": QUICK,
    "list": {"what": "loss"},
    "new": {"kind": "loss", "name": "mine", "package": "here"},
    "runs": {},
}
"""Overrides that make each command quick; a run, the folder of runs or a file comes first."""

TAKES_A_RUN = (
    "sample", "interpolate", "translate", "export", "push", "import", "evaluate", "memorization", "probe", "visualize",
    "forget", "directions", "invert", "arithmetic", "explore", "report", "compare", "runs",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "one"
    arguments = [*SMALL, "dataset.max_images=60", "logger=[csv]", f"run.dir={folder}", "latent.distribution=normal"]
    gan_lab.fit(gan_lab.compose(*arguments))
    return folder


def timeless(text: str) -> str:
    """Without seconds, the age of runs, and the numbers of repeated outputs."""
    return re.sub(r"Seconds: .*|\b[\d:]+ (s|min)\b|(?<=seed_0)-\d", "", text).strip()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_every_command_is_a_function_of_the_same_arguments(
    name: str, trained: Path, tmp_path: Path, command: Command
) -> None:
    sys.path[:] = [place for place in sys.path if not (Path(place) / "here").is_dir()]  # of other tests
    sys.modules.pop("here", None)
    run = Path(shutil.copytree(trained, tmp_path / "runs/a=b"))
    settings = CALLS[name]
    weights = write_pickle(tmp_path / "published.pkl", stylegan2_snapshot(*networks()))
    if name == "translate":
        run = write_translator(tmp_path / "runs/a=b.safetensors")
        Image.new("RGB", (40, 30)).save(str(settings["source"]))
    places = {"compare": f"runs='{run.parent}'", "runs": f"root='{run.parent}'", "import": f"source='{weights}'"}
    place = places.get(name, f"run='{run}'")
    arguments = [place] * (name in TAKES_A_RUN) + [override(key, value) for key, value in settings.items()]
    outcome = command(name, *arguments)
    assert outcome.status == 0, outcome.err
    function = getattr(gan_lab, COMMANDS[name].python or name)
    folders = {"compare": run.parent, "runs": run.parent, "import": weights}
    first = [folders.get(name, str(run))] * (name in TAKES_A_RUN)
    shutil.rmtree("here", ignore_errors=True)  # files that exist are not replaced
    found = function(*first, **settings)
    assert not isinstance(found, str) and timeless(str(found)) == timeless(outcome.out)
    shutil.rmtree("here", ignore_errors=True)
    assert timeless(str(function(*arguments))) == timeless(outcome.out)


def test_a_group_needs_no_key() -> None:
    assert str(gan_lab.list_choices("loss")) == str(gan_lab.list_choices(what="loss"))


def test_every_command_has_its_function() -> None:
    assert set(CALLS) == set(COMMANDS) - {"train"}
    for name, each in COMMANDS.items():
        function = getattr(gan_lab, each.python or name)
        assert (each.python or name) in gan_lab.__all__ and inspect.getdoc(function)


def test_every_name_of_the_facade_is_there() -> None:
    assert set(gan_lab.__all__) <= set(dir(gan_lab))
    assert all(getattr(gan_lab, name) is not None for name in gan_lab.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        gan_lab.nothing  # noqa: B018


def test_data_of_commands(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(trained, tmp_path / "runs/one")
    files = gan_lab.sample(run, count=3, seed=5, device="cpu", out=Path("a 'b' [c], ${d}".replace("${d}", "\\")))
    assert torch.equal(files.samples, gan_lab.load(run, device="cpu").sample(3, seed=5)) and files.grid.is_file()
    found = gan_lab.evaluate(run, "metrics=[ms_ssim]", seed=3, **SMALL_SAMPLE)
    assert found.records["ms_ssim_20"].protocol.seed == 3 and 0 <= found.records["ms_ssim_20"].value <= 1
    assert found.folder == run and set(found.seconds) >= {"samples", "ms_ssim"}
    (listed,) = gan_lab.list_runs()
    assert listed.path == Path("runs/one") and listed.state == "finished"
    assert "non_saturating" in gan_lab.list_choices(what="loss").groups["loss"]
    comparison = gan_lab.compare("runs", show=["train/*/adversarial"]).comparison
    assert [group.name for group in comparison.groups] == ["one"]


def test_an_empty_list_of_runs_is_not_the_default() -> None:
    with pytest.raises(ConfigError, match=r"runs=\[\] is not allowed: it must be a folder or a list of folders\.$"):
        gan_lab.compare([])


VALUES = (
    None, True, False, 3, -1, 0.5, 1e-30, 1e30, "", "x", "a b", "it's", 'a "x"', "a,b=[c]{d}:e", "\\", "a\\'",
    "\\\\", "null",
    "true", "3", "1e-4", "ä ☃", "a\nb", [], [1, "a,b", None, [True]], {"a": 1, "b": {"c": "d,e"}}, [{"a": [0.5]}],
)  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_reach_the_config_as_they_are(value: Any) -> None:
    parsed = OverridesParser.create().parse_override(override("key", value)).value()
    assert plain(parsed) == value and type(plain(parsed)) is type(value)


def plain(value: Any) -> Any:
    """Without the quotes that Hydra's parser keeps."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return getattr(value, "text", value)


def test_paths_numbers_and_what_cannot_be_written() -> None:
    import numpy as np

    assert override("a", Path("x y")) == "a='x y'" and override("a", (1, 2)) == "a=[1,2]"
    assert override("a", np.int64(3)) == "a=3" and override("a", np.float32(0.5)) == "a=0.5"
    with pytest.raises(
        ConfigError, match=r"^a is a Tensor: give None, a truth value, a number, text, a list or a mapping\.$"
    ):
        override("a", torch.zeros(2))


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "metrics=[]"),
        ("evaluate", "metrics=[nothing]"),
        ("evaluate", "metrics=[ms_ssim]", "seedd=3"),
        ("evaluate", "metrics=[ms_ssim]", "seed=many"),
        ("evaluate", "metrics=[ms_ssim]", "evaluation.samples=0"),
        ("evaluate", "metrics=[ms_ssim]", "run=nowhere"),
        ("evaluate", "metrics=[ms_ssim"),
        ("sample", "count=0"),
        ("duplicates", "method=x"),
        ("prepare", "dataset=nothing"),
        ("prepare", "dataset=image_folder"),
        ("report", "run=nowhere"),
        ("compare", "runs=nowhere"),
        ("list", "what=nothing"),
        ("bench", "model=nothing"),
    ],
    ids=" ".join,
)
def test_mistakes_are_the_commands_sentences(arguments: tuple[str, ...], command: Command) -> None:
    name, *overrides = arguments
    outcome = command(name, *overrides)
    assert outcome.status == 2
    with pytest.raises(UserError) as error:
        getattr(gan_lab, COMMANDS[name].python or name)(*overrides)
    assert outcome.err.strip().splitlines()[-1] == f"gan-lab {name}: {error.value}"


def test_mistakes_of_a_training() -> None:
    with pytest.raises(ConfigError, match="lrr is not a key of this config: did you mean lr"):
        gan_lab.compose("lrr=1")
    with pytest.raises(UserError, match=r"dataset\.source has no value yet"):
        gan_lab.fit(gan_lab.compose(*SMALL, dataset="image_folder"))


@pytest.mark.parametrize("given", [None, {"model": "dcgan"}])
def test_what_is_not_a_config_or_an_override(given: object) -> None:
    kind = type(given).__name__
    with pytest.raises(ConfigError, match=f"gan_lab.fit takes a config of gan_lab.compose, not a {kind}"):
        gan_lab.fit(given)
    with pytest.raises(ConfigError, match=f"gan_lab.compose takes overrides as texts, .* not a {kind}"):
        gan_lab.compose(given)


@pytest.mark.parametrize("fails", [False, True], ids=["done", "error"])
def test_a_training_leaves_the_state_of_the_process(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random numbers of a notebook do not repeat; its settings of torch neither change nor reach the training."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    if fails:  # after the networks have been made
        monkeypatch.setattr("gan_lab.config.build.build_trainer", refuse)
    cfg = gan_lab.compose(*SMALL, "dataset.max_images=16", **{"run.dir": tmp_path / "run"})
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(cfg.seed + 1)
    before = random_states()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), pytest.raises(UserError) if fails else nullcontext():
            assert next(gan_lab.fit(cfg).module.parameters()).dtype == torch.float32
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert random_states() == before and "PL_GLOBAL_SEED" not in os.environ


def refuse(cfg: object) -> None:
    raise ConfigError("no trainer")


def random_states() -> tuple[object, ...]:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


# -- Hydra's own way


def python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hydra_composes_every_command_alone(tmp_path: Path) -> None:
    """In a fresh process that has asked gan_lab for nothing but its folder."""
    code = f"""
import gan_lab
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
with initialize_config_dir(gan_lab.config_dir(), version_base="1.3"):
    for command in {list(SCHEMAS)}:
        cfg = compose(command, overrides=["dataset=digits"] if command == "prepare" else [])
        OmegaConf.to_container(cfg, resolve=True)
        print(command)
"""
    assert python(code, tmp_path).split() == list(SCHEMAS)


def test_a_config_that_hydra_composed_trains(tmp_path: Path) -> None:
    """Into one folder, which the config names."""
    code = f"""
from hydra import compose, initialize_config_dir
import gan_lab
with initialize_config_dir(gan_lab.config_dir(), version_base="1.3"):
    cfg = compose("train", overrides={[*SMALL, "dataset.max_images=16", "logger=[csv]"]})
experiment = gan_lab.fit(cfg)
print(experiment.module.images_seen, experiment.config.run.dir == cfg.run.dir, experiment.config.run.dir)
"""
    seen, same, folder = python(code, tmp_path).split()
    assert (seen, same) == ("32", "True") and (tmp_path / folder / "checkpoints/last.ckpt").is_file()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [Path(folder).name]


def test_a_composed_config_has_the_names_of_the_command_line() -> None:
    first, second = gan_lab.compose(), gan_lab.compose(dataset="ring", architecture="mlp", lr=1e-3)
    assert re.fullmatch(r"digits-r1_gan-\d{8}-\d{6}-\w{6}", first.run.name)
    assert first.run.dir == f"runs/{first.run.name}"
    assert second.run.name.startswith("ring-r1_gan-") and second.lr == 1e-3
    assert gan_lab.compose(command="prepare", dataset="digits").out == "prepared/digits"


def test_compose_works_inside_hydras_own_block() -> None:
    """And leaves it as it was."""
    with initialize_config_dir(gan_lab.config_dir(), version_base="1.3"):
        assert gan_lab.compose("model=gan").batch_size == gan_lab.compose("model=gan").batch_size
        assert hydra_compose("train", overrides=["model=gan"]).n_critic == 1
