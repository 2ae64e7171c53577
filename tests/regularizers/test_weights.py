"""Closed forms of the penalties on weights, and the state of historical averaging."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from gan_lab.architectures.biggan import BigGANGenerator
from gan_lab.architectures.conditioning import SharedEmbedding
from gan_lab.regularizers import functional as F
from gan_lab.regularizers.weights import HistoricalAveraging, Orthogonal
from gan_lab.step import Step
from tests.helpers.critic_steps import linear, points, step

SHEAR = torch.tensor([[1.0, 1.0], [0.0, 1.0]])


def updating(network: nn.Module) -> Step:
    return step(linear(), points(2, 2), points(2, 2), network=network)


def with_weight(layer: nn.Module, weight: Tensor) -> nn.Module:
    layer.weight.data = weight.clone()
    return layer


def test_orthogonal_of_a_shear() -> None:
    """W W^T = [[2, 1], [1, 1]]: R = 2 and the gradient 4 (W W^T o (1 - I)) W = [[0, 4], [4, 4]]."""
    layer = with_weight(nn.Linear(2, 2), SHEAR)
    value = Orthogonal()(updating(layer))
    value.backward()
    assert value.item() == 2
    assert torch.equal(layer.weight.grad, torch.tensor([[0.0, 4.0], [4.0, 4.0]]))
    assert layer.bias.grad is None


def test_code_form_has_half_the_gradient() -> None:
    layer = with_weight(nn.Linear(2, 2), SHEAR)
    Orthogonal(form="code")(updating(layer)).backward()
    assert torch.equal(layer.weight.grad, torch.tensor([[0.0, 2.0], [2.0, 2.0]]))
    with pytest.raises(ValueError, match=r"regularizer\.orthogonal\.form=half is not known; choose paper or code"):
        Orthogonal(form="half")


def test_every_matrix_of_biggan_except_the_shared_embedding_is_penalized() -> None:
    """The authors' code skips parameters with fewer than two dimensions, and the shared embedding."""
    network = SharedEmbedding(10, 6)(BigGANGenerator(8 + 6, 3, 32, 8, label_dim=6, attention_resolution=16))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    value = Orthogonal()(updating(network))
    value.backward()
    penalized = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    expected = {name for name, p in network.named_parameters() if p.dim() >= 2 and name != "vectors"}
    assert penalized == expected and "network.attentions.1.query.weight" in expected
    grams = [(w := p.detach().flatten(1)) @ w.T for name, p in network.named_parameters() if name in expected]
    assert value.item() == pytest.approx(sum((g - g.diag().diag()).square().sum().item() for g in grams), rel=1e-4)


def test_orthonormal_form_of_a_shear() -> None:
    """W W^T - I = [[1, 1], [1, 0]]: 3, with gradient 4 (W W^T - I) W = [[4, 8], [4, 4]]."""
    layer = with_weight(nn.Linear(2, 2), SHEAR)
    value = Orthogonal(diagonal=True)(updating(layer))
    value.backward()
    assert value.item() == 3
    assert torch.equal(layer.weight.grad, torch.tensor([[4.0, 8.0], [4.0, 4.0]]))


def test_orthogonal_rows_of_any_norm_give_zero() -> None:
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
    assert Orthogonal()(updating(with_weight(layer, turn(filters)))).item() == 0
    filters[1] = filters[0]
    assert Orthogonal()(updating(with_weight(layer, turn(filters)))).item() == 2


def test_sum_over_layers_without_embeddings_gains_and_shifts() -> None:
    network = nn.Sequential(
        with_weight(nn.Linear(2, 2), SHEAR), nn.Embedding(5, 3), nn.BatchNorm1d(2), with_weight(nn.Linear(2, 2), SHEAR)
    )
    assert Orthogonal()(updating(network)).item() == 4


def test_the_stored_weight_of_a_normalized_layer_is_penalized() -> None:
    layer = spectral_norm(with_weight(nn.Linear(2, 2), SHEAR))
    vector = layer.parametrizations.weight[0]._u.clone()
    assert Orthogonal()(updating(layer)).item() == pytest.approx(2)
    assert torch.equal(layer.parametrizations.weight[0]._u, vector)  # reading `layer.weight` would have updated it
    # Weight normalization stores two tensors instead of a weight; initially the weight is unchanged.
    assert Orthogonal()(updating(weight_norm(with_weight(nn.Linear(2, 2), SHEAR)))).item() == pytest.approx(2)


def test_orthogonal_refuses_a_network_without_layers() -> None:
    with pytest.raises(
        ValueError,
        match="regularizer=orthogonal needs a linear or convolutional layer, but the generator, Embedding, has none",
    ):
        Orthogonal()(updating(nn.Embedding(3, 3)))


@pytest.mark.parametrize("penalty", [Orthogonal, HistoricalAveraging])
def test_any_player_is_allowed(penalty: type) -> None:
    """Players that the algorithm does not have are refused in tests/gans/test_every_penalty.py."""
    assert penalty(player="encoder").player == "encoder" and penalty().player == "generator"


class Scalar(nn.Module):
    """A network with one parameter vector."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(values))


def set_to(network: Scalar, *values: float) -> Step:
    network.theta.data = torch.tensor(values)
    return updating(network)


def test_historical_averaging_by_hand() -> None:
    """The past mean is undefined, then (1, 0), then (2, 0), while theta is (1, 0), (3, 0), (2, 3)."""
    penalty, network = HistoricalAveraging(), Scalar(1.0, 0.0)
    assert penalty(updating(network)).item() == 0
    assert penalty(set_to(network, 3.0, 0.0)).item() == 4
    value = penalty(set_to(network, 2.0, 3.0))
    value.backward()
    assert value.item() == 9
    assert torch.equal(network.theta.grad, torch.tensor([0.0, 6.0]))  # 2 (theta - mean), the mean being a constant
    assert penalty.mean is not None and torch.allclose(penalty.mean, torch.tensor([2.0, 1.0]))
    assert not penalty.mean.requires_grad and penalty.count == 3


def test_the_first_evaluation_has_no_gradient() -> None:
    network = Scalar(1.0, 2.0)
    HistoricalAveraging()(updating(network)).backward()
    assert torch.equal(network.theta.grad, torch.zeros(2))


def test_historical_mean_survives_a_checkpoint(tmp_path: Path) -> None:
    first, second, network = HistoricalAveraging(), HistoricalAveraging(), Scalar(1.0, 0.0)
    second.load_state_dict(first.state_dict())  # before any evaluation
    first(updating(network))
    first(set_to(network, 3.0, 0.0))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    step_5 = set_to(network, 5.0, 1.0)
    assert second.count == 2 and first(step_5).item() == second(step_5).item() == 10


def test_historical_mean_follows_the_dtype_of_the_network() -> None:
    """As it follows the network to another device."""
    penalty, network = HistoricalAveraging(), Scalar(1.0, 0.0)
    penalty(updating(network))
    set_to(network, 3.0, 0.0)
    assert penalty(updating(network.double())).dtype == torch.float64


def test_all_parameters_are_averaged_in_any_memory_format() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    penalty = HistoricalAveraging()
    penalty(updating(network))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 2
    count = sum(parameter.numel() for parameter in network.parameters())
    assert penalty(updating(network)).item() == pytest.approx(4 * count, rel=1e-5)
