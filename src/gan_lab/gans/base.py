"""The LightningModule that every game derives from: the loop, the averaged generator and the counters."""

import copy
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.phases import Phase, PhaseRunner, Player
from gan_lab.noise import Noise, mix
from gan_lab.optim.ema import Averaging, MovingAverage
from gan_lab.types import Batch, Record, Stage

_LABELS = 0x4C41424C
"""Sets the stream of labels apart from that of the latents of the same key; any number will do."""


class AdversarialModule(LightningModule):
    """Moves players in phases, averages the generator's weights, and counts in real images seen.

    A game derives from this class, registers its networks and says who plays and in which phases. `training_step` is
    the whole loop. The counters and the average are part of the state dict.

    Args:
        generator: `forward(latents, labels)`: latents (n, latent.dim) to samples (n, ...).
        latent: The prior of the latents.
        labels: The prior of the labels of generated samples.
        averaging: Memory of the averaged generator.
        accumulate: Micro-batches of a batch.
        seed: Key of the random stream of the run.
        check_finite: Stop before a move whose terms or gradient are not finite.
    """

    def __init__(
        self,
        generator: nn.Module,
        latent: LatentPrior,
        labels: LabelPrior,
        averaging: Averaging,
        accumulate: int = 1,
        seed: int = 0,
        check_finite: bool = True,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = generator
        self.generator_ema = copy.deepcopy(generator).requires_grad_(False).eval()
        self.latent = latent
        self.labels = labels
        self.averaging = averaging
        self.accumulate = accumulate
        self.seed = seed
        self.check_finite = check_finite
        self.images_seen = 0
        self.batches_seen = 0
        self.averaged_at = 0
        # Why the run ends before its end, to go on later: the name of a signal, or time_limit.
        self.interrupted: str | None = None
        # What the log callback reads and empties: one record for each batch.
        self.records: deque[Record] = deque(maxlen=1000)
        # What the log callback last sent to the loggers, for the progress bar.
        self.latest: dict[str, float] = {}

    @abstractmethod
    def players(self) -> Mapping[str, Player]:
        """Who plays, by name."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The moves, in the order of play."""

    @cached_property
    def runner(self) -> PhaseRunner:
        return PhaseRunner(self, self.players(), self.phases(), self.accumulate, self.seed, self.check_finite)

    @cached_property
    def moving_average(self) -> MovingAverage:
        return MovingAverage(self.generator_ema, self.generator, self.averaging)

    def profile(self, action: str) -> AbstractContextManager[None]:
        """Times a block for the Trainer's profiler; free without one."""
        return cast(Any, self.trainer).profiler.profile(action)

    def prepare(self, batch: Batch) -> Batch:
        """What a game does to a batch before it is played; nothing here."""
        return batch

    def progress(self) -> dict[str, float]:
        """Where the run is beside its images seen, by name, for the log and the progress bar; nothing here."""
        return {}

    def stage_due(self) -> Stage | None:
        """How far the networks will have grown in the next batch; None in a game whose networks do not grow."""
        return None

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Play one batch. `batch_idx` restarts with every epoch and is not used; the module has its own counters."""
        batch = self.prepare(batch)
        self.batches_seen += 1
        record, moved = self.runner.run(batch, self.batches_seen, self.images_seen)
        self.images_seen += batch["image"].shape[0] * self.trainer.world_size
        if "generator" in moved:
            self._average_generator()
        self.records.append(record)

    def _average_generator(self) -> None:
        with self.profile("ema"):
            self.moving_average.update(self.images_seen - self.averaged_at, self.images_seen)
            self.averaged_at = self.images_seen

    def on_train_start(self) -> None:
        # Lightning puts the whole module in training mode; the average is never trained.
        self.generator_ema.eval()
        loop = self.trainer.fit_loop
        if loop.restarted_mid_epoch and loop.epoch_loop.batch_progress.is_last_batch:
            # A run that goes on after the last batch of an epoch begins a new one, which Lightning does not count as begun:
            # it would take the checkpoints of all later epochs for those of complete ones, and forget the loader's position.
            loop.reset_restart_stage()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.runner.before_step()

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer for each player, with the first value of every scheduled setting kept beside it.

        Raises:
            ValueError: A schedule is for a setting that the optimizer does not have.
        """
        optimizers = []
        for player in self.runner.players.values():
            optimizer = player.optimizer(player.parameters)
            for setting in player.schedules:
                for group in optimizer.param_groups:
                    if setting not in group:
                        kind = type(optimizer).__name__
                        raise ValueError(
                            f"schedule.{setting} is for a setting that {kind} does not have; set schedule=constant"
                        )
                    group[f"initial_{setting}"] = group[setting]
            optimizers.append(optimizer)
        return optimizers

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples (n, ...) of the averaged generator for latents (n, latent.dim) and, in a conditional game, labels (n,)."""
        return self.generate(latents, labels)

    @torch.no_grad()
    def generate(self, latents: Tensor, labels: Tensor | None = None, average: bool = True) -> Tensor:
        """Samples (n, ...) for latents (n, latent.dim), in evaluation mode.

        Args:
            latents: float32 on the module's device.
            labels: int64 (n,) on the module's device, in a game that is conditioned on labels.
            average: Take the averaged weights; else those being trained.
        """
        network = self.generator_ema if average else self.generator
        with evaluation_mode(network):
            return network(latents, labels)

    def sample_latents(self, count: int, *key: int) -> Tensor:
        """`count` latents as a function of `key`, float32 (count, latent.dim) on the module's device.

        They are drawn on the CPU, so that a key means the same latents on every device.
        """
        return self.latent.sample(Noise(mix(*key), count)).to(self.device)

    def sample_labels(self, count: int, *key: int) -> Tensor | None:
        """`count` labels as a function of `key`, int64 (count,) on the module's device; None in a game without labels."""
        labels = self.labels.sample(Noise(mix(*key, _LABELS), count))
        return None if labels is None else labels.to(self.device)

    def get_extra_state(self) -> dict[str, int]:
        return {"images_seen": self.images_seen, "batches_seen": self.batches_seen, "averaged_at": self.averaged_at}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.images_seen = state["images_seen"]
        self.batches_seen = state["batches_seen"]
        self.averaged_at = state["averaged_at"]


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for the time of the block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
