"""Own components are checked before the run, with a sentence that lists what is missing."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from gan_lab.config.build import build_regularizers, instantiate
from gan_lab.config.compose import compose
from gan_lab.config.interfaces import (
    check_augmentation,
    check_data,
    check_discriminator,
    check_loss,
    check_regularizer,
)
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.losses.base import Loss


class Features(nn.Module):
    """A discriminator without a way from its features to logits."""

    def features(self, samples, condition=None):
        return samples


class Square(Loss):
    """A loss by the base class, which adds the rest."""

    boundary = 0.5

    def real(self, logits):
        return (logits - 1).square().mean()

    def fake(self, logits):
        return logits.square().mean()

    def generator(self, fake_logits, real_logits=None):
        return self.real(fake_logits)


def test_the_base_class_is_enough() -> None:
    check_loss(Square())
    assert (Square.relative, Square.zero_sum) == (False, False)


def test_every_shipped_loss_and_regularizer_has_its_interface() -> None:
    for file in CONF.glob("loss/*.yaml"):
        check_loss(instantiate(compose(f"loss={file.stem}").loss, "loss"))
    for file in CONF.glob("regularizer/*.yaml"):
        build_regularizers(compose(f"regularizer=[{file.stem}]"))
    for file in CONF.glob("augment/*.yaml"):
        check_augmentation(instantiate(compose(f"augment={file.stem}").augment, "augment"))


@pytest.mark.parametrize(
    ("check", "component", "sentence"),
    [
        (
            check_loss,
            SimpleNamespace(generator=1, boundary=0.0),
            "loss is a SimpleNamespace without relative, discriminator: derive the class from gan_lab.losses.base.Loss",
        ),
        (check_augmentation, nn.Identity(), "augment is a Identity without needs_boundary, adapt: .*base.Augmentation"),
        (
            lambda each: check_regularizer(each, "regularizer.mine", "penalty"),
            SimpleNamespace(weight=1.0, interval=1),
            "regularizer.mine is a SimpleNamespace without player, per_sample, __call__: .*base.CheckedPenalty",
        ),
        (
            check_discriminator,
            Features(),
            "discriminator is a Features without head: .*base.Discriminator",
        ),
        (check_data, SimpleNamespace(size=3), "dataset is a SimpleNamespace without .*setup.*spec.*base.TrainingData"),
    ],
)
def test_what_is_missing_is_listed(check: Callable, component: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check(component)


def test_a_module_beside_the_user_and_a_part_without_its_protocol(command: Callable, tmp_path: Path) -> None:
    """The working directory is searched for `allow_targets`, also by the console script."""
    (tmp_path / "users_empty_loss.py").write_text("class Empty:\n    relative = False\n")
    outcome = command("train", "loss._target_=users_empty_loss.Empty", "allow_targets=[users_empty_loss]")
    assert outcome.status == 2 and "Traceback" not in outcome.err
    assert re.search("loss is a Empty without boundary, discriminator, generator: derive the class", outcome.err)


@pytest.mark.parametrize(
    ("generator", "found"),
    [
        (lambda fake, real=None: None, "returned a NoneType"),
        (lambda fake, real=None: 0.5, "returned a float"),
        (lambda fake, real=None: fake.detach().mean(), "returned a tensor without a gradient"),
        (lambda fake, real=None: fake.square(), r"returned a tensor of shape \(4,\)"),
        (lambda: None, r"fails with TypeError \(.* takes 0 positional arguments but 1 was given\)"),
    ],
)
def test_a_loss_that_does_not_return_a_scalar(generator: Callable, found: str) -> None:
    loss = Square()
    loss.generator = generator  # type: ignore[method-assign]
    message = (
        rf"loss is a Square whose generator\(fake_logits\) {found}: it must take logits \(n,\) and return a scalar"
    )
    with pytest.raises(ConfigError, match=message):
        check_loss(loss)


OWN = """
from gan_lab.architectures.mlp import MLPDiscriminator, MLPGenerator

class NoSamples(MLPGenerator):
    def forward(self, latents, labels=None):
        return None

class Pair(MLPGenerator):
    def forward(self, latents, labels=None):
        return super().forward(latents, labels), 1

class NoFeatures(MLPDiscriminator):
    def features(self, x, labels=None):
        return None

class Nothing:
    pass

class NoKey:
    def __init__(self):
        {}["nokey"]
"""


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            "architecture.generator._target_=users_parts.NoSamples",
            r"architecture.generator is a NoSamples that returned a NoneType: its forward must return .* \(n, 2\)",
        ),
        (
            "architecture.generator._target_=users_parts.Pair",
            "architecture.generator is a Pair that returned a tuple: its forward must return",
        ),
        (
            "architecture.discriminator._target_=users_parts.NoFeatures",
            "architecture.discriminator is a NoFeatures whose features returned a NoneType: it must return a tensor",
        ),
        (
            "+callbacks.mine._target_=users_parts.Nothing",
            "callbacks.mine is a Nothing, which is not a callback: derive the class from lightning.pytorch.Callback",
        ),
        (
            "+evaluation.metrics.mine._target_=users_parts.Nothing",
            "evaluation.metrics.mine is a Nothing, which is not a metric: derive the class from torchmetrics.Metric",
        ),
        ("+callbacks.mine._target_=users_parts.NoKey", "callbacks.mine cannot be built: KeyError: 'nokey'"),
    ],
)
def test_own_parts_of_a_wrong_kind(overrides: str, sentence: str, command: Callable, tmp_path: Path) -> None:
    (tmp_path / "users_parts.py").write_text(OWN)
    settings = ["dataset=ring", "architecture=mlp", "hardware=cpu", "allow_targets=[users_parts]"]
    outcome = command("train", *settings, *overrides.split())
    assert outcome.status == 2 and "Traceback" not in outcome.err
    assert re.search(sentence, outcome.err), outcome.err
