"""New runs that start with the weights of another one: `initialize=`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import gan_lab
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.training.fit import fit
from gan_lab.training.initializing import Initialization, WeightFile
from tests.conftest import TINY
from tests.helpers.equality import plain, unequal

QUICK = tuple(override for override in TINY if "checkpoints" not in override)
STYLES = (
    "model=stylegan2",
    "dataset.resolution=8",
    "latent.dim=8",
    "architecture.generator.width=4",
    "architecture.generator.mapping_layers=2",
    "averaging.rampup=null",
)
POINTS = ("model=gan", "dataset=ring", "width=4")


def overrides(*more: str) -> tuple[str, ...]:
    return (*QUICK[1:3], *QUICK[3:], *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `old` of a run of StyleGAN2 with 32 images of 8 pixels, and its export."""
    folder = tmp_path_factory.mktemp("trained")
    fit(compose(*overrides(*STYLES, "budget.images=32", f"run.dir={folder / 'old'}")))
    gan_lab.export(run=folder / "old", out=folder / "old.safetensors")
    return folder


def module_of(*more: str) -> AdversarialModule:
    return build(compose(*overrides(*STYLES, *more))).module


def initialized(path: Path, module: AdversarialModule) -> tuple[Initialization, dict[str, Tensor]]:
    """What was taken, and the new state of the algorithm."""
    source = WeightFile.read(path)
    source.load_into(module)
    return source.compare(module), tensors_of(module.state_dict())


