"""Samples of a generator with styles: truncation by psi, its cutoff, and noise; also inside a wrapper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import gan_lab
from gan_lab.config.build import instantiate
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.layers.modulated_conv import ModulatedConv2d
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.sampling.mixing import mix_styles
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.training.fit import fit
from tests.conftest import SMALL
from tests.helpers.pixel_features import pixel_features

Command = Callable[..., Any]
STYLES = ("model=r1_gan", "architecture=stylegan2", "latent.dim=6", "dataset.resolution=8", "batch_size=8")


def train(folder: Path, conditioning: str) -> Path:
    """A short run, whose noise got a visible strength."""
    strong = ("optimizer.generator.lr=0.05", f"conditioning={conditioning}")
    fit(compose(*SMALL, *STYLES, *strong, "architecture.generator.norm=demodulation", f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("styles") / "run", "mapping")


@pytest.fixture(scope="module")
def loaded(run: Path) -> PretrainedGenerator:
    return gan_lab.load(run, device="cpu")


def test_the_average_style_is_in_the_checkpoint(loaded: PretrainedGenerator) -> None:
    assert loaded.generator.styles.average.abs().max() > 0


def test_psi(loaded: PretrainedGenerator) -> None:
    """0: one image for all latents and labels; 1: no change; in between the samples are closer to each other."""
    plain, none, half, zero = (loaded.sample(8, truncation=psi) for psi in (None, 1.0, 0.5, 0.0))
    assert torch.equal(plain, none) and torch.allclose(zero, zero[:1].expand_as(zero), atol=1e-6)
    assert 0 < half.var(0).mean() < plain.var(0).mean()
    low = loaded.sample(8, truncation=0.5, truncation_cutoff=2)
    assert not torch.equal(low, half) and not torch.equal(low, plain)
    assert loaded.form_of_truncation("resample") == "psi"


def test_noise(loaded: PretrainedGenerator) -> None:
    fixed, random = loaded.sample(8, seed=1), loaded.sample(8, seed=1, noise="random")
    assert torch.equal(fixed, loaded.sample(8, seed=1)) and torch.equal(
        random, loaded.sample(8, seed=1, noise="random")
    )
    assert (fixed - random).abs().max() > 1e-4


def test_psi_inside_a_wrapper(tmp_path: Path) -> None:
    """With conditioning=concat another module holds the generator; psi = 0 gives one image as well."""
    loaded = gan_lab.load(train(tmp_path / "run", "concat"), device="cpu")
    zero = loaded.sample(8, truncation=0.0)
    assert torch.allclose(zero, zero[:1].expand_as(zero), atol=1e-6) and loaded.sample(8).var(0).mean() > 1e-6
    inputs = loaded.draw(4, seed=3)
    assert torch.equal(loaded.generate_from_styles(loaded.styles(*inputs), inputs[1]), loaded.generate(*inputs))


def test_forms_of_truncated_latents_are_refused(loaded: PretrainedGenerator) -> None:
    with pytest.raises(ConfigError, match="truncation_form=scale has no effect on styles, whose truncation is psi"):
        loaded.sample(2, truncation=0.5, truncation_form="scale")


def test_samples_from_styles(loaded: PretrainedGenerator) -> None:
    """They are the samples of the latents, whatever the label; styles are truncated once."""
    latents, labels = loaded.draw(4, seed=3)
    assert labels is not None
    half = loaded.adjusted(truncation=0.5, truncation_cutoff=2)
    for generator in (loaded, half):
        styles = generator.styles(latents, labels)
        assert styles.shape == (4, 4, 6)
        assert torch.equal(generator.generate_from_styles(styles, 0 * labels), generator.generate(latents, labels))
    plain, average = loaded.styles(latents, labels), loaded.generator.styles.average
    assert torch.allclose(half.styles(latents, labels)[:, :2], (plain[:, :2] + average) / 2, atol=1e-6)
    assert torch.equal(half.styles(latents, labels)[:, 2:], plain[:, 2:])


def frames_of(file: Path) -> list[np.ndarray]:
    with Image.open(file) as image:
        return [np.array(frame.convert("L"), int) for frame in ImageSequence.Iterator(image)]


def test_styles_are_computed_without_samples(loaded: PretrainedGenerator) -> None:
    """The samples of thousands of latents at once would not fit into memory."""
    latents, condition = loaded.draw(3)
    wanted = loaded.styles(latents, condition)
    calls: list[object] = []
    layer = next(module for module in loaded.generator.modules() if isinstance(module, ModulatedConv2d))
    handle = layer.register_forward_hook(lambda *arguments: calls.append(arguments))
    assert torch.equal(loaded.styles(latents, condition), wanted) and not calls
    loaded.generate_from_styles(wanted, condition)
    handle.remove()
    assert len(calls) == 1


def test_a_walk_in_styles(run: Path, command: Command) -> None:
    """It differs from that in latents, and psi, its cutoff and noise change it as they change samples."""
    given = (f"run={run}", "count=2", "seconds=0.5", "fps=16", "smoothing=0.0625", "device=cpu", "labels=3")
    walks = {}
    for options in (
        "",
        "space=w",
        "space=w truncation=0",
        "space=w truncation=0 truncation_cutoff=1",
        "space=w noise=random",
    ):
        outcome = command("interpolate", *given, *options.split())
        assert outcome.status == 0, outcome.err
        walks[options] = frames_of(Path(outcome.out.split(": ")[-1].strip()))
    names = {file.name for file in (run / "samples").glob("walk*")}
    assert {"walk_seed_0_labels_3.gif", "walk_w_seed_0_labels_3_psi_0_cutoff_1.gif"} <= names
    assert "walk_w_seed_0_labels_3_random_noise.gif" in names
    assert len(walks["space=w truncation=0"]) == 1  # the average style
    for options in ("", "space=w truncation=0 truncation_cutoff=1", "space=w noise=random"):
        assert not np.array_equal(walks[options][0], walks["space=w"][0]), options


def test_the_command(run: Path, command: Command) -> None:
    command("sample", f"run={run}", "count=4", "truncation=0.5", "truncation_cutoff=2", "noise=random", "files=false")
    assert (run / "samples" / "seed_0_psi_0.5_cutoff_2_random_noise" / "grid.png").is_file()


def test_numbers_are_those_of_the_adjusted_samples(run: Path, loaded: PretrainedGenerator, tmp_path: Path) -> None:
    """The protocol has the cutoff and random noise; a curve has no cutoff where nothing is truncated."""
    given = (
        f"run={run}", "metrics=[fd]", "evaluation.samples=12", "evaluation.real_images=16", "seed=3", "device=cpu",
        "allow_targets=[tests.helpers.pixel_features]", "truncation_cutoff=2", "noise=random", f"out={tmp_path}/out",
        "evaluation.metrics.fd.extractor={_target_:tests.helpers.pixel_features.pixel_features}",
    )  # fmt: skip
    record = gan_lab.evaluate(*given, "truncation=0.5").records["fd_pixels_12"]
    assert (record.protocol.truncation_form, record.protocol.truncation_cutoff) == ("psi", 2)
    assert record.protocol.noise == "random"
    metric = FrechetDistance(pixel_features())
    metric.update(next(instantiate(loaded.config.dataset, "dataset").reals(16, 16))[0], real=True)
    metric.update(loaded.sample(12, seed=3, truncation=0.5, truncation_cutoff=2, noise="random"))
    assert record.value == pytest.approx(float(metric.compute()), rel=1e-5)
    curve = gan_lab.evaluate(*given, "truncation=[0.5,null]", "count=2")
    protocols = [point.records["fd_pixels_12"].protocol for point in curve.points]
    assert [protocol.truncation_cutoff for protocol in protocols] == [2, None]
    assert curve.points[0].records["fd_pixels_12"].value == pytest.approx(record.value, rel=1e-5)
    assert "truncation_cutoff 2" in str(curve) and "noise random" in str(curve)


def test_mixed_styles(loaded: PretrainedGenerator) -> None:
    """All layers give the column's source, whatever the row; some give an image with the styles of both."""
    sources = loaded.sample(5, seed=4)
    found = mix_styles(loaded, "0-3", rows=2, columns=3, seed=4)
    assert torch.equal(found.columns, sources[:3]) and torch.equal(found.rows, sources[3:])
    assert torch.allclose(found.mixed, found.columns.repeat(2, 1, 1, 1), atol=1e-6)
    latents, labels = loaded.draw(5, seed=4)
    styles = loaded.styles(latents, labels)
    for text, copied in (("coarse", [0, 1, 2]), ("middle", [3]), ("1-2", [1, 2]), ("2", [2])):
        style = torch.stack([styles[2 if layer in copied else 3, layer] for layer in range(4)])
        assert labels is not None
        expected = loaded.generate_from_styles(style[None], labels[:1])[0]
        mixed = mix_styles(loaded, text, rows=2, columns=3, seed=4).mixed
        assert torch.allclose(mixed[2], expected, atol=1e-6), text


