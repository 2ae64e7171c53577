"""Walks through the latents: their law, that they close, and the files made of them."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.figures import draw_samples, image_grid
from gan_lab.gans.latents import LatentPrior, TruncatedPrior
from gan_lab.noise import Noise
from gan_lab.sampling.walks import StepLengths, closed_spline, number_of_points
from tests.conftest import SMALL

FRAMES, SIGMA = 400, 6.0


@pytest.mark.parametrize("prior", [LatentPrior(50), LatentPrior(50, "uniform", 1.5)], ids=["normal", "uniform"])
def test_every_frame_has_the_law_of_the_prior(prior: LatentPrior) -> None:
    path = prior.closed_path(Noise(1, 200), FRAMES, SIGMA)
    assert path.shape == (FRAMES, 200, 50) and path.dtype == torch.float32
    expected = 1.0 if prior.distribution == "normal" else 1.5 / math.sqrt(3)
    for frame in path[::50]:
        assert frame.std().item() == pytest.approx(expected, rel=0.03) and abs(frame.mean().item()) < 0.05
    if prior.distribution == "uniform":
        assert path.abs().max() <= 1.5 and (path.abs() > 0.75).float().mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("form", "std"), [("resample", 0.28388), ("scale", 0.43979)])
def test_truncated_walks_have_the_law_of_truncated_samples(form: str, std: float) -> None:
    prior = TruncatedPrior(LatentPrior(50), 0.5, form)
    path = prior.closed_path(Noise(3, 400), 20, 2.0)
    assert path[7].std().item() == pytest.approx(std, rel=0.02) and path.dtype == torch.float32
    assert path.abs().max() <= (0.5 if form == "resample" else 1.0)


def test_a_walk_is_as_smooth_as_the_blur_and_closes() -> None:
    """The correlation of frames t apart is exp(-t² / 4 sigma²), also across the end."""
    path = LatentPrior(100).closed_path(Noise(2, 200), FRAMES, SIGMA)
    for apart in (1, 6, 12, 24):
        for first in (0, FRAMES - apart):
            found = (path[first] * path[(first + apart) % FRAMES]).mean().item()
            assert found == pytest.approx(math.exp(-((apart / (2 * SIGMA)) ** 2)), abs=0.03)
    rough = LatentPrior(100).closed_path(Noise(2, 200), FRAMES, 0)
    assert abs((rough[0] * rough[1]).mean().item()) < 0.03


def test_a_closed_spline() -> None:
    """Through its points, smooth also across the end; points on a circle give nearly that circle."""
    weights = closed_spline(8, 80)
    assert weights.shape == (80, 8) and weights.dtype == torch.float32
    assert torch.allclose(weights.sum(1), torch.ones(80), atol=1e-6)
    assert torch.equal(weights[::10], torch.eye(8))
    angles = torch.arange(8) * (2 * math.pi / 8)
    curve = weights @ torch.stack([angles.cos(), angles.sin()], 1)
    steps = torch.cat([curve, curve[:1]]).diff(dim=0).norm(dim=1)
    assert torch.allclose(curve.norm(dim=1), torch.ones(80), atol=0.03)
    assert torch.allclose(steps, torch.full((80,), 2 * math.pi / 80), rtol=0.1)
    assert torch.allclose(closed_spline(2, 4) @ torch.tensor([0.0, 1]), torch.tensor([0, 0.5, 1, 0.5]))


@pytest.mark.parametrize(
    ("frames", "smoothing", "points"), [(250, 18.75, 7), (250, 0.0, 250), (3, 0.3, 3), (250, 1e9, 2), (250, 5.0, 25)]
)
def test_points_of_a_spline(frames: int, smoothing: float, points: int) -> None:
    assert number_of_points(frames, smoothing) == points


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("walks")


@pytest.fixture
def run(command: Callable, runs: Path) -> Path:
    if not (runs / "run").exists():
        assert (
            command(
                "train",
                *SMALL,
                "conditioning=concat",
                "latent.distribution=normal",
                "architecture.generator.init_scale=0.3",
                f"run.dir={runs}/run",
            ).status
            == 0
        )
    return runs / "run"


def test_a_gif(command: Callable, run: Path, tmp_path: Path) -> None:
    overrides = (f"run={run}", "count=4", "seconds=0.5", "fps=20", "smoothing=0.1", "device=cpu")
    outcome = command("interpolate", *overrides)
    file = run / "samples" / "walk_seed_0.gif"
    assert outcome.status == 0 and f"10 frames of 4 samples of {run}/checkpoints/images_0000000032.ckpt" in outcome.out
    with Image.open(file) as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (10, 50, 0)
    assert command("interpolate", *overrides).status == 0
    assert (run / "samples" / "walk_seed_0-2.gif").read_bytes() == file.read_bytes()
    refused = command("interpolate", *overrides, f"out={file}")
    assert refused.status == 2 and "walk_seed_0.gif exists already: give another name" in refused.err
    assert command("interpolate", *overrides, "truncation=0", f"out={tmp_path}/still.gif").status == 0
    with Image.open(tmp_path / "still.gif") as image:
        assert image.n_frames == 1  # all latents are 0
    assert command("interpolate", *overrides, "labels=3", f"out={tmp_path}/other.gif").status == 0
    assert (tmp_path / "other.gif").read_bytes() != file.read_bytes()


def test_a_walk_between_two_samples(command: Callable, run: Path) -> None:
    outcome = command("interpolate", f"run={run}", "from=2", "to=5", "seconds=0.6", "fps=10", "device=cpu")
    file = run / "samples" / "walk_from_2_to_5_seed_0.gif"
    assert outcome.status == 0 and "6 frames of 1 samples" in outcome.out
    ends = gan_lab.load(run, device="cpu").sample(6)[[2, 5]]
    with Image.open(file) as image:
        assert image.n_frames == 6
        for frame, end in ((0, ends[0]), (3, ends[1])):
            image.seek(frame)
            shown, wanted = np.asarray(image.convert("L")), np.asarray(draw_samples(end[None]).convert("L"))
            assert np.abs(shown.astype(int) - wanted).mean() < 3  # of 255: colors are from a palette


def sheet_cells(file: Path, rows: int, columns: int) -> np.ndarray:
    """Mean value of each image of a sheet, 0 to 255."""
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("L"), np.float64)
    return np.array([[part.mean() for part in np.array_split(row, columns, 1)] for row in np.array_split(pixels, rows)])


def test_a_sheet_from_seed_to_seed(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "walk.png"
    found = gan_lab.interpolate(
        run, "from=seed:3", "to=seed:9", count=2, columns=5, out=file, labels=[1, 2], device="cpu"
    )
    assert (found.file, found.frames, found.count, found.averaged) == (file, 5, 2, [])
    loaded, size = gan_lab.load(run, device="cpu"), Image.open(file).size
    ends = [loaded.sample(2, seed, [1, 2]) for seed in (3, 9)]
    wanted = image_grid(torch.stack([ends[0]] + [ends[1]] * 4, 1).flatten(0, 1), 5, 1280)
    wanted.save(tmp_path / "wanted.png")
    assert wanted.size == size
    shown, expected = (sheet_cells(tmp_path / name, 2, 5) for name in ("walk.png", "wanted.png"))
    assert np.allclose(shown[:, [0, 4]], expected[:, [0, 4]], atol=0.01) and not np.allclose(shown, expected, atol=0.01)


def test_from_class_to_class(run: Path, tmp_path: Path) -> None:
    """The latents stay, and what the generator makes of labels is averaged."""
    overrides = ("from=class:3", "to=class:8", "count=2", "columns=3", f"out={tmp_path}/walk.png", "device=cpu")
    found = gan_lab.interpolate(run, *overrides)
    assert found.averaged == ["one-hot vectors"] and "between classes the generator averages one-hot" in str(found)
    loaded = gan_lab.load(run, device="cpu")
    latents, _ = loaded.draw(2, 0, 3)
    weights = torch.zeros(2, 10)
    weights[:, [3, 8]] = 0.5
    samples = [loaded.sample(2, 0, 3), loaded.samples_of(latents, weights), loaded.sample(2, 0, 8)]
    image_grid(torch.stack(samples, 1).flatten(0, 1), 3, 1280).save(tmp_path / "wanted.png")
    assert (tmp_path / "wanted.png").read_bytes() == (tmp_path / "walk.png").read_bytes()


def test_a_sheet_of_a_closed_walk(run: Path, tmp_path: Path) -> None:
    """Its columns are frames of the animation."""
    shared = {"count": 1, "seconds": 1, "fps": 4, "smoothing": 0, "device": "cpu"}
    found = gan_lab.interpolate(run, columns=2, out=tmp_path / "walk.png", **shared)
    assert found.frames == 2 and "2 frames of 1 samples" in str(found)
    gan_lab.interpolate(run, out=tmp_path / "walk.gif", **shared)
    shown = sheet_cells(tmp_path / "walk.png", 1, 2)[0]
    with Image.open(tmp_path / "walk.gif") as image:
        for column, frame in ((0, 0), (1, 2)):
            image.seek(frame)
            assert np.asarray(image.convert("L"), np.float64).mean() == pytest.approx(shown[column], abs=3)


def test_an_mp4(command: Callable, run: Path, tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    outcome = command("interpolate", f"run={run}", "count=1", "seconds=1", "fps=10", f"out={tmp_path}/walk.mp4")
    assert outcome.status == 0, outcome.err
    frames = ffmpeg.read_frames(str(tmp_path / "walk.mp4"))
    video = next(frames)
    assert (video["codec"], video["fps"], video["duration"]) == ("h264", 10, 1)
    width, height = video["size"]
    assert width % 2 == height % 2 == 0
    figures = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]
    assert len(figures) == 10 and len({figure.tobytes() for figure in figures}) > 1


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        ("out=walk.avi", r"out=walk\.avi .*end in \.gif, \.mp4 or \.png"),
        ("labels=77", "labels=77"),
        ("space=w", r"space=w needs a generator with styles, and that of \S+\.ckpt has none; set space=z\.\n$"),
        ("space=x", "space=x is not known: choose z or w"),
        ("truncation_cutoff=0", "truncation_cutoff=0 is not allowed: it must be at least 1"),
        ("from=1", r"to=None is not allowed: it must be the number of a sample of the seed, .*both from= and to="),
        ("from=-1 to=2", r"from=-1 is not allowed: it must be the number of a sample"),
        ("from=seed:x to=seed:2", r"from=seed:x is not allowed: it must be the number of a sample"),
        (
            "from=seed:3 to=class:2",
            r"from=seed:3 and to=class:2 are a seed and a class: both must be samples, seeds or",
        ),
        ("from=class:3 to=class:77", r"labels=77 is not allowed: labels are whole numbers from 0 to 9"),
        ("from=class:cat to=class:3", r"labels=cat is not "),
        ("from=1 to=2 count=4", "count=4 has no effect with numbers of samples as from and to"),
        ("from=seed:1 to=seed:2 seed=4", "seed=4 has no effect with seeds as from and to"),
        ("from=class:1 to=class:2 labels=4", "labels=4 has no effect with classes as from and to"),
        ("from=1 to=2 smoothing=4", "smoothing=4.0 has no effect with from and to"),
        ("noise=random", r"the generator has no noise layers; set noise=fixed\."),
    ],
)
def test_what_is_refused(command: Callable, run: Path, overrides: str, pattern: str) -> None:
    outcome = command("interpolate", f"run={run}", *overrides.split(), "device=cpu")
    assert outcome.status == 2 and "Traceback" not in outcome.err
    assert re.search(pattern, outcome.err)


def test_no_encoder(command: Callable, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.commands.interpolate.find_spec", lambda name: None)
    outcome = command("interpolate", f"run={run}", "out=walk.mp4", "device=cpu")
    assert outcome.status == 2 and "out=walk.mp4 needs an encoder: pip install imageio-ffmpeg" in outcome.err


def test_points_do_not_walk(command: Callable, tmp_path: Path) -> None:
    overrides = ("dataset=ring", "architecture=mlp", "architecture.generator.norm=none", "budget.images=16")
    assert command("train", *SMALL, *overrides, f"run.dir={tmp_path}/points").status == 0
    outcome = command("interpolate", f"run={tmp_path}/points", "device=cpu")
    assert outcome.status == 2 and "generates points: gan-lab interpolate is for images" in outcome.err
    assert not list((tmp_path / "points" / "samples").glob("walk*"))


def test_the_largest_step_is_relative_to_the_mean() -> None:
    steps = StepLengths()
    assert steps.largest_over_mean is None
    for position in (0.0, 1.0, 2.0, 3.0, 12.0):  # one sample changes by 1, 1, 1 and 9, the other by 0
        steps.add(torch.tensor([[position, position], [0.5, 0.5]]))
    assert steps.largest_over_mean == pytest.approx(9 / 3)
