"""Guided backpropagation in closed form, receptive fields, and strongest images."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.analysis.guided import guided_gradient, purity, receptive_fields, strongest, unit
from gan_lab.architectures.dcgan import DCGANDiscriminator

V = torch.tensor([1.0, -1.0])


@pytest.mark.parametrize(
    ("rule", "x", "wanted"),
    [
        ("plain", [1.0, 1.0], [1.0, -1.0]),
        ("relu", [1.0, 1.0], [1.0, 0.0]),
        ("plain", [-1.0, 1.0], [0.0, -1.0]),
        ("relu", [-1.0, 1.0], [0.0, 0.0]),
    ],
)
def test_two_units_without_weights(rule: str, x: list[float], wanted: list[float]) -> None:
    assert guided_gradient(lambda given: V * F.relu(given), torch.tensor([x]), rule).tolist() == [wanted]


@pytest.mark.parametrize(("rule", "wanted"), [("plain", [0.2, 1.0]), ("leaky", [0.2, 1.0]), ("relu", [0.0, 1.0])])
def test_rules_for_leaky_units(rule: str, wanted: list[float]) -> None:
    found = guided_gradient(lambda given: F.leaky_relu(given, 0.2), torch.tensor([[-1.0, 1.0]]), rule)
    torch.testing.assert_close(found, torch.tensor([wanted]))


def test_positive_weights_and_inputs_make_all_rules_equal() -> None:
    first, second = torch.rand(4, 3) + 0.1, torch.rand(2, 4) + 0.1

    def network(x: Tensor) -> Tensor:
        return F.relu(F.relu(x @ first.T) @ second.T)

    x = torch.rand(5, 3) + 0.1
    plain = guided_gradient(network, x, "plain")
    for rule in ("relu", "leaky"):
        torch.testing.assert_close(guided_gradient(network, x, rule), plain)


@pytest.mark.parametrize(("number", "size"), [(1, 4), (2, 10), (3, 22)])
def test_receptive_fields_of_dcgan(number: int, size: int) -> None:
    network = DCGANDiscriminator(1, 64, width=4).eval()
    field = receptive_fields(network.features, torch.randn(2, 1, 64, 64), number)
    middle = 16 // 2 ** (number - 1)
    top, bottom, left, right = field(middle, middle)
    assert bottom - top == right - left == size
    assert field(0, 0)[0] == 0 and field(0, 0)[1] < size  # at the border a part of it


def test_the_gradient_of_a_unit_is_in_its_receptive_field_and_changes_nothing() -> None:
    network = DCGANDiscriminator(1, 32, width=4).eval()
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(3, 1, 32, 32)
    rows, columns = torch.tensor([1, 2, 3]), torch.tensor([5, 0, 2])
    gradient = guided_gradient(unit(network.features, 2, 3, rows, columns), images)
    field = receptive_fields(network.features, images, 2)
    for each, row, column in zip(gradient, rows.tolist(), columns.tolist(), strict=True):
        top, bottom, left, right = field(row, column)
        outside = each.clone()
        outside[:, top:bottom, left:right] = 0
        assert not outside.any()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_images_with_the_largest_maxima() -> None:
    images = torch.zeros(4, 1, 3, 3)
    images[2, 0, 1, 2], images[0, 0, 0, 1], images[3, 0, 2, 0] = 3.0, 2.0, 1.0
    found = strongest(torch.relu, images.split(3), 1, 2)
    assert found.images.tolist() == [[2, 0]] and found.values.tolist() == [[3, 2]]
    assert found.rows.tolist() == [[1, 0]] and found.columns.tolist() == [[2, 1]]
    assert purity(torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([1, 1, 0, 2, 2, 2])) == pytest.approx(
        (2 / 3 + 1) / 2
    )
