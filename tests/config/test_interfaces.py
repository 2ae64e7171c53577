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
