"""Models of the Hugging Face hub as `run=hf:user/name`, with a stand-in for the hub."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.errors import CheckpointError
from gan_lab.training.initializing import WeightFile
from tests.conftest import Outcome
from tests.helpers.generators import write_generator
from tests.helpers.hub_server import HubServer, Repository, hub_in_memory


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, as `gan-lab export` writes it."""
    folder = tmp_path_factory.mktemp("hub") / "digits"
    write_generator(folder / "model.safetensors", "dataset.resolution=8")
    write_generator(folder.parent / "other.safetensors", "dataset.resolution=8", seed=1)
    (folder / "config.json").write_text(json.dumps({"library_name": "gan_lab"}))
    return folder


@pytest.fixture
def hub(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with the model, after another one in the same repository."""
    with hub_in_memory(tmp_path / "cache", monkeypatch) as server:
        repository = server.repositories["me/digits"] = Repository()
        other = files.parent / "other.safetensors"
        config = (files / "config.json").read_bytes()
        repository.commit({"model.safetensors": other.read_bytes(), "config.json": config})
        repository.commit({"model.safetensors": (files / "model.safetensors").read_bytes()})
        yield server


def sampled(run: object) -> torch.Tensor:
    return gan_lab.load(run, device="cpu").sample(2)  # type: ignore[arg-type]


def test_a_model_of_the_hub_is_a_run(hub: HubServer, files: Path) -> None:
    first = next(iter(hub.repositories["me/digits"].commits))
    assert torch.equal(sampled("hf:me/digits"), sampled(files))
    assert repr(gan_lab.load("hf:me/digits", device="cpu")).startswith("PretrainedGenerator(hf:me/digits: ")
    assert not torch.equal(sampled(f"hf:me/digits@{first}"), sampled(files))
    assert WeightFile.read("hf:me/digits").tensors.keys() == WeightFile.read(files).tensors.keys()
    downloads = [request for request in hub.requests if request.startswith("GET /me/digits/resolve")]
    sampled("hf:me/digits")
    assert [request for request in hub.requests if request.startswith("GET /me/digits/resolve")] == downloads


def test_without_a_network_the_copy_in_the_cache_is_used(
    hub: HubServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled("hf:me/digits")
    monkeypatch.setattr("gan_lab.runs.hub.hub_is_reachable", lambda: False)
    assert torch.equal(sampled("hf:me/digits"), sampled(files))
    with pytest.raises(CheckpointError, match=r"hf:me/x is not in the local cache and the hub cannot be reached: "):
        gan_lab.load("hf:me/x")


def test_outputs_are_in_the_working_directory(
    hub: HubServer, files: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    """Not in the client's cache, and those of a folder are beside it."""
    (tmp_path / "digits").symlink_to(files)
    for run, folder in {"hf:me/digits": "me--digits_outputs", "digits": "digits_outputs"}.items():
        outcome = command("sample", run, "count=4", "device=cpu")
        shown = "hf:me/digits" if run.startswith("hf:") else "digits/model.safetensors"
        assert outcome.out.startswith(f"4 samples of {shown} after 64 images, ema weights: {folder}/samples/seed_0/")
        assert outcome.status == 0 and (tmp_path / folder / "samples/seed_0/grid.png").is_file(), outcome.err
    found = {path.name for path in (tmp_path / "cache").rglob("*") if path.parent.parent.name == "snapshots"}
    assert found == {"model.safetensors", "config.json"}


def no_token(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HF_TOKEN", "hf_wrong")


def private(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    hub.repositories["me/digits"].private = True
    patch.setenv("HF_TOKEN", "")
    patch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere")


def of_another_library(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    hub.repositories["me/digits"].commit({"config.json": b'{"model_type": "bert"}'})


def without_weights(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    del hub.repositories["me/digits"].files["model.safetensors"]


def without_config(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    del hub.repositories["me/digits"].files["config.json"]


def cut(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    hub.repositories["me/digits"].commit(
        {"model.safetensors": hub.repositories["me/digits"].files["model.safetensors"][:-9]}
    )


def as_it_is(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    pass


def unreachable(hub: HubServer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")


Damage = Callable[[HubServer, pytest.MonkeyPatch], None]
REFUSED: dict[str, tuple[str, Damage, str]] = {
    "form": ("hf:digits", as_it_is, "hf:digits is not the name of a model: write hf:<user>/<name>, and"),
    "characters": ("hf:me/digits@a b", as_it_is, "hf:me/digits@a b is not the name of a model"),
    "repeated": ("hf:me/di--gits", as_it_is, "hf:me/di--gits is not the name of a repository: write <user>/<name>."),
    "missing": ("hf:me/x", as_it_is, "hf:me/x is not on the hub, or is not accessible to you; for a private repo"),
    "revision": ("hf:me/digits@v1", as_it_is, "hf:me/digits@v1 has no such revision on the hub: give a branch, a tag"),
    "private": ("hf:me/digits", private, "hf:me/digits is not on the hub, or is not accessible to you"),
    "token": ("hf:me/digits", no_token, "hf:me/digits cannot be used, since the hub does not accept your token: run"),
    "library": ("hf:me/digits", of_another_library, "hf:me/digits was not written by gan-lab export: its config.json"),
    "weights": ("hf:me/digits", without_weights, "hf:me/digits was not written by gan-lab export: it has no"),
    "config": ("hf:me/digits", without_config, "hf:me/digits was not written by gan-lab export: it has no"),
    "cut": ("hf:me/digits", cut, "hf:me/digits cannot be read: it is truncated, damaged, or not a .safetensors file"),
    "network": ("hf:me/digits", unreachable, "hf:me/digits is not in the local cache and the hub cannot be reached:"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(hub: HubServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    run, damage, sentence = REFUSED[name]
    damage(hub, monkeypatch)
    with pytest.raises(CheckpointError) as error:
        gan_lab.load(run)
    text = str(error.value)
    assert sentence in text and "\n" not in text and text.endswith("."), text
    if name == "library":
        assert not any("model.safetensors" in request for request in hub.requests)  # nothing large is downloaded


def test_a_command_refuses_in_one_sentence(hub: HubServer, command: Callable[..., Outcome]) -> None:
    for arguments in (
        ("sample", "run=hf:me/x"),
        ("train", "initialize=hf:me"),
        ("interpolate", "hf:me"),
        ("train", "resume=hf:me/digits"),
    ):
        outcome = command(*arguments)
        assert outcome.status == 2 and "hf:me" in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
