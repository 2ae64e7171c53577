"""`conditioning=if_labeled` and the default model: labels where the data set is known to have them."""

import pytest

from gan_lab.config.compose import compose

LABELED = ["digits", "mnist", "fashion_mnist", "cifar10"]


@pytest.mark.parametrize("dataset", LABELED)
def test_default_model_uses_labels(dataset: str) -> None:
    cfg = compose(f"dataset={dataset}")
    assert cfg.dataset.num_classes == cfg.conditioning.num_classes == 10
    assert cfg.conditioning == compose(f"dataset={dataset}", "conditioning=shared_embedding").conditioning
    assert cfg.wrapper == compose(f"dataset={dataset}", "conditioning=shared_embedding").wrapper


@pytest.mark.parametrize("dataset", ["ring", "image_folder", "prepared", "noise"])
def test_default_model_needs_no_labels(dataset: str) -> None:
    source = [f"dataset.source={dataset}"] if dataset in ("image_folder", "prepared") else []
    cfg = compose(f"dataset={dataset}", *source)
    assert cfg.conditioning.num_classes is None
    assert cfg.wrapper.generator.conditioning is None and cfg.wrapper.discriminator.conditioning is None


def test_other_models_and_choices_are_unchanged() -> None:
    assert compose("model=dcgan").conditioning.num_classes is None
    assert compose("conditioning=none").conditioning.num_classes is None
    assert compose("conditioning=none").wrapper.generator.conditioning is None
    assert "categories" in compose("conditioning=codes").conditioning
    assert "num_classes" not in compose("conditioning=codes").conditioning
    assert compose("model=cgan", "dataset=digits").wrapper.generator.conditioning._target_.endswith("ConcatLatents")


@pytest.mark.parametrize(
    "conditioning", ["concat", "projection", "shared_embedding", "mapping", "auxiliary_classifier"]
)
def test_labeled_digits_measure_how_well_labels_are_obeyed(conditioning: str) -> None:
    metrics = compose("dataset=digits", f"conditioning={conditioning}").evaluation.metrics
    assert metrics == compose("dataset=digits").evaluation.metrics
    assert list(metrics) == ["label_accuracy"] and metrics.label_accuracy.classifier._partial_


def test_no_classifier_is_trained_where_it_takes_long_or_there_are_no_labels() -> None:
    for overrides in (["model=dcgan"], ["conditioning=codes"], ["dataset=mnist"]):
        assert not compose(*overrides).evaluation.metrics
