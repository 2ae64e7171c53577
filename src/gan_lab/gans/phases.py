"""Players, phases and the runner that moves them: the only place that calls `backward` and `step`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lab.errors import NonFiniteError
from gan_lab.layers.spectral_norm import power_iterations
from gan_lab.noise import Noise, mix, reseed
from gan_lab.processes import mean_over_processes, texts_of_processes
from gan_lab.types import Batch, Constraint, Record, Schedule, Terms

if TYPE_CHECKING:
    from gan_lab.gans.base import AdversarialModule

NORM_INTERVAL = 10
"""Batches from one note of a gradient's norm to the next, where it is not computed for clipping anyway."""

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]


@dataclass(frozen=True)
class Player:
    """A network with one optimizer.

    Args:
        network: What moves.
        optimizer: Makes the optimizer from the list of parameters.
        schedules: Optimizer setting (`lr`, `momentum`, ...) to the factor on its first value, set before every step.
        constraints: Applied to the network after every step.
        clip_norm: Largest norm of the gradient over all parameters; None for no limit.
    """

    network: nn.Module
    optimizer: OptimizerFactory
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    constraints: Sequence[Constraint] = ()
    clip_norm: float | None = None

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    @cached_property
    def statistics(self) -> list[Any]:
        """Layers that keep running statistics of what passes through them."""
        return [m for m in self.network.modules() if getattr(m, "track_running_stats", False)]

    @cached_property
    def power_iterations(self) -> list[Callable[[], None]]:
        """One power iteration of each spectral norm, to be made before every move."""
        return power_iterations(self.network)


@dataclass(frozen=True)
class Phase:
    """One kind of move: who moves, what is minimized, every how many batches.

    Args:
        name: First part of the log keys of its terms.
        player: Who moves.
        terms: Computes what is minimized from a micro-batch and its rows of the random stream.
        interval: Batches from one move to the next; batches are counted from 1.
        gain: Factor on the sum of the terms, for phases that move less often than they count.
    """

    name: str
    player: str
    terms: Callable[[Batch, Noise], Terms]
    interval: int = 1
    gain: float = 1.0


