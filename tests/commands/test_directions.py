"""Directions of latents and styles by the command."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.sampling.direction_file import read_directions
from gan_lab.training.fit import fit
from tests.conftest import SMALL

SMALL_SEARCH = {"samples": 60, "directions": 3, "count": 2, "distances": [-1, 0, 1], "show": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("directions") / "run"
    uniform = ("latent.distribution=uniform", "latent.dim=8")
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=16", *uniform, f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("directions") / "styled"
    fit(compose(*SMALL, "model=stylegan2", "latent.dim=8", "dataset.resolution=16", f"run.dir={folder}"))
    return folder


@pytest.mark.parametrize("method", ["pca", "sefa"])
def test_latents_have_directions_of_length_one(run: Path, method: str) -> None:
    found = gan_lab.directions(run, method=method, **SMALL_SEARCH)
    torch.testing.assert_close(found.directions.vectors.norm(dim=1), torch.ones(3))
    assert [row[0] for row in found.table] == ["direction", "0", "1", "2", "random"]
    files = {file.name for file in found.folder.iterdir()}
    assert files == {"directions.safetensors", "direction_00.png", "direction_01.png", "finding.json"}
    width, height = Image.open(found.folder / "direction_00.png").size
    assert width > height  # three distances, two samples
    again = read_directions(found.folder / "directions.safetensors", "z", 8)
    assert torch.equal(again.vectors, found.directions.vectors) and again.method == method
    assert f"Directions: {method}" in (run / "report.html").read_text()


def test_a_direction_of_the_file_is_animated(run: Path, tmp_path: Path) -> None:
    found = gan_lab.directions(run, out=str(tmp_path / "found"), **SMALL_SEARCH)
    walk = {"direction": str(found.folder / "directions.safetensors"), "seconds": 0.4, "fps": 10, "count": 2}
    animation = gan_lab.interpolate(run, number=2, device="cpu", **walk)
    assert animation.file.name == "walk_direction_2_seed_0.gif" and animation.frames == 4
    assert animation.largest_step is not None
    with pytest.raises(UserError, match="number=3 is not allowed: directions are numbered 0 to 2"):
        gan_lab.interpolate(run, number=3, device="cpu", **walk)


def test_samples_are_shifted_along_a_direction_of_the_file(run: Path, tmp_path: Path) -> None:
    found = gan_lab.directions(run, out=str(tmp_path / "found"), **SMALL_SEARCH)
    file = str(found.folder / "directions.safetensors")
    shifted = gan_lab.sample(run, count=3, direction=file, number=1, distance=-2.0, files=False, device="cpu")
    assert shifted.folder.name == "seed_0_direction_1_by_-2"
    generator = gan_lab.load(run, device="cpu")
    latents, _ = generator.draw(3, seed=0)
    stored = read_directions(Path(file), "z", 8)
    points = (latents - 2 * stored.deviations[1] * stored.vectors[1]).clamp(-1, 1)
    torch.testing.assert_close(shifted.samples, generator.samples_of(points).cpu())
    with pytest.raises(UserError, match="number=3 is not allowed: directions are numbered 0 to 2"):
        gan_lab.sample(run, direction=file, number=3, out=str(tmp_path / "other"), device="cpu")


@pytest.mark.parametrize("method", ["pca", "sefa"])
def test_styles_are_the_space_of_a_generator_that_has_them(styled: Path, method: str) -> None:
    found = gan_lab.directions(styled, method=method, **SMALL_SEARCH)
    assert found.directions.space == "w" and found.directions.vectors.shape == (3, 8)
    in_z = gan_lab.directions(styled, method=method, space="z", **SMALL_SEARCH)
    assert in_z.directions.space == "z"


def test_a_boundary_of_given_scores_that_leaves_others_alone(run: Path, tmp_path: Path) -> None:
    latents, _ = gan_lab.load(run, device="cpu").draw(400)
    scores = tmp_path / "scores.csv"
    lines = [f"{number},{value:.6f}" for number, value in enumerate(latents[:, 2].tolist())]
    scores.write_text("\n".join(["sample,score", *lines]))
    given = SMALL_SEARCH | {"samples": 400, "method": "boundary", "scores": str(scores), "tail": 0.1}
    del given["directions"]
    found = gan_lab.directions(run, **given)
    assert found.directions.vectors[0, 2] > 0.9
    first = str(found.folder / "directions.safetensors")
    with pytest.raises(UserError, match="a combination of those"):
        gan_lab.directions(run, orthogonal_to=[first], out=str(tmp_path / "other"), **given)
    scores.write_text("sample,score\n0,1\n")
    with pytest.raises(UserError, match=r"has no score of sample 1; it needs one for each of samples=400"):
        gan_lab.directions(run, out=str(tmp_path / "more"), **given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 9}, "layer=9 is not allowed: choose one of 1: "),
        ({"method": "boundary"}, "method=boundary needs one of rule, label and scores, not none"),
        ({"rule": "bright"}, "rule=bright has no effect with method=pca"),
        ({"method": "boundary", "rule": "bright"}, "fewer than 4 at either end"),
        ({"method": "boundary", "rule": "bright", "threshold": 5, "tail": 0.2}, "the same score"),
        ({"method": "random"}, "method=random"),
        ({"space": "w"}, "space=w needs a generator with styles"),
        ({"method": "boundary", "rule": "bright", "orthogonal_to": ["nowhere"]}, "nowhere"),
    ],
)
def test_values_that_do_not_fit(run: Path, settings: dict, message: str) -> None:
    given = {key: value for key, value in SMALL_SEARCH.items() if "method" not in settings or key != "directions"}
    with pytest.raises(UserError, match=message):
        gan_lab.directions(run, **(given | settings))


def test_a_file_of_another_kind(run: Path, tmp_path: Path) -> None:
    gan_lab.export(run, out=str(tmp_path / "model.safetensors"))
    with pytest.raises(UserError, match="is not a file of gan-lab directions"):
        read_directions(tmp_path / "model.safetensors", "z", 8)
