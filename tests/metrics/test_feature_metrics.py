"""Properties of every feature metric, from one table of all classes."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, in_order, shuffled
from gan_lab.metrics.pairwise import PairwiseMetric
from tests.helpers import feature_metrics_in_two_processes
from tests.helpers.distributed import run_in_two_processes
from tests.helpers.feature_metrics_in_two_processes import GENERATED, LABELS, METRICS, REAL, give, make, values

every_metric = pytest.mark.parametrize("name", METRICS)


class Doubler(nn.Module):
    """An extractor with a weight, dropout and protocol entries."""

    name = "doubler"
    fingerprint = "2x"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.dropout(self.weight * images)


def fed(name: str, extractor: nn.Module | None = None, real: Tensor = REAL, generated: Tensor = GENERATED):
    metric = make(name, extractor)
    give(metric, real, real=True)
    give(metric, generated)
    return metric


def same(first: FeatureMetric, second: FeatureMetric, tolerance: float = 0.0) -> None:
    first_values, second_values = values(first), values(second)
    assert first_values.keys() == second_values.keys()
    for key, value in first_values.items():
        torch.testing.assert_close(value, second_values[key], rtol=tolerance, atol=tolerance, msg=key)


def test_every_class_is_in_the_table() -> None:
    found = [*FeatureMetric.__subclasses__(), *PairwiseMetric.__subclasses__()]
    ours = {each for each in found if each.__module__.startswith("gan_lab.")} - {PairwiseMetric}
    assert ours == set(METRICS.values())


@every_metric
def test_values_are_scalars_of_float64(name: str) -> None:
    for key, value in values(fed(name)).items():
        assert value.shape == () and value.isfinite()
        assert value.dtype == (torch.int64 if key == "worst_class" else torch.float64)
    assert type(fed(name)).higher_is_better in (True, False)


@every_metric
def test_statistics_are_computed_in_float64(name: str) -> None:
    """So far from 0, float32 has two digits of a standard deviation."""
    near, far = fed(name), fed(name, real=REAL + 1e5, generated=GENERATED + 1e5)
    direct = fed(name, real=(REAL + 1e5).double(), generated=(GENERATED + 1e5).double())
    same(far, direct)
    shifted = fed(name, real=(REAL + 1e5).double() - 1e5, generated=(GENERATED + 1e5).double() - 1e5)
    if name not in ("kernel", "diversity", "prd"):  # the others are invariant to translation
        same(far, shifted, tolerance=1e-5)
    assert near.real_state()[near.real_kind].dtype == torch.float64


@every_metric
def test_order_of_images_changes_no_bit(name: str) -> None:
    order = torch.randperm(len(REAL), generator=torch.Generator().manual_seed(3))
    mixed = make(name)
    give(mixed, GENERATED[order], labels=LABELS[order], batch=13)
    give(mixed, REAL[order], real=True, labels=LABELS[order], batch=40)
    same(fed(name), mixed, tolerance=1e-12 if name == "frechet" else 0.0)  # a sum has its order


@every_metric
def test_global_random_state_is_unchanged(name: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    values(fed(name))
    assert torch.equal(before, torch.get_rng_state())


@every_metric
def test_reset_keeps_the_real_images(name: str) -> None:
    metric = fed(name, generated=REAL + 3)
    values(metric)
    metric.reset_generated()
    give(metric, GENERATED)
    same(metric, fed(name))
    assert metric.protocol["real_images"] == metric.protocol["generated_images"] == len(REAL)
    metric.reset()
    assert metric.protocol["real_images"] == metric.protocol["generated_images"] == 0
    give(metric, torch.cat([GENERATED, GENERATED], 1)[:, :7])  # features of another length
    assert metric.protocol["generated_images"] == len(GENERATED)


@every_metric
def test_loaded_state_replaces_the_real_images(name: str, tmp_path: Path) -> None:
    torch.save(fed(name).real_state(), tmp_path / "real.pt")
    metric = fed(name, real=REAL + 3)
    before = values(metric)
    metric.load_real_state(torch.load(tmp_path / "real.pt", weights_only=True))
    same(metric, fed(name))  # and not what was computed before
    assert any(not torch.equal(before[key], value) for key, value in values(metric).items())
    assert metric.protocol["real_images"] == len(REAL)


@every_metric
def test_loading_a_state_does_not_change_it(name: str) -> None:
    state = fed(name).real_state()
    kept = {key: value.clone() for key, value in state.items()}
    metric = make(name)
    metric.load_real_state(state)
    give(metric, REAL + 3, real=True)
    give(metric, GENERATED[:0], labels=LABELS[:0])
    assert metric.protocol["real_images"] == 2 * len(REAL)
    assert all(torch.equal(state[key], value) for key, value in kept.items())


def test_metrics_with_equal_statistics_load_each_others_state() -> None:
    kinds: dict[str, list[str]] = {}
    for name in METRICS:
        kinds.setdefault(METRICS[name].real_kind, []).append(name)
    assert kinds["moments"] == ["frechet"] and kinds["labeled_features"] == ["class_frechet"]
    state = fed("kernel").real_state()
    for name in kinds["features"]:
        metric = make(name)
        metric.load_real_state(state)
        give(metric, GENERATED)
        same(metric, fed(name))


@every_metric
def test_a_state_of_another_kind_is_refused(name: str) -> None:
    kind = METRICS[name].real_kind
    with pytest.raises(ValueError, match=f"needs the {kind} of real images, but this state has pixels\\.$"):
        make(name).load_real_state({"pixels": torch.zeros(2, 2)})


@every_metric
def test_extractor_is_not_a_submodule_but_follows_the_device(name: str) -> None:
    extractor = Doubler()
    metric = make(name, extractor)
    nn.ModuleList([metric]).train()
    assert not extractor.training and not extractor.dropout.training
    assert not metric.state_dict() and not list(metric.parameters())
    assert all(part is not extractor for part in metric.modules())
    assert make(name, Doubler()).to("meta").extractor.weight.is_meta
    give(metric, REAL, real=True)
    give(metric, GENERATED)
    same(metric, fed(name, real=2 * REAL, generated=2 * GENERATED))
    for twin in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric)):
        same(twin, metric)


def test_features_have_no_gradient() -> None:
    metric = make("diversity", Doubler())
    metric(GENERATED)  # torchmetrics turns gradients on here
    assert not metric.generated[0].requires_grad


@every_metric
def test_protocol_names_extractor_images_and_settings(name: str) -> None:
    metric = make(name, Doubler())
    give(metric, REAL[:7], real=True, labels=LABELS[:7])
    give(metric, GENERATED[:5], labels=LABELS[:5])
    images = {"real_images": 7, "generated_images": 5}
    settings = {
        "kernel": {"kernel_degree": 3, "blocks": 10, "blocks_seed": 0},
        "precision_recall": {"k": 3},
        "density_coverage": {"k": 5},
        "prd": {"clusters": 5, "runs": 2, "clusters_seed": 0},
        "diversity": {"pairs": 500, "pairs_seed": 0},
    }
    own = settings.get(name, {})
    assert metric.protocol == {
        "extractor": "doubler", "extractor_fingerprint": "2x", "extractor_preprocessing": None, **images, **own
    }  # fmt: skip
    plain = make(name).protocol
    assert plain["extractor"] == "Identity" and plain["extractor_fingerprint"] is None


# --- refusals


@every_metric
@pytest.mark.parametrize(("real", "which"), [(True, "real"), (False, "generated")])
@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_features_that_are_not_finite_are_refused(name: str, real: bool, which: str, number: float) -> None:
    broken = REAL.clone()
    broken[3:5, 1] = number
    sentence = (
        rf"^The {which} features are not finite: extractor doubler returns NaN or infinity for 2 of 101 images\.$"
    )
    metric = make(name, Doubler())
    with pytest.raises(ValueError, match=sentence):
        give(metric, broken, real)
    assert metric.protocol["real_images"] == metric.protocol["generated_images"] == 0


@every_metric
def test_features_of_another_shape_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^Features must be \(n, d\), but extractor doubler returns \(101, 4, 1\)\.$"):
        give(make(name, Doubler()), REAL[:, :, None])
    with pytest.raises(ValueError, match=r"need an extractor for samples of shape \(101, 4, 1\): choose one"):
        give(make(name), REAL[:, :, None])
    sentence = r"^Extractor Identity returns 3 features for each image, but earlier images had 4\.$"
    for first in (True, False):
        metric = make(name)
        give(metric, REAL, first)
        for second in (True, False):
            with pytest.raises(ValueError, match=sentence):
                give(metric, REAL[:, :3], second)


@pytest.mark.parametrize(
    ("name", "real", "generated"),
    [
        ("frechet", 2, 2), ("class_frechet", 2, 2), ("kernel", 2, 2), ("precision_recall", 4, 4),
        ("density_coverage", 6, 1), ("prd", 5, 5), ("diversity", 0, 2),
    ],
)  # fmt: skip
def test_too_few_images_are_refused_and_just_enough_are_not(name: str, real: int, generated: int) -> None:
    def of(reals: int, generateds: int) -> FeatureMetric:
        metric, ones = make(name), torch.zeros(len(REAL), dtype=torch.int64)
        give(metric, REAL[:reals], real=True, labels=ones[:reals])
        give(metric, GENERATED[:generateds], labels=ones[:generateds])
        return metric

    values(of(real, generated))
    start = f"^{METRICS[name].__name__} needs at least"
    with pytest.raises(ValueError, match=rf"{start} {generated} generated images, but has {generated - 1}\.$"):
        values(of(real, generated - 1))
    if real:
        with pytest.raises(ValueError, match=rf"{start} {real} real images, but has {real - 1}\.$"):
            values(of(real - 1, generated))


@pytest.mark.parametrize(
    ("name", "setting", "wrong", "allowed"),
    [
        ("kernel", "blocks", 1, 2), ("precision_recall", "k", 0, 1), ("density_coverage", "k", 0, 1),
        ("prd", "clusters", 0, 1), ("prd", "runs", 0, 1), ("diversity", "pairs", 0, 1),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(name: str, setting: str, wrong: int, allowed: int) -> None:
    sentence = rf"^{setting}={wrong} is not allowed: it must be at least {allowed}\.$"
    with pytest.raises(ValueError, match=sentence):
        METRICS[name](**{setting: wrong})


# --- order


def test_order_of_rows_depends_on_their_content() -> None:
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)).double()
    rows[100:200] = rows[:100]  # duplicates
    mixed = rows[torch.randperm(500, generator=torch.Generator().manual_seed(1))]
    assert torch.equal(in_order(rows), in_order(mixed)) and not torch.equal(in_order(rows), rows)
    assert torch.equal(in_order(rows).sort(0)[0], rows.sort(0)[0])  # none is lost
    assert torch.equal(shuffled(rows, 0), shuffled(mixed, 0)) and not torch.equal(shuffled(rows, 0), shuffled(rows, 1))
    assert (shuffled(rows, 0)[1:] == shuffled(rows, 0)[:-1]).all(1).sum() < 5  # duplicates are not next to each other


# --- processes


def test_two_processes_have_the_values_of_one(tmp_path: Path) -> None:
    run_in_two_processes(feature_metrics_in_two_processes.main, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name in METRICS:
        one = values(fed(name))
        for feeding in (name, f"{name} again", f"{name} cached"):
            for key, value in one.items():
                assert torch.equal(first[feeding][key], second[feeding][key])
                torch.testing.assert_close(first[feeding][key], value, rtol=1e-12, atol=1e-13, msg=f"{feeding} {key}")
        joined = make(name)
        joined.load_real_state(first[f"{name} state"])  # each process has its own part
        assert joined.protocol["real_images"] == 51
