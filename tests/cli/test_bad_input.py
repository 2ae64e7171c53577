"""What a user can get wrong ends with one sentence that names the key or file, status 2, and no traceback."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.conftest import SMALL

from gan_lab.cli.main import COMMANDS

ONE = (*SMALL, "run.name=one")
"""The shortest run that writes everything, in a folder of a known name."""

Command = Callable[..., "object"]

MEASURED = "dataset=ring architecture=mlp metrics=points evaluation."
"""A run on points with metrics, up to a key of these."""

CONFIG = {
    # Words that are not there
    "model=foo": "model=foo is not known: choose from acgan, bgan, biggan, ",
    "regularizer=[foo]": "regularizer=foo is not known: choose from .*gradient_penalty, .*r1, r1_r2, r2",
    "modle=dcgan": "modle is not a key .*did you mean model",
    "n_critc=3": "n_critc is not a key .*did you mean n_critic",
    "dataset=ring dataset.mixture.modez=3": "did you mean dataset.mixture.modes",
    "unheard_of=3": "unheard_of is not a key .*--cfg job",
    "trainer.gradient_clip_val=1": "trainer.gradient_clip_val is not a key",
    # Types
    "lr=abc": "lr: Value 'abc' .*Float",
    "n_critic=1.5": "n_critic: Value '1.5' .*Integer",
    "batch_size=x": "batch_size: Value 'x' .*Integer",
    "optimizer.generator.lr=abc": "optimizer.generator.lr=abc .*must be a number",
    "dataset.resolution=abc": "dataset.resolution=abc .*must be a whole number",
    "dataset.flip=maybe": "dataset.flip=maybe .*must be true or false",
    "callbacks.sample_grids.count=[1]": "callbacks.sample_grids.count=.* must be a whole number",
    # Ranges
    "n_critic=0": "n_critic=0 .*at least 1",
    "batch_size=-1": "batch_size=-1 .*at least 1",
    "lr=0": "lr=0.0 .*greater than 0",
    "betas=[1.0]": r"betas=\[1.0\] .*two numbers in \[0, 1\)",
    "label_smoothing=0.7": r"label_smoothing=0.7 .*in \[0, 0.5\)",
    "accumulate=0": "accumulate=0 .*at least 1",
    "regularizer=[r1] regularizer.r1.interval=0": "regularizer.r1.interval=0 .*at least 1",
    "regularizer=[r1] regularizer.r1.weight=-1": "regularizer.r1.weight=-1 .*at least 0",
    "optimizer.generator.lr=-1": "optimizer.generator .*-1",
    "budget.images=0": "budget.images=0 .*at least 1",
    "budget.images=10 budget.kimg=1": "budget.images=10 and budget.kimg=1.0 .*give one of",
    "latent.distribution=foo": "latent.distribution=foo .*normal or uniform",
    "dataset.cache=foo": "dataset.cache=foo .*auto, device, memory, none",
    "dataset.resolution=28": "dataset.resolution.* power of two .*dataset.resolution=32",
    "architecture.generator.norm=foo": "architecture.generator .*norm .*none, batch, layer",
    # The machine
    "hardware.precision=foo": "hardware.precision=foo .*bf16-mixed",
    "hardware.accelerator=foo": "hardware.accelerator=foo.* cpu",
    "hardware.strategy=foo": "hardware.strategy=foo.* ddp",
    "hardware.devices=foo": "hardware.devices=foo.*int > 0",
    # Targets and their options
    "+loss.foo=1": "loss.foo is not an option of .*NonSaturating: it takes no options",
    "+architecture.generator.foo=1": "architecture.generator.foo is not an option .*latent_dim, channels",
    "+optimizer.generator.foo=1": "optimizer.generator.foo is not an option of .*Adam",
    "+dataset.reader.foo=1": "dataset.reader.foo is not an option of .*read_digits",
    "+latent.foo=1": "latent.foo is not an option .*dim, distribution, bound",
    "+trainer.foo=1": "trainer.foo is not an option of .*Trainer",
    "~dataset.resolution": "dataset.resolution is missing",
    "regularizer=[r1] regularizer.r1=3": "regularizer.r1=3 .*_target_",
    "loss._target_=nothing.Here": r"loss._target_=nothing.Here is not allowed: .*add allow_targets=\[nothing.Here\]",
    "loss._target_=nothing.Here allow_targets=[nothing]": "loss._target_=nothing.Here cannot be imported",
    "loss._target_=Hinge": "loss._target_=Hinge is not allowed: write package.module.Name",
    "loss._target_=gan_lab.losses.adversarial._hidden": "is not allowed: a name that begins with _ is private",
    "loss._target_=gan_lab.config.build.partial": "is not allowed: functools has only lent it to gan_lab.config.build",
    "loss._target_=gan_lab.config.build.os.system": "os.system cannot be imported: .*gan_lab.config.build.os",
    "allow_targets=mine": "allow_targets",
    "loss._target_=gan_lab.losses.adversarial.Nothing": "loss._target_=.*Nothing cannot be imported",
    "loss._target_=gan_lab.losses.adversarial": "loss._target_=.*must be a class or a function",
    "+trainer.gradient_clip_val=1": "trainer.gradient_clip_val .*clip_norm",
    # Pairs
    "batch_size=9 accumulate=2": "batch_size=9 .*multiple of 2",
    "batch_size=5000": "1797 images, fewer than batch_size=5000",
    "model=dcgan dataset=ring": "architecture=dcgan .*points; choose architecture=mlp",
    "model=dcgan regularizer=[gradient_penalty]": "gradient_penalty .*architecture.discriminator.norm=none or layer",
    "model=gan optimizer=adam": "schedule.momentum .*schedule=constant",
    "conditioning=projection dataset.num_classes=null": "conditioning=projection needs labels.*conditioning=none",
    "conditioning=concat dataset.num_classes=null": "conditioning=concat .*needs labels.*conditioning=none",
    "conditioning=projection architecture.generator.norm=none": "architecture.generator.norm=batch",
    "conditioning=concat conditioning.prior=foo": "conditioning.prior=foo .*uniform or data",
    "conditioning=projection wrapper=[packing]": "packing judges .*conditioning=concat or none",
    "wrapper=[packing] wrapper.discriminator.packing.size=3": "packing.size=3 .*batch_size a multiple of 3",
    "wrapper=[packing] wrapper.discriminator.packing.size=0": "packing.size.*at least 1",
    "wrapper=[virtual_batch_norm] architecture.generator.norm=none": "virtual_batch_norm.*generator.norm=batch",
    "wrapper=[minibatch_discrimination] regularizer=[r1] architecture.discriminator.norm=none": "Discrimination .*mixes",
    "augment=ada loss=wasserstein": "augment=ada .*Wasserstein .*augment=diffaugment",
    "augment=ada dataset=ring architecture=mlp": "augment=ada .*points; set augment=none",
    "augment=diffaugment dataset=ring architecture=mlp": "augment=diffaugment .*points; set augment=none",
    "augment=diffaugment augment.policy=[flip]": "augment.policy .*colour, translation, cutout",
    "regularizer=[consistency] dataset=ring architecture=mlp": "regularizer=consistency .*points",
    "regularizer=[feature_matching] regularizer.feature_matching.interval=4": "feature_matching.interval=1",
    "regularizer=[top_k] selection.share_end=0": r"selection.share_end=0 .*in \(0, 1\]",
    "loss=relativistic label_smoothing=0.1": "label_smoothing needs .*Relativistic",
    "adversarial_weight=0": "adversarial_weight=0 .*feature_matching",
    "adversarial_weight=-1": "adversarial_weight=-1.0 .*at least 0",
    "model=sagan dataset.resolution=16": "attention_divisor .*16 pixels",
    "objective.mode=up": "objective.mode=up .*min, max",
    # Grammar and flags
    "lr=[": r"lr=\[ cannot be read",
    "lr": "lr cannot be read .*key=value",
    "seed=0,1": "seed=0,1 are several values: add -m",
    "=3": "must be a string or a list",
    "~nothing": "'nothing' does not exist",
    "--cfg job --info defaults": "Only one of",
    "--config-dir nowhere": "nowhere' not found",
    # Metrics
    "metrics=foo": "metrics=foo is not known: choose from .*points",
    "metrics=points": "metrics=points needs points .*dataset=ring",
    f"{MEASURED}samples=0": "evaluation.samples=0 .*at least 1",
    f"{MEASURED}metrics.kl.bins=0": "bins=0 .*at least 1",
    f"{MEASURED}metrics.kl.extent=1.0": "extent=1.0 leaves .* choose at least 2.6",
    f"{MEASURED}metrics.kl.bins=x": "evaluation.metrics.kl.bins=x .*must be a whole number",
    # Data and checkpoints that are not there
    "dataset=image_folder": "dataset.source has no value yet: give one",
    "dataset=image_folder dataset.source=nowhere": "dataset.source=nowhere does not exist",
    "resume=nowhere": "nowhere does not exist: give a checkpoint file or a run folder",
}


def told(outcome: object, pattern: str) -> str:
    """The one sentence of a refused command, after checking that it is one and that it says `pattern`."""
    assert outcome.status == 2, outcome
    assert "Traceback" not in outcome.err + outcome.out
    sentences = [line for line in outcome.err.splitlines() if line.startswith("gan-lab ")]
    assert len(sentences) == 1 and outcome.err.rstrip().endswith(sentences[0]), outcome.err
    assert re.search(pattern, sentences[0]), sentences[0]
    assert ".." not in sentences[0].replace("...", "")
    return sentences[0]


@pytest.mark.parametrize("words", CONFIG, ids=str)
def test_config(command: Command, words: str) -> None:
    told(command("train", "hardware=cpu", *words.split()), CONFIG[words])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(command: Command) -> None:
    told(command("train", "hardware=gpu"), "hardware.accelerator=gpu.* cannot be used: .*gpu")


@pytest.mark.parametrize(
    ("words", "pattern"),
    {
        "sample": "run=latest finds no run",
        "sample run=x count=0": "count=0 .*at least 1",
        "sample run=x weights=foo": "weights=foo .*ema or raw",
        "sample runn=x": "runn .*did you mean run",
        "sample run=one": "one does not exist: give a checkpoint file or a run folder",
        "interpolate": "run=latest finds no run",
        "interpolate run=x seconds=0": "seconds=0.0 .*greater than 0",
        "interpolate run=x fps=0": "fps=0.0 .*from 1 to 100",
        "interpolate run=x smoothing=-1": "smoothing=-1.0 .*at least 0",
        "interpolate run=x count=0": "count=0 .*at least 1",
        "interpolate run=x": "x does not exist: give a checkpoint file or a run folder",
        "export": "run=latest finds no run",
        "export run=x": "x does not exist: give a checkpoint file or a run folder",
        "export run=x weights=foo": "weights=foo .*ema or raw",
        "compare": "runs=latest finds no sweep in runs/multirun: make one with -m",
        "compare runs=nowhere": "runs=nowhere is no folder",
        "compare nowhere": "nowhere cannot be read.*key=value",
        "compare .": r"\. holds no finished run",
        "compare . columns=1": "columns=1 .*at least 2",
        "neighbours": "extractor is not given: .*extractor=efflite0",
        "neighbours extractor=efflite0": "run=latest finds no run",
        "neighbours extractor=efflite0 run=one": "one does not exist: give a checkpoint file or a run folder",
        "neighbours extractor=efflite0 run=x count=0": "count=0 .*at least 1",
        "neighbours extractor=efflite0 run=x samples=8": "count=16 .*at most samples=8",
        "neighbours extractor=efflite0 run=x nearest=0": "nearest=0 .*at least 1",
        "neighbours extractor=efflite0 run=x device=foo": "device=foo cannot be used",
        "neighbours extractor=foo": "extractor=foo is not known: choose from digits, efflite0",
        "neighbours extractor=efflite0 run=x weights=foo": "weights=foo .*ema or raw",
        "duplicates": "dataset is not given: .*dataset=digits",
        "duplicates dataset=digits method=foo": "method=foo is not known: choose from autoencoder, extractor",
        "duplicates dataset=digits method=extractor": "extractor is not given: .*extractor=efflite0",
        "duplicates dataset=digits method=extractor extractor=efflite0 threshold=0": "threshold=0.0 .*greater than 0",
        "duplicates dataset=digits threshold=1.5": "threshold=1.5 .*whole number of bits",
        "duplicates dataset=digits threshold=-1": "threshold=-1.0 .*whole number of bits, at least 0",
        "duplicates dataset=digits epochs=0": "epochs=0 .*at least 1",
        "duplicates dataset=digits count=0": "count=0 .*at least 1",
        "duplicates dataset=ring": "MixtureData draws its samples anew .*dataset=image_folder",
        "duplicates dataset=digits dataset.exclude=none.csv": "dataset.exclude=none.csv cannot be read: No such file",
        "prepare": "dataset is not given: .*dataset=image_folder",
        "prepare dataset=ring": "MixtureData draws its samples anew .*dataset=image_folder",
        "prepare dataset=digits resolutions=[4,5]": r"resolutions=\[4, 5\] .*some of 4, 8, 16, 32, or null for all",
        "train dataset=prepared": "dataset.source has no value yet: give one",
        "train dataset=prepared dataset.source=x": "dataset.source=x is no prepared data set",
        "list what=foo": "what=foo .*choose from all, .*loss",
        "list format=foo": "format=foo .*text or markdown",
        "bench model=foo": "model=foo is not known",
        "bench bench.rounds=-1": "bench.rounds=-1 .*at least 0",
        "bench hardware=ddp_cpu": "hardware.devices=2 .*one process",
    }.items(),
)
def test_other_commands(command: Command, words: str, pattern: str) -> None:
    told(command(*words.split()), pattern)


def test_unknown_command(command: Command) -> None:
    outcome = command("trian")
    assert outcome.status == 2
    assert outcome.err == f"gan-lab: trian is not a command: choose from {', '.join(COMMANDS)}.\n"
    assert {"train", "sample", "evaluate", "compare"} <= set(COMMANDS)


def test_a_bug_keeps_its_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the user's mistakes are made short."""
    monkeypatch.setattr("gan_lab.config.fit.build_data", lambda cfg: {}["bug"])
    with pytest.raises(KeyError, match="bug"):
        command("train", *ONE)


