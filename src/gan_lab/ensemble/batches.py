"""Training steps of several runs at once: their batches, weights and random numbers are stacked."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from gan_lab.ensemble.adam import Adam, like
from gan_lab.ensemble.stack import Stack
from gan_lab.ensemble.stacked_noise import StackedNoise
from gan_lab.errors import NonFiniteError
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.phases import NORM_INTERVAL, PhaseRunner, Update
from gan_lab.noise import mix, name_hash
from gan_lab.types import Batch, Record, Terms

log = logging.getLogger(__name__)


@dataclass
class Request:
    """A batch that a run waits for.

    Args:
        runner: The run's runner.
        batch: The batch.
        batch_number: Its number, counted from 1.
        images_seen: Real images seen before it.

    Attributes:
        record: Values for the log.
        updated: Names of the updated players.
        error: Why the run ends at this batch.
        is_refused: The batch was not trained on, since the run cannot be stacked.
    """

    runner: "MemberRunner"
    batch: Batch
    batch_number: int
    images_seen: int
    record: Record = field(default_factory=dict)
    updated: set[str] = field(default_factory=set)
    error: Exception | None = None
    is_refused: bool = False

    def due(self) -> list[int]:
        """Positions of the updates that are due on this batch."""
        return [
            position for position, update in enumerate(self.runner.updates) if self.batch_number % update.interval == 0
        ]


class MemberRunner(PhaseRunner):
    """Runner of a member of an ensemble, which lets the ensemble train on its batches.

    Args:
        module: The member's module.
        exchange: Hands a request to the ensemble and returns when it is done.
    """

    def __init__(self, module: AdversarialModule, exchange: Callable[[Request], None]) -> None:
        super().__init__(module, module.players(), module.phases(), module.accumulate, module.seed, module.check_finite)
        self._exchange = exchange
        self._is_alone = False

    def run(self, batch: Batch, batch_number: int, images_seen: int) -> tuple[Record, set[str]]:
        """See `PhaseRunner.run`."""
        request = Request(self, batch, batch_number, images_seen)
        if not self._is_alone:
            self._exchange(request)
            self._is_alone = request.is_refused
        if self._is_alone:
            return super().run(batch, batch_number, images_seen)
        if request.error is not None:
            raise request.error
        self._count_step()
        return request.record, request.updated

    def _count_step(self) -> None:
        """Count a global step of Lightning's, as the first optimizer step of a batch does."""
        optimizer = self._wrapped_optimizer(next(iter(self.players)))
        optimizer._on_before_step()
        optimizer._on_after_step()

    def inputs(self, request: Request, update: Update) -> tuple[Batch, Any]:
        """The batch of an update and its random stream."""
        seed = mix(self.seed, request.batch_number, name_hash(update.name))
        return next(self._micro_batches(request.batch, seed))

    def non_finite(self, request: Request, player: str, terms: Terms, gradients: Sequence[Any]) -> NonFiniteError:
        """The error that ends a run alone with these terms and gradients of an update."""
        self._player, self._terms = self.players[player], {name: [value] for name, value in terms.items()}
        self._position = f"batch {request.batch_number:,}, {request.images_seen:,} images seen"
        for parameter, gradient in zip(self.players[player].parameters, gradients, strict=True):
            parameter.grad = gradient
        try:
            self.before_step()
        except NonFiniteError as error:
            return error
        raise AssertionError("the terms and the gradient of a run that ends are finite")


class StackedRunner:
    """Trains the members of an ensemble on one batch each."""

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._checked: set[PhaseRunner] = set()

    def train(self, requests: Sequence[Request]) -> None:
        """Train on the batches; those at which different updates are due one after the other."""
        by_due: dict[tuple[int, ...], list[Request]] = {}
        for request in self._stackable(requests):
            by_due.setdefault(tuple(request.due()), []).append(request)
        for due, group in by_due.items():
            try:
                for position in due:
                    self._profiled_update(position, [request for request in group if request.error is None])
            except Exception as error:  # such as a lack of memory, from which each run may recover
                for request in group:
                    request.error = request.error or error

    def _stackable(self, requests: Sequence[Request]) -> Sequence[Request]:
        """The requests of runs whose terms can be computed at once; new runs whose cannot are refused."""
        new = [request for request in requests if request.runner not in self._checked]
        if not new:
            return requests
        self._checked |= {request.runner for request in new}
        if (reason := _difference(requests)) is not None:
            log.info("%d runs train one by one, since their losses cannot be computed at once: %s.", len(new), reason)
            for request in new:
                request.is_refused = True
        self._stack = None  # the weights are views of another one
        return [request for request in requests if not request.is_refused]

    def _profiled_update(self, position: int, requests: list[Request]) -> None:
        with ExitStack() as profiles:
            for request in requests:
                player = request.runner.updates[position].phase.player
                profiles.enter_context(request.runner.algorithm.profile(f"phase/{player}"))
            self._update(position, requests)

    def _update(self, position: int, requests: list[Request]) -> None:
        """Perform an update of all members; those whose terms or gradients are not finite get an error and no step."""
        if not requests:
            return
        stack = self._stack_of(requests)
        player = stack.runners[0].updates[position].phase.player
        terms, observations, gradients = _gradients(stack, position, requests)
        norms = [gradient.reshape(len(stack), -1).norm(dim=1) for gradient in gradients.values()]
        if stack.runners[0].check_finite:
            finite = torch.stack([*terms.values(), *norms]).sum(0).isfinite().tolist()
            if not all(finite):
                _set_errors(player, requests, finite, terms, stack.by_member(player, gradients))
                self._update(position, [request for request in requests if request.error is None])
                return
        norm = torch.stack(norms).norm(dim=0)
        clip_norm = stack.runners[0].players[player].clip_norm
        if clip_norm is not None:
            factor = (clip_norm / (norm + 1e-6)).clamp(max=1)
            gradients = {name: like(factor, gradient) * gradient for name, gradient in gradients.items()}
        for request in requests:
            request.runner.set_scheduled_settings(player, request.images_seen)
        adam = Adam(stack.groups(player), norm.device)
        for name, gradient in gradients.items():
            adam.update(stack.weights[name], gradient, stack.moments(player, name))
        if clip_norm is not None or requests[0].batch_number % NORM_INTERVAL == 0:
            observations[f"grad_norm/{player}"] = norm
        _record(player, requests, observations | {f"{player}/{name}": value for name, value in terms.items()})

    def _stack_of(self, requests: Sequence[Request]) -> Stack:
        runners = [request.runner for request in requests]
        if self._stack is None or self._stack.runners != runners:
            self._stack = Stack(runners)
        return self._stack


