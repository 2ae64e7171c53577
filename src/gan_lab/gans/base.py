"""Base class of all algorithms: the training loop, the averaged networks and the counters."""

import copy
import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch import LightningModule
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lab.gans.compilation import Compilation, check_compiler
from gan_lab.gans.conditions import Condition, Labels
from gan_lab.gans.inference import Inference, has_condition
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.modes import evaluation_mode
from gan_lab.gans.phases import Phase, PhaseRunner, Player
from gan_lab.gans.views import View
from gan_lab.noise import Noise, mix
from gan_lab.optim.ema import Averaging, MovingAverage
from gan_lab.optim.fused import fuse
from gan_lab.types import Batch, Record, Stage

_CONDITION = 0x4C41424C
"""Arbitrary number, added to a key so that conditions and latents have different random streams."""


TARGET = "target"
"""Name of the real sample of a condition, which a generated one should be."""


class AdversarialModule(LightningModule):
    """A LightningModule that updates players in phases, averages weights, and counts in real images seen.

    An algorithm derives from this class, registers its networks and defines players and phases. `training_step` is the
    complete loop. The counters and the averaged networks are part of the state dict.

    Args:
        generator: `forward(latents, condition)`: latents (n, latent.dim) to samples (n, ...).
        latent: The prior of the latents.
        condition: Source of the conditions of real and generated samples; by default unconditional.
        averaging: EMA settings of the averaged networks.
        accumulate: Micro-batches per batch.
        seed: Key of the run's random stream.
        check_finite: Raise before an update whose terms or gradient are not finite.
        averaged: Extra networks to average, by attribute name; the generator always is.
        view: Transforms real images into what the networks see; by default the identity.
    """

    beside: ClassVar[str] = TARGET
    """Name of `shown_beside`, for the grids."""
    real_key = "image"
    """The key of the real samples in a batch."""
    compilation: Compilation | None = None
    """The players' networks, compiled, if `compile_networks` was called."""
    encoder_name: ClassVar[str | None] = None
    """Attribute of the network that maps samples to latents, if there is one; it must be averaged."""

    def __init__(
        self,
        generator: nn.Module,
        latent: LatentPrior,
        condition: Condition | None = None,
        averaging: Averaging | None = None,
        accumulate: int = 1,
        seed: int = 0,
        check_finite: bool = True,
        averaged: Mapping[str, nn.Module] | None = None,
        view: View | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = generator
        self.averaged = nn.ModuleDict()
        for name, network in {"generator": generator, **(averaged or {})}.items():
            self.average(name, network)
        self.latent = latent
        self.condition: Condition = condition or Labels()
        self.averaging = averaging or Averaging()
        self.accumulate = accumulate
        self.seed = seed
        self.check_finite = check_finite
        self.view = view or View()
        self.images_seen = 0
        self.batches_seen = 0
        self.averaged_at = 0
        # Why the run stops early, to be resumed later: the name of a signal, or time_limit.
        self.interrupted: str | None = None
        # One record per batch; the log callback reads and clears them.
        self.records: deque[Record] = deque(maxlen=1000)
        # The latest values that the log callback sent to the loggers; the progress bar shows them.
        self.latest: dict[str, float] = {}
        self._examples: Batch | None = None
        self._most_examples = 0.0  # the largest number that was asked for

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the current hook dozens of times a batch. For this plain attribute torch's search for
        # parameters, buffers and submodules of its name is left out.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def average(self, name: str, network: nn.Module) -> None:
        """Average the weights of a network, besides the generator's. Called in the constructor.

        Args:
            name: The attribute of the network.
            network: The network.
        """
        self.averaged[name] = copy.deepcopy(network).requires_grad_(False).eval()

    def compile_networks(self, device: torch.device, graphs: bool = False, backend: str = "inductor") -> None:
        """Compile the networks of all players where updates need no second derivatives; see `Compilation`.

        Args:
            device: Where they are trained.
            graphs: Whether to record CUDA graphs.
            backend: Backend of torch.compile.

        Raises:
            ConfigError: The device has no compiler.
        """
        check_compiler(device)
        self.compilation = Compilation((each.network for each in self.runner.players.values()), graphs, backend)

    @abstractmethod
    def players(self) -> Mapping[str, Player]:
        """The players, by name."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases, in the order in which they run."""

    @cached_property
    def runner(self) -> PhaseRunner:
        return PhaseRunner(self, self.players(), self.phases(), self.accumulate, self.seed, self.check_finite)

    @cached_property
    def moving_averages(self) -> list[MovingAverage]:
        """One for each averaged network. Created at first use, when the networks are on their device."""
        return [MovingAverage(mean, getattr(self, name), self.averaging) for name, mean in self.averaged.items()]

    @cached_property
    def _players_with_averages(self) -> set[str]:
        """The players that update a network which is averaged, or a part of one."""
        averaged = {part for name in self.averaged for part in getattr(self, name).modules()}
        return {
            name for name, player in self.runner.players.items() if not averaged.isdisjoint(player.network.modules())
        }

    def profile(self, action: str) -> AbstractContextManager[None]:
        """Context manager that times a block with the Trainer's profiler; without a profiler it costs nothing."""
        return cast(Any, self.trainer).profiler.profile(action)

    def reals(self, batch: Batch) -> Tensor:
        """The real samples of a prepared batch, (n, ...). Override this to train on something derived from the data."""
        return batch[self.real_key]

    def batch_size(self, batch: Batch) -> int:
        """Number of real samples in this process's part of a batch."""
        return len(self.reals(batch))

    def prepare(self, batch: Any) -> Batch:
        """Convert a batch to a mapping and apply the view to its real samples.

        Args:
            batch: A mapping; a plain data loader may also give samples or (samples, labels).
        """
        batch = _as_mapping(batch, self.real_key)
        return {**batch, self.real_key: self.view(batch[self.real_key])}

    def progress(self) -> dict[str, float]:
        """Extra values about the progress of the run, for the log and the progress bar."""
        graphs = {} if self.compilation is None else {"compiled_graphs": float(self.compilation.compiled_graphs)}
        return self.view.progress() | graphs

    def next_stage(self) -> Stage | None:
        """The stage of growing networks in the next batch; None if the networks do not grow."""
        return self.view.next_stage(self.images_seen)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Train on one batch. `batch_idx` restarts with every epoch, so the module uses its own counters."""
        if self.view.advance(self.images_seen):
            self.runner.reset_optimizers()
        batch = self.prepare(batch)
        self.batches_seen += 1
        record, updated = self.runner.run(batch, self.batches_seen, self.images_seen)
        self.images_seen += self.batch_size(batch) * self.trainer.world_size
        if updated & self._players_with_averages:
            self._update_averages()
        self.records.append(record)

    def _update_averages(self) -> None:
        with self.profile("ema"):
            for average in self.moving_averages:
                average.update(self.images_seen - self.averaged_at, self.images_seen)
            self.averaged_at = self.images_seen

    def on_train_start(self) -> None:
        # Lightning puts all submodules in training mode, but averaged networks are never trained.
        self.averaged.eval()
        loop = self.trainer.fit_loop
        if loop.restarted_mid_epoch and loop.epoch_loop.batch_progress.is_last_batch:
            # A run resumed after the last batch of an epoch starts a new epoch, which Lightning does not count as
            # started: it would treat checkpoints of all later epochs as those of complete epochs, and lose the position
            # of the loader.
            loop.reset_restart_stage()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.runner.before_step()

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer for each player.

        Raises:
            ValueError: A schedule is for a setting that the optimizer does not have.
        """
        return [fuse(player.optimizer()) for player in self.runner.players.values()]

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Samples (n, ...) of the averaged generator for latents (n, latent.dim) and conditions with n rows, if any."""
        return self.generate(latents, condition)

    @torch.no_grad()
    def generate(self, latents: Tensor, condition: Tensor | None = None, average: bool = True) -> Tensor:
        """Samples (n, ...) for latents (n, latent.dim), in evaluation mode.

        Args:
            latents: float32 on the module's device.
            condition: On the module's device, with n rows, in a conditional algorithm.
            average: Use the averaged weights instead of those being trained.
        """
        network = self.averaged["generator"] if average else self.generator
        with evaluation_mode(network):
            return network(latents, condition)

    def inference(self, average: bool = True) -> Inference | None:
        """Encoder and generator, for latents and reconstructions of samples.

        None without an encoder, or if the generator needs a condition that real samples do not have.

        Args:
            average: Use the averaged weights instead of those being trained.
        """
        if self.encoder_name is None or not has_condition(self.condition):
            return None
        encoder, generator = (
            self.averaged[name] if average else getattr(self, name) for name in (self.encoder_name, "generator")
        )
        return Inference(encoder, generator, self.condition, self.view)

    @property
    def boundary(self) -> float | None:
        """The logit between real and generated samples; None if only differences of logits are meaningful."""
        return None

    def score(self, samples: Tensor, condition: Tensor | None = None) -> Tensor | None:
        """The discriminator's logits (n, ...) of samples (n, ...), in evaluation mode and without gradients.

        None if single samples have no logit: without a discriminator, or with one that scores pairs or packs.
        """
        return None

    def classifier(self, average: bool = True) -> Callable[[Tensor], Tensor] | None:
        """A function from samples (n, ...) to class logits (n, K), in evaluation mode and without gradients.

        None if no network classifies.

        Args:
            average: Use the averaged weights instead of those being trained.
        """
        return None

    def sample_inputs(self, count: int, *key: int) -> tuple[Tensor, Tensor | None]:
        """Latents (count, latent.dim) and their condition as a function of `key`, on the module's device.

        Image grids, metrics and the collapse watch use them. They are computed on the CPU, so a key gives the same
        numbers on every device. Conditions from the data are those of the first real samples.
        """
        latents = self.latent.sample(Noise(mix(*key), count))
        batch = self.examples(count) if self.condition.needs_batch else None
        condition = self.condition.sample(Noise(mix(*key, _CONDITION), count), batch)
        return latents.to(self.device), None if condition is None else condition.to(self.device)

    def examples(self, count: int) -> Batch:
        """A batch of `count` real samples, the same at each call; repeated if the data set has fewer."""
        if self._examples is None or count > self._most_examples:
            trainer = cast(Any, self.trainer)
            data = trainer.datamodule
            found = data.examples(count) if data is not None else next(iter(trainer.train_dataloader))
            self._examples, self._most_examples = self.prepare(found), count if data is not None else math.inf
        rows = torch.arange(count) % self.batch_size(self._examples)
        return {key: value[rows] for key, value in self._examples.items()}

    def figures(self) -> Mapping[str, Callable[[], Image.Image]]:
        """Functions that draw figures of this algorithm beside the grids of samples, by name."""
        return {}

    def shown_beside(self, samples: Tensor, latents: Tensor, average: bool) -> Tensor:
        """What a grid shows beside the source of each sample and the sample itself: by default the real samples.

        Args:
            samples: Samples (n, ...) for the conditions of `sample_inputs`.
            latents: Their latents (n, latent.dim).
            average: Whether they are those of the averaged weights.
        """
        return self.reals(self.examples(len(samples)))

    def get_extra_state(self) -> dict[str, int]:
        return {"images_seen": self.images_seen, "batches_seen": self.batches_seen, "averaged_at": self.averaged_at}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.images_seen = state["images_seen"]
        self.batches_seen = state["batches_seen"]
        self.averaged_at = state["averaged_at"]


def _as_mapping(batch: Any, key: str) -> Mapping[str, Tensor]:
    if isinstance(batch, Mapping):
        return batch
    if isinstance(batch, Tensor):
        return {key: batch}
    return {key: batch[0]} if len(batch) == 1 else {key: batch[0], "label": batch[1]}
