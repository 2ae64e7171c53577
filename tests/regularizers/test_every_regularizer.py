"""Every penalty: one closed form, its protocol, and no transfer to the host; every config file makes a tested class."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import instantiate
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gan_lab import regularizers
from gan_lab.augment.pipelines import FlipAndShift
from gan_lab.config.schema import CONF
from gan_lab.noise import Noise
from gan_lab.regularizers.base import CheckedPenalty, Penalty
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.features import Classification, FeatureMatching
from gan_lab.regularizers.information import CodeInformation
from gan_lab.regularizers.pairs import AbsoluteDifference
from gan_lab.regularizers.path_length import PathLength
from gan_lab.regularizers.penalties import R1, R2, Consistency, DivergencePenalty, Dragan, Drift, GradientPenalty, LeCam
from gan_lab.regularizers.selection import TopK
from gan_lab.regularizers.weights import HistoricalAveraging, Orthogonal
from gan_lab.step import DiscriminatorOutputs, Samples, Step

SHEAR = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
LENGTHS = (Noise(0, 3).normal(2)[:2] @ SHEAR).norm(dim=1)
"""|A^T y| of half of the samples of `make_step`, for G(z) = A z with A = `SHEAR`."""

EXPECTED: dict[type, tuple[Any, float]] = {
    # With C(x) = 3 a + 4 b on the images of `make_step`: value before weighting.
    GradientPenalty: (GradientPenalty, 16),
    DivergencePenalty: (DivergencePenalty, 5.0**6),
    Dragan: (Dragan, 16),
    R1: (R1, 12.5),
    R2: (R2, 12.5),
    Drift: (Drift, 49),
    LeCam: (LeCam, 2 * (7 + 14) ** 2),
    Consistency: (lambda: Consistency(lambda images, noise: 2 * images), 49),
    FeatureMatching: (FeatureMatching, 9 + 9),
    Classification: (lambda: Classification(fake=False), torch.log(torch.tensor(2.0)).item()),
    HistoricalAveraging: (HistoricalAveraging, 0),
    Orthogonal: (Orthogonal, 2),
    CodeInformation: (lambda: CodeInformation((2,)), torch.log(torch.tensor(2.0)).item()),
    AbsoluteDifference: (AbsoluteDifference, 3),
    PathLength: (PathLength, torch.square(LENGTHS - 0.01 * LENGTHS.mean()).mean().item()),
}
"""A constructor, called in each test because some penalties have state, and the value."""
PLAYERS = ("discriminator", "generator")
OTHERS = {WeightClip, TopK, CheckedPenalty}  # the last is a base
"""Regularizers other than penalties, with tests of their own."""


class Network(nn.Module):
    """Images of two pixels (a, b): features (a, b), logit 3 a + 4 b, the features also as outputs of a second head."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(2, 1, bias=False)
        self.output.weight.data = torch.tensor([[3.0, 4.0]])

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x.flatten(1)

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)

    def auxiliary(self, features: Tensor) -> Tensor:
        return features


class Sheared(nn.Linear):
    """The generator G(z) = A z of points, with A = `SHEAR`."""

    def __init__(self) -> None:
        super().__init__(2, 2, bias=False)
        self.weight.data = SHEAR.clone()

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(latents)


def make_step(kind: type) -> Step:
    """Three real images (1, 1) and three generated ones (-2, -2), of the first class or code; `Sheared` is updated."""
    discriminator, real = Network(), torch.ones(3, 1, 1, 2)
    condition = torch.zeros(3, dtype=torch.int64)
    if kind is CodeInformation:
        condition = nn.functional.one_hot(condition, 2).float()
    return Step(
        Sheared(),
        DiscriminatorOutputs(discriminator, lambda: Samples(real, condition)),
        DiscriminatorOutputs(discriminator, lambda: Samples(-2 * real, condition, torch.zeros(3, 2))),
        Noise(0, 3),
    )


def is_protocol(kind: type) -> bool:
    return getattr(kind, "_is_protocol", False)


def public_regularizers() -> set[type]:
    """Every public class of the package except protocols."""
    modules = [
        importlib.import_module(f"{regularizers.__name__}.{m.name}")
        for m in pkgutil.iter_modules(regularizers.__path__)
    ]
    classes = {c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__}
    return {c for c in classes if not c.__name__.startswith("_") and not is_protocol(c)}


def test_every_regularizer_is_tested() -> None:
    assert public_regularizers() == set(EXPECTED) | OTHERS


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_value(kind: type) -> None:
    make, value = EXPECTED[kind]
    assert make()(make_step(kind)).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_protocol(kind: type) -> None:
    make, _ = EXPECTED[kind]
    penalty: Penalty = make()
    assert penalty.player in PLAYERS and penalty.weight > 0 and penalty.interval == (4 if kind is PathLength else 1)
    takes_input_gradients = kind in {GradientPenalty, DivergencePenalty, Dragan, R1, R2, PathLength}
    assert penalty.per_sample is takes_input_gradients


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_no_transfer_to_the_host(kind: type) -> None:
    """Fake tensors have no values: `.item()`, `if tensor` and the like raise."""
    make, _ = EXPECTED[kind]
    with FakeTensorMode(allow_non_fake_inputs=True):
        penalty, step = make(), make_step(kind)
        for _ in range(2):
            assert penalty(step).shape == ()


def files() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File name, key and node of every regularizer in the configs."""
    for file in sorted((CONF / "regularizer").glob("*.yaml")):
        text = file.read_text().replace("${dataset.resolution}", "8")
        package = text.splitlines()[0].removeprefix("# @package ")
        nodes = yaml.safe_load(text)
        for name, node in {package: nodes}.items() if "_target_" in nodes else nodes.items():
            yield file.stem, name.rpartition(".")[2], node


@pytest.mark.parametrize(
    ("file", "key", "node"), list(files()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_file_makes_a_tested_regularizer(file: str, key: str, node: dict[str, Any]) -> None:
    node = {key: value for key, value in node.items() if not str(value).startswith("${")}  # of the rest of a config
    regularizer = instantiate(node, _convert_="all")
    assert type(regularizer) in set(EXPECTED) | OTHERS
    assert key in file or file in key
    if key.endswith(PLAYERS):
        assert key == f"{file}_{regularizer.player}"


def test_consistency_files_flip_and_shift() -> None:
    penalties = {file: instantiate(node, _convert_="all") for file, _, node in files() if "consistency" in file}
    assert {name: penalty.fake_ratio for name, penalty in penalties.items()} == {
        "consistency": 0,
        "balanced_consistency": 1,
    }
    images = torch.rand(3, 1, 8, 8) * 2 - 1
    step = Step(
        nn.Identity(),
        DiscriminatorOutputs(_Sum(), lambda: Samples(images)),
        DiscriminatorOutputs(_Sum(), lambda: Samples(images)),
        Noise(0, 3),
    )
    for penalty in penalties.values():
        assert isinstance(penalty.transform, FlipAndShift) and torch.isfinite(penalty(step))


class _Sum(Network):
    """A discriminator whose logit is the sum of all pixels."""

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return features.sum(1)
