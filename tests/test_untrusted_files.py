"""Files from elsewhere cannot run code: each attack would make a file, is refused in one sentence, and makes none."""

import ast
import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import gan_lab
from gan_lab.config.build import instantiate
from gan_lab.config.compose import compose
from gan_lab.config.exports import CARD, CARD_SHA256, _sha256_of, read_card, sha256
from gan_lab.config.fit import fit
from gan_lab.config.foreign import foreign_config, shipped_targets
from gan_lab.config.schema import CONF
from gan_lab.config.targets import ALLOWED, allowing, is_within
from gan_lab.errors import CheckpointError, ConfigError
from tests.conftest import TINY

SOURCES = sorted(Path(gan_lab.__file__).parent.rglob("*.py"))
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an honest checkpoint holds."""
    folder = tmp_path_factory.mktemp("honest") / "run"
    words = [word for word in TINY if "checkpoints" not in word]
    fit(compose(*words, "budget.images=8", "dataset.max_images=16", f"run.dir={folder}"))
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """The file that attacks would make; in the end it must not be there."""
    mark = tmp_path / "attacked"
    yield mark
    assert not mark.exists()


@pytest.fixture(params=["checkpoint", "export"])
def disguise(request: pytest.FixtureRequest, checkpoint: dict[str, Any], tmp_path: Path) -> Callable[[Any], Path]:
    """Puts a config into a file of each kind that can be given to run=, a checkpoint in the folder of a run."""

    def write(config: dict[str, Any]) -> Path:
        if request.param == "export":
            file = tmp_path / "gift.safetensors"
            state = {k: v for k, v in checkpoint["state_dict"].items() if k.startswith("generator_ema.")}
            tensors = {k.removeprefix("generator_ema."): v.contiguous() for k, v in state.items()}
            card = {"weights": "ema", "images_seen": 1, "state": {}, "config": config, "sha256": sha256(tensors)}
            text = json.dumps(card)
            save_file(tensors, file, {CARD: text, CARD_SHA256: _sha256_of(text)})
            return file
        file = tmp_path / "gift/checkpoints/last.ckpt"
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**checkpoint, "gan_lab": {"config": yaml.safe_dump(config)}}, file)
        return tmp_path / "gift"

    return write


def honest(checkpoint: dict[str, Any]) -> dict[str, Any]:
    return yaml.safe_load(checkpoint["gan_lab"]["config"])


def told(outcome: Any, pattern: str) -> None:
    """One sentence, no traceback, status 2."""
    assert outcome.status == 2, outcome
    assert "Traceback" not in outcome.err + outcome.out
    (sentence,) = [line for line in outcome.err.splitlines() if line.startswith("gan-lab ")]
    assert outcome.err.rstrip().endswith(sentence) and re.search(pattern, sentence), outcome.err


# -- configs inside files ---------------------------------------------------------------------------------------------

SHELL = "touch {mark}"
NODES: dict[str, dict[str, Any]] = {
    "system": {"_target_": "os.system", "command": SHELL},
    "posix": {"_target_": "posix.system", "command": SHELL},
    "subprocess": {"_target_": "subprocess.call", "_args_": [["touch", "{mark}"]]},
    "eval": {"_target_": "builtins.eval", "_args_": ["open('{mark}', 'w')"]},
    "open": {"_target_": "io.open", "file": "{mark}", "mode": "w"},
    "touch": {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": ["{mark}"]}]},
    "through a module of ours": {"_target_": "gan_lab.config.build.os.system", "command": SHELL},
    "partial": {"_target_": "functools.partial", "_args_": [{"_target_": "os.system", "_partial_": True}, SHELL]},
    "hydra": {"_target_": "hydra.utils.call", "config": {"_target_": "os.system", "command": SHELL}},
    "get_method": {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "our instantiate": {"_target_": "gan_lab.config.build.instantiate", "_recursive_": False, "key": "x",
                        "node": {"_target_": "os.system", "command": SHELL}},
    "our writer": {"_target_": "gan_lab.metrics.measuring.write_results", "path": "{mark}", "found": {}},
    "our private writer": {"_target_": "gan_lab.callbacks.checkpoints._same_file", "source": "/etc/hostname",
                           "target": "{mark}"},
    "torch.load": {"_target_": "torch.load", "f": "{pickle}", "weights_only": False},
    "torch.hub": {"_target_": "torch.hub.load", "repo_or_dir": "{folder}", "model": "x", "source": "local"},
    "Lightning": {"_target_": "lightning.pytorch.LightningModule.load_from_checkpoint", "checkpoint_path": "{pickle}"},
    "numpy": {"_target_": "numpy.load", "file": "{pickle}", "allow_pickle": True},
    "import": {"_target_": "evil.Network"},
    "import beside ours": {"_target_": "gan_lab_evil.Network"},
    "list as target": {"_target_": ["os.system"], "command": SHELL},
    "positional": {"_target_": "gan_lab.architectures.dcgan.DCGANGenerator", "_args_": [1]},
    "unresolved": {"_target_": "${oc.env:TARGET}", "command": SHELL},
}  # fmt: skip


def armed(node: Any, folder: Path) -> Any:
    """The node with the paths of this test; beside them, a module and a pickle that make the mark."""
    mark = folder / "attacked"
    for name in ("evil", "gan_lab_evil", "hubconf"):
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\nNetwork = x = dict\n")
    (folder / "evil.pickle").write_bytes(pickle.dumps(Bomb(mark)))
    text = json.dumps(node).replace("{mark}", str(mark)).replace("{pickle}", str(folder / "evil.pickle"))
    return json.loads(text.replace("{folder}", str(folder)))


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_the_attacks_would_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra alone builds what it is given: the module is imported, and the pickle runs."""
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
    config = {**honest(checkpoint), "allow_targets": ["os", "evil", "builtins", "gan_lab", "torch", "subprocess"]}
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
    """Every command that takes run= gives the one sentence; the data set is a door of its own."""
    config = honest(checkpoint)
    config["architecture"]["generator"] = armed(NODES["system"], tmp_path)
    gift = disguise(config)
    pattern = (
        r"gift.* asks for architecture\.generator\._target_=os\.system, which is no part of gan_lab\.architectures "
    )
    for words in ("sample", "interpolate", "export out=x.safetensors", "neighbours extractor=digits", "evaluate metrics=[swd_small]",
                  "truncation metrics=[swd_small]"):  # fmt: skip
        if words.startswith("export") and gift.suffix == ".safetensors":
            continue
        told(command(*words.split(), f"run={gift}", "device=cpu") if "export" not in words else command(*words.split(), f"run={gift}"), pattern)  # fmt: skip
    config = honest(checkpoint)
    config["dataset"]["reader"] = armed(NODES["system"], tmp_path)
    gift = disguise(config)
    pattern = r"The run asks for dataset\.reader\._target_=os\.system, which is no part of gan_lab\.data "
    assert command("sample", f"run={gift}", "count=1", "device=cpu").status == 0  # needs no data
    told(command("evaluate", "metrics=[swd_small]", f"run={gift}", "device=cpu"), pattern)


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


