"""Checkpoints in Weights & Biases as runs, with a stand-in for W&B's client."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb

from gan_lab.errors import CheckpointError
from gan_lab.runs.remote import local_path, name_of_copy
from tests.conftest import Outcome
from tests.helpers.generators import write_generator


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("wandb") / "generator.safetensors"
    write_generator(file, "dataset.resolution=8")
    return file


def artifact(file: Path, kind: str = "model", name: str = "model.ckpt", ref: str | None = None) -> Any:
    def download(root: str) -> str:
        Path(root).mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(file, Path(root) / name))

    entry = SimpleNamespace(ref=ref, download=download)
    return SimpleNamespace(type=kind, version="v3", manifest=SimpleNamespace(entries={name: entry}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Artifacts by the names that the client is asked for."""
    artifacts: dict[str, Any] = {}

    def find(name: str) -> Any:
        if name not in artifacts:
            raise wandb.errors.CommError(f"artifact '{name}' not found in 'me/faces'\nTraceback")
        return artifacts[name]

    monkeypatch.setattr(wandb, "Api", lambda **_: SimpleNamespace(artifact=find))
    monkeypatch.setattr("gan_lab.runs.wandb_models.has_key", lambda: True)
    monkeypatch.setattr("gan_lab.runs.wandb_models.server_responds", lambda: True)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    return artifacts


def test_an_artifact_is_a_run(server: dict[str, Any], weights: Path) -> None:
    """Without an alias the newest one; outputs are named after the run, and not written into W&B's cache."""
    server |= {"me/faces/model-ab12:best": artifact(weights), "me/faces/model-cd34:latest": artifact(weights)}
    for name in ("wandb:me/faces/ab12:best", "wandb:me/faces/cd34"):
        assert local_path(name).read_bytes() == weights.read_bytes()
    assert name_of_copy(local_path(name).resolve()) == "me--faces--cd34" and name_of_copy(weights) is None


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"kind": "report", "name": "report.html"}, r"is an artifact of type report without model.ckpt: give a run of"),
        ({"kind": "dataset"}, r"is an artifact of type dataset "),
        ({"ref": "file:///etc/passwd"}, r"is an artifact of type model without model.ckpt"),
        (None, r"cannot be loaded: artifact .* not found in .*; check entity, project, id of the run and alias"),
    ],
)
def test_other_artifacts(
    found: dict[str, str] | None, message: str, server: dict[str, Any], weights: Path, tmp_path: Path
) -> None:
    if found is not None:
        server["me/faces/model-ab12:last"] = artifact(weights, **found)
    with pytest.raises(CheckpointError, match=f"^wandb:me/faces/ab12:last {message}"):
        local_path("wandb:me/faces/ab12:last")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("has_key", "wandb:me/faces/ab12 needs an account: run wandb login"),
        ("server_responds", "wandb:me/faces/ab12: the W&B server cannot be reached"),
    ],
)
def test_no_key_or_network(
    function: str, message: str, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"gan_lab.runs.wandb_models.{function}", lambda: False)
    with pytest.raises(CheckpointError, match=message):
        local_path("wandb:me/faces/ab12")


@pytest.mark.parametrize("name", ["ab12", "me/ab12", "me/faces/ab12/v1", "me/faces/ab12:a:b", "me/../ab12", ""])
def test_wrong_names_are_refused_without_a_network(command: Callable[..., Outcome], name: str) -> None:
    outcome = command("sample", f"run='wandb:{name}'")
    assert outcome.status == 2 and len(outcome.err.strip().splitlines()) == 1
    assert f"wandb:{name} is not the name of a run: write wandb:<entity>/<project>/<id of the run>" in outcome.err