class PhaseRunner:
    """Plays all phases that are due on a batch.

    While a player moves, the others are bystanders: they get no gradient and keep their running statistics and singular
    vectors, so a phase changes nothing but its own player. The batch is worked off in `accumulate` micro-batches whose gradients are
    averaged, and the random stream is cut with it: without layers that mix samples, the result is that of the whole batch.

    Args:
        module: Gives backward, optimizers, device, rank and profiler.
        players: By name; the order is that of the optimizers.
        phases: In the order of play. One of them must be due on every batch.
        accumulate: Micro-batches of a batch.
        seed: First part of the key of the random stream.
        check_finite: Stop before a move whose terms or gradient are not finite, at the price of waiting for the device.
    """

    def __init__(
        self,
        module: "AdversarialModule",
        players: Mapping[str, Player],
        phases: Sequence[Phase],
        accumulate: int,
        seed: int,
        check_finite: bool = True,
    ) -> None:
        if min(phase.interval for phase in phases) != 1:
            raise ValueError("one phase must have interval 1, or some batches would move nobody")
        self.module = module
        self.players = players
        self.phases = phases
        self.accumulate = accumulate
        self.seed = seed
        self.check_finite = check_finite
        self._moving: Player | None = None
        self._terms: dict[str, list[Tensor]] = {}  # of the move that is being made, one for each micro-batch
        self._where = ""
        self._record: Record = {}
        self._notes_norms = False

    def run(self, batch: Batch, batch_number: int, images_seen: int) -> tuple[Record, set[str]]:
        """Play the phases that are due; `batch_number` counts from 1.

        Returns the terms and observations by log key, and the names of the players that moved.
        """
        # Layers with randomness of their own (dropout) then depend on the position in the run, and on nothing before it.
        reseed(mix(self.seed, batch_number, self.module.trainer.global_rank), self.module.device)
        self._record = {}
        self._where = f"batch {batch_number:,}, {images_seen:,} images seen"
        self._notes_norms = batch_number % NORM_INTERVAL == 0
        due = [(k, phase) for k, phase in enumerate(self.phases) if batch_number % phase.interval == 0]
        for position, (k, phase) in enumerate(due):
            with self.module.profile(f"phase/{phase.name}"):
                self._move(phase, batch, mix(self.seed, batch_number, k), images_seen, counts=position == 0)
        return self._record, {phase.player for _, phase in due}

    def observe(self, key: str, value: Tensor) -> None:
        """Note a scalar for the log; the mean over all notes of a key is shown."""
        self._record.setdefault(key, []).append(value.detach())

    def optimizer(self, player: str) -> Optimizer:
        """A player's optimizer, for a look at its state; only the runner steps it."""
        return self._wrapped_optimizer(player).optimizer

    def forget(self) -> None:
        """Empty every optimizer's memory, as if it had never made a step."""
        for player in self.players:
            self.optimizer(player).state.clear()

    def learned(self) -> list[Tensor]:
        """What the moving player has of its share of the batch: gradients, and running statistics of its batch norms.

        Processes that share a batch average these before the step.
        """
        player = cast(Player, self._moving)
        gradients = [p.grad for p in player.parameters if p.grad is not None]
        return [
            *gradients,
            *(value for layer in player.statistics for value in (layer.running_mean, layer.running_var)),
        ]

    def before_step(self) -> None:
        """Check the moving player's gradient, clip it and note its norm. Called once it is unscaled and synchronized.

        Raises:
            NonFiniteError: A term or the gradient is not finite.
        """
        player = cast(Player, self._moving)
        if player.clip_norm is None and not self._notes_norms and not self.check_finite:
            return
        gradients = [p.grad for p in player.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.check_finite:
            self._refuse_non_finite(player, norm)
        if player.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(player.parameters, player.clip_norm, norm)
        if player.clip_norm is not None or self._notes_norms:
            self.observe(f"grad_norm/{self._name(player)}", norm)

    def _refuse_non_finite(self, player: Player, norm: Tensor) -> None:
        values = [value for term in self._terms.values() for value in term]
        # A scaler of half precision tries scales until gradients overflow, and leaves these steps out itself.
        scaled = getattr(self.module.trainer.precision_plugin, "scaler", None) is not None
        finite = torch.stack(values if scaled else [*values, norm]).isfinite().all()
        # The processes must agree, or some would wait for the others for ever.
        if mean_over_processes(finite.float()) == 1:
            return
        name = self._name(player)
        wrong = {f"term {t}": v for t, each in self._terms.items() for v in each if not v.isfinite()}
        found = texts_of_processes([f"the {name}'s {what} is {value.item()}" for what, value in wrong.items()])
        for key, parameter in player.network.named_parameters():
            if not found and parameter.grad is not None and not parameter.grad.isfinite().all():
                value = parameter.grad[~parameter.grad.isfinite()][0]
                found = [f"the {name}'s gradient by {key} is {value.item()}"]
        whole = f"the norm of the {name}'s gradient is {norm.item()}"  # too large a sum of finite squares
        raise NonFiniteError(f"{', '.join(found) or whole} ({self._where})")

    def _name(self, player: Player) -> str:
        return next(name for name, other in self.players.items() if other is player)

    def _move(self, phase: Phase, batch: Batch, seed: int, images_seen: int, counts: bool) -> None:
        player = self.players[phase.player]
        optimizer = self._optimizer(phase.player, counts)
        self._moving, self._terms = player, {}
        factor = phase.gain / self.accumulate
        with self._bystanders(player):
            for iterate in player.power_iterations:
                iterate()
            optimizer.zero_grad()
            for micro, noise in self._micro_batches(batch, seed):
                terms = phase.terms(micro, noise)
                total = reduce(torch.add, terms.values())
                self.module.manual_backward(total if factor == 1 else total * factor)
                for name, term in terms.items():
                    self._terms.setdefault(name, []).append(term.detach())
                    self.observe(f"{phase.name}/{name}", term)
            for setting, schedule in player.schedules.items():
                for group in optimizer.param_groups:
                    group[setting] = group[f"initial_{setting}"] * schedule(images_seen)
            optimizer.step()
            for constraint in player.constraints:
                constraint(player.network)

    def _optimizer(self, player: str, counts: bool) -> LightningOptimizer:
        optimizer = self._wrapped_optimizer(player)
        if not counts:
            # Lightning counts every optimizer's step as a global step, and re-arms these hooks before every training
            # step. Disarming all but the first makes one training step one global step.
            optimizer._on_before_step = do_nothing_closure
            optimizer._on_after_step = do_nothing_closure
        return optimizer

    def _wrapped_optimizer(self, player: str) -> LightningOptimizer:
        optimizers = cast("list[LightningOptimizer]", self.module.optimizers())
        return optimizers[list(self.players).index(player)]

    def _micro_batches(self, batch: Batch, seed: int) -> Iterator[tuple[Batch, Noise]]:
        size = batch["image"].shape[0]
        step = size // self.accumulate
        world, rank = self.module.trainer.world_size, self.module.trainer.global_rank
        for start in range(0, size, step):
            micro = {key: cast(Tensor, value)[start : start + step] for key, value in batch.items()}
            # Row r + world * j of the global batch is row j of process r, as in the sampler.
            rows = slice(rank + world * start, rank + world * (start + step), world)
            yield cast(Batch, micro), Noise(seed, size * world, rows, self.module.device)

    @contextmanager
    def _bystanders(self, player: Player) -> Iterator[None]:
        others = [other for other in self.players.values() if other is not player]
        for other in others:
            for parameter in other.parameters:
                parameter.requires_grad_(False)
            for layer in other.statistics:
                layer.track_running_stats = False
        try:
            yield
        finally:
            for other in others:
                for parameter in other.parameters:
                    parameter.requires_grad_(True)
                for layer in other.statistics:
                    layer.track_running_stats = True