def test_the_word_of_the_user_is_not_in_files() -> None:
    assert "allow_targets" not in foreign_config({"allow_targets": ["os"], "a": 1}, "gift")


# -- pickles ----------------------------------------------------------------------------------------------------------


def test_pickles(command: Command, checkpoint: dict[str, Any], mark: Path, tmp_path: Path) -> None:
    """As a checkpoint that is sampled from, and as one that training goes on from."""
    torch.save({**checkpoint, "loops": Bomb(mark)}, tmp_path / "gift.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Bomb(mark)))
    small = [word for word in TINY if word != "logger=[]"]
    for name in ("gift.ckpt", "plain.ckpt"):
        told(command("sample", f"run={name}"), f"{name} cannot be read: ")
        told(command("train", *small, f"resume={name}", "run.name=one"), f"{name} cannot be read: ")


def test_settings_of_a_run_that_goes_on(command: Command, mark: Path, tmp_path: Path) -> None:
    """What a run folder says was typed for it is repeated, but neither flags nor what would let code run."""
    from gan_lab.cli.train import _with_settings_of_the_run

    (tmp_path / "gift/.hydra").mkdir(parents=True)
    loss = f"loss={{_target_:os.system,command:'touch {mark}'}}"
    evil = ["allow_targets=[os]", "+allow_targets=[os]", "--config-dir=x", "-cd=x", "hydra.searchpath=[x]", "hydra/launcher=joblib",
            "+hydra/callbacks=x", "++hydra.callbacks.x._target_=os.system", loss]  # fmt: skip
    (tmp_path / "gift/.hydra/overrides.yaml").write_text(yaml.safe_dump(["lr=0.5", *evil]))
    assert (
        _with_settings_of_the_run(["resume=gift"])[:2] == ["lr=0.5", loss]
        and len(_with_settings_of_the_run(["resume=gift"])) == 4
    )
    told(command("train", "resume=gift", "hardware=cpu"), "loss._target_=os.system is not allowed|loss")


# -- what a user allows -----------------------------------------------------------------------------------------------


def test_allowed_by_the_user(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator of one's own: trained, sampled, exported with allow_targets, and refused without."""
    (tmp_path / "my_networks.py").write_text(
        "from gan_lab.architectures.dcgan import DCGANGenerator\nclass Mine(DCGANGenerator):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    small = [word for word in TINY if word != "logger=[]" and "checkpoints" not in word]
    own = ("architecture.generator._target_=my_networks.Mine", "run.name=one", "dataset.max_images=16")
    refused = r"architecture.generator._target_=my_networks.Mine.* allow_targets=\[my_networks.Mine\]"
    told(command("train", *small, *own, "budget.images=8"), refused)
    assert command("train", *small, *own, "budget.images=8", "allow_targets=[my_networks]").status == 0
    for words in (("sample", "count=1", "device=cpu"), ("export",)):
        told(command(*words, "run=runs/one"), refused)
        assert command(*words, "run=runs/one", "allow_targets=[my_networks.Mine]").status == 0
    export = tmp_path / "runs/one/generator_ema.safetensors"
    with pytest.raises(CheckpointError, match=refused):
        gan_lab.load(export)
    assert gan_lab.load(export, allow_targets=["my_networks"]).sample(1).shape == (1, 1, 32, 32)


def test_allowed_for_the_time_of_the_block() -> None:
    node = {"_target_": "collections.OrderedDict"}
    with allowing(["collections"]):
        assert instantiate(node, "here") == {}
    with pytest.raises(ConfigError, match=r"here._target_=collections.OrderedDict is not allowed"):
        instantiate(node, "here")
    with allowing(["collection", "collections.Ordered"]), pytest.raises(ConfigError, match="not allowed"):
        instantiate(node, "here")


@pytest.mark.parametrize("name", NODES)
def test_configs_of_a_user_have_a_list_too(
    name: str, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside what is in gan_lab itself, which the user has installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    node = armed(NODES[name], tmp_path)
    if name in ("our writer", "positional", "unresolved"):
        return
    with pytest.raises(ConfigError):
        instantiate(node, "here")


# -- what there is ----------------------------------------------------------------------------------------------------


def test_every_target_of_our_configs_is_allowed() -> None:
    targets = shipped_targets()
    assert len(targets) > 100
    assert all(is_within(target, ALLOWED) for target in targets)
    words = {word for file in CONF.rglob("*.yaml") for word in re.findall(r"\b(_[a-z]+_):", file.read_text())}
    assert words == {"_target_", "_partial_"}


@cache
def all_calls() -> list[tuple[str, str, dict[str, str]]]:
    """Place, dotted name and keywords of every call in the sources."""
    return [
        (
            f"{file.name}:{node.lineno}",
            ast.unparse(node.func),
            {w.arg: ast.unparse(w.value) for w in node.keywords if w.arg},
        )
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
    ]


def calls(*names: str) -> dict[str, dict[str, str]]:
    """Place and keywords of every call whose dotted name ends so."""
    return {place: words for place, name, words in all_calls() if f".{name}".endswith(tuple(f".{n}" for n in names))}


def test_nothing_is_unpickled() -> None:
    """`torch.load` and the Trainer's `fit` with `weights_only`; no other door."""
    loads = calls("torch.load")
    assert len(loads) >= 4 and {words.get("weights_only") for words in loads.values()} == {"True"}, loads
    fits = [words for words in calls("fit").values() if "ckpt_path" in words]
    assert fits and {words.get("weights_only") for words in fits} <= {"True", "None if start is None else True"}
    assert not [place for place, words in calls("load").items() if "allow_pickle" in words]
    doors = ("pickle.load", "pickle.loads", "Unpickler", "joblib.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
             "hub.load", "load_from_checkpoint", "jit.load")  # fmt: skip
    assert not calls(*doors)
    assert not [place for place, name, _ in all_calls() if name in ("eval", "exec", "compile", "__import__")]


def test_hydra_builds_in_one_place() -> None:
    def files(*names: str) -> set[str]:
        return {place.partition(":")[0] for place in calls(*names)}

    assert files("utils.instantiate") == {"build.py"}
    assert files("get_method", "get_class", "get_object", "resolve_name") == {"targets.py"}
    assert files("import_module") <= {"targets.py", "main.py", "__init__.py"}


def test_cards_are_read_without_the_tensors_being_trusted(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="has no card: it was not written by gan-lab export"):
        read_card(tmp_path / "x.safetensors")
