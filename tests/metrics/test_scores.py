"""The metrics of digits: closed forms, splits, and two processes."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_lab.metrics.digits import StackedModes
from gan_lab.metrics.extractors import fingerprint
from gan_lab.metrics.functional import inception_score
from gan_lab.metrics.protocol import Measurement, MeasurementProtocol
from gan_lab.metrics.scores import InceptionScore, LabelAccuracy, ModeScore
from tests.helpers import digit_metrics_in_two_processes
from tests.helpers.digit_metrics_in_two_processes import TRAIN, Brightness, metrics, stack
from tests.helpers.distributed import run_in_two_processes


def one_hot(labels: torch.Tensor, classes: int = 10) -> torch.Tensor:
    """Logits of nearly certain predictions."""
    return 1000.0 * nn.functional.one_hot(labels, classes)


def score(logits: torch.Tensor, chunk: int = 64, **options: int) -> dict[str, torch.Tensor]:
    metric = InceptionScore(nn.Identity(), logits.shape[1], **options)
    for part in logits.split(chunk):
        metric.update(part)
    return metric.compute()


# --- modes


def test_each_mode_is_counted_once() -> None:
    metric = StackedModes(Brightness())
    metric.update(stack(torch.arange(1000)))
    assert torch.equal(metric.counts, torch.ones(1000, dtype=torch.int64))
    values = metric.compute()
    assert values["modes"] == 1000 and float(values["reverse_kl"]) == pytest.approx(0, abs=1e-12)


def test_label_is_red_and_ten_times_green_and_a_hundred_times_blue() -> None:
    metric = StackedModes(Brightness())
    metric.update(stack(torch.tensor([375, 375, 42])))
    assert metric.counts.nonzero().flatten().tolist() == [42, 375] and metric.counts[375] == 2
    assert metric.compute()["modes"] == 2


def test_one_mode_over_several_updates_and_after_a_reset() -> None:
    metric = StackedModes(Brightness())
    for _ in range(3):
        metric.update(stack(torch.full((7,), 123)))
    assert float(metric.compute()["reverse_kl"]) == pytest.approx(math.log(1000)) and metric.counts.sum() == 21
    metric.reset()
    metric.update(stack(torch.tensor([1, 2])))
    assert metric.compute()["modes"] == 2


def test_ideal_values_are_for_the_same_number_of_samples() -> None:
    metric = StackedModes(Brightness())
    metric.update(stack(torch.zeros(25_600, dtype=torch.int64)))
    ideal = metric.ideal_values()
    assert float(ideal["modes"]) == pytest.approx(1000) and float(ideal["reverse_kl"]) == pytest.approx(
        0.0196, abs=1e-4
    )


def test_the_classifier_is_in_the_protocol() -> None:
    classifier = nn.Linear(2, 2)
    weights = {"classifier": fingerprint(classifier)}
    assert StackedModes(classifier).protocol == weights
    classifier.test_error, classifier.trained_on = 0.006, "64 digits 0123"
    entries = weights | {"classifier_data": "64 digits 0123", "classifier_error": 0.006}
    assert StackedModes(classifier).protocol == entries
    assert InceptionScore(classifier).protocol == entries | {"splits": 10}
    nn.init.zeros_(classifier.weight)
    assert StackedModes(classifier).protocol["classifier"] != weights["classifier"]


def test_images_without_three_channels_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Stacked digits must be \(n, 3, H, W\), but these samples are \(5, 1, 8, 8\)\.$"
    ):
        StackedModes(Brightness()).update(torch.zeros(5, 1, 8, 8))


# --- scores


def test_constant_and_certain_predictions() -> None:
    constant = score(torch.tensor([[2.0, -1.0, 0.5]]).expand(100, 3))
    assert float(constant["mean"]) == pytest.approx(1) and float(constant["std"]) == pytest.approx(0, abs=1e-12)
    for classes in (3, 10):
        sure = score(one_hot(torch.arange(classes).repeat(50), classes), splits=1)
        assert float(sure["mean"]) == pytest.approx(classes, rel=1e-12) and sure["mean"].dtype == torch.float64


def test_statistics_are_computed_in_float64() -> None:
    logits = torch.randn(5000, 10, generator=torch.Generator().manual_seed(1))
    log_p = logits.double().log_softmax(1)
    expected = (log_p.exp() * (log_p - log_p.exp().mean(0).log())).sum(1).mean().exp()
    assert float(score(logits, splits=1)["mean"]) == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize("classes", [10, 100])
def test_splits_do_not_depend_on_the_order_of_classes(classes: int) -> None:
    """Splits of consecutive samples, or of every tenth sample, would contain only a tenth of the classes each."""
    labels = torch.arange(20_000)
    for order in (labels % classes, labels * classes // 20_000):
        assert float(score(one_hot(order, classes), splits=10)["mean"]) > 0.97 * classes


def test_splits_have_equal_size_for_all_batch_sizes() -> None:
    logits = torch.randn(1000, 10, generator=torch.Generator().manual_seed(2))
    metric = InceptionScore(nn.Identity(), splits=8)
    metric.update(logits)
    assert metric.seen.tolist() == [125] * 8
    at_once, pieces = metric.compute(), score(logits, chunk=33, splits=8)
    assert all(float(at_once[key]) == pytest.approx(float(pieces[key]), rel=1e-12) for key in ("mean", "std"))


def test_mean_and_deviation_of_the_splits() -> None:
    logits = 3 * torch.randn(400, 10, generator=torch.Generator().manual_seed(3))
    metric = InceptionScore(nn.Identity(), splits=4)
    metric.update(logits)
    metric.update(logits[:4])  # a longer first batch
    scores = inception_score(metric.probabilities / metric.seen[:, None], metric.entropies / metric.seen).numpy()
    values = metric.compute()
    assert float(values["mean"]) == pytest.approx(scores.mean()) and float(values["std"]) == pytest.approx(scores.std())
    assert scores.std() > 0.01


def test_mode_score_with_the_definitions_frequencies_is_the_inception_score() -> None:
    logits = 2 * torch.randn(600, 10, generator=torch.Generator().manual_seed(4))
    metric = ModeScore(nn.Identity(), TRAIN)
    metric.update(logits)
    values, inception = metric.compute(), score(logits, splits=1)["mean"]
    assert float(values["mode"]) == pytest.approx(float(inception), rel=1e-12)
    assert float(values["inception"]) == pytest.approx(float(inception), rel=1e-12)
    assert values["penalized"] < 0.9 * inception
    matched = ModeScore(nn.Identity(), metric.probabilities[0] / 600)
    matched.update(logits)
    assert float(matched.compute()["penalized"]) == pytest.approx(float(inception), rel=1e-12)


@pytest.mark.parametrize("frequencies", [[0.5, 0.6], [1.0, 0.0], [[1.0]]])
def test_malformed_frequencies_are_rejected(frequencies: list) -> None:
    with pytest.raises(ValueError, match=r"^train_probabilities must be class frequencies \(K,\), all above 0"):
        ModeScore(nn.Identity(), frequencies)


@pytest.mark.parametrize(("option", "value"), [("splits", 0), ("num_classes", 0)])
def test_options_out_of_range_are_refused(option: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{option}=0 is not allowed"):
        InceptionScore(nn.Identity(), **{option: value})


def test_wrong_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^num_classes=10, but the classifier has 7 classes\.$"):
        InceptionScore(nn.Identity()).update(torch.zeros(2, 7))


def test_the_classifier_has_no_dropout_in_training_mode() -> None:
    metric = InceptionScore(nn.Dropout(0.5))
    nn.ModuleList([metric]).train()
    assert not metric.classifier.training


# --- processes


def test_two_processes_have_the_values_of_one(tmp_path: Path) -> None:
    run_in_two_processes(digit_metrics_in_two_processes.main, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, (metric, samples) in metrics().items():
        metric.update(samples)
        if name == "splits":  # each process assigns its own samples to splits
            metric.reset()
            halves = [InceptionScore(nn.Identity(), splits=7) for _ in range(2)]
            for rank, half in enumerate(halves):
                half.update(samples[rank::2])
            for key in metric._defaults:
                setattr(metric, key, getattr(halves[0], key) + getattr(halves[1], key))
        for key in metric._defaults:
            for joint in (first, second):
                torch.testing.assert_close(joint[f"{name} states"][key], getattr(metric, key), rtol=1e-13, atol=1e-13)
        metric._update_count = 1
        for key, value in metric.compute().items():
            assert torch.equal(first[name][key], second[name][key])
            torch.testing.assert_close(first[name][key], value, rtol=1e-12, atol=1e-13)
    assert first["modes states"]["counts"].sum() == 1001


# --- label accuracy


def test_label_accuracy_counts_predictions_that_are_the_label() -> None:
    """Logits are the images: 3 of 4 in the first update and 0 of 1 in the second are right."""
    metric = LabelAccuracy(nn.Identity)
    metric.update(one_hot(torch.tensor([0, 1, 2, 3]), 4), labels=torch.tensor([0, 1, 2, 0]))
    metric.update(one_hot(torch.tensor([1]), 4), labels=torch.tensor([2]))
    assert float(metric.compute()) == 3 / 5
    metric.reset()
    assert math.isnan(float(metric.compute()))


def test_label_accuracy_makes_its_classifier_at_the_first_update() -> None:
    made: list[nn.Module] = []

    def make() -> nn.Module:
        made.append(nn.Flatten())
        made[0].test_error = 0.01
        return made[0]

    metric = LabelAccuracy(make, gray=True)
    assert not made and metric.protocol == {}
    red, blue = torch.zeros(1, 3, 1, 2), torch.zeros(1, 3, 1, 2)
    red[0, 0, 0, 1], blue[0, 2, 0, 0] = 1, 1
    for _ in range(2):
        metric.update(torch.cat([red, blue]), labels=torch.tensor([1, 1]))
    assert len(made) == 1 and float(metric.compute()) == 0.5
    entries = {"classifier": fingerprint(made[0]), "classifier_error": 0.01, "classes": 2}
    assert metric.protocol == entries and float(metric.ideal_values()) == pytest.approx(0.99)
    for labels in (None, torch.zeros(2, 10)):
        with pytest.raises(ValueError, match="label_accuracy needs samples with labels"):
            metric.update(torch.cat([red, blue]), labels=labels)


def test_label_accuracy_refuses_labels_of_other_classes() -> None:
    for classifier_classes, num_classes in ((10, 10), (10, None), (None, 3)):
        LabelAccuracy(nn.Identity, classifier_classes=classifier_classes, num_classes=num_classes)
    with pytest.raises(ValueError, match=r"a classifier of 10 classes, and dataset.num_classes=3: leave label_accurac"):
        LabelAccuracy(nn.Identity, classifier_classes=10, num_classes=3)


def test_label_accuracy_is_described_with_what_it_compares_to() -> None:
    protocol = MeasurementProtocol(samples=1000, options={"classes": 10})
    assert LabelAccuracy.describe(Measurement(0.98, 0.9944, protocol)) == (
        "98.0 % of 1,000 samples are classified as the label they were generated with (real images: 99.4 %, "
        "chance: 10 %)."
    )
    assert LabelAccuracy.describe(Measurement(0.28, None, protocol)).endswith(
        "generated with (chance: 10 %); train longer (conditioning=concat needs the fewest images)."
    )
