"""Players, phases and the phase runner, the only code that calls `backward` and `step`."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, Protocol, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lab.errors import NonFiniteError
from gan_lab.gans.compilation import Compilation
from gan_lab.layers.spectral_norm import power_iterations
from gan_lab.layers.statistics import statistics_buffers
from gan_lab.noise import Noise, mix, name_hash, reseed
from gan_lab.optim.base import Schedule
from gan_lab.optim.gradients import forget_gradients
from gan_lab.optim.lazy import compensate, lazy_factor
from gan_lab.optim.settings import get_setting, has_setting, set_setting
from gan_lab.processes import mean_over_processes, union_over_processes
from gan_lab.regularizers.base import Constraint, Penalty
from gan_lab.step import Step
from gan_lab.types import Batch, Record, Terms

NORM_INTERVAL = 10
"""Batches between two records of the gradient norm, unless clipping computes it in every update."""

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]


@dataclass(frozen=True)
class Player:
    """A network with its optimizer, penalties, constraints and schedules.

    Args:
        network: The network to update.
        make_optimizer: Creates the optimizer from the list of parameters.
        schedules: Optimizer setting (`lr`, `momentum`, ...) to the factor on its initial value, set before every step.
        constraints: Applied to the network after every step.
        clip_norm: Maximum norm of the gradient over all parameters; None for no clipping.
        penalties: Terms added to the loss, by name. A penalty with an interval above 1 is minimized in extra updates,
            for which the optimizer's settings are compensated.
        penalty_schedule: Factor on the weights of all penalties.
    """

    network: nn.Module
    make_optimizer: OptimizerFactory
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    constraints: Sequence[Constraint] = ()
    clip_norm: float | None = None
    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    penalty_schedule: Schedule | None = None

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    @cached_property
    def statistics(self) -> list[Tensor]:
        """Buffers of the layers that keep statistics of their inputs in the updates of this player."""
        return statistics_buffers(self.network)

    @cached_property
    def statistics_of_all_updates(self) -> list[Tensor]:
        """Buffers of the layers that keep statistics of their inputs in the updates of all players."""
        return statistics_buffers(self.network, of_all_updates=True)

    @cached_property
    def power_iterations(self) -> list[Callable[[], None]]:
        """One function per spectral norm that performs a power iteration; called before every update."""
        return power_iterations(self.network)

    def optimizer(self) -> Optimizer:
        """Create the optimizer, compensated for lazy penalties.

        Its parameter groups keep the initial value of each scheduled setting as `initial_<setting>`.

        Raises:
            ValueError: A schedule is for a setting that the optimizer does not have.
        """
        optimizer = self.make_optimizer(self.parameters)
        lazy = [penalty.interval for penalty in self.penalties.values() if penalty.interval > 1]
        if lazy:
            compensate(optimizer, lazy_factor(lazy))
        for setting in self.schedules:
            for group in optimizer.param_groups:
                if not has_setting(group, setting):
                    kind = type(optimizer).__name__
                    raise ValueError(
                        f"schedule.{setting} is for a setting that {kind} does not have; set schedule=constant"
                    )
                group[f"initial_{setting}"] = get_setting(group, setting)
        return optimizer


@dataclass(frozen=True)
class Phase:
    """One kind of update: the player, its inputs, its loss and its interval.

    Args:
        player: Name of the player to update; also the prefix of the log keys of its terms.
        step: Computes the player's inputs from a micro-batch and its rows of the random stream.
        loss: Terms to minimize besides the player's penalties.
        interval: Batches between updates; batches are counted from 1.
        penalized: Add the player's penalties to this phase.
        observe: Scalars for the log, by key.
        adapt: Updates parts that adapt to the discriminator's outputs; returns scalars for the log, by key.
        second_derivatives: Whether the loss needs second derivatives, which compiled networks do not have.
    """

    player: str
    step: Callable[[Batch, Noise], Step]
    loss: Callable[[Step], Terms]
    interval: int = 1
    penalized: bool = True
    observe: Callable[[Step], Mapping[str, Tensor]] | None = None
    adapt: Callable[[Step], Mapping[str, Tensor]] | None = None
    second_derivatives: bool = False


@dataclass(frozen=True)
class Update:
    """One optimizer step of a phase: its loss with the penalties of every step, or one lazy penalty alone.

    Args:
        phase: The phase.
        penalties: The player's penalties in this update, by name.
        interval: Batches between updates.
        name: Key of its random stream: unique within a batch, and independent of the other updates.
        gain: Factor on the sum of the terms.
        lazy: Omit the phase's own loss.
    """

    phase: Phase
    penalties: Mapping[str, Penalty]
    interval: int
    name: str
    gain: float = 1.0
    lazy: bool = False

    @property
    def second_derivatives(self) -> bool:
        """Whether the update needs second derivatives, as gradient penalties do."""
        return self.phase.second_derivatives or any(penalty.per_sample for penalty in self.penalties.values())


def updates_of(phases: Sequence[Phase], players: Mapping[str, Player]) -> list[Update]:
    """The updates of all phases, with the penalties of their players.

    A penalty with interval k > 1 is minimized in a separate update after every k-th update of its phase, multiplied by
    k (Karras et al., 2020, appendix B).
    """
    updates = []
    for number, phase in enumerate(phases):
        # The second and later phases of a player are numbered.
        earlier = sum(other.player == phase.player for other in phases[:number])
        name = f"{phase.player}/{earlier}" if earlier else phase.player
        penalties = players[phase.player].penalties if phase.penalized else {}
        always = {name: penalty for name, penalty in penalties.items() if penalty.interval == 1}
        updates.append(Update(phase, always, phase.interval, name))
        updates += [
            Update(
                phase,
                {key: penalty},
                phase.interval * penalty.interval,
                f"{name}/{key}",
                gain=penalty.interval,
                lazy=True,
            )
            for key, penalty in penalties.items()
            if penalty.interval > 1
        ]
    return updates


class Algorithm(Protocol):
    """What the runner needs from the module, besides the interface of a LightningModule.

    Attributes:
        compilation: Compiled networks, if any.
    """

    compilation: Compilation | None

    def batch_size(self, batch: Batch) -> int:
        """Number of real samples in a batch."""

    def profile(self, action: str) -> Any:
        """Context manager that times a block."""


class PhaseRunner:
    """Performs the phases that are due on a batch.

    While a player is updated, the others get no gradient and keep their statistics and singular vectors, so a phase
    changes only its own player; except statistics that count all updates, such as StyleGAN's average style. The batch
    is processed in `accumulate` micro-batches whose gradients are averaged, and the random stream is split in the same
    way: without layers that mix samples, the result equals that of the complete batch.

    Args:
        module: Provides backward, optimizers, device, rank and profiler; see also `Algorithm`.
        players: By name; the order is that of the optimizers.
        phases: In the order in which they run. At least one must have interval 1.
        accumulate: Micro-batches per batch.
        seed: First part of the keys of the random streams.
        check_finite: Raise before an update whose terms or gradient are not finite; this synchronizes with the device.
    """

    def __init__(
        self,
        module: LightningModule,
        players: Mapping[str, Player],
        phases: Sequence[Phase],
        accumulate: int,
        seed: int,
        check_finite: bool = True,
    ) -> None:
        if min(phase.interval for phase in phases) != 1:
            raise ValueError("at least one phase must have interval 1; otherwise some batches would update no player")
        self.module = module
        self.algorithm = cast(Algorithm, module)
        self.players = players
        self.updates = updates_of(phases, players)
        self.accumulate = accumulate
        self.seed = seed
        self.check_finite = check_finite
        self._player: Player | None = None
        self._terms: dict[str, list[Tensor]] = {}  # of the current update, one for each micro-batch
        self._position = ""
        self._record: Record = {}
        self._record_norms = False

    def run(self, batch: Batch, batch_number: int, images_seen: int) -> tuple[Record, set[str]]:
        """Perform the phases that are due; `batch_number` counts from 1.

        Returns:
            The terms and observations by log key, and the names of the updated players.
        """
        self._record = {}
        self._position = f"batch {batch_number:,}, {images_seen:,} images seen"
        self._record_norms = batch_number % NORM_INTERVAL == 0
        due = [update for update in self.updates if batch_number % update.interval == 0]
        for position, update in enumerate(due):
            seed = mix(self.seed, batch_number, name_hash(update.name))
            # Layers that draw from the global generator (dropout) then depend only on the position in the run.
            reseed(mix(seed, self.module.trainer.global_rank), self.module.device)
            with self.algorithm.profile(f"phase/{update.phase.player}"):
                self._update(update, batch, seed, images_seen, counts_as_step=position == 0)
        return self._record, {update.phase.player for update in due}

    @property
    def cycle(self) -> int:
        """Batches after which every update has been made."""
        return math.lcm(*(update.interval for update in self.updates))

    def record(self, key: str, value: Tensor) -> None:
        """Record a scalar for the log; the mean over all values of a key is logged."""
        self._record.setdefault(key, []).append(value.detach())

    def optimizer(self, player: str) -> Optimizer:
        """A player's optimizer, to read its state; only the runner steps it."""
        return self._wrapped_optimizer(player).optimizer

    def reset_optimizers(self) -> None:
        """Empty every optimizer's state, as if it had never made a step."""
        for player in self.players:
            self.optimizer(player).state.clear()

    def tensors_to_average(self) -> list[Tensor]:
        """Gradients and statistics that were computed on this process's part of the batch.

        Processes that train on one batch together average these before the step.
        """
        player = cast(Player, self._player)
        gradients = [p.grad for p in player.parameters if p.grad is not None]
        common = [buffer for each in self.players.values() for buffer in each.statistics_of_all_updates]
        return [*gradients, *(buffer for buffer in [*player.statistics, *common] if buffer.is_floating_point())]

    def before_step(self) -> None:
        """Check the gradient, clip it and record its norm. Called after it was unscaled and synchronized.

        Raises:
            NonFiniteError: A term or the gradient is not finite.
        """
        player = cast(Player, self._player)
        if player.clip_norm is None and not self._record_norms and not self.check_finite:
            return
        gradients = [p.grad for p in player.parameters if p.grad is not None]
        norms = torch._foreach_norm(gradients) if gradients else ()
        if self.check_finite:
            self._require_finite(player, norms)
        if player.clip_norm is None and not self._record_norms:
            return
        norm = torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
        if player.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(player.parameters, player.clip_norm, norm)
        self.record(f"grad_norm/{self._name(player)}", norm)

    def _require_finite(self, player: Player, norms: Sequence[Tensor]) -> None:
        values = [value for term in self._terms.values() for value in term]
        # The gradient scaler of half precision raises its scale until gradients overflow, and skips these steps itself.
        scaled = getattr(self.module.trainer.precision_plugin, "scaler", None) is not None
        # One sum is read back from the device: it is finite only if all values are.
        sum_of_all = torch.stack(values if scaled else [*values, *norms]).sum()
        # All processes must agree; otherwise some would wait for the others for ever.
        if math.isfinite(mean_over_processes(sum_of_all).item()):
            return
        name = self._name(player)
        wrong = {f"term {t}": v for t, each in self._terms.items() for v in each if not v.isfinite()}
        found = union_over_processes([f"the {name}'s {what} is {value.item()}" for what, value in wrong.items()])
        for key, parameter in player.network.named_parameters():
            if not found and parameter.grad is not None and not parameter.grad.isfinite().all():
                value = parameter.grad[~parameter.grad.isfinite()][0]
                found = [f"the {name}'s gradient by {key} is {value.item()}"]
        total = f"the norm of the {name}'s gradient is inf"  # the sum of finite squares overflowed
        raise NonFiniteError(f"{', '.join(found) or total} ({self._position})")

    def _name(self, player: Player) -> str:
        return next(name for name, other in self.players.items() if other is player)

    def _update(self, update: Update, batch: Batch, seed: int, images_seen: int, counts_as_step: bool) -> None:
        name = update.phase.player
        player = self.players[name]
        optimizer = self._optimizer(name, counts_as_step)
        self._player, self._terms = player, {}
        factor = update.gain / self.accumulate
        weights = self.penalty_weights(update, images_seen)
        compilation = self.algorithm.compilation
        compiled = nullcontext() if compilation is None else compilation.update(update.second_derivatives)
        with self._others_frozen(name), compiled:
            for iterate in player.power_iterations:
                iterate()
            forget_gradients(optimizer.optimizer, player.parameters)
            for micro_batch, noise in self._micro_batches(batch, seed):
                terms, observations = self.terms_of(update, micro_batch, noise, weights)
                total = reduce(torch.add, terms.values())
                self.module.manual_backward(total if factor == 1 else total * factor)
                for key, value in observations.items():
                    self.record(key, value)
                for term, value in terms.items():
                    self._terms.setdefault(term, []).append(value.detach())
                    self.record(f"{name}/{term}", value)
            self.set_scheduled_settings(name, images_seen)
            optimizer.step()
            for constraint in player.constraints:
                constraint(player.network)

    def set_scheduled_settings(self, player: str, images_seen: int) -> None:
        """Set the scheduled settings of a player's optimizer."""
        for setting, factor_of in self.players[player].schedules.items():
            for group in self.optimizer(player).param_groups:
                set_setting(group, setting, group[f"initial_{setting}"] * factor_of(images_seen))

    def penalty_weights(self, update: Update, images_seen: int) -> dict[str, float]:
        """The weights of the penalties of an update, by name, with their schedule."""
        schedule = self.players[update.phase.player].penalty_schedule
        factor = 1.0 if schedule is None else schedule(images_seen)
        return {name: factor * penalty.weight for name, penalty in update.penalties.items()}

    def terms_of(
        self, update: Update, micro_batch: Batch, noise: Noise, weights: Mapping[str, float | Tensor]
    ) -> tuple[Terms, Terms]:
        """The terms of an update on a micro-batch and the observations of its phase, by name.

        Args:
            update: The update.
            micro_batch: A part of the batch.
            noise: Its rows of the random stream of the update.
            weights: The weights of the penalties, by name.
        """
        step = update.phase.step(micro_batch, noise)
        terms = {} if update.lazy else update.phase.loss(step)
        if update.penalties:
            terms |= self._penalties_of(update, step, weights)
        return terms, {} if update.lazy else self._observations(update.phase, step)

    def _penalties_of(self, update: Update, step: Step, weights: Mapping[str, float | Tensor]) -> Terms:
        """The weighted penalties of an update, by name."""
        # Squares of half-precision gradients overflow: penalties run without autocast, on float32 samples.
        with torch.autocast(self.module.device.type, enabled=False):
            return {
                name: weights[name] * penalty(replace(step, noise=step.noise.child(f"penalty/{name}")))
                for name, penalty in update.penalties.items()
            }

    @torch.no_grad()
    def _observations(self, phase: Phase, step: Step) -> Terms:
        functions = [function for function in (phase.observe, phase.adapt) if function is not None]
        return {key: value for function in functions for key, value in function(step).items()}

    def _optimizer(self, player: str, counts_as_step: bool) -> LightningOptimizer:
        optimizer = self._wrapped_optimizer(player)
        if not counts_as_step:
            # Lightning counts every optimizer step as a global step, and sets these hooks again before every training
            # step. Disabling all but the first makes one training step one global step.
            optimizer._on_before_step = do_nothing_closure
            optimizer._on_after_step = do_nothing_closure
        return optimizer

    def _wrapped_optimizer(self, player: str) -> LightningOptimizer:
        optimizers = self.module.optimizers()
        each = optimizers if isinstance(optimizers, list) else [optimizers]
        return each[list(self.players).index(player)]

    def _micro_batches(self, batch: Batch, seed: int) -> Iterator[tuple[Batch, Noise]]:
        size = self.algorithm.batch_size(batch)
        step = size // self.accumulate
        world, rank = self.module.trainer.world_size, self.module.trainer.global_rank
        for start in range(0, size, step):
            micro_batch = {key: value[start : start + step] for key, value in batch.items()} if step < size else batch
            # Row r + world * j of the global batch is row j of process r, as in the sampler.
            rows = slice(rank + world * start, rank + world * (start + step), world)
            yield micro_batch, Noise(seed, size * world, rows, self.module.device)

    @cached_property
    def _of_others(self) -> dict[str, tuple[list[nn.Parameter], list[Tensor]]]:
        """Parameters and statistics of all players but one, by the name of that one."""
        found = {}
        for name in self.players:
            others = [other for key, other in self.players.items() if key != name]
            parameters = [parameter for other in others for parameter in other.parameters]
            found[name] = parameters, [buffer for other in others for buffer in other.statistics]
        return found

    @contextmanager
    def _others_frozen(self, player: str) -> Iterator[None]:
        """Context manager that freezes the other players and restores their statistics afterwards."""
        parameters, statistics = self._of_others[player]
        before = [buffer.clone() for buffer in statistics]
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
            for buffer, value in zip(statistics, before, strict=True):
                buffer.copy_(value)
