"""Pretrained generators in Python and in notebooks: how they are shown, latents of one's own, the discriminator."""

import base64
import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.gans.latents import LatentPrior, TruncatedPrior
from gan_lab.noise import Noise
from gan_lab.sampling.pretrained import PretrainedGenerator
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> PretrainedGenerator:
    """A DCGAN with uniform latents, after two batches of digits."""
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    gan_lab.fit(gan_lab.compose(*SMALL, "latent.dim=20", "dataset.resolution=8", f"run.dir={folder}"))
    return gan_lab.load(folder, device="cpu")


def test_shown_in_a_line_and_as_a_sheet_in_notebooks(loaded: PretrainedGenerator) -> None:
    line = repr(loaded)
    assert len(line) - len(str(loaded.path)) < 120 and "\n" not in line
    assert "DCGANGenerator, 20 uniform latents, ema weights, 32 images seen, cpu" in line
    page = loaded._repr_html_()
    (address,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    sheet = Image.open(BytesIO(base64.b64decode(address)))
    assert max(sheet.size) <= 320 and len(page) < 100_000 and "32 images seen" in page


def test_samples_as_pillow_images(loaded: PretrainedGenerator) -> None:
    samples = loaded.sample(3)
    images = loaded.to_pil(samples)
    assert [(image.mode, image.size) for image in images] == [("L", (8, 8))] * 3
    assert images[1].getpixel((5, 2)) == round((samples[1, 0, 2, 5].item() + 1) * 127.5)
    assert len(loaded.to_pil(samples[0])) == 1
    for wrong in (samples[0, 0], [samples], torch.zeros(1, 2, 8, 8)):
        with pytest.raises(ConfigError, match=r"to_pil takes images as a tensor \(n, 1, 3 or 4, height, width\), not"):
            loaded.to_pil(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "value"), [("count", 0), ("count", 2.0), ("count", True), ("batch_size", 0)])
def test_numbers_of_samples(loaded: PretrainedGenerator, key: str, value: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"^{key}={value} is not allowed: it must be a whole number of at least 1\.$"
    ):
        loaded.sample(**{"count": 1, key: value})


def test_latents_of_ones_own(loaded: PretrainedGenerator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latents, _ = loaded.draw(5, seed=3)
        assert torch.equal(loaded.generate(latents), loaded.sample(5, seed=3))
    with pytest.warns(UserWarning, match=r"These latents have values up to .*uniform from -1 to 1: draw\(n\)"):
        loaded.generate(torch.randn(5, 20))
    for wrong in (torch.zeros(5, 19), torch.zeros(20), [[0.0] * 20]):
        with pytest.raises(ConfigError, match=r"latents must be a tensor \(n, 20\) for .*\.ckpt, not"):
            loaded.generate(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="labels=3 needs a run with conditioning"):
        loaded.generate(latents, 3)


NORMAL, UNIFORM = LatentPrior(50), LatentPrior(50, "uniform", 2.0)


@pytest.mark.parametrize("prior", [NORMAL, UNIFORM, TruncatedPrior(NORMAL, 0.5)], ids=str)
def test_samples_of_a_prior_fit_it(prior: LatentPrior | TruncatedPrior) -> None:
    assert not [seed for seed in range(200) if prior.mismatch(prior.sample(Noise(seed, 1 + seed % 7)))]


@pytest.mark.parametrize(
    ("prior", "latents"),
    [
        (NORMAL, torch.rand(4, 50)),
        (NORMAL, 2 * torch.rand(4, 50) - 1),
        (NORMAL, torch.zeros(4, 50)),
        (NORMAL, torch.full((1, 50), torch.nan)),
        (UNIFORM, torch.randn(4, 50)),
        (UNIFORM, 2 * torch.rand(4, 50) - 1),
        (TruncatedPrior(NORMAL, 0.5), torch.randn(4, 50)),
    ],
)
def test_samples_of_something_else_do_not(prior: LatentPrior | TruncatedPrior, latents: torch.Tensor) -> None:
    assert prior.mismatch(latents)


def test_values_of_another_type(loaded: PretrainedGenerator) -> None:
    with pytest.raises(
        ConfigError, match=r"^truncation=a is not allowed: it must be a number of at least 0, or None\."
    ):
        loaded.sample(2, truncation="a")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"^path=None is not allowed: it must be the path of a file or of a run folder"
    ):
        gan_lab.load(None)  # type: ignore[arg-type]
    latents = loaded.draw(2)[0]
    assert torch.equal(loaded.generate(latents.double()), loaded.generate(latents))


def test_saved_as_an_export(loaded: PretrainedGenerator, tmp_path: Path) -> None:
    file = loaded.save(tmp_path / "new/model.safetensors")
    assert torch.equal(gan_lab.load(file, device="cpu").sample(3), loaded.sample(3))
    with pytest.raises(ConfigError, match="exists already: give another file name"):
        loaded.save(file)
    with pytest.raises(ConfigError, match=r"the name must end with \.safetensors"):
        loaded.save(tmp_path / "model.pt")


def test_the_discriminator_of_the_checkpoint(loaded: PretrainedGenerator, tmp_path: Path) -> None:
    assert loaded.discriminator.score(loaded.sample(3)).shape == (3,)
    assert loaded.discriminator is loaded.discriminator
    with pytest.raises(ConfigError, match="the discriminator cannot take these samples"):
        loaded.discriminator.score(torch.zeros(2, 3))
    exported = gan_lab.load(gan_lab.export(loaded.path, out=str(tmp_path / "model.safetensors")).file, device="cpu")
    with pytest.raises(CheckpointError, match="has no discriminator"):
        _ = exported.discriminator
