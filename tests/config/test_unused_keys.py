"""Keys without effect: refused by commands, reported by training."""

from collections.abc import Callable

import pytest

from gan_lab.config.compose import compose
from gan_lab.config.early_checks import check_command
from gan_lab.config.groups import choices
from gan_lab.config.unused_keys import refuse_unused_keys, unused_keys
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit


@pytest.mark.parametrize(
    ("command", "typed", "message"),
    [
        (
            "duplicates",
            "dataset=digits extractor=digits",
            "extractor has no effect with method=autoencoder: add",
        ),
        ("duplicates", "dataset=digits method=extractor epochs=3", "epochs=3 has no effect with method=extractor"),
        ("sample", "truncation_form=scale", "truncation_form=scale has no effect without truncation: give it, or"),
        ("interpolate", "truncation_form=scale", "truncation_form=scale has no effect without truncation: give it, or"),
        (
            "evaluate",
            "metrics=[ms_ssim] truncation_form=scale",
            "truncation_form=scale has no effect without trunc",
        ),
        (
            "evaluate",
            "metrics=[ms_ssim] count=9 truncation=1",
            "count=9 has no effect without a curve: give a list",
        ),
        ("evaluate", "metrics=[ms_ssim] extractor=digits", "extractor has no effect without a metric of features"),
        ("evaluate", "metrics=[ms_ssim] images=x weights=raw", "weights=raw has no effect on images=..., which are"),
        ("evaluate", "metrics=[ms_ssim] images=x seed=1", "seed=1 has no effect on images=..., which are generated"),
        (
            "evaluate",
            "metrics=[ms_ssim] images=x evaluation.samples=9",
            "evaluation.samples=9 has no effect on",
        ),
        ("invert", "space=z style_noise=0.1", "style_noise=0.1 has no effect with space=z: leave it out"),
        ("invert", "space=w+ prior_weight=1", "prior_weight=1.0 has no effect with space=w or w+: leave it out"),
        ("list", "what=loss format=markdown", "format=markdown has no effect on other groups than model: give what="),
        ("bench", "resume=runs/x", "resume=runs/x has no effect on gan-lab bench, which starts from scratch: give the"),
    ],
)
def test_keys_that_a_command_refuses(command: str, typed: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_command(command, compose(*typed.split(), command=command))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("duplicates", "method=extractor extractor=digits"),
        ("duplicates", "epochs=3"),
        ("sample", "truncation_form=scale truncation=1"),
        ("evaluate", "metrics=[fd] extractor=digits truncation=[0.5,1] count=9 evaluation.samples=9"),
        ("list", "what=model format=markdown"),
        ("bench", "model=wgan"),
    ],
)
def test_keys_with_an_effect(command: str, typed: str) -> None:
    refuse_unused_keys(command, compose(*typed.split(), command=command))


@pytest.mark.parametrize(
    ("typed", "messages"),
    [
        (
            "optimizer=rmsprop betas=[0.1,0.2]",
            ["betas=[0.1, 0.2] has no effect since no optimizer of this run has betas."],
        ),
        (
            "model=lsgan latent.bound=3 latent.distribution=normal",
            ["latent.bound=3.0 has no effect with latent.distri"],
        ),
        (
            "trouble.rollback.times=5",
            ["trouble.rollback.times=5 has no effect without trouble.on_collapse=rollback or "],
        ),
        ("model=dcgan extractor=digits", ["extractor has no effect without a metric of features, as in metrics=[fd]."]),
        ("betas=[0.1,0.2] trouble.rollback.times=5 trouble.on_collapse=rollback metrics=[fd] extractor=digits", []),
    ],
)
def test_keys_that_training_reports(typed: str, messages: list[str]) -> None:
    found = list(unused_keys("train", compose(*typed.split())))
    assert len(found) == len(messages) and all(map(str.startswith, found, messages)), found


def test_no_model_sets_a_key_without_effect() -> None:
    for model in choices("model"):
        assert not list(unused_keys("train", compose(f"model={model}"))), model


def test_training_reports_them(tiny: Callable, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        fit(tiny("dataset.resolution=8", "budget.images=8", "optimizer=rmsprop", "betas=[0.1,0.2]"))
    assert caplog.text.count("betas=[0.1, 0.2] has no effect since no optimizer of this run has betas.") == 1
