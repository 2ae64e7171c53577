"""Normalization layers by name."""

import pytest
import torch

from gan_lab.layers.normalization import normalization


@pytest.mark.parametrize("dims", [0, 2])
def test_none_is_the_identity(dims: int) -> None:
    x = torch.randn(3, 4, *[5] * dims)
    module = normalization("none", 4, dims)
    assert torch.equal(module(x), x)
    assert not list(module.parameters())


@pytest.mark.parametrize(
    ("name", "dims", "over"),
    [
        ("batch", 0, (0,)),
        ("batch", 2, (0, 2, 3)),
        ("layer", 0, (1,)),
        ("layer", 2, (1, 2, 3)),
        ("instance", 2, (2, 3)),
    ],
)
def test_zero_mean_and_unit_variance_over_the_named_dimensions(name: str, dims: int, over: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    shape = (8, 6, *[5] * dims)
    x = 3 + 2 * torch.randn(shape) * torch.rand(shape[:2] + (1,) * dims)
    expected = (x - x.mean(over, keepdim=True)) / (x.var(over, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(normalization(name, 6, dims)(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dims", [0, 2])
@pytest.mark.parametrize("name", ["batch", "layer"])
def test_one_gain_and_one_shift_per_channel(name: str, dims: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 6, *[5] * dims)
    module = normalization(name, 6, dims)
    plain = module(x)
    gain, shift = (module.get_parameter(key) for key in ("weight", "bias"))
    assert gain.shape == shift.shape == (6,)
    with torch.no_grad():
        gain.copy_(torch.arange(6.0))
        shift.copy_(torch.arange(6.0) - 3)
    per_channel = torch.arange(6.0).view(6, *[1] * dims)
    torch.testing.assert_close(module(x), plain * per_channel + per_channel - 3)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"^norm must be one of none, batch, layer, instance, not 'group'$"):
        normalization("group", 4, 2)


def test_instance_norm_has_no_parameters_and_the_same_statistics_in_evaluation() -> None:
    norm = normalization("instance", 4, 2)
    x = torch.randn(3, 4, 5, 5)
    assert not list(norm.parameters()) and not list(norm.buffers())
    assert torch.equal(norm(x), norm.eval()(x))


def test_instance_norm_of_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^norm=instance is over the pixels of images, and there are none; set "):
        normalization("instance", 4, 0)


@pytest.mark.parametrize("name", ["none", "batch", "layer"])
def test_unknown_dims(name: str) -> None:
    with pytest.raises(ValueError, match=r"^dims must be 0 .* or 2 .*, not 1$"):
        normalization(name, 4, 1)