def tensors_of(state: dict) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def stored(run: Path) -> dict[str, Tensor]:
    return tensors_of(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"])


def networks_in(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(("penalties.", "augment."))}


def test_every_network_takes_its_own_weights(trained: Path) -> None:
    module = module_of("seed=1")
    found, state = initialized(trained / "old", module)
    old = stored(trained / "old")
    assert not list(unequal(networks_in(state), networks_in(old)))
    assert state["penalties.generator/path_length.mean"] == 0 != old["penalties.generator/path_length.mean"]
    assert [each.network for each in found.networks] == ["generator", "discriminator", "averaged.generator"]
    assert all(each.fraction == 1 and not each.missing and not each.unused for each in found.networks)
    assert (module.images_seen, module.batches_seen) == (0, 0)
    weight = "blocks.0.convs.0.conv.conv.parametrizations.weight.original"
    assert not torch.equal(state[f"generator.{weight}"], state[f"averaged.generator.{weight}"])


def test_an_export_initializes_the_generator_and_its_average(trained: Path) -> None:
    module = module_of("seed=1")
    before = {key: value.clone() for key, value in tensors_of(module.state_dict()).items()}
    found, state = initialized(trained / "old.safetensors", module)
    old = {key: value for key, value in stored(trained / "old").items() if key.startswith("averaged.generator")}
    for key, value in old.items():
        assert torch.equal(state[key], value) and torch.equal(state[key.removeprefix("averaged.")], value)
    assert all(torch.equal(state[key], before[key]) for key in state if key.startswith("discriminator"))
    assert [each.source for each in found.networks] == ["averaged.generator", "", "averaged.generator"]
    assert "discriminator: nothing, since the file has no such network" in str(found.networks[1])


@pytest.mark.parametrize("model", ["stylegan2", "pggan"])
def test_another_resolution_takes_the_layers_of_the_shared_ones(model: str, tmp_path: Path) -> None:
    """The layer that reads images of 8 pixels has no place in networks of 16, whose layer of this shape reads 16."""
    options = (f"model={model}", "width=4", "latent.dim=8", "seed=3", f"run.dir={tmp_path / 'old'}")
    if model == "pggan":
        options = (*options, "growth=none")
    fit(compose(*overrides(*options, "dataset.resolution=8", "budget.images=8")))
    module = build(compose(*overrides(*options, "dataset.resolution=16"))).module
    found, state = initialized(tmp_path / "old", module)
    old = stored(tmp_path / "old")
    for each in found.networks:
        network, last = each.network, {"stylegan2": "2", "pggan": "2"}[model]
        reads = {"stylegan2": "from_image.16", "pggan": "from_image.2"}[model]
        of_last = (f"blocks.{last}", f"to_image.{last}") if "generator" in network else ("blocks.1", reads)
        assert each.missing and all(key.startswith(of_last) for key in each.missing), network
        assert not each.other_shape and all(key.startswith("from_image.8") for key in each.unused)
        assert each.taken and all(torch.equal(state[f"{network}.{key}"], old[f"{network}.{key}"]) for key in each.taken)
        assert str(each).startswith(f"{network}: {len(each.taken)} of {len(each.taken) + len(each.missing)} tensors, ")


def test_labels_take_what_fits(trained: Path) -> None:
    """StyleGAN2's first layer is wider with labels; networks inside of wrappers have the same names."""
    mapped = module_of("conditioning=mapping")
    found, _ = initialized(trained / "old", mapped)
    generator = found.networks[0]
    weight = "parametrizations.weight.original"
    assert generator.other_shape == {f"styles.network.layers.0.{weight}": ("8 x 16", "8 x 8")}
    assert all(name.startswith("styles.network.embedding") for name in generator.missing)
    assert f"styles.network.layers.1.{weight}" in generator.taken
    wrapped = module_of("conditioning=concat")
    found, state = initialized(trained / "old", wrapped)
    taken = found.networks[0].taken
    assert f"network.blocks.0.to_image.conv.{weight}" in taken and not found.networks[0].missing
    old = stored(trained / "old")
    assert all(
        torch.equal(state[f"generator.{key}"], old[f"generator.{key.removeprefix('network.')}"]) for key in taken
    )


@pytest.fixture
def copied(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str, *more: str) -> tuple[str, ...]:
    return overrides(*STYLES, "conditioning=mapping", f"run.dir={name}", *more)


def test_a_run_reports_what_it_took(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        fit(compose(*run("new", "initialize=old", "budget.images=8")))
    file = "old/checkpoints/images_0000000032.ckpt"
    assert f"Initialized from {file}, after 32 images; all names are in new/initialize.json:" in caplog.text
    assert "- generator: 31 of 34 tensors, " in caplog.text
    assert "such as styles.network.layers.0.weight: 8 x 16, in the file 8 x 8; 2 not in the file" in caplog.text
    recorded = json.loads(Path("new/initialize.json").read_text())
    assert recorded["file"] == file and recorded["images_seen"] == 32
    assert [each["network"] for each in recorded["networks"]] == ["generator", "discriminator", "averaged.generator"]
    page = Path("new/report.html").read_text()
    assert f"Initialized from {recorded['summary']}" in page and "after 32 images: generator " in page


def test_little_in_common_is_a_warning(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit(compose(*run("new", "initialize=old", "architecture.generator.width=16", "budget.images=8")))
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(message.startswith("- generator: ") and " of another shape" in message for message in messages)


def test_frozen_layers_with_random_weights_are_a_warning(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    frozen = overrides(*STYLES, "freeze_discriminator=2", "budget.images=8")
    for name, given in (("none", ()), ("generator", ("initialize=old.safetensors",)), ("both", ("initialize=old",))):
        fit(compose(*frozen, *given, f"run.dir={name}"))
    messages = [record.getMessage() for record in caplog.records if "at their random values" in record.getMessage()]
    assert len(messages) == 2 and messages[0] == messages[1]
    assert messages[0].startswith("freeze_discriminator=2 leaves 4 tensors at their random values, such as discriminat")


def test_resuming_does_not_initialize_again(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is interrupted ends like another one; the file is not needed any more, and stays in the config."""
    complete = fit(compose(*run("complete", "initialize=old", "budget.images=32"))).module
    fit(compose(*run("parts", "initialize=old", "budget.images=16")))
    shutil.rmtree("old")
    record = Path("parts/initialize.json").read_text()
    parts = fit(compose(*run("parts", "initialize=old", "budget.images=32"))).module
    assert not list(unequal(plain(parts.state_dict()), plain(complete.state_dict())))
    assert Path("parts/initialize.json").read_text() == record
    with pytest.raises(ConfigError, match=r"was trained with initialize=old \(now old.safetensors\): restore"):
        fit(compose(*run("parts", "initialize=old.safetensors", "budget.images=40")))


def test_the_command_line(copied: Path, command: Callable) -> None:
    """`command` works in the same folder. A refused run leaves none; a sweep may start from several files."""
    missing = command("train", *run("new", "initialize=oldd"))
    assert (
        missing.status == 2
        and "initialize=oldd does not exist: give a run folder, a checkpoint or an export." in missing.err
    )
    assert not Path("new").exists()
    options = [option for option in run("new", "budget.images=8") if not option.startswith("run.dir")]
    sweep = command("train", "-m", *options, "initialize=old,old.safetensors", "hydra.sweep.dir=sweep")
    assert sweep.status == 0, sweep.err
    files = [json.loads(Path(f"sweep/{trial}/initialize.json").read_text())["file"] for trial in (0, 1)]
    assert files == ["old/checkpoints/images_0000000032.ckpt", "old.safetensors"]
    shutil.rmtree("old")
    resumed = command("train", "resume=sweep/0", "budget.images=16")
    assert resumed.status == 0 and "Initialized" not in resumed.out + resumed.err
    both = command("train", "resume=sweep/0", "initialize=old.safetensors")
    assert both.status == 2 and "initialize= starts a new run, and resume=sweep/0 continues one" in both.err


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("points", "initialize=points/checkpoints/images_0000000008.ckpt has nothing in common with the networks"),
        ("text.safetensors", "cannot be read: it is truncated, damaged, or not a .safetensors file"),
        ("text.pkl", "neither a run folder nor a file that ends with .ckpt or .safetensors: give one, or convert publ"),
        ("text.ckpt", "text.ckpt cannot be read: it is incomplete, damaged, or not a checkpoint"),
        ("empty", "empty is not a run folder with a checkpoint"),
        ("sweep", "initialize=sweep is the folder of a sweep: give one of its runs, as in sweep/0"),
        ("broken.ckpt", "values in generator.blocks.0.bias that are not finite: give a checkpoint from before"),
    ],
)
def test_what_cannot_initialize_a_run(path: str, message: str, copied: Path) -> None:
    if path == "points":
        fit(compose(*overrides(*POINTS, "budget.images=8", "run.dir=points")))
    for name in ("text.safetensors", "text.pkl", "text.ckpt"):
        Path(name).write_text("text")
    for name in ("empty", "sweep"):
        Path(name).mkdir()
    Path("sweep/multirun.yaml").touch()
    checkpoint = torch.load("old/checkpoints/last.ckpt", weights_only=True)
    checkpoint["state_dict"]["generator.blocks.0.bias"][0] = torch.nan
    torch.save(checkpoint, "broken.ckpt")
    with pytest.raises((CheckpointError, ConfigError), match=message.replace("(", r"\(")):
        fit(compose(*run("new", f"initialize={path}", "budget.images=8")))
    assert not Path("new/config.yaml").exists()
