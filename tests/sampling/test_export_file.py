"""`gan-lab export`: a file that gives the checkpoint's samples, for every model, and detects damage."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import gan_lab
from gan_lab.cli.main import main
from gan_lab.commands.export import export
from gan_lab.config.build import build_network
from gan_lab.errors import CheckpointError, UserError
from gan_lab.gans.catalog import CATALOG
from gan_lab.sampling.card import shared_command
from gan_lab.sampling.export_file import CARD, CARD_SHA256, read_card, sha256, write_export
from gan_lab.sampling.stored import read_stored
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.gans.test_every_model import CHECKPOINTS, smallest_resolution
from tests.helpers.generators import write_generator
from tests.helpers.model_data import small_data
from tests.helpers.translators import write_translator

Command = Callable[..., Any]


def exported(run: Path, weights: str = "ema", out: Path | None = None) -> Path:
    """The file that the command would write."""
    given = {"run": str(run), "weights": weights, "out": None if out is None else str(out), "license": None}
    given |= {"format": "safetensors", "space": None}
    return export(OmegaConf.create(given)).file


def same_samples(checkpoint: Path, file: Path, weights: str = "ema") -> None:
    a, b = (gan_lab.load(path, weights, "cpu") for path in (checkpoint, file))
    source_channels = a.config.architecture.generator.get("source_channels")
    sources = None if source_channels is None else torch.rand(5, source_channels, 32, 32)
    assert torch.equal(a.sample(5, seed=3, condition=sources), b.sample(5, seed=3, condition=sources))
    assert (a.images_seen, a.latent, a.condition) == (b.images_seen, b.latent, b.condition)
    assert a.generator.state_dict().keys() == b.generator.state_dict().keys()


QUICK = ("dcgan", "sagan", "pggan", "msg_gan", "biggan", "cgan", "improved_gan", "d2gan")
"""Models that differ in the exported state: extra states, labels, norms, embeddings. Others are marked slow."""


@pytest.mark.parametrize(
    "model",
    [pytest.param(e.name, marks=[] if e.name in QUICK else [pytest.mark.slow]) for e in CATALOG],
)
def test_every_model(model: str, tiny: Callable, tmp_path: Path) -> None:
    """Both generators, after some steps: an export draws the checkpoint's samples, bit for bit, and knows no path."""
    resolution, short = (
        smallest_resolution(model),
        ("budget.images=16", "n_critic=1", "generator_batches=1", "averaging.start_images=0"),
    )
    data = (*small_data(model), f"dataset.resolution={resolution}", "dataset.max_images=16")
    cfg = fit(tiny(f"model={model}", *data, *short, *CHECKPOINTS)).config
    run, hashes = tmp_path / "run", set()
    for weights in ("ema", "raw"):
        file = exported(run, weights, tmp_path / "given away" / f"{weights}.safetensors")
        same_samples(run, file, weights)
        card, _ = read_card(file)
        hashes.add(card["sha256"])
        assert card["sample"] == {"kind": "image", "channels": 1, "resolution": resolution, "range": [-1, 1]}
        assert str(tmp_path).encode() not in file.read_bytes()
        assert json.loads(file.with_suffix(".json").read_text()) == card
    assert len(hashes) == (2 if cfg.averaging.half_life_images else 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks in the middle of a fade, with a stage that is not a tensor, spectral norm and labels."""
    folder = tmp_path_factory.mktemp("trained")
    overrides = [override for override in TINY if "checkpoints" not in override]
    growing = ("model=pggan", "growth=even", "dataset.resolution=16", "conditioning=concat")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["gan-lab", "train", *overrides, *growing, "wrapper/generator=[spectral_norm]",
                                   "budget.images=64", "callbacks.budget.images=24", "run.name=one"])  # fmt: skip
        main()
    return folder / "runs/one"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs/one"))


@pytest.fixture(scope="module")
def gift(trained: Path) -> Path:
    return exported(trained, out=trained.parent / "gift.safetensors")


@pytest.fixture
def file(gift: Path, tmp_path: Path) -> Path:
    """A copy of an export, in the place where the command puts it."""
    copy = tmp_path / "runs/one" / gift.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(gift, copy))


def test_buffers_and_labels(run: Path, file: Path) -> None:
    """The stage of a growing network, u and v of spectral norms, labels."""
    card, tensors = read_card(file)
    (stage,) = (value.tolist() for name, value in tensors.items() if name.endswith("_extra_state"))
    assert card["state"] == {} and stage[0] in (8, 16) and 0 < stage[1] < 1
    assert any(name.endswith(".1.u") for name in tensors) and any(name.endswith(".1.v") for name in tensors)
    assert card["config"]["conditioning"]["num_classes"] == 10
    same_samples(run, file)
    loaded = gan_lab.load(file, device="cpu")
    assert torch.equal(
        loaded.sample(3, condition=[1, 2, 3]), gan_lab.load(run, device="cpu").sample(3, condition=[1, 2, 3])
    )


def test_card(run: Path) -> None:
    (run / "results.json").write_text(
        json.dumps(
            {
                "eval/x": {"value": 1.5, "images_seen": 24, "weights": "ema"},
                "eval/y": {"value": 2.5, "images_seen": 16, "weights": "ema"},
                "eval/raw/x": {"value": 3.5, "images_seen": 24, "weights": "raw"},
            }
        )
    )
    card, _ = read_card(exported(run))
    assert card["model"] == "pggan" and card["paper"].startswith("ProGAN, Karras et al. (2018), https://")
    assert card["dataset"] == "digits" and card["images_seen"] == 24
    assert card["command"].startswith("gan-lab train model=dcgan") and "run.name" not in card["command"]
    assert [record["value"] for record in card["measured"].values()] == [1.5]
    assert card["versions"] == {"gan_lab": gan_lab.__version__, "torch": torch.__version__}
    assert set(card["config"]) == {"architecture", "wrapper", "latent", "conditioning", "data_content"}
    (run / "results.json").write_text("[")
    assert read_card(exported(run))[0]["measured"] == {}


def test_folder_for_the_hub(run: Path, tmp_path: Path) -> None:
    """Its files are readable by all, the page is about this run, and an export of the folder has the same tensors."""
    (run / "results.json").write_text(
        json.dumps({"eval/x": {"value": 1.5, "images_seen": 24, "weights": "ema", "samples": 77, "ideal_value": 0}})
    )
    umask = os.umask(0o022)
    try:
        found = gan_lab.export(run, out=tmp_path / "mine", license="mit")
    finally:
        os.umask(umask)
    files = {path.name: path for path in (tmp_path / "mine").iterdir()}
    assert files.keys() == {"model.safetensors", "config.json", "README.md", "samples.png"}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o644}
    config = json.loads(files["config.json"].read_text())
    assert config.pop("library_name") == "gan_lab" and config == found.card == read_card(found.file)[0]
    _, metadata, page = files["README.md"].read_text().split("---\n", 2)
    described = yaml.safe_load(metadata)
    assert described["library_name"] == "gan_lab" and described["license"] == "mit" and "pggan" in described["tags"]
    assert described["pipeline_tag"] == "unconditional-image-generation"
    for text in (
        "# ProGAN on digits", "![Samples](samples.png)", "| Images | 1,797 |", "| `eval/x` | 1.5 | 0 | ", "samples 77",
        "gan-lab train model=dcgan", "gan-lab sample run=model.safetensors", "The weights: mit.", "16 x 16 pixels",
        "With the Python package `gan-lab-lightning`:",
    ):  # fmt: skip
        assert text in page, (text, page)
    assert str(tmp_path) not in "".join(path.read_text() for path in (files["README.md"], files["config.json"]))
    same_samples(run, tmp_path / "mine")
    again = gan_lab.export(tmp_path / "mine", out=tmp_path / "again.safetensors")
    assert again.card == found.card


def test_the_sheet_has_as_many_samples_of_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "gan_lab.commands.export.draw_by_class", lambda *shown: drawn.append(shown) or Image.new("L", (8, 8))
    )
    file = write_generator(tmp_path / "cgan.safetensors", "model=cgan", "architecture=dcgan", "dataset.resolution=8")
    gan_lab.export(file, out=tmp_path / "mine")
    ((samples, labels, _),) = drawn
    assert labels == [label for label in range(10) for _ in range(6)] and len(samples) == 60


def test_paths_in_a_command_are_left_out() -> None:
    given = ["model=gan", "dataset.source=/home/me/photos", "run.dir=/x/y", "+a.b=['/a/b','~/c/d']", "lr=1e-3", "e=a/b"]
    assert shared_command(given) == """gan-lab train model=gan dataset.source=photos "+a.b=['b','d']" lr=1e-3 e=a/b"""


@pytest.mark.parametrize(
    ("override", "shared"),
    [
        ("dataset.source=secret_client/photos", "dataset.source=photos"),
        ("dataset.source='/home/a, b/photos'", "dataset.source=photos"),
        ("dataset.source=../../home/alice/photos.zip", "dataset.source=photos.zip"),
        ("+dataset.test.source=a/b", "+dataset.test.source=b"),
        ("initialize=private/run/last.ckpt", "initialize=last.ckpt"),
        ("lr=../x/y", "lr=y"),
        ("dataset.source=ylecun/mnist", "dataset.source=ylecun/mnist"),
        ("experiment=ring/gan", "experiment=ring/gan"),
    ],
)
def test_folders_of_every_kind_of_path(override: str, shared: str) -> None:
    """Also of relative paths, which have the form of a name on the hub; that name stays."""
    command = shared_command([override], hub="ylecun/mnist")
    assert command.removeprefix("gan-lab train ").replace("'", "") == shared


def test_tensors_of_all_kinds(tmp_path: Path) -> None:
    """Tensors with common memory, strided, in another memory format, 0-dimensional, empty, bool, integer, half."""
    weight = torch.randn(4, 6)
    state = {
        "a": weight, "shared": weight, "part": weight[1:3, ::2], "transposed": weight.t(),
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last), "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 2), "bool": torch.tensor([True, False]), "half": torch.randn(3).bfloat16(),
        "grad": nn.Parameter(torch.randn(2)), "extra": {"alpha": 0.1 + 0.2, "size": 8},
    }  # fmt: skip
    write_export(tmp_path / "x.safetensors", state, {"weights": "ema"})
    card, tensors = read_card(tmp_path / "x.safetensors")
    assert card["state"] == {"extra": state.pop("extra")} and tensors.keys() == state.keys()
    for name, value in state.items():
        assert tensors[name].dtype == value.dtype and torch.equal(tensors[name], value), name
    assert card["sha256"] == sha256({name: value.detach() for name, value in state.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]  # nothing half-written


def test_other_libraries_read_it(file: Path) -> None:
    """The tensors are a plain state dict."""
    generator = build_network(gan_lab.load(file, device="cpu").config, "generator")
    missing, unexpected = generator.load_state_dict(load_file(file), strict=False)
    assert not unexpected and all("extra_state" in name for name in missing)


# -- commands ---------------------------------------------------------------------------------------------------------


def test_commands(command: Command, run: Path, tmp_path: Path) -> None:
    """Every command with run= gives the same result for the file and the run."""
    outcome = command("export", "out=gift.safetensors")
    assert outcome.status == 0 and "Next: gan-lab sample run=gift.safetensors" in outcome.out, outcome.err
    assert "out=gift.safetensors exists already" in command("export", "out=gift.safetensors").err
    small = ("device=cpu", "evaluation.samples=20", "evaluation.real_images=30", "metrics=[swd_small]")
    data = ("dataset=digits", "dataset.resolution=16")
    pixels = (
        "allow_targets=[tests.helpers.pixel_features]",
        "+extractor._target_=tests.helpers.pixel_features.pixel_features",
    )
    commands = {
        "sample count=4 device=cpu": ("grid.png", "2.png"),
        "interpolate count=1 seconds=1 fps=4 device=cpu": ("walk.gif",),
        f"evaluate {' '.join((*small, *data))}": ("results.json",),
        f"evaluate truncation=[0.5,null] count=4 {' '.join((*small, *data))}": ("truncation.csv",),
        f"memorization samples=20 count=2 device=cpu dataset.max_images=60 {' '.join((*data, *pixels))}": (
            "memorization.json",
        ),
    }  # fmt: skip
    for overrides, files in commands.items():
        found = []
        for source in ("runs/one", "gift.safetensors"):
            out = "out=out/walk.gif" if "interpolate" in overrides else "out=out"
            outcome = command(*overrides.split(), f"run={source}", out)
            assert outcome.status == 0, (overrides, outcome.err)
            found.append([(tmp_path / "out" / name).read_bytes() for name in files])
            shutil.rmtree(tmp_path / "out")
        assert found[0] == found[1], overrides
    files = {path.name for path in tmp_path.iterdir()}
    assert command("evaluate", *small, *data, "run=gift.safetensors").status == 0
    assert {path.name for path in tmp_path.iterdir()} - files == {"gift_outputs"}
    outcome = command("evaluate", *small, "run=gift.safetensors")
    assert outcome.status == 2 and "dataset is not given: " in outcome.err  # a card names no place of data


def test_raw_weights(command: Command, run: Path) -> None:
    outcome = command("export", "weights=raw")
    assert outcome.status == 0 and outcome.out.rstrip().endswith("repo=<user>/<name> weights=raw"), outcome.out
    outcome = command("sample", "run=runs/one/export_raw", "device=cpu")
    assert outcome.status == 2 and "contains the raw generator, not the ema one: give weights=raw." in outcome.err


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    {
        "out=x.pt": "out=x.pt is not allowed: it must be a folder, or a file name that ends with .safetensors.",
        "weights=foo": "weights=foo is not known: choose ema or raw.",
        "out=runs": "out=runs contains files already, and would mix them with new ones: give another folder.",
        "license=MIT": "license=MIT is not allowed: it must be an identifier of the hub such as mit or cc-by-nc-4.0",
        "out=folder.safetensors": "out=folder.safetensors is not allowed",
    }.items(),
)
def test_refusals(command: Command, run: Path, file: Path, tmp_path: Path, overrides: str, sentence: str) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    before = file.read_bytes()
    outcome = command("export", overrides)
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    assert file.read_bytes() == before


# -- damage -----------------------------------------------------------------------------------------------------------


def rewritten(
    file: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], Any], hashed: bool = True
) -> None:
    """Change card and tensors; `hashed`: with matching hashes, as by an attacker."""
    card, tensors = read_card(file)
    change(card, tensors)
    if hashed and "sha256" in card:
        card["sha256"] = sha256(tensors)
    text = json.dumps(card)
    metadata = {CARD: text, CARD_SHA256: hashlib.sha256(text.encode()).hexdigest()}
    save_file({k: v.clone() for k, v in tensors.items()}, file, metadata)


def flipped(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def without_card(file: Path) -> None:
    save_file(load_file(file), file)


def edited_card(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content.replace(b'\\"images_seen\\": 24', b'\\"images_seen\\": 99'))


def first(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name, value in tensors.items() if value.dim() > 1)


FIT = "does not fit the generator that its own config describes."
DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda f: f.write_bytes(b""), "cannot be read: it is truncated, damaged, or not a .safetensors file."),
    "cut": (lambda f: f.write_bytes(f.read_bytes()[:-100]), "cannot be read: it is truncated"),
    "cut in the header": (lambda f: f.write_bytes(f.read_bytes()[:200]), "cannot be read: it is truncated"),
    "text": (lambda f: f.write_text("hello"), "cannot be read: it is truncated"),
    "length of the header": (lambda f: flipped(f, 2), "cannot be read: it is truncated"),
    "last byte": (lambda f: flipped(f, -1), "is damaged: its tensors do not match the SHA-256 in its card."),
    "no card": (without_card, "has no card: it was not written by gan-lab export."),
    "edited card": (edited_card, "is damaged: its card was modified after it was written."),
    "value": (lambda f: rewritten(f, lambda c, t: t[first(t)].add_(1), hashed=False), "is damaged: its tensors"),
    "missing tensor": (lambda f: rewritten(f, lambda c, t: t.pop(first(t))), FIT),
    "another tensor": (lambda f: rewritten(f, lambda c, t: t.update(other=torch.zeros(1))), FIT),
    "another shape": (lambda f: rewritten(f, lambda c, t: t.update({first(t): torch.zeros(1)})), FIT),
    "state": (lambda f: rewritten(f, lambda c, t: c.update(state={"extra": 3})), FIT),
    "no config": (lambda f: rewritten(f, lambda c, t: c.pop("config")), "has a card that cannot be used: 'config' is"),
    "no generator": (lambda f: rewritten(f, lambda c, t: c["config"].pop("architecture")),
                     "has a config without architecture.generator."),
    "no latent": (lambda f: rewritten(f, lambda c, t: c["config"].pop("latent")),
                  "has a config that cannot be used: latent.dim is missing"),
    "latent": (lambda f: rewritten(f, lambda c, t: c["config"].update(latent={"dim": "x"})),
               "has a config that cannot be used: latent.dim=x is not allowed: it must be a whole number."),
    "latent is a list": (lambda f: rewritten(f, lambda c, t: c["config"].update(latent=[1])),
    "has a config that cannot be"),
    "images": (lambda f: rewritten(f, lambda c, t: c.update(images_seen="many")), "has a card that cannot be used"),
    "no hash": (lambda f: rewritten(f, lambda c, t: c.pop("sha256")), "has a card that cannot be used: 'sha256' is"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(file: Path, name: str) -> None:
    damage, sentence = DAMAGE[name]
    damage(file)
    with pytest.raises(CheckpointError) as error:
        gan_lab.load(file)
    assert str(error.value).startswith(f"{file} ") and sentence in str(error.value)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")


def test_every_byte_of_the_header_counts(file: Path) -> None:
    """A flipped bit anywhere in the header is noticed."""
    content = file.read_bytes()
    end = 8 + len(content[8 : 8 + int.from_bytes(content[:8], "little")].rstrip())  # padding has no content
    for position in range(0, end, end // 150):
        flipped(file, position)
        with pytest.raises(CheckpointError, match=r"\.$"):
            read_stored(file, "ema")
        file.write_bytes(content)
    read_stored(file, "ema")


@pytest.mark.parametrize(
    "entry", [None, {"measured": []}, {"about": 5}, {"source": "x"}, {"sample": {"kind": "image"}}]
)
def test_cards_of_others(entry: dict[str, Any] | None, tmp_path: Path) -> None:
    """A page is made of any card; an entry of another type is refused in a sentence."""
    file = write_generator(tmp_path / "x.safetensors", "dataset.resolution=8", **(entry or {}))
    if entry is None or "sample" in entry:
        found = gan_lab.export(file, out=tmp_path / "x")
        assert found.folder is not None and (found.folder / "README.md").read_text().count("\n## ") >= 5
    else:
        with pytest.raises(
            CheckpointError, match=rf"has a card that cannot be used: {next(iter(entry))} is missing or wrong"
        ):
            gan_lab.export(file, out=tmp_path / "x")
        assert not (tmp_path / "x").exists()
    translator = write_translator(tmp_path / "translator.safetensors")
    page = gan_lab.export(translator, out=tmp_path / "y").file.with_name("README.md").read_text()
    assert "pipeline_tag: image-to-image" in page and "gan-lab translate run=model.safetensors" in page


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("images_seen", float("inf")), ("images_seen", None), ("config", 5), ("config.wrapper", None),
        ("config.wrapper", 3), ("config.conditioning", -1), ("config.conditioning.num_classes", -1),
        ("config.conditioning.num_classes", "x"), ("config.latent", None), ("config.latent.dim", -1),
        ("config.latent.dim", None), ("config.architecture.generator", None), ("config.architecture", []),
        ("config.architecture.generator.resolution", None), ("config.architecture.generator.width", -1),
        ("state", None), ("networks", 3),
    ],
)  # fmt: skip
def test_cards_whose_hash_is_right_and_values_are_not(place: str, value: Any, tmp_path: Path) -> None:
    source = write_generator(tmp_path / "x.safetensors", "dataset.resolution=8", "conditioning=concat")
    card, tensors = read_card(source)
    *path, key = place.split(".")
    node: dict[str, Any] = card
    for name in path:
        node = node[name]
    node[key] = value
    text = json.dumps(card)
    metadata = {CARD: text, CARD_SHA256: hashlib.sha256(text.encode()).hexdigest()}
    save_file(tensors, tmp_path / "y.safetensors", metadata=metadata)
    with pytest.raises(UserError, match=r"\.$"):
        gan_lab.load(tmp_path / "y.safetensors").sample(2)