def test_traceback_on_demand(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="n_critic=0"):
        command("train", "n_critic=0")


def test_yaml_of_the_user(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "broken.yaml").write_text("_target_: [a\nb: c: d\n")
    (tmp_path / "mine" / "loss" / "typo.yaml").write_text("_target_: gan_lab.losses.adversarial.Hinge\nmargin: 2\n")
    told(command("train", "--config-dir", "mine", "loss=broken"), "loss/broken.yaml.*line")
    told(command("train", "--config-dir", "mine", "loss=typo", "hardware=cpu"), "loss.margin is not an option")


# -- data -------------------------------------------------------------------------------------------------------------


def pixels(side: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with eight good images of many kinds: 8 and 16 bits, grey, palette, transparent."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(pixels())
    image.save(folder / "rgb.jpg")
    image.convert("L").save(folder / "grey.png")
    image.convert("P").save(folder / "palette.gif")
    image.convert("RGBA").save(folder / "transparent.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("1").save(folder / "bits.png")
    Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257).save(folder / "sixteen.png")
    Image.fromarray(pixels(300)).save(folder / "large.webp")
    return folder


def train_on(command: Command, source: Path, *words: str) -> object:
    small = (word for word in ONE if word != "budget.images=32")
    folder = ("dataset=image_folder", f"dataset.source={source}", "dataset.resolution=16", "batch_size=4")
    return command("train", *small, *folder, "budget.images=8", "callbacks.sample_grids.count=4", *words)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.png": (lambda path: path.write_bytes(b""), "empty.png cannot be read: the file is empty"),
    "text.png": (lambda path: path.write_text("hello"), "text.png cannot be read: it is not an image"),
    "point.png": (lambda path: Image.fromarray(pixels(1)).save(path), "point.png is 1x1 pixels"),
    "cut.jpg": (
        lambda path: path.write_bytes((path.parent / "rgb.jpg").read_bytes()[:-300]), "cut.jpg cannot be read: .*trunc",
    ),
}  # fmt: skip