@pytest.mark.parametrize("layers", ["fine", "2-4", "4", "3-2"])
def test_layers_that_do_not_exist(loaded: PretrainedGenerator, layers: str) -> None:
    with pytest.raises(ConfigError) as error:
        mix_styles(loaded, layers, rows=1, columns=1)
    assert str(error.value) == f"mixing={layers} is not allowed: the layers of this generator are numbered 0 to 3."


@pytest.mark.parametrize("layers", ["", "all", "-1", "1-", "1-2-3", "1.5"])
def test_texts_that_name_no_layers(loaded: PretrainedGenerator, layers: str) -> None:
    with pytest.raises(ConfigError, match=f"^mixing={layers} is not allowed: it must be coarse, middle, fine, or lay"):
        mix_styles(loaded, layers, rows=1, columns=1)


def test_a_table_of_mixed_styles(run: Path, command: Command, loaded: PretrainedGenerator) -> None:
    """The sources have labels, columns first; the grid has a row and a column more, and the corner is empty."""
    given = ("sample", f"run={run}", "mixing=coarse", "labels=[3,7]", "device=cpu")
    assert command(*given, "count=6", "columns=2").status == 0
    folder = run / "samples" / "seed_0_labels_3-7_mixed_coarse"
    assert len(list(folder.glob("[0-9].png"))) == 6
    grid = np.array(Image.open(folder / "grid.png").convert("L"), int)
    height, width = grid.shape
    assert width / height == pytest.approx(3 / 4, rel=0.02)
    assert (grid[: height // 4, : width // 3] == 32).all()
    found = mix_styles(loaded, "coarse", 3, 2, 0, [3, 3, 3, 7, 7])
    assert torch.allclose(gan_lab.sample(*given[1:], count=6, columns=2).samples, found.mixed, atol=1e-6)
    refused = command(*given, "count=7", "columns=2")
    assert refused.status == 2
    assert "count=7 is not allowed: with mixing and 2 columns, give a multiple of it." in refused.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"truncation": 0.5, "truncation_cutoff": 5}, "truncation_cutoff=5 is not allowed: it must be from 1 to 4."),
        ({"truncation_cutoff": 2}, "truncation_cutoff=2 needs truncation and a generator with styles; set "
         "truncation_cutoff=null."),
        ({"truncation": -1.0}, "truncation=-1.0 is not allowed: it must be at least 0, or null for none."),
        ({"noise": "none"}, "noise=none is not known: choose fixed or random."),
    ],
)  # fmt: skip
def test_what_is_refused(loaded: PretrainedGenerator, options: dict, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded.sample(2, **options)
    assert str(error.value) == sentence
