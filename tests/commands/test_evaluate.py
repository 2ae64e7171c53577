"""`gan-lab evaluate`: numbers of a run and of a folder of images, and what it refuses."""

import csv
import errno
import json
import os
import re
import shutil
import sys
import types
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.metrics.extractors import INCEPTION_SHA256, efficientnet_lite0, shared
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.ms_ssim import MSSSIM
from gan_lab.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.pixel_features import pixel_features

Command = Callable[..., "object"]

QUICK = (
    "allow_targets=[tests.helpers.pixel_features]",
    "device=cpu",
    "evaluation.samples=20",
    "evaluation.real_images=30",
)
IMAGES = tuple(each for each in QUICK if not each.startswith("evaluation.samples"))
"""For a folder of images, all of which are measured."""

PIXELS = "metrics=[fd] evaluation.metrics.fd.extractor={_target_:tests.helpers.pixel_features.pixel_features}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits."""
    folder = tmp_path_factory.mktemp("trained") / "one"
    overrides = [override for override in TINY if "checkpoints" not in override]
    fit(
        compose(
            *overrides, "budget.images=16", f"run.dir={folder}", "conditioning=concat", "latent.distribution=normal"
        )
    )
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, where `run=latest` finds it."""
    return Path(shutil.copytree(trained, tmp_path / "runs/one"))


def numbers(folder: Path) -> dict[str, dict]:
    return json.loads((folder / "results.json").read_text())


def lines(folder: Path) -> list[dict[str, str]]:
    with open(folder / "evaluations.csv") as file:
        return list(csv.DictReader(file))


def ok(outcome: object) -> str:
    assert outcome.status == 0, outcome.err
    return outcome.out


def real_images() -> torch.Tensor:
    """Real images of the metrics."""
    data = gan_lab.config.build.instantiate(compose(*TINY, "run.dir=x").dataset, "dataset")
    return next(data.reals(30, 30))[0]


def test_numbers_are_those_of_fresh_samples(command: Command, run: Path) -> None:
    ok(command("evaluate", *QUICK, "metrics=[ms_ssim,swd_small]", "seed=3"))
    samples = gan_lab.load(run, device="cpu").sample(20, seed=3)
    diversity, distance = MSSSIM(), SlicedWasserstein(2048, 32, 128)
    diversity.update(samples)
    distance.update(samples)
    distance.update(real_images(), real=True)
    found = numbers(run)
    assert found["eval/ms_ssim_20"]["value"] == float(diversity.compute())
    for name in ("ms_ssim_20", "ms_ssim_in_class_20"):  # real images to compare with
        assert 0 < found[f"eval/{name}"]["ideal_value"] < 0.9 and found[f"eval/{name}"]["real_subset"] == 30
    assert {key: found[f"eval/swd_{key}_20"]["value"] for key in ("32", "16", "mean")} == {
        key: float(value) for key, value in distance.compute().items()
    }
    assert {key: found["eval/swd_mean_20"][key] for key in ("seed", "swd_seed", "samples", "images", "weights")} == {
        "seed": 3, "swd_seed": 0, "samples": 20, "images": 20, "weights": "ema",
    }  # fmt: skip


def test_numbers_that_cannot_be_written_are_shown(command: Command, run: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/one/evaluations.csv")

    monkeypatch.setattr("gan_lab.commands.evaluate.append_records", full)
    outcome = command("evaluate", *QUICK, "metrics=[ms_ssim]")
    assert outcome.status == 2 and "Measured, but not written:" in outcome.err and "| ms_ssim_20 " in outcome.err
    assert "runs/one/evaluations.csv cannot be written: No space left on device." in outcome.err


def test_results_are_merged(command: Command, run: Path, tmp_path: Path) -> None:
    out = ok(command("evaluate", *QUICK, *PIXELS.split(), "run=runs/one"))
    assert "| fd_pixels_20 |" in out and "Protocol: samples 20, weights ema, seed 0, images_seen 16, " in out
    assert re.search(
        r"Seconds: real images [\d.]+, samples [\d.]+, features [\d.]+, fd [\d.]+\.\n"
        r"Written to runs/one: results\.json, evaluations\.csv",
        out,
    )
    ema = numbers(run)["eval/fd_pixels_20"]
    assert ema == {
        "value": ema["value"], "ideal_value": None, "samples": 20, "weights": "ema", "seed": 0, "images_seen": 16,
        "batch_norm": "running", "truncation": None, "version": gan_lab.__version__, "real_images": 30,
        "generated_images": 20,
        "extractor": "pixels", "extractor_fingerprint": pixel_features().fingerprint,
        "extractor_preprocessing": "to 2x2",
        **{key: ema[key] for key in ("real_content", "real_data", "real_source")},
    }  # fmt: skip
    assert ema["value"] == fd(pixel_features(), gan_lab.load(run, device="cpu").sample(20))
    ok(command("evaluate", *QUICK, *PIXELS.split(), "weights=raw", "evaluation.batch_size=7"))
    ok(command("evaluate", *QUICK, "metrics=[ms_ssim]", "evaluation.samples=10"))
    found = numbers(run)
    diversity = ["eval/ms_ssim_10", "eval/ms_ssim_in_class_10"]  # its run has labels
    assert list(found) == ["eval/fd_pixels_20", "eval/raw/fd_pixels_20", *diversity]
    assert found["eval/fd_pixels_20"] == ema
    raw = fd(pixel_features(), gan_lab.load(run, "raw", "cpu").sample(20))
    assert found["eval/raw/fd_pixels_20"]["value"] == pytest.approx(raw, rel=1e-9) != ema["value"]
    assert [(row["images_seen"], row["weights"], row["key"]) for row in lines(run)] == [
        ("16", "ema", "fd_pixels_20"), ("16", "raw", "fd_pixels_20"), ("16", "ema", "ms_ssim_10"),
        ("16", "ema", "ms_ssim_in_class_10"),
    ]  # fmt: skip
    checkpoint = run / "checkpoints" / "last.ckpt"
    ok(command("evaluate", *QUICK, *PIXELS.split(), f"run={checkpoint}", "out=there/numbers"))
    assert numbers(tmp_path / "there/numbers") == {"eval/fd_pixels_20": ema} and numbers(run) == found
    (run / "results.json").write_text("{")
    outcome = command("evaluate", *QUICK, "metrics=[ms_ssim]", "run=runs/one")
    assert list(numbers(run)) == ["eval/ms_ssim_20", "eval/ms_ssim_in_class_20"] and ok(outcome)
    assert "runs/one/results.json cannot be read: Expecting" in outcome.err
    assert "It is now results.json.damaged, and results.json has only the new numbers." in outcome.err
    assert (run / "results.json.damaged").read_text() == "{"


def fd(extractor, samples: torch.Tensor) -> float:
    metric = FrechetDistance(extractor)
    metric.update(real_images(), real=True)
    metric.update(samples)
    return float(metric.compute())


def test_labels_reach_the_metrics(command: Command, run: Path) -> None:
    extractor = "{_target_:tests.helpers.pixel_features.pixel_features}"
    overrides = ("metrics=[fd_class]", f"evaluation.metrics.fd_class.extractor={extractor}", "evaluation.samples=200")
    ok(command("evaluate", *QUICK, *overrides, "evaluation.real_images=200"))
    found = numbers(run)
    assert {key.removeprefix("eval/fd_class_pixels_") for key in found} == {"mean_200", "worst_200", "worst_class_200"}


def test_a_folder_of_samples(command: Command, run: Path, tmp_path: Path) -> None:
    """Files of `gan-lab sample` give the numbers of the run: they are lossless for the metrics."""
    ok(command("sample", "run=runs/one", "count=20", "device=cpu"))
    folder = run / "samples" / "seed_0"
    metrics = ("metrics=[ms_ssim,swd_small]", "evaluation.batch_size=6")
    ok(command("evaluate", *IMAGES, *metrics, f"images={folder}", "dataset=digits"))
    ok(command("evaluate", *QUICK, "metrics=[ms_ssim,swd_small]", "run=runs/one"))
    found, expected = numbers(folder), numbers(run)
    assert list(found) == [key for key in expected if "in_class" not in key]  # files have no labels
    for key, record in found.items():
        assert record["value"] == pytest.approx(expected[key]["value"], rel=1e-12), key
    entries = ("samples", "weights", "seed", "images_seen", "batch_norm", "truncation", "version")
    assert [found["eval/ms_ssim_20"][entry] for entry in entries] == [
        20, "images", None, None, None, None, gan_lab.__version__,
    ]  # fmt: skip
    assert {(row["images_seen"], row["weights"]) for row in lines(folder)} == {("0", "images")}
    with zipfile.ZipFile(tmp_path / "samples.zip", "w") as archive:
        for file in sorted(folder.glob("*.png")):
            archive.write(file, file.name)
    ok(command("evaluate", *IMAGES, *metrics, "images=samples.zip", "dataset=digits"))
    assert numbers(tmp_path / "samples_outputs") == found
    shutil.rmtree(run / "checkpoints")
    ok(command("evaluate", *IMAGES, "metrics=[ms_ssim]", "images=samples.zip", "out=alone"))  # it compares with nothing


def test_truncation_and_statistics_are_those_of_the_samples(command: Command, run: Path) -> None:
    """For a DCGAN, whose generator has batch norm; every number records its protocol."""
    ok(command("evaluate", *QUICK, "metrics=[ms_ssim]", "out=plain"))
    ok(command("evaluate", *QUICK, "metrics=[ms_ssim]", "truncation=0.5", "batch_norm=standing", "seed=3", "out=one"))
    ok(
        command(
            "evaluate",
            *QUICK,
            "metrics=[ms_ssim]",
            "truncation=1",
            "truncation_form=scale",
            "batch_norm=batch",
            "out=two",
        )
    )
    settings = {"seed": 3, "truncation": 0.5, "batch_norm": "standing"}
    diversity = MSSSIM()
    diversity.update(gan_lab.load(run, device="cpu").sample(20, **settings))
    one, two = (numbers(run.parents[1] / folder)["eval/ms_ssim_20"] for folder in ("one", "two"))
    assert one["value"] == float(diversity.compute())
    assert {key: one[key] for key in settings} == settings and one["truncation_form"] == "resample"
    assert two["batch_norm"].startswith("batch of ") and (two["truncation"], two["truncation_form"]) == (1.0, "scale")
    plain = numbers(run.parents[1] / "plain")["eval/ms_ssim_20"]
    assert (
        plain["truncation"] is None
        and "truncation_form" not in plain
        and len({r["value"] for r in (one, two, plain)}) == 3
    )


def test_images_are_not_truncated(command: Command, tmp_path: Path) -> None:
    save(tmp_path / "images", 4)
    for setting in ("truncation=0.5", "batch_norm=standing", "truncation_cutoff=2", "noise=random"):
        outcome = command("evaluate", "device=cpu", "metrics=[ms_ssim]", "images=images", setting)
        assert outcome.status == 2 and f"{setting} has no effect on images=..., which are generated" in outcome.err


def test_the_home_folder(command: Command, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    save(tmp_path / "home" / "images", 4)
    ok(command("evaluate", "device=cpu", "metrics=[ms_ssim]", "images='~/images'"))
    assert (tmp_path / "home/images/results.json").is_file() and not (tmp_path / "~").exists()


def test_with_the_extractor_that_a_package_brings(command: Command, run: Path) -> None:
    with suppress(UserError):
        extractor = shared(efficientnet_lite0(resolution=32))
    if "extractor" not in locals():
        pytest.skip("needs the packages of the extra eval")
    overrides = (*QUICK, "extractor=efflite0", "extractor.extractor.resolution=32")
    out = ok(command("evaluate", *overrides, "metrics=[fd,kd]"))
    found = numbers(run)
    assert f"extractor_fingerprint {extractor.fingerprint}" in out and "kd_efflite0_distance_20" in out
    assert "to 32;" in found["eval/fd_efflite0_20"]["extractor_preprocessing"]
    metric = KernelDistance(extractor)
    metric.update(real_images(), real=True)
    metric.update(gan_lab.load(run, device="cpu").sample(20))
    expected = pytest.approx(float(metric.compute()["distance"]), rel=1e-6)
    assert found["eval/kd_efflite0_distance_20"]["value"] == expected
    ok(command("sample", "run=runs/one", "count=20", "device=cpu"))
    given = (*IMAGES, *overrides[len(QUICK) :], "images=runs/one/samples/seed_0", "dataset=digits")
    ok(command("evaluate", *given, "metrics=[kd]"))
    assert numbers(run / "samples/seed_0")["eval/kd_efflite0_distance_20"]["value"] == expected


def test_points(command: Command, tmp_path: Path) -> None:
    """A mixture needs no statistics of real samples, and its features are the points themselves."""
    overrides = [override for override in TINY if "checkpoints" not in override]
    fit(compose(*overrides, "budget.images=16", "run.dir=runs/ring", "dataset=ring", "architecture=mlp"))
    out = ok(command("evaluate", *QUICK, "metrics=[points,fd]", "evaluation.metrics.wasserstein.points=10"))
    assert "| kl_symmetric_20 " in out and "| fd_Identity_20 " in out
    assert numbers(tmp_path / "runs/ring")["eval/coverage_modes_20"]["ideal_value"] > 1


# --- refusals


def assert_refused(outcome: object, pattern: str) -> None:
    """One sentence, and no traceback."""
    assert outcome.status == 2 and "Traceback" not in outcome.err + outcome.out, outcome.err
    (sentence,) = [line for line in outcome.err.splitlines() if line.startswith("gan-lab evaluate: ")]
    assert outcome.err.rstrip().endswith(sentence) and re.search(pattern, sentence), outcome.err
    assert ".." not in sentence.replace("...", "")


DENSITY = "metrics=[dc] evaluation.metrics.dc.extractor={_target_:tests.helpers.pixel_features.pixel_features}"
BROKEN = "evaluation.metrics.fd.extractor={_target_:tests.helpers.pixel_features.pixel_features,broken:true}"


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    {
        "": r"metrics=\[\] measures nothing: choose some, as in metrics=\[fd,pr\]\.",
        f"{PIXELS} evaluation.metrics.fd=null": r"metrics=\[\] measures nothing",
        "metrics=[foo]": "metrics=foo is not known: choose from dc, digits",
        "extractor=foo metrics=[fd]": "extractor=foo is not known: choose from .*efflite0",
        f"{PIXELS} evaluation.samples=0": "evaluation.samples=0 .*at least 1",
        f"{PIXELS} evaluation.batch_size=0": "evaluation.batch_size=0 .*at least 1",
        f"{PIXELS} evaluation.times=-1": "evaluation.times=-1 .*at least 1",
        f"{PIXELS} evaluation.max_time_fraction=2": r"evaluation.max_time_fraction=2.* must be in \(0, 1\]",
        f"{PIXELS} evaluation.real_images=0": "evaluation.real_images=0 .*at least 1, or null for all",
        f"{PIXELS} evaluation.real_images=1798": "evaluation.real_images=1798, but scikit-learn has 1797 images",
        f"{PIXELS} evaluation.samples=1": "FrechetDistance needs at least 2 generated images, but has 1",
        f"{DENSITY} evaluation.real_images=5": "DensityCoverage needs at least 6 real images, but has 5",
        f"metrics=[fd] {BROKEN}": "real features are not finite: extractor pixels returns NaN or infinity for 30 of 30",
        "metrics=[points]": "metrics=points needs points",
        f"{PIXELS} weights=foo": "weights=foo is not known: choose ema or raw",
        f"{PIXELS} run=nowhere": "nowhere does not exist: give a checkpoint file or a run folder",
        f"{PIXELS} device=foo": "device=foo cannot be used: ",
        f"{PIXELS} images=nowhere dataset=digits": (
            "images=nowhere does not exist; give the path of a folder or zip file"
        ),
        f"{PIXELS} images=runs/one/config.yaml dataset=digits": (
            "images=runs/one/config.yaml is neither a folder nor a zip"
        ),
        f"{PIXELS} images=runs/one/samples dataset=digits": (
            "images=runs/one/samples contains no samples except grid.png"
        ),
        "metrics=[ms_ssim] seedd=3": "did you mean seed",
    }.items(),
)  # fmt: skip
def test_what_cannot_be_measured(overrides: str, pattern: str, command: Command, run: Path) -> None:
    (run / "samples").mkdir()
    Image.new("L", (32, 32)).save(run / "samples" / "grid.png")
    common = IMAGES if " images=" in overrides else QUICK
    assert_refused(command("evaluate", *common, *overrides.split()), pattern)
    assert not (run / "results.json").exists()


def save(folder: Path, count: int, resolution: int = 16, mode: str = "L") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        pixels = np.random.default_rng(k).integers(0, 256, (resolution, resolution, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{k}.png")
    return folder


def test_images_that_cannot_be_measured(command: Command, tmp_path: Path) -> None:
    folder = save(tmp_path / "images", 4)
    overrides = ("evaluate", *IMAGES, "images=images")
    assert_refused(
        command(*overrides, *PIXELS.split()),
        r"dataset is not given: images=... and exports need the real images .* as dataset=mnist\.",
    )
    ok(command(*overrides, *PIXELS.split(), "dataset=digits", "dataset.resolution=16"))
    prd = "evaluation.metrics.prd.extractor={_target_:tests.helpers.pixel_features.pixel_features}"
    assert_refused(
        command(*overrides, "metrics=[prd]", prd, "dataset=digits", "dataset.resolution=16"),
        "PrecisionRecallCurve needs at least 20 generated images, but has 4",
    )
    assert_refused(
        command(*overrides, "metrics=[swd_small]", "dataset=ring", "evaluation.real_images=9"),
        r"square images .*\(9, 2\)",
    )
    assert_refused(
        command(*overrides, "metrics=[swd_small]", "dataset=ring", "evaluation.real_images=null"),
        "evaluation.real_images=null .*unlimited; give a number",
    )
    color = save(tmp_path / "color", 5, mode="RGB")
    shutil.copy(color / "4.png", folder / "4.png")
    assert_refused(
        command(*overrides, "metrics=[ms_ssim]"), "4.png is RGB, but .*0.png is L: .* all be gray or all be colored"
    )
    shutil.copy(folder / "0.png", color / "0.png")
    assert_refused(command("evaluate", "images=color", "metrics=[ms_ssim]"), "1.png is RGB, but .*0.png is L")
    save(tmp_path / "large", 5, resolution=32)
    shutil.copy(tmp_path / "large" / "4.png", folder / "4.png")
    assert_refused(
        command(*overrides, "metrics=[ms_ssim]"),
        "4.png is 32 pixels wide, but .*0.png is 16: generated images must be all of one size",
    )
    Image.new("L", (16, 20)).save(folder / "0.png")
    assert_refused(command(*overrides, "metrics=[ms_ssim]"), "0.png is 16x20 pixels: generated images must be square")
    (folder / "0.png").write_bytes(b"")
    assert_refused(command(*overrides, "metrics=[ms_ssim]"), "0.png cannot be read: the file is empty")


@pytest.mark.parametrize(
    ("weights", "part", "other"), [("ema", "averaged.generator.", "raw"), ("raw", "generator.", "ema")]
)
def test_a_checkpoint_without_the_weights(weights: str, part: str, other: str, command: Command, run: Path) -> None:
    for file in (run / "checkpoints").glob("*.ckpt"):
        checkpoint = torch.load(file, weights_only=True)
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(part)}
        torch.save(checkpoint, file)
    overrides = ("evaluate", *QUICK, "metrics=[ms_ssim]")
    assert_refused(command(*overrides, f"weights={weights}"), f".ckpt has no {weights} generator: choose the other of")
    ok(command(*overrides, f"weights={other}"))


def test_other_weights_of_inception(command: Command, run: Path, tmp_path: Path, monkeypatch) -> None:
    inner = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    inner.FeatureExtractorInceptionV3 = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, inner.__name__, inner)
    (tmp_path / "wrong.pth").write_bytes(b"other weights")
    pattern = f"wrong.pth does not contain the weights .* must begin with {INCEPTION_SHA256[:16]}"
    assert_refused(
        command("evaluate", *QUICK, "metrics=[fid]", "evaluation.metrics.fd.extractor.extractor.weights=wrong.pth"),
        pattern,
    )
    overrides = ("extractor=inception", "extractor.extractor.weights=wrong.pth")
    assert_refused(command("evaluate", *QUICK, "metrics=[pr]", *overrides), pattern)
    assert_refused(
        command("evaluate", *QUICK, "metrics=[pr]", *overrides, "extractor.extractor.weights=no.pth"),
        "no.pth cannot be read: ",
    )


def test_no_run(command: Command) -> None:
    assert_refused(command("evaluate", *QUICK, "metrics=[ms_ssim]"), "run=latest finds no run under runs")


def test_the_best_checkpoint_of_training_is_measured(command: Command, tmp_path: Path) -> None:
    overrides = [override for override in TINY if "checkpoints" not in override]
    more = (
        "budget.images=16",
        "run.name=one",
        "metrics=[ms_ssim]",
        "evaluation.samples=20",
        "evaluation.max_time_fraction=1",
    )
    outcome = command("train", *overrides, *more, "evaluation.best=eval/nothing")
    assert outcome.status == 2 and "Traceback" not in outcome.err
    assert outcome.err.splitlines()[-1] == (
        "gan-lab train: evaluation.best=eval/nothing is not measured: it must be eval/ or eval/raw/, then ms_ssim, "
        "then the name of the value if a metric has several, and _20 at the end."
    )
    assert not (tmp_path / "runs/one").exists()
    ok(command("train", *overrides, *more, "evaluation.best=eval/ms_ssim_20", "run.name=two"))
    ok(command("evaluate", *QUICK, "metrics=[ms_ssim]", "run=runs/two/checkpoints/best.ckpt", "out=best"))
    assert numbers(tmp_path / "best")["eval/ms_ssim_20"]["images_seen"] in (8, 16)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve gray images of the classes ant, bee and cow."""
    for value, name in enumerate(("ant", "bee", "cow") * 4):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * value).save(tmp_path / "photos" / name / f"{value}.png")
    return tmp_path / "photos"


