"""Files of a run: metrics, sample grids, checkpoints; and the progress bar."""

import csv
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from gan_lab.callbacks.checkpoints import AtomicCheckpointIO
from gan_lab.callbacks.every import Every
from gan_lab.callbacks.progress import Progress
from gan_lab.config.compose import compose
from gan_lab.training.fit import fit

SMALL = (
    "model=dcgan",
    "architecture.generator.width=8",
    "architecture.discriminator.width=8",
    "hardware=cpu",
    "batch_size=8",
)


RUN = (*SMALL, "budget.images=90", "dataset.resolution=8", "callbacks.sample_grids.every_images=30",
       "callbacks.sample_grids.count=9", "callbacks.checkpoints.every_images=20",
       "callbacks.train_log.every_batches=3")  # fmt: skip


def test_every_is_due_once_for_each_multiple_passed() -> None:
    every = Every(100)
    assert [every.due(n) for n in (60, 120, 180, 240, 500, 501)] == [False, True, False, True, True, False]
    every.start(250)
    assert [every.due(n) for n in (260, 300)] == [False, True]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 96 images in batches of 8 with all callbacks."""
    folder = tmp_path_factory.mktemp("run")
    fit(compose(*RUN, f"run.dir={folder}"))
    return folder


def test_budget_ends_the_run_with_the_first_batch_that_reaches_it(run: Path) -> None:
    with open(run / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [24, 48, 72, 96]
    assert [float(row["progress/images_seen"]) for row in rows] == [24, 48, 72, 96]


def test_grids_at_the_end_of_chosen_epochs(tmp_path: Path) -> None:
    grids = [f"callbacks.sample_grids.{each}" for each in ("every_images=1000", "count=4", "at_epochs=[1,3]")]
    fit(
        compose(
            *SMALL, "dataset.resolution=8", "dataset.max_images=24", "budget.images=96", *grids, f"run.dir={tmp_path}"
        )
    )
    found = sorted(int(file.stem.rpartition("_")[2]) for file in (tmp_path / "samples").glob("ema_*.png"))
    assert found == [0, 24, 72, 96]


def test_keys_of_the_metrics(run: Path) -> None:
    with open(run / "metrics.csv") as file:
        (first, *_) = csv.DictReader(file)
    assert set(first) == {
        "step",
        "progress/images_seen",
        "progress/images_per_second",
        "train/discriminator/adversarial",
        "train/generator/adversarial",
        "train/logits/real",
        "train/logits/fake",
        "train/accuracy/real",
        "train/accuracy/fake",
        "train/grad_norm/discriminator",
        "train/grad_norm/generator",
        "train/lr/discriminator",
        "train/lr/generator",
        *(f"time/{part}" for part in ("data", "discriminator", "generator", "ema", "logging")),
        *(f"time/{part}" for part in ("figures", "checkpoints", "other")),
    }
    assert sum(float(value) for key, value in first.items() if key.startswith("time/") and value) == pytest.approx(1)
    assert all(float(value) == float(value) for value in first.values() if value)  # a norm on every tenth batch only


def test_grids_are_written_at_their_intervals(run: Path) -> None:
    names = sorted(path.name for path in (run / "samples").iterdir())
    seen = [0, 32, 64, 96]  # the first batches at or past 30, 60 and 90, and the start
    assert names == sorted(
        [f"{kind}_{n:010d}.png" for kind in ("ema", "raw") for n in seen] + ["real.png", "final.png", "ema.gif"]
    )
    with Image.open(run / "samples" / "ema.gif") as gif:
        assert gif.n_frames == 4
    last = Image.open(run / "samples" / "ema_0000000096.png")
    assert Image.open(run / "samples" / "final.png").tobytes() == last.tobytes()
    assert Image.open(run / "samples" / "ema_0000000000.png").tobytes() != last.tobytes()
    assert Image.open(run / "samples" / "raw_0000000096.png").tobytes() != last.tobytes()


def test_newest_checkpoints_are_kept_and_last_is_the_newest(run: Path) -> None:
    folder = run / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == [
        "images_0000000080.ckpt",
        "images_0000000096.ckpt",
        "last.ckpt",
    ]
    last = torch.load(folder / "last.ckpt", weights_only=True)
    assert last["state_dict"]["_extra_state"]["images_seen"] == 96


def test_final_grid_equals_samples_of_the_checkpoint(run: Path) -> None:
    import gan_lab
    from gan_lab.callbacks.sample_grids import FIXED_LATENTS
    from gan_lab.figures import draw_samples
    from gan_lab.noise import Noise, mix

    loaded = gan_lab.load(run, device="cpu")
    latents = loaded.latent.sample(Noise(mix(0, FIXED_LATENTS), 9))
    assert draw_samples(loaded.generator(latents)).tobytes() == Image.open(run / "samples" / "final.png").tobytes()


@pytest.mark.parametrize(("changed", "kept"), [((), []), (("lr=0.01", "allow_changes=true"), ["ema", "raw"])])
def test_figures_of_later_weights_are_set_aside(
    changed: tuple[str, ...], kept: list[str], run: Path, tmp_path: Path
) -> None:
    """Until the same ones are drawn again; after a return to an earlier checkpoint others may be drawn."""
    folder = shutil.copytree(run, tmp_path / "run")
    start = f"resume={folder}/checkpoints/images_0000000080.ckpt"
    fit(compose(*RUN, f"run.dir={folder}", start, *changed))
    aside = sorted(folder.glob("samples/*.aside"))
    assert [file.name for file in aside] == [f"{kind}_0000000096.png.aside" for kind in kept]
    for file in aside:
        assert file.read_bytes() == (run / "samples" / file.stem).read_bytes() != file.with_suffix("").read_bytes()


def test_checkpoints_are_written_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint({"a": 1}, target)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        io.save_checkpoint({"a": 2}, target)
    assert torch.load(target, weights_only=True) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_progress_line_has_throughput_and_terms_only(capsys: pytest.CaptureFixture[str]) -> None:
    def last_line(latest: dict[str, float]) -> str:
        progress, module = Progress(1000), SimpleNamespace(images_seen=500, latest=latest)
        progress.on_train_start(SimpleNamespace(is_global_zero=True), module)  # type: ignore[arg-type]
        progress.on_train_end(SimpleNamespace(), module)  # type: ignore[arg-type]
        return capsys.readouterr().err.splitlines()[-1].rpartition("\r")[2]

    latest = {
        "progress/images_per_second": 812.4,
        "train/discriminator/adversarial": 1.23456,
        "train/discriminator/gradient_penalty": 0.05,
        "train/logits/real": 3.0,
        "train/lr/generator": 2e-4,
        "train/grad_norm/generator": 1.0,
    }
    line = last_line(latest)
    assert line.endswith("<?, 812 images/s, discriminator/adversarial 1.23, discriminator/gradient_penalty 0.05]"), line
    assert last_line({}).endswith("<?]") and "| 500/1,000 images [" in last_line({})


def test_long_runs_show_thousands_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    progress, module = Progress(64_000), SimpleNamespace(images_seen=64_032, latest={})
    progress.on_train_start(SimpleNamespace(is_global_zero=True), module)  # type: ignore[arg-type]
    progress.on_train_end(SimpleNamespace(), module)  # type: ignore[arg-type]
    assert "| 64.0/64.0 kimg [" in capsys.readouterr().err


def test_progress_bar_has_images_and_time_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = ("budget.images=800", "logger=[]", "~callbacks.sample_grids", "~callbacks.checkpoints")
    fit(
        compose(*SMALL, *settings, f"run.dir={tmp_path}", "callbacks.progress.log_seconds=0.01", "dataset.resolution=8")
    )
    output = capfd.readouterr().err
    assert "800/800 images" in output and "images/s" in output and "generator/adversarial" in output
    assert "[00:0" in output and "<00:0" in output
