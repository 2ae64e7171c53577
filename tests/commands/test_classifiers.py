"""Classifiers of samples for the commands that inspect a generator: of digits, and discriminators that classify."""

from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.metrics.classifier import DigitClassifier
from gan_lab.sampling.discriminators import load_discriminator
from gan_lab.training.fit import fit
from tests.conftest import SMALL

FORGET = {"samples": 12, "held_out": 4, "test_samples": 6, "drop": [1], "random_sets": 1, "layer": 1, "device": "cpu"}
SUMS = {"rule": "bright", "samples": 200, "exemplars": [1, 2], "trials": 6, "device": "cpu"}
BOUNDARY = {"method": "boundary", "samples": 60, "tail": 0.2, "count": 2, "distances": [-1, 0], "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AC-GAN after a few batches, whose discriminator classifies."""
    folder = tmp_path_factory.mktemp("classifiers") / "run"
    fit(compose(*SMALL, "model=acgan", "dataset.resolution=16", "latent.dim=8", "lr=2e-3", f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN in color without classes."""
    folder = tmp_path_factory.mktemp("classifiers") / "plain"
    fit(compose(*SMALL, "model=dcgan", "dataset=noise", "dataset.resolution=16", f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN of images of three classes."""
    folder = tmp_path_factory.mktemp("classifiers") / "three"
    images = ("dataset=noise", "dataset.resolution=16", "dataset.channels=1", "dataset.num_classes=3")
    fit(compose(*SMALL, "model=dcgan", *images, f"run.dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def frequent(run: Path) -> int:
    """The most frequent class of samples for its own discriminator."""
    network = load_discriminator(run, "cpu").network
    samples = gan_lab.load(run, device="cpu").sample(200)
    return int(network.auxiliary(network.features(samples)).argmax(1).mode().values)


class Brightest(torch.nn.Module):
    """A classifier of ten bands of rows: the class is the band that is brightest for its mean among these images."""

    test_error = 0.125

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        self.mean = self.bands(images).mean(0)

    def bands(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, (10, 1)).flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 100 * (self.bands(images) - self.mean)


@pytest.fixture
def bands(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the classifier of digits, whose training takes long."""
    network = Brightest(gan_lab.load(run, device="cpu").sample(200))
    monkeypatch.setattr("gan_lab.analysis.digits.digit_classifier", lambda *_, **__: network)


def test_a_class_is_forgotten(run: Path, frequent: int) -> None:
    found = gan_lab.forget(run, classifier=str(run), **{"concept.label": frequent}, **FORGET)
    assert found.fraction is not None and found.effects[0].fraction is not None
    assert 0.1 < found.fraction <= 1  # the most probable of ten classes for all of them
    assert f"all are of class {frequent} for the discriminator of {run}" in found.protocol
    assert found.folder.name == f"forget_label_{frequent}"
    assert f"Forgetting a concept: class {frequent}" in (run / "report.html").read_text()


def test_sums_of_exemplars_are_scored(run: Path, bands: None) -> None:
    found = gan_lab.arithmetic(run, classes=[0, 9], **SUMS)
    assert [each.exemplars for each in found.scores] == [1, 2]
    for each in found.scores:
        for score in (each.latents, each.pixels, each.third):
            assert 0 <= score.both <= score.class_alone <= 1
        assert each.length == pytest.approx(1, rel=0.3)  # rescaled
    free = gan_lab.arithmetic(run, classes=[0, 9], rescale=False, **SUMS).scores
    assert free[0].length == pytest.approx(3**0.5, rel=0.2) and free[1].length == pytest.approx(1.5**0.5, rel=0.2)
    assert len(found.table) == 3 and found.samples.shape == (9, 1, 16, 16)
    assert {"arithmetic.png", "trials.png"} < {file.name for file in found.folder.iterdir()}
    of_all = gan_lab.arithmetic(run, **SUMS)
    assert "random classes, 6 trials" in of_all.protocol and "test error of 12.5 %" in of_all.protocol
    assert gan_lab.arithmetic(run, **SUMS).scores == of_all.scores
    assert "class alone" in (run / "report.html").read_text()


def test_a_boundary_of_a_class_and_kept_classes(run: Path, frequent: int) -> None:
    found = gan_lab.directions(run, classifier=str(run), label=frequent, **BOUNDARY)
    assert found.table[0] == ["distance", "score", "along a random direction", "same class", "along a random direction"]
    assert found.table[2][3:] == ["1.00", "1.00"]  # at distance 0
    assert found.folder.name == f"directions_boundary_label_{frequent}"  # that of another class does not replace it
    before = gan_lab.directions(run, rule="bright", **BOUNDARY)
    assert before.table[0] == ["distance", "score", "along a random direction"]


def test_the_classifier_of_the_data_set_is_the_default(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def classifier(source: str, **options: object) -> DigitClassifier:
        asked.append(options)
        network = DigitClassifier().eval()
        torch.nn.init.zeros_(network.layers[-1].weight)  # every sample is of the class with the largest bias
        network.layers[-1].bias.data = torch.arange(10.0)
        network.test_error = 0.125
        return network

    monkeypatch.setattr("gan_lab.analysis.digits.digit_classifier", classifier)
    with pytest.raises(UserError, match=r"concept.label=3: only 0 of 900 samples are of this class for the classifier"):
        gan_lab.forget(run, **{"concept.label": 3}, **FORGET)
    with pytest.raises(
        UserError, match=r"exemplars=\[1, 2\] needs two classes with 2 samples .*, and 1 of the classes"
    ):
        gan_lab.arithmetic(run, **SUMS)
    with pytest.raises(
        UserError, match=r"classes=\[3, 9\]: 0 samples of class 3 are exemplars .* needs 2: give samples"
    ):
        gan_lab.arithmetic(run, classes=[3, 9], **SUMS)
    assert asked[0]["fit"] == "stretch"  # of conf/extractor/digits.yaml
    found = gan_lab.directions(run, rule="bright", classifier="digits", **BOUNDARY)
    assert found.table[1][3:] == ["1.00", "1.00"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": 10, "classifier": "run"}, "label=10 is not allowed: the classifier has 10 classes; give a number"),
        ({"label": "ten", "classifier": "run"}, "label=ten"),
        (
            {"label": 1, "classifier": "nowhere"},
            "classifier=nowhere is not digits or mnist, and as a run, nowhere does not exist: give",
        ),
        ({"label": 1, "classifier": "plain"}, "classifier=plain has a discriminator without classes: give digits or"),
        ({"rule": "bright", "dataset.source": "x"}, "dataset has no effect without a classifier|dataset.source"),
    ],
)
def test_classifiers_that_do_not_fit(
    run: Path, plain: Path, settings: dict, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(run)
    (tmp_path / "plain").symlink_to(plain)
    with pytest.raises(UserError, match=message):
        gan_lab.directions(run, **BOUNDARY, **settings)


@pytest.mark.parametrize("exported", [False, True])
def test_another_number_of_classes(run: Path, three: Path, exported: bool, tmp_path: Path) -> None:
    source = three
    if exported:
        source = tmp_path / "three.safetensors"
        gan_lab.export(three, out=str(source))
    message = rf"classifier={run} has 10 classes, and the data set of {source}.* has 3: give one of the same classes"
    with pytest.raises(UserError, match=message):
        gan_lab.forget(source, classifier=str(run), **{"concept.label": 1}, **FORGET)
    with pytest.raises(UserError, match=message):
        gan_lab.arithmetic(source, classifier=str(run), **SUMS)
    with pytest.raises(UserError, match=message):
        gan_lab.directions(source, classifier=str(run), label=1, **BOUNDARY)


def test_images_of_another_kind(run: Path, plain: Path) -> None:
    with pytest.raises(UserError, match="No classifier fits this data set: give classifier=digits or mnist"):
        gan_lab.directions(plain, label=1, **BOUNDARY)
    with pytest.raises(UserError, match="classifier=digits is for images with 1 channel, and the samples have 3"):
        gan_lab.directions(plain, label=1, classifier="digits", **BOUNDARY)
    with pytest.raises(UserError, match=r"is for images of 16 pixels with 1 channels, and the samples have 16 and 3"):
        gan_lab.directions(plain, label=1, classifier=str(run), **BOUNDARY)