def test_images_of_all_kinds_train(command: Command, photos: Path) -> None:
    outcome = train_on(command, photos)
    assert outcome.status == 0, outcome.err
    assert Image.open(photos.parent / "runs/one/samples/real.png").getbbox() is not None


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_image(command: Command, photos: Path, name: str) -> None:
    damage, pattern = DAMAGE[name]
    damage(photos / name)
    told(train_on(command, photos), pattern)


def test_damaged_images_are_skipped_and_counted(command: Command, photos: Path) -> None:
    for name, (damage, _) in DAMAGE.items():
        damage(photos / name)
    outcome = train_on(command, photos, "dataset.on_error=skip")
    assert outcome.status == 0, outcome.err
    assert "Skipped 4 of 12 images" in outcome.err


def test_folder_without_images(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no image")
    told(train_on(command, tmp_path / "notes"), "notes holds no images; .*.png")


# -- odd, but legal ---------------------------------------------------------------------------------------------------


def test_log_loss_with_weight_clipping_trains(command: Command, tmp_path: Path) -> None:
    assert command("train", *ONE, "model=dcgan", "regularizer=[weight_clip]").status == 0
    state = torch.load(tmp_path / "runs/one/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = [
        v for k, v in state.items() if k.startswith("discriminator.") and "running" not in k and v.is_floating_point()
    ]
    assert max(float(weight.abs().max()) for weight in weights) == pytest.approx(0.01)


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(command: Command, tmp_path: Path) -> Path:
    """A run folder with checkpoints."""
    assert command("train", *ONE, "callbacks.checkpoints.every_images=16").status == 0
    return tmp_path / "runs" / "one"


def test_unusable_checkpoints(command: Command, trained: Path, tmp_path: Path) -> None:
    good = trained / "checkpoints" / "last.ckpt"
    (tmp_path / "cut.ckpt").write_bytes(good.read_bytes()[:-1000])
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    (tmp_path / "zero.ckpt").write_bytes(b"")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    (tmp_path / "empty").mkdir()
    cases = {
        "cut.ckpt": "cut.ckpt cannot be read: it is cut short, damaged, or no checkpoint",
        "text.ckpt": "text.ckpt cannot be read",
        "zero.ckpt": "zero.ckpt cannot be read",
        "foreign.ckpt": "foreign.ckpt is no checkpoint of gan_lab",
        "missing.ckpt": "missing.ckpt does not exist: give a checkpoint file or a run folder",
        "empty": "empty is no run folder with a checkpoint: .*last.ckpt is missing",
    }
    for file, pattern in cases.items():
        told(command("sample", f"run={file}"), pattern)
        told(command("train", *ONE[:-1], "run.name=two", f"resume={file}"), pattern)
    assert command("sample", "run=runs/one", "count=2", "device=cpu").status == 0
    told(command("sample", "run=runs/one", "count=2", "device=foo"), "device=foo cannot be used")
    told(command("sample", "run=runs/one", "labels=3"), "labels=.* is for runs with conditioning")
    told(command("sample", "run=runs/one", "labels=foo"), "labels=foo .*a number, a list of numbers, all, or null")
    told(command("sample", "run=runs/one", "labels=all"), "conditioning")


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_file_in_the_place_of_the_run_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    told(command("train", *ONE), "runs.* cannot be written: (Not a directory|File exists)")


def test_disk_full_at_a_checkpoint(command: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier checkpoint stays whole, and no half-written file stays behind."""
    folder = trained / "checkpoints"
    before = (folder / "last.ckpt").read_bytes()

    class FullDisk:
        def __init__(self, file: object) -> None:
            self.file, self.left = file, 50_000

        def write(self, data: bytes) -> int:
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

        def flush(self) -> None:
            self.file.flush()

    save = torch.save  # the real one, for it turns the disk's error into one of its own
    monkeypatch.setattr("torch.save", lambda obj, file: save(obj, FullDisk(file)))
    outcome = command("train", *ONE, "resume=runs/one", "budget.images=64")
    told(outcome, "cannot be written: No space left on device")
    assert (folder / "last.ckpt").read_bytes() == before
    assert {file.suffix for file in folder.iterdir()} == {".ckpt"} and not list(folder.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_disk_full_at_the_log(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs/one").mkdir(parents=True)
    (tmp_path / "runs/one/metrics.csv").symlink_to("/dev/full")
    told(command("train", *ONE), "cannot be written: No space left on device")
