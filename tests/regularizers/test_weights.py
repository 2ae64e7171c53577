"""Closed forms of the penalties on weights, and the memory of one of them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from gan_lab.architectures.biggan import BigGANGenerator
from gan_lab.architectures.conditioning import SharedEmbedding
from gan_lab.regularizers import functional as F
from gan_lab.regularizers.weights import HistoricalAveraging, Orthogonal
from gan_lab.types import Step
from tests.regularizers.steps import linear, points, step

SHEAR = torch.tensor([[1.0, 1.0], [0.0, 1.0]])


def moving(network: nn.Module) -> Step:
    return step(linear(), points(2, 2), points(2, 2), network=network)


def with_weight(layer: nn.Module, weight: Tensor) -> nn.Module:
    layer.weight.data = weight.clone()
    return layer


def test_orthogonal_of_a_shear() -> None:
    """W W^T = [[2, 1], [1, 1]]: R = 2 and the gradient 4 (W W^T o (1 - I)) W = [[0, 4], [4, 4]]."""
    layer = with_weight(nn.Linear(2, 2), SHEAR)
    value = Orthogonal()(moving(layer))
    value.backward()
    assert value.item() == 2
    assert torch.equal(layer.weight.grad, torch.tensor([[0.0, 4.0], [4.0, 4.0]]))
    assert layer.bias.grad is None


def test_half_the_gradient_as_in_the_authors_code() -> None:
    layer = with_weight(nn.Linear(2, 2), SHEAR)
    Orthogonal(form="code")(moving(layer)).backward()
    assert torch.equal(layer.weight.grad, torch.tensor([[0.0, 2.0], [2.0, 2.0]]))
    with pytest.raises(ValueError, match=r"regularizer\.orthogonal\.form=half is not known; choose paper or code"):
        Orthogonal(form="half")


def test_of_biggan_every_matrix_is_penalized_but_the_shared_vectors() -> None:
    """The authors' code skips parameters with fewer than two dimensions, and the shared embedding."""
    network = SharedEmbedding(10, 6)(BigGANGenerator(8 + 6, 3, 32, 8, label_dim=6, attention_side=16))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    value = Orthogonal()(moving(network))
    value.backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    expected = {name for name, p in network.named_parameters() if p.dim() >= 2 and name != "vectors"}
    assert touched == expected and "network.attentions.1.query.weight" in expected
    grams = [(w := p.detach().flatten(1)) @ w.T for name, p in network.named_parameters() if name in expected]
    assert value.item() == pytest.approx(sum((g - g.diag().diag()).square().sum().item() for g in grams), rel=1e-4)


def test_orthonormal_form_of_a_shear() -> None:
    """W W^T - I = [[1, 1], [1, 0]]: 3, with gradient 4 (W W^T - I) W = [[4, 8], [4, 4]]."""
    layer = with_weight(nn.Linear(2, 2), SHEAR)
    value = Orthogonal(diagonal=True)(moving(layer))
    value.backward()
    assert value.item() == 3
    assert torch.equal(layer.weight.grad, torch.tensor([[4.0, 8.0], [4.0, 4.0]]))


def test_orthogonal_rows_cost_nothing_whatever_their_norms() -> None:
    rows = nn.init.orthogonal_(torch.empty(4, 6, dtype=torch.float64))
    scales = torch.tensor([[0.5], [1.0], [2.0], [7.0]])
    assert F.orthogonality(scales * rows).item() == pytest.approx(0, abs=1e-24)
    assert F.orthogonality(rows, diagonal=True).item() == pytest.approx(0, abs=1e-24)
    assert F.orthogonality(scales * rows, diagonal=True).item() == pytest.approx(0.75**2 + 9 + 48**2)


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 2), nn.ConvTranspose2d(3, 4, 2), nn.Conv1d(3, 4, 2)])
def test_rows_are_output_channels(layer: nn.Module) -> None:
    """Filters with no entry in common are orthogonal; two that are equal are not."""
    filters = torch.zeros(4, 3, *layer.kernel_size)
    filters.view(4, -1)[range(4), range(4)] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    turn = (lambda w: w.transpose(0, 1)) if layer.weight.shape[0] == 3 else (lambda w: w)
    assert Orthogonal()(moving(with_weight(layer, turn(filters)))).item() == 0
    filters[1] = filters[0]
    assert Orthogonal()(moving(with_weight(layer, turn(filters)))).item() == 2