def _terms(
    stack: Stack, position: int, requests: Sequence[Request], weights: Mapping[str, Tensor]
) -> tuple[Terms, Terms]:
    """The terms of an update and its observations, each (k,), for the stacked weights of k members."""
    update = stack.runners[0].updates[position]
    inputs = [request.runner.inputs(request, request.runner.updates[position]) for request in requests]
    batch = {key: torch.stack([each[key] for each, _ in inputs]) for key in inputs[0][0]}
    noises = [noise for _, noise in inputs]
    factors = [each.runner.penalty_weights(each.runner.updates[position], each.images_seen) for each in requests]
    device = stack.runners[0].module.device
    penalties = {name: torch.tensor([each[name] for each in factors], device=device) for name in update.penalties}

    def terms(weights: dict[str, Tensor], number: Tensor, batch: Batch, penalties: Terms) -> tuple[Terms, Terms]:
        arguments = (update, batch, StackedNoise(noises, number), penalties)
        return functional_call(stack.terms, weights, arguments, tie_weights=False)

    named = {f"module.{name}": weight for name, weight in weights.items()}
    # Each draw is an ordinary one from the generator of a member, which `same` leaves as it is.
    return torch.vmap(terms, randomness="same")(named, torch.arange(len(stack), device=device), batch, penalties)


def _gradients(stack: Stack, position: int, requests: Sequence[Request]) -> tuple[Terms, Terms, dict[str, Tensor]]:
    """The terms of an update, its observations, and the gradients of its player's weights, by name."""
    update = stack.runners[0].updates[position]
    own = {name: stack.weights[name].detach().requires_grad_() for name in stack.names[update.phase.player]}
    terms, observations = _terms(stack, position, requests, stack.weights | own)
    total = reduce(torch.add, terms.values()).sum() * update.gain
    found = torch.autograd.grad(total, list(own.values()), allow_unused=True)
    gradients = {name: gradient for name, gradient in zip(own, found, strict=True) if gradient is not None}
    return {name: value.detach() for name, value in terms.items()}, observations, gradients


def _difference(requests: Sequence[Request]) -> str | None:
    """Why the terms of the members at a batch cannot be computed at once; None if they can.

    Each member's terms must be those that its own runner computes.
    """
    try:
        stack = Stack([request.runner for request in requests])
        for position, update in enumerate(stack.runners[0].updates):
            terms, _ = _terms(stack, position, requests, stack.weights)
            for row, request in enumerate(requests):
                own = {name: value[row] for name, value in terms.items()}
                if differing := _differing_terms(request, position, own):
                    return f"{' and '.join(differing)} of the {update.phase.player} would differ"
    except Exception as error:  # of torch.vmap; any other is raised again when the run trains alone
        return f"{type(error).__name__} in torch.vmap: {str(error).splitlines()[0].rstrip('.')}"
    return None


def _differing_terms(request: Request, position: int, terms: Terms) -> list[str]:
    """Names of the terms of a member's update that are not those which its own runner computes."""
    runner, update = request.runner, request.runner.updates[position]
    weights = runner.penalty_weights(update, request.images_seen)
    alone, _ = runner.terms_of(update, *runner.inputs(request, update), weights)
    return [
        name
        for name, value in alone.items()
        if not torch.allclose(terms[name], value, rtol=1e-3, atol=1e-5, equal_nan=True)
    ]


def _set_errors(
    player: str, requests: Sequence[Request], finite: Sequence[bool], terms: Terms, gradients: Sequence[Sequence[Any]]
) -> None:
    """Give the requests of members with other than finite terms or gradients their error."""
    for row, request in enumerate(requests):
        if not finite[row]:
            own = {name: value[row] for name, value in terms.items()}
            request.error = request.runner.non_finite(request, player, own, gradients[row])


def _record(player: str, requests: Sequence[Request], values: Terms) -> None:
    """Record values, each (k,), for the log of each member, and apply the player's constraints."""
    for key, value in values.items():
        for request, own in zip(requests, value.unbind(), strict=True):
            request.record.setdefault(key, []).append(own)
    for request in requests:
        request.updated.add(player)
        for constraint in request.runner.players[player].constraints:
            constraint(request.runner.players[player].network)
