"""Inversion of images by the command."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.figures import to_image, to_uint8
from gan_lab.training.fit import fit
from tests.conftest import SMALL

SMALL_SEARCH = {"count": 2, "steps": 30, "starts": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("invert") / "run"
    uniform = ("latent.distribution=uniform", "latent.dim=4")
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=16", *uniform, f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("invert") / "labeled"
    styles = ("model=stylegan2", "conditioning=mapping", "latent.dim=8", "dataset.resolution=16")
    fit(compose(*SMALL, *styles, f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def bigan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("invert") / "bigan"
    networks = ("model=bigan", "architecture=bigan_mlp", "dataset.resolution=8", "latent.dim=6")
    fit(compose(*SMALL, *networks, f"run.dir={folder}"))
    return folder


def test_the_search_starts_at_the_latents_of_an_encoder(bigan: Path, run: Path) -> None:
    loaded = gan_lab.load(bigan, device="cpu")
    latents = loaded.encode(loaded.sample(2))
    still = SMALL_SEARCH | {"steps": 1, "lr": 1e-9}  # ends where it starts
    found = gan_lab.invert(bigan, **(still | {"starts": 1}))
    torch.testing.assert_close(found.points, latents, atol=1e-6, rtol=0)
    assert found.encoded == pytest.approx(found.errors, abs=1e-6) and "encoder alone" in found.table[0]
    assert "1 start of 1 steps, the first by the encoder" in found.protocol
    both, elsewhere = (gan_lab.invert(bigan, start=start, **still) for start in ("encoder", "random"))
    assert all(best <= one + 1e-6 for best, one in zip(both.errors, found.errors, strict=True))
    assert elsewhere.encoded is None and not torch.equal(elsewhere.points, latents)
    with pytest.raises(UserError, match="start=encoder needs a checkpoint of a model with an encoder"):
        gan_lab.invert(run, start="encoder", **SMALL_SEARCH)


def test_samples_of_the_generator_are_found_again(run: Path) -> None:
    found = gan_lab.invert(run, **(SMALL_SEARCH | {"steps": 200, "starts": 6}))
    assert all(error < other / 100 for error, other in zip(found.errors, found.nearest, strict=True))
    assert found.points.abs().max() <= 1  # the uniform prior
    assert found.distances is not None and max(found.distances) < 0.01
    assert torch.equal(load_file(found.folder / "points.safetensors")["points"], found.points)
    width, height = Image.open(found.folder / "inverted.png").size
    assert width > 2 * height
    assert len(found.curve) == 201 and Image.open(found.folder / "curve.png").width > 500
    assert found.table[-1][0] == "mean" and "Inverted images" in (run / "report.html").read_text()


def test_images_of_files_in_the_space_of_styles(labeled: Path, tmp_path: Path) -> None:
    samples = gan_lab.load(labeled, device="cpu").sample(3, condition=[1, 1, 1])
    for number, sample in enumerate(samples):
        to_image(to_uint8(sample)).resize((20, 20)).save(tmp_path / f"{number}.png")
    found = gan_lab.invert(labeled, images=str(tmp_path), labels=1, distance="discriminator", **SMALL_SEARCH)
    assert found.space == "w" and found.names == ["0.png", "1.png"] and found.distances is None
    assert found.condition is not None and found.condition.tolist() == [1, 1]
    in_layers = gan_lab.invert(labeled, images=str(tmp_path), labels=1, space="w+", **SMALL_SEARCH)
    styles = gan_lab.load(labeled, device="cpu").styles(torch.zeros(2, 8), torch.tensor([1, 1]))
    assert in_layers.space == "w+" and in_layers.points.shape == styles.shape
    assert not torch.equal(in_layers.points[:, 0], in_layers.points[:, 1])  # a style of each layer
    still = {"labels": 1, "device": "cpu", "count": 2, "steps": 1, "lr": 1e-9}  # ends where it starts
    one, many = (gan_lab.invert(labeled, starts=n, style_noise=noise, **still) for n, noise in ((1, 0.1), (40, 0)))
    assert torch.equal(one.points[0], one.points[1])  # the mean style
    assert all(best < first for best, first in zip(many.errors, one.errors, strict=True))
    assert one.curve[0] != pytest.approx(one.curve[1], rel=1e-4)  # the first step has noise
    assert many.curve[0] == pytest.approx(many.curve[1], rel=1e-4)
    assert "prior weight" not in one.protocol and "style noise 0.1, seed 0" in one.protocol
    (tmp_path / "beside").mkdir()  # a file does not need the others of its folder
    (tmp_path / "beside" / "dataset.json").write_text("no labels")
    (tmp_path / "2.png").rename(tmp_path / "beside" / "2.png")
    (one,) = gan_lab.invert(labeled, images=str(tmp_path / "beside" / "2.png"), **SMALL_SEARCH).names
    assert one == "2.png"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images": "nowhere"}, "nowhere"),
        ({"images": "text.txt"}, "images=text.txt is neither|images=text.txt .*no images"),
        ({"space": "w"}, "space=w needs a generator with styles"),
        ({"space": "w+"}, r"space=w\+ needs a generator with styles"),
        ({"space": "y"}, "space=y is not allowed: it must be z, w, w\\+, or null"),
        ({"distance": "lpips"}, "distance=lpips"),
        ({"start": "mean"}, "start=mean is not allowed: it must be encoder, random, or null"),
        ({"labels": 3}, "."),
    ],
)
def test_values_that_do_not_fit(
    run: Path, settings: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        gan_lab.invert(run, **(SMALL_SEARCH | settings))


def test_other_images_do_not_replace_earlier_points(run: Path, tmp_path: Path) -> None:
    """Each has its folder; the same command replaces its own result, however the run is named."""
    Image.new("L", (16, 16), 90).save(tmp_path / "gray.png")
    quick = SMALL_SEARCH | {"steps": 1, "seed": 3}
    first = gan_lab.invert(run, **quick)
    kept = (first.folder / "points.safetensors").read_bytes()
    other = gan_lab.invert(run, images=str(tmp_path), **quick)
    assert other.folder != first.folder and (first.folder / "points.safetensors").read_bytes() == kept
    again = gan_lab.invert(os.path.relpath(run), images=str(tmp_path), **quick)
    assert again.folder.samefile(other.folder) and other.folder.parent == run / "inside"


def test_an_export_has_no_discriminator_for_its_loss(run: Path, tmp_path: Path) -> None:
    gan_lab.export(run, out=str(tmp_path / "model.safetensors"))
    assert gan_lab.invert(tmp_path / "model.safetensors", **SMALL_SEARCH).points.shape == (2, 4)
    with pytest.raises(UserError, match="has no discriminator"):
        gan_lab.invert(tmp_path / "model.safetensors", distance="discriminator", **SMALL_SEARCH)
