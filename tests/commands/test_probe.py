"""Linear probes of a discriminator by the command, on a run after two batches."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.analysis.probing import draw_labeled, pooled_activations, principal_components, split_rows
from gan_lab.config.build import build_network
from gan_lab.config.compose import compose
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.layers.activations import activation_shapes
from gan_lab.layers.batch_statistics import with_population_statistics
from gan_lab.runs.findings import read_finding
from gan_lab.training.fit import fit
from tests.conftest import SMALL

SMALLEST = {
    "labels_per_class": 5,
    "draws": 2,
    "search_draws": 1,
    "validation": 100,
    "test": 200,
    "device": "cpu",
    "pca": 8,
}
SMALL_PROBE = {**SMALLEST, "costs": [0.01, 0.1]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe") / "run"
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=16", f"run.dir={folder}"))
    return folder


def test_every_kind_of_features_is_measured(run: Path) -> None:
    found = gan_lab.probe(run, **SMALL_PROBE)
    names = [result.features for result in found.results]
    of_network = ["layers 1, 2", "layer 1 (8 maps of 8x8)", "layer 2 (16 maps of 4x4)"]
    both = [f"{network}, {name}" for network in ("untrained", "trained") for name in of_network]
    assert names == ["pixels", "pixels, 8 principal components", *both]
    assert [result.dimensions for result in found.results] == [256, 8, *[384, 128, 256] * 2]
    assert all(len(result.accuracies) == 2 for result in found.results)
    assert found.results[0].accuracies[0] > 0.5  # pixels of digits, 50 labels
    written = read_finding(found.folder / "finding.json")
    assert written is not None and written.table == found.table
    assert written.command[:2] == ["gan-lab", "probe"] and "labels_per_class=5" in written.command
    again = gan_lab.probe(run, **SMALL_PROBE)
    assert again.results == found.results
    assert "What the discriminator knows about classes" in (run / "report.html").read_text()


def test_chosen_layers_and_the_imported_form(run: Path) -> None:
    found = gan_lab.probe(
        run, layers=[2], untrained=False, pool=None, statistics="running", **(SMALL_PROBE | {"pca": None})
    )
    assert [result.dimensions for result in found.results] == [256, 256]
    assert "not pooled, running statistics" in found.protocol


def test_the_same_network_is_trained_on_the_labels(run: Path) -> None:
    one = SMALL_PROBE | {"layers": [2], "untrained": False, "pca": None, "labels_per_class": 20}
    found = gan_lab.probe(run, supervised=10, **one)
    row = found.results[-1]
    assert row.features == "the same network, supervised" and row.cost is None and len(row.accuracies) == 2
    assert min(row.accuracies) > 0.5
    assert found.table[-1][1:3] == ["256", ""] and "supervised: at most 10 epochs" in found.protocol


@pytest.fixture(scope="module")
def bigan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe") / "bigan"
    fit(
        compose(
            *SMALL, "model=bigan", "architecture=bigan_mlp", "dataset.resolution=8", "latent.dim=6", f"run.dir={folder}"
        )
    )
    return folder


def test_the_encoder_of_a_bigan(bigan: Path, run: Path) -> None:
    found = gan_lab.probe(bigan, network="encoder", **(SMALL_PROBE | {"pca": None}))
    names = [result.features for result in found.results]
    of_network = ["layers 1, 2", "layer 1 (8 units)", "layer 2 (8 units)", "latents"]
    assert names == ["pixels", *(f"{network}, {name}" for network in ("untrained", "trained") for name in of_network)]
    assert [result.dimensions for result in found.results] == [64, *[16, 8, 8, 6] * 2]
    assert "encoder after" in found.protocol
    with pytest.raises(gan_lab.errors.UserError, match=r"so its layers cannot be .*; gan-lab probe network=encoder"):
        gan_lab.probe(bigan, **SMALL_PROBE)
    with pytest.raises(gan_lab.errors.UserError, match="has no encoder: give a checkpoint of a model with one"):
        gan_lab.probe(run, network="encoder", **SMALL_PROBE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": [3]}, "there is no layer 3; the network has 1: 8 maps of 8x8 pixels; 2: 16 maps of 4x4 pixels"),
        ({"layers": [3], "labels_per_class": 1000}, "there is no layer 3"),
        ({"labels_per_class": 1000}, "labels_per_class=1,000 is more than the"),
        ({"validation": 1700}, "validation=1,700 and test=200 leave nothing of 1,797 images"),
        ({"test": "test"}, "test=test is not allowed: this data set has no splits"),
        ({"costs": []}, "costs"),
        ({"costs": [0.1, 0.01]}, "costs"),
        ({"dataset.resolution": 8}, "give dataset.resolution=16"),
        ({"dataset": "ring"}, "This command is for images"),
    ],
)
def test_values_that_do_not_fit(run: Path, settings: dict, message: str) -> None:
    with pytest.raises(gan_lab.errors.UserError, match=message):
        gan_lab.probe(run, **(SMALL_PROBE | settings))


def test_equal_numbers_of_each_class_from_the_given_rows() -> None:
    labels = torch.arange(100) % 4
    train, validation, test = split_rows(100, 10, 30, seed=0)
    assert sorted([*train.tolist(), *validation.tolist(), *test.tolist()]) == list(range(100))
    first, second = (draw_labeled(labels, train, 3, 4, 0, number) for number in (0, 1))
    assert torch.equal(labels[first].bincount(), torch.tensor([3, 3, 3, 3]))
    assert set(first.tolist()) <= set(train.tolist()) and not torch.equal(first, second)
    assert torch.equal(draw_labeled(labels, train, None, 4, 0), train)


@pytest.mark.parametrize(
    ("experiment", "features", "labels", "draws"),
    [("dcgan_probe_cifar10", 28_672, None, 3), ("dcgan_probe_svhn", 7_168, 100, 100)],
)
def test_experiments_of_the_paper(experiment: str, features: int, labels: int | None, draws: int) -> None:
    """Their networks have as many features as the paper states, and the commands in their headers are correct."""
    cfg = compose(f"experiment={experiment}")
    size = cfg.dataset.resolution
    discriminator = build_network(cfg, "discriminator").eval()
    shapes = activation_shapes(discriminator.features, torch.zeros(1, 3, size, size))
    assert sum(shape.channels * min(shape.height, 4) * min(shape.width, 4) for shape in shapes) == features
    header = (CONF / "experiment" / f"{experiment}.yaml").read_text().split("# Length:")[0]
    text = " ".join(line.lstrip("#").strip() for line in header.splitlines())
    found = re.findall(r"gan-lab probe ((?:[\w.]+=\S+ ?)+)", text)
    assert len(found) == 2
    for overrides in found:
        probed = compose(*overrides.split(), command="probe")
        chosen = (probed.labels_per_class, probed.draws, probed.validation, probed.pool, probed.layers)
        assert chosen == (labels, draws, 10_000, 4, None)
        assert {1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2} < set(probed.costs)


def test_maps_are_pooled_by_their_maximum() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 7, 0] = 5
    (pooled,) = pooled_activations(torch.relu, image)
    assert pooled.reshape(4, 4).tolist() == [[0] * 4, [0] * 4, [0] * 4, [5, 0, 0, 0]]
    (kept,) = pooled_activations(torch.relu, image, size=None)
    assert kept.shape == (1, 64)


def test_principal_components_keep_the_direction_of_largest_variance() -> None:
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1]) + 7
    projected = principal_components(rows, 1)(rows).squeeze(1)
    torch.testing.assert_close(projected.abs(), (rows[:, 1] - rows[:, 1].mean()).abs(), atol=0.3, rtol=0)


def test_population_statistics_are_means_over_batches() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(1)).eval()
    batches = [
        torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1),
        torch.tensor([10.0]).reshape(1, 1, 1, 1).expand(2, 1, 1, 1),
    ]
    estimated = with_population_statistics(network, [(each,) for each in batches])
    assert estimated[0].running_mean.item() == 5.5 and estimated[0].running_var.item() == 0.5  # of 1 and 10; of 1 and 0
    assert network[0].running_mean.item() == 0 and not estimated.training
    without_gain = torch.nn.Sequential(torch.nn.BatchNorm2d(1, affine=False)).eval()
    mean = with_population_statistics(without_gain, [(each,) for each in batches])[0].running_mean
    assert mean.item() == 5.5 and mean.dtype == torch.float32


def test_an_empty_list_and_other_kinds_are_refused_early(command: Callable) -> None:
    outcome = command("probe", "run=x", "layers=[]")
    assert outcome.status == 2
    with pytest.raises(ConfigError):
        gan_lab.probe("x", statistics="batch")