def test_sums_over_layers_and_leaves_embeddings_gains_and_shifts_alone() -> None:
    network = nn.Sequential(
        with_weight(nn.Linear(2, 2), SHEAR), nn.Embedding(5, 3), nn.BatchNorm1d(2), with_weight(nn.Linear(2, 2), SHEAR)
    )
    assert Orthogonal()(moving(network)).item() == 4


def test_a_normalized_layer_is_penalized_for_its_raw_weight() -> None:
    layer = spectral_norm(with_weight(nn.Linear(2, 2), SHEAR))
    vector = layer.parametrizations.weight[0]._u.clone()
    assert Orthogonal()(moving(layer)).item() == pytest.approx(2)
    assert torch.equal(layer.parametrizations.weight[0]._u, vector)  # a look at `layer.weight` would have moved it
    # Weight normalization has two raw tensors and no raw weight; at its start the weight is as it was.
    assert Orthogonal()(moving(weight_norm(with_weight(nn.Linear(2, 2), SHEAR)))).item() == pytest.approx(2)


def test_orthogonal_refuses_a_network_without_layers() -> None:
    with pytest.raises(ValueError, match="regularizer=orthogonal finds no linear or convolutional layer in Embedding"):
        Orthogonal()(moving(nn.Embedding(3, 3)))


@pytest.mark.parametrize("penalty", [Orthogonal, HistoricalAveraging])
def test_either_player_may_have_it_and_nobody_else(penalty: type) -> None:
    assert penalty(player="discriminator").player == "discriminator" and penalty().player == "generator"
    with pytest.raises(ValueError, match="player=critic is not known; choose discriminator or generator"):
        penalty(player="critic")


class Scalar(nn.Module):
    """One parameter of three numbers."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(values))


def set_to(network: Scalar, *values: float) -> Step:
    network.theta.data = torch.tensor(values)
    return moving(network)


def test_historical_averaging_by_hand() -> None:
    """The mean is that of the past: nothing, then (1, 0), then (2, 0), while theta is (1, 0), (3, 0), (2, 3)."""
    penalty, network = HistoricalAveraging(), Scalar(1.0, 0.0)
    assert penalty(moving(network)).item() == 0
    assert penalty(set_to(network, 3.0, 0.0)).item() == 4
    value = penalty(set_to(network, 2.0, 3.0))
    value.backward()
    assert value.item() == 9
    assert torch.equal(network.theta.grad, torch.tensor([0.0, 6.0]))  # 2 (theta - mean), the mean being a constant
    assert penalty.mean is not None and torch.allclose(penalty.mean, torch.tensor([2.0, 1.0]))
    assert not penalty.mean.requires_grad and penalty.count == 3


def test_the_first_evaluation_has_no_gradient() -> None:
    network = Scalar(1.0, 2.0)
    HistoricalAveraging()(moving(network)).backward()
    assert torch.equal(network.theta.grad, torch.zeros(2))


def test_historical_mean_survives_a_checkpoint(tmp_path: Path) -> None:
    first, second, network = HistoricalAveraging(), HistoricalAveraging(), Scalar(1.0, 0.0)
    second.load_state_dict(first.state_dict())  # before any evaluation
    first(moving(network))
    first(set_to(network, 3.0, 0.0))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    move = set_to(network, 5.0, 1.0)
    assert second.count == 2 and first(move).item() == second(move).item() == 10


def test_historical_mean_follows_the_network() -> None:
    """To another type here, as to another device."""
    penalty, network = HistoricalAveraging(), Scalar(1.0, 0.0)
    penalty(moving(network))
    set_to(network, 3.0, 0.0)
    assert penalty(moving(network.double())).dtype == torch.float64


def test_all_parameters_count_in_any_memory_layout() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    penalty = HistoricalAveraging()
    penalty(moving(network))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 2
    count = sum(parameter.numel() for parameter in network.parameters())
    assert penalty(moving(network)).item() == pytest.approx(4 * count, rel=1e-5)
