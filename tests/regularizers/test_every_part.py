"""Every penalty has one closed form here, keeps the protocol, and reads nothing back; every file names such a part."""

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
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.features import Classification, FeatureMatching
from gan_lab.regularizers.penalties import R1, R2, Consistency, DivergencePenalty, Dragan, Drift, GradientPenalty, LeCam
from gan_lab.regularizers.players import PLAYERS
from gan_lab.regularizers.selection import TopK
from gan_lab.regularizers.weights import HistoricalAveraging, Orthogonal
from gan_lab.types import Judged, Penalty, Step

SHEAR = torch.tensor([[1.0, 1.0], [0.0, 1.0]])

EXPECTED: dict[type, tuple[Any, float]] = {
    # With C(x) = 3 a + 4 b on the images of `move`: value before weighting.
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
}
"""The penalty, made anew for each test since some have memory, and its value."""
OTHERS = {WeightClip, TopK}
"""Parts with tests of their own that are no penalties."""


class Network(nn.Module):
    """Images of two pixels (a, b): features (a, b), logit 3 a + 4 b, class logits as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(2, 1, bias=False)
        self.output.weight.data = torch.tensor([[3.0, 4.0]])

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return x.flatten(1)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)

    def classify(self, features: Tensor) -> Tensor:
        return features


def move() -> Step:
    """Three real images (1, 1) and three generated ones (-2, -2); what moves is a layer with the weight `SHEAR`."""
    judge, moving = Network(), nn.Linear(2, 2)
    moving.weight.data = SHEAR.clone()
    real, labels = torch.ones(3, 1, 1, 2), torch.zeros(3, dtype=torch.int64)
    return Step(
        moving,
        Judged(judge, lambda: (real, labels)),
        Judged(judge, lambda: (-2 * real, labels)),
        Noise(0, 3),
    )


def public_parts() -> set[type]:
    """Every class of the package that can be called with a step, a network or logits."""
    modules = [
        importlib.import_module(f"{regularizers.__name__}.{m.name}")
        for m in pkgutil.iter_modules(regularizers.__path__)
    ]
    classes = {c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__}
    return {c for c in classes if not c.__name__.startswith("_")}


def test_every_part_is_tested() -> None:
    assert public_parts() == set(EXPECTED) | OTHERS


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_value(kind: type) -> None:
    make, value = EXPECTED[kind]
    assert make()(move()).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_protocol(kind: type) -> None:
    make, _ = EXPECTED[kind]
    penalty: Penalty = make()
    assert penalty.player in PLAYERS and penalty.weight > 0 and penalty.interval == 1
    takes_input_gradients = kind in {GradientPenalty, DivergencePenalty, Dragan, R1, R2}
    assert penalty.per_sample is takes_input_gradients


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_reads_nothing_back(kind: type) -> None:
    """Fake tensors have no values: `.item()`, `if tensor` and the like raise."""
    make, _ = EXPECTED[kind]
    with FakeTensorMode(allow_non_fake_inputs=True):
        penalty, step = make(), move()
        for _ in range(2):
            assert penalty(step).shape == ()


def files() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File, key and content of every node that makes a part."""
    for file in sorted((CONF / "regularizer").glob("*.yaml")):
        text = file.read_text().replace("${dataset.resolution}", "8")
        package = text.splitlines()[0].removeprefix("# @package ")
        nodes = yaml.safe_load(text)
        for name, node in {package: nodes}.items() if "_target_" in nodes else nodes.items():
            yield file.stem, name.rpartition(".")[2], node


@pytest.mark.parametrize(
    ("file", "key", "node"), list(files()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_file_makes_a_tested_part(file: str, key: str, node: dict[str, Any]) -> None:
    part = instantiate(node, _convert_="all")
    assert type(part) in set(EXPECTED) | OTHERS
    assert key in file or file in key or key == "selection"
    if key.endswith(PLAYERS):
        assert key == f"{file}_{part.player}"


def test_the_files_of_consistency_flip_and_shift() -> None:
    found = {file: instantiate(node, _convert_="all") for file, _, node in files() if "consistency" in file}
    assert {name: penalty.fake_ratio for name, penalty in found.items()} == {
        "consistency": 0,
        "balanced_consistency": 1,
    }
    images = torch.rand(3, 1, 8, 8) * 2 - 1
    step = Step(
        nn.Identity(), Judged(_Sum(), lambda: (images, None)), Judged(_Sum(), lambda: (images, None)), Noise(0, 3)
    )
    for penalty in found.values():
        assert isinstance(penalty.transform, FlipAndShift) and torch.isfinite(penalty(step))


class _Sum(Network):
    """The sum of all pixels."""

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return features.sum(1)
