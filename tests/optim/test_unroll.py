"""Unrolled steps against torch's optimizers, finite differences and a closed-form bilinear problem."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gan_lab.optim.unroll import adam, require_unrollable, sgd, unroll

OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, lr=0.1, betas=(0.5, 0.9)),
    "adam_decay": partial(torch.optim.Adam, lr=0.1, betas=(0.0, 0.99), eps=1e-3, weight_decay=0.1),
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.7, weight_decay=0.1),
    "nesterov": partial(torch.optim.SGD, lr=0.1, momentum=0.7, nesterov=True),
    "dampened": partial(torch.optim.SGD, lr=0.1, momentum=0.7, dampening=0.3),
}


class Bowl(nn.Module):
    """A smooth loss of two tensors, and a third that it does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(1)
        self.a = nn.Parameter(torch.randn(3, 2, generator=stream, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(3, generator=stream, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def loss(self, weights: dict[str, Tensor]) -> Tensor:
        return torch.logsumexp(weights["a"] @ torch.tensor([1.0, -2.0]).double() + weights["b"].square(), 0)

    def train(self, optimizer: torch.optim.Optimizer, steps: int) -> None:  # type: ignore[override]
        for _ in range(steps):
            optimizer.zero_grad()
            self.loss(dict(self.named_parameters())).backward()
            optimizer.step()


def copied(state: dict) -> dict:
    return copy.deepcopy(state)


def equal(a: object, b: object) -> bool:
    """Bit-identical, at any nesting."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_five_steps_are_those_of_torch(name: str, past: int) -> None:
    """From the start and from the middle of a run; parameters and optimizer state are not changed."""
    bowl = Bowl()
    optimizer = OPTIMIZERS[name](bowl.parameters())
    bowl.train(optimizer, past)
    before = copied(bowl.state_dict()), copied(optimizer.state_dict())
    weights = unroll(optimizer, dict(bowl.named_parameters()), bowl.loss, 5)
    assert equal(before, (bowl.state_dict(), optimizer.state_dict()))
    bowl.train(optimizer, 5)
    for key, parameter in bowl.named_parameters():
        assert torch.allclose(weights[key], parameter, rtol=0, atol=1e-12), key
    assert not torch.allclose(before[0]["a"], bowl.a, atol=1e-2)


def test_zero_steps_return_the_parameters() -> None:
    bowl = Bowl()
    weights = unroll(OPTIMIZERS["adam"](bowl.parameters()), dict(bowl.named_parameters()), bowl.loss, 0)
    assert all(torch.equal(weights[key], value) for key, value in bowl.named_parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_step_is_differentiable_in_all_inputs(name: str) -> None:
    """Against finite differences: weight, gradient and optimizer state."""
    optimizer = OPTIMIZERS[name]([nn.Parameter(torch.zeros(1))])
    (settings,) = optimizer.param_groups
    weight, gradient, first = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    second = torch.rand(4, dtype=torch.float64).add(0.1).requires_grad_()

    def step(weight: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        if "betas" in settings:
            state = {"step": torch.tensor(3.0), "exp_avg": first, "exp_avg_sq": second}
            updated, state = adam(weight, gradient, state, settings)
            return updated, state["exp_avg"], state["exp_avg_sq"]
        updated, state = sgd(weight, gradient, {"momentum_buffer": first}, settings)
        return updated, state["momentum_buffer"]

    assert torch.autograd.gradcheck(step, (weight, gradient, first, second))


def test_gradient_through_several_steps_is_that_of_finite_differences() -> None:
    """In a number in the loss, through the moments; finite differences of torch's own optimizer."""

    def after(height: float) -> float:
        weight = nn.Parameter(torch.tensor([0.3, -0.8], dtype=torch.float64))
        optimizer = OPTIMIZERS["adam"]([weight])
        for _ in range(4):
            optimizer.zero_grad()
            (height * weight.sin() + weight**4).sum().backward()
            optimizer.step()
        return weight.sum().item()

    height = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    weight = nn.Parameter(torch.tensor([0.3, -0.8], dtype=torch.float64))
    weights = unroll(
        OPTIMIZERS["adam"]([weight]), {"w": weight}, lambda w: (height * w["w"].sin() + w["w"] ** 4).sum(), 4
    )
    (gradient,) = torch.autograd.grad(weights["w"].sum(), height)
    assert gradient.item() == pytest.approx((after(0.7 + 1e-6) - after(0.7 - 1e-6)) / 2e-6, abs=1e-7)
    assert abs(gradient.item()) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_without_a_past_has_a_finite_gradient_where_the_gradient_is_zero(dtype: torch.dtype) -> None:
    """The root of the second moment has an infinite derivative there; the step itself is 0, as in torch."""
    (settings,) = OPTIMIZERS["adam"]([nn.Parameter(torch.zeros(1))]).param_groups
    weight = torch.ones(2, dtype=dtype)
    gradient = torch.tensor([0.0, 1.0], dtype=dtype, requires_grad=True)
    updated, _ = adam(weight, gradient, {}, settings)
    assert torch.allclose(updated, torch.tensor([1.0, 0.9], dtype=dtype))
    (slope,) = torch.autograd.grad(updated.sum(), gradient)
    assert torch.isfinite(slope).all()


def test_bilinear_problem_by_hand() -> None:
    """f = g d: K ascent steps of size r give d + K r g; df/dg = d + 2 K r g, half of the last term second order."""
    g = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    d = nn.Parameter(torch.tensor(-0.3, dtype=torch.float64))
    weights = unroll(torch.optim.SGD([d], lr=0.1), {"d": d}, lambda w: -g * w["d"], 5)
    assert torch.autograd.grad(g * weights["d"], g, retain_graph=True)[0].item() == pytest.approx(0.4, abs=1e-12)
    assert torch.autograd.grad(g * weights["d"].detach(), g)[0].item() == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (torch.optim.RMSprop, "RMSprop cannot be unrolled; set optimizer=adam or sgd"),
        (torch.optim.AdamW, "AdamW cannot be unrolled"),
        (partial(torch.optim.Adam, amsgrad=True), r"optimizer\.discriminator\.amsgrad=false"),
        (partial(torch.optim.SGD, lr=0.1, maximize=True), r"optimizer\.discriminator\.maximize=false"),
    ],
)
def test_other_optimizers_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_unrollable(make([nn.Parameter(torch.zeros(1))]))
