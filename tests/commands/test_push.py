"""`gan-lab push`: a model goes to the Hugging Face hub as one commit, with a stand-in for the hub."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.errors import ConfigError
from tests.conftest import Outcome
from tests.helpers.generators import write_generator
from tests.helpers.hub_server import HubServer, Repository, hub_in_memory

FILES = {"model.safetensors", "config.json", "README.md", "samples.png"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = {"measured": {}, "about": "A generator of gan_lab.", "versions": {"gan_lab": "0"}, "sample": {}}
    return write_generator(tmp_path_factory.mktemp("push") / "digits.safetensors", "dataset.resolution=8", **card)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_in_memory(tmp_path / "cache", monkeypatch) as server:
        server.repositories["me/bert"] = Repository()
        server.repositories["me/bert"].commit({"config.json": b"{}", "pytorch_model.bin": b"0"})
        server.repositories["me/page"] = Repository()
        server.repositories["me/page"].commit({".gitattributes": b"", "README.md": b"soon", "LICENSE": b"MIT"})
        yield server


def test_a_new_repository_then_a_new_commit(hub: HubServer, model: Path, command: Callable[..., Outcome]) -> None:
    """What was pushed is a run; a second push adds a commit; nothing is written beside the model."""
    outcome = command("push", f"run={model}", "repo=me/digits", "private=true", "license=mit")
    assert outcome.status == 0 and "In the new private repository me/digits, " in outcome.out, outcome.err
    assert outcome.out.rstrip().endswith("Next: gan-lab sample run=hf:me/digits") and outcome.err == ""
    repository = hub.repositories["me/digits"]
    assert repository.private and repository.files.keys() == FILES | {".gitattributes"}
    assert b"\nlicense: mit\n" in repository.files["README.md"]
    samples = [gan_lab.load(run, device="cpu").sample(2) for run in (model, "hf:me/digits")]
    assert torch.equal(*samples)
    again = gan_lab.push(model, repo="me/digits", message="with another page")
    assert not again.created and again.url is not None and len(repository.commits) == 3
    assert f"In a new commit of me/digits, {again.url}, are\n  model.safetensors " in str(again)
    assert hub.messages == [f"gan-lab push of {model.name}", "with another page"]  # no path of this machine
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_a_dry_run_sends_no_request(hub: HubServer, model: Path) -> None:
    found = gan_lab.push(model, repo="me/digits", dry_run=True)
    assert found.sizes.keys() == FILES and found.url is None and hub.requests == []
    assert f"{found.sizes['model.safetensors']:,} bytes" in str(found) and "nothing was uploaded" in str(found)


def test_an_edited_folder_goes_as_it_is(hub: HubServer, model: Path, tmp_path: Path) -> None:
    """Without files that are not of the model."""
    folder = tmp_path / "mine"
    gan_lab.export(model, out=folder)
    (folder / "README.md").write_text("# Mine\n")
    (folder / "secret.txt").write_text("x")
    gan_lab.push(folder, repo="me/page")
    assert hub.repositories["me/page"].files["README.md"] == b"# Mine\n"
    assert hub.repositories["me/page"].files.keys() == FILES | {".gitattributes", "LICENSE"}
    with pytest.raises(ConfigError, match=r"license=mit has no effect on .*mine, which is written already: edit its"):
        gan_lab.push(folder, repo="me/page", license="mit")
    (folder / "config.json").write_text("{}")  # hf:me/page would be refused
    with pytest.raises(
        ConfigError, match=r"mine/config.json is not that of gan-lab export, .*: export the run again\.$"
    ):
        gan_lab.push(folder, repo="me/page")
    assert len(hub.repositories["me/page"].commits) == 2


def test_another_model_is_replaced_only_if_asked(hub: HubServer, model: Path) -> None:
    with pytest.raises(ConfigError, match=r"repo=me/bert exists and has another model \(config.json, pytorch_model"):
        gan_lab.push(model, repo="me/bert")
    assert len(hub.repositories["me/bert"].commits) == 1
    gan_lab.push(model, repo="me/bert", replace=True)
    assert hub.repositories["me/bert"].files.keys() >= FILES | {"pytorch_model.bin"}


def wrong_token(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HF_TOKEN", "hf_wrong")


def no_token(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HF_TOKEN", "")
    patch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nowhere")


def unreachable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")


def as_it_is(patch: pytest.MonkeyPatch) -> None:
    pass


REFUSED: dict[str, tuple[tuple[str, ...], Callable[[pytest.MonkeyPatch], None], str]] = {
    "token": (("repo=me/x",), wrong_token, "repo=me/x cannot be used, since the hub does not accept your token: run"),
    "no token": (("repo=me/x",), no_token, "repo=me/x needs an account: run hf auth login, or set HF_TOKEN to a"),
    "network": (("repo=me/x",), unreachable, "repo=me/x: the hub cannot be reached; check the network and repeat"),
    "other account": (("repo=you/x",), as_it_is, "repo=you/x is not yours to write to: give a name of your own"),
    "public": (("repo=me/page", "private=true"), as_it_is, "private=true has no effect on repo=me/page, which exists"),
    "name": (("repo=me/x--y",), as_it_is, "repo=me/x--y is not the name of a repository: write <user>/<name>."),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(
    hub: HubServer, model: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In one sentence, and nothing is written at the other end."""
    arguments, prepare, sentence = REFUSED[name]
    prepare(monkeypatch)
    outcome = command("push", f"run={model}", *arguments)
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    assert hub.repositories.keys() == {"me/bert", "me/page"} and len(hub.repositories["me/page"].commits) == 1
