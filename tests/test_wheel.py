"""The wheel holds the configs, the type marker and complete metadata, and works where there is no checkout."""

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml

import gan_lab
from gan_lab.config.schema import CONF

ROOT = Path(__file__).parents[1]

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytest.importorskip("hatch_fancy_pypi_readme")
pytest.importorskip("twine")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    arguments = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


def test_contents(unpacked: Path) -> None:
    shipped = {file.relative_to(unpacked / "gan_lab/conf") for file in (unpacked / "gan_lab/conf").rglob("*.yaml")}
    here = {file.relative_to(CONF) for file in CONF.rglob("*.yaml") if "local" not in file.parts}
    assert shipped == here and len(here) > 50
    assert (unpacked / "gan_lab/py.typed").is_file()
    assert not list(unpacked.rglob("tests")) and not list(unpacked.rglob(".ruff_cache"))
    (entry_points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "gan-lab = gan_lab.cli.main:main" in entry_points.read_text()


def test_metadata(unpacked: Path) -> None:
    """The version is written once, the README is the description, and no address is invented."""
    (file,) = unpacked.glob("*.dist-info/METADATA")
    found = message_from_string(file.read_text(encoding="utf-8"))
    assert (found["Name"], found["Version"]) == ("gan-lab-lightning", gan_lab.__version__)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert [found["Author"]] == [author["name"] for author in citation["authors"]]
    assert found["License-Expression"] == citation["license"] == "MIT"
    assert "version" not in citation and found["Project-URL"] is None
    assert found["Description-Content-Type"] == "text/markdown" and "# gan_lab" in found.get_payload()


def test_description_on_an_index(wheel: Path, unpacked: Path) -> None:
    """It renders, and every link and image in it is found without the files beside the README."""
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel)], check=True, capture_output=True)
    (file,) = unpacked.glob("*.dist-info/METADATA")
    description = message_from_string(file.read_text(encoding="utf-8")).get_payload()
    links = re.findall(r"\]\(([^)]*)\)", description)
    assert "https://arxiv.org/abs/2206.09479" in links and all(link.startswith("https://") for link in links)
    assert "gan-lab push" in description and "![" not in description


def test_runs_elsewhere(unpacked: Path, tmp_path: Path) -> None:
    def python(*arguments: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(unpacked)}
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(python("-c", "import gan_lab; print(gan_lab.__file__)").strip()).is_relative_to(unpacked)
    assert "wgan_gp" in python("-m", "gan_lab.cli.main", "list")
    assert "n_critic: 5" in python("-m", "gan_lab.cli.train", "--cfg", "job", "model=wgan_gp")
    assert str(unpacked / "gan_lab/conf") in python("-m", "gan_lab.cli.train", "--info", "searchpath")
