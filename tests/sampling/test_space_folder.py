"""`gan-lab export space=<folder>`: a folder that a model hub hosts, whose page starts from it."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

import gan_lab
from gan_lab.errors import ConfigError
from tests.conftest import Outcome
from tests.helpers.generators import write_generator
from tests.helpers.translators import write_translator

CARD = {"measured": {}, "about": "A generator of gan_lab.", "versions": {}, "images_seen": 64}
IMAGES = {"sample": {"kind": "image", "channels": 1, "resolution": 8}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "digits.safetensors"
    return write_generator(file, "model=cgan", "dataset.resolution=8", **CARD, **IMAGES)


@pytest.fixture(scope="module")
def space(model: Path) -> Path:
    folder = model.parent / "space"
    gan_lab.export(model, space=folder, license="mit")
    return folder


def command_in(space: Path) -> str:
    """The command of the container."""
    return re.findall("^CMD (.*)$", (space / "Dockerfile").read_text(), re.MULTILINE)[0]


def test_files(space: Path) -> None:
    """Weights, page with the hub's settings, requirements, this version of gan_lab; a run like any export."""
    names = {path.name for path in space.iterdir()}
    files = {"model.safetensors", "config.json", "README.md", "samples.png", "Dockerfile", "requirements.txt"}
    assert names == files | {"gan_lab"}
    settings = yaml.safe_load((space / "README.md").read_text().split("---\n")[1])
    assert (settings["sdk"], settings["app_port"], settings["license"]) == ("docker", 7860, "mit")
    requirements = (space / "requirements.txt").read_text().splitlines()
    assert any(each.startswith("torch<") for each in requirements) and not any("extra" in each for each in requirements)
    assert "run=model.safetensors host=0.0.0.0 port=7860 proxy=${SPACE_HOST:-null}" in command_in(space)
    assert (space / "gan_lab/conf/explore.yaml").is_file() and (space / "gan_lab/LICENSE").read_text().strip()
    assert not [*space.rglob("__pycache__"), *space.rglob("local")]
    assert torch.equal(*(gan_lab.load(run, device="cpu").sample(2) for run in (space, space / "model.safetensors")))


@pytest.mark.slow
def test_the_command_of_the_container_serves_the_page(space: Path) -> None:
    """From the folder, with the gan_lab in it, under the name of the hub; on another port, which may be in use."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"SPACE_HOST": "me-digits.hf.space", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = command_in(space).replace("port=7860", "port=0")
    process = subprocess.Popen(["sh", "-c", shell], cwd=space, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = re.search(r":(\d+)/ shows model\.safetensors", process.stderr.readline())
        assert found is not None
        headers = {"Host": "me-digits.hf.space", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{found[1]}/api/facts", b"{}", headers)
        facts = json.loads(urllib.request.urlopen(request, timeout=60).read())
        assert facts["resolution"] == 8 and len(facts["classes"]) == 10
        assert not (space / "outputs").exists()
    finally:
        process.terminate()
        process.wait(60)


def test_refusals(model: Path, space: Path, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    points = write_generator(
        tmp_path / "points.safetensors",
        "model=gan",
        "architecture=mlp",
        "dataset=ring",
        **CARD,
        sample={"kind": "point"},
    )
    translator = write_translator(tmp_path / "translator.safetensors")
    for run in (points, translator):
        with pytest.raises(ConfigError, match=r"space=x is not possible: gan-lab explore is for generators of images"):
            gan_lab.export(run, space="x")
    for argument, sentence in {
        f"space={space}": "contains files already, and would mix them with new ones: give another folder.",
        "out=y": "out=y has no effect with space, which is a folder: leave it out.",
        "format=onnx": "format=onnx has no effect with space, which is a folder: leave it out.",
    }.items():
        outcome = command("export", f"run={model}", "space=x", argument)
        assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    assert not (tmp_path / "x").exists()