def test_data_that_have_changed_since_the_training(photos: Path, command: Command) -> None:
    """Other images are a warning, other labels a refusal where classes are compared, also of a data set with a name."""
    data = ("dataset=image_folder", f"dataset.source={photos}", "dataset.channels=1", "dataset.num_classes=3")
    small = ("dataset.resolution=8", "conditioning=concat", "run.dir=run", "budget.images=16")
    fit(compose(*(each for each in TINY if not re.search("dataset|checkpoints", each)), *data, *small))
    extractor = "{_target_:tests.helpers.pixel_features.pixel_features}"
    of_classes = ("metrics=[fd_class]", f"evaluation.metrics.fd_class.extractor={extractor}")
    number = ("evaluate", "run=run", *QUICK[:2], "evaluation.samples=12")

    unchanged = command(*number, *of_classes)
    assert unchanged.status == 0 and "have changed" not in unchanged.err, unchanged.err
    before = Path("run/results.json").read_text()
    (photos / "ant").rename(photos / "zebra")
    shifted = "label 0 was ant and is now bee"
    for dataset in ((), (*data, "dataset.resolution=8")):
        refused = command(*number, *of_classes, *dataset)
        assert refused.status == 2 and "fd_class compares classes, and the run was trained with" in refused.err
        assert shifted in refused.err and Path("run/results.json").read_text() == before
    plain = command(*number, *PIXELS.split())
    assert plain.status == 0 and "The data of the run have changed: it was trained with" in plain.err
    assert shifted in plain.err and "have changed" not in command(*number, *PIXELS.split(), *data).err

    (photos / "zebra").rename(photos / "ant")
    (photos / "bee").rename(photos / "bug")
    renamed = command(*number, *of_classes)
    assert renamed.status == 2 and "label 1 was bee and is now bug" in renamed.err
    (photos / "bug").rename(photos / "bee")
    shutil.copytree(photos / "cow", photos / "dog")
    for dataset in ((), (*data[:-1], "dataset.resolution=8")):
        more = command(*number, *of_classes, *dataset, "dataset.num_classes=4")
        assert more.status == 2 and "the classes ant, bee, cow (now the classes ant, bee, cow, dog)" in more.err
    shutil.rmtree(photos / "dog")
    (photos / "ant" / "0.png").unlink()
    fewer = command(*number, *of_classes)
    assert fewer.status == 0 and "it was trained with 12 images (now 11)" in fewer.err
    arguments = ("memorization", "run=run", "device=cpu", "samples=8", "count=2", "nearest=2", QUICK[0])
    copies = command(*arguments, "+extractor._target_=tests.helpers.pixel_features.pixel_features")
    assert copies.status == 0 and "it was trained with 12 images (now 11)" in copies.err, copies.err


def test_other_classes_do_not_matter_without_labels(photos: Path, command: Command) -> None:
    """Samples of an unconditional run have no labels that a metric could compare."""
    data = ("dataset=image_folder", f"dataset.source={photos}", "dataset.channels=1", "dataset.num_classes=3")
    small = ("dataset.resolution=16", "conditioning=none", "run.dir=run", "budget.images=16")
    fit(compose(*(each for each in TINY if not re.search("dataset|checkpoints", each)), *data, *small))
    (photos / "ant").rename(photos / "zebra")
    options = ("validation=3", "test=3", "labels_per_class=1", "draws=1", "costs=[0.1]", "pca=null", "untrained=false")
    for arguments in (("evaluate", "evaluation.samples=12", "metrics=[ms_ssim]"), ("probe", *options)):
        outcome = command(*arguments, "run=run", "device=cpu")
        assert outcome.status == 0 and "label 0 was ant and is now bee" in outcome.err, outcome.err
