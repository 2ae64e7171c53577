"""Bare training loop: plain PyTorch with the same networks, losses, penalties and optimizers as the framework.

It has no Lightning, averaged weights, logging, checkpoints or seeded streams; the overhead of the framework is measured
against it.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from gan_lab.data.base import TrainingData
from gan_lab.data.loaders import MemoryLoader
from gan_lab.data.mixture_data import MixtureData
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.d2gan import D2GAN
from gan_lab.gans.gan import GAN
from gan_lab.layers.spectral_norm import power_iterations
from gan_lab.losses.dual import Dual
from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.types import Batch

Batches = Iterator[tuple[Tensor, Tensor | None]]
"""Real samples, float32 in [-1, 1] or points, and their labels, int64 (n,), or None."""

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class BareLoop:
    """Bare training loop of a two-player GAN.

    Args:
        gan: Provides networks, loss, penalties, constraints and optimizers.
        batches: Real images and their labels, as from `real_batches`.
        batch_size: Images in a batch.
        device: Device of the loop.
        precision: A key of `PRECISIONS`.
    """

    def __init__(self, gan: GAN, batches: Batches, batch_size: int, device: torch.device, precision: str) -> None:
        self.gan = gan if next(gan.parameters()).device == device else gan.to(device)
        self.gan.train()
        self.device = device
        self.batch_size = batch_size
        self.dtype = PRECISIONS[precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.batches = batches
        players = gan.players()
        self.d_optimizer, self.g_optimizer = (players[name].optimizer() for name in ("discriminator", "generator"))
        self.iterations = {
            "discriminator": power_iterations(gan.discriminator),
            "generator": power_iterations(gan.generator),
        }
        self.step = 0

    def run(self, batches: int) -> float:
        """Train on some batches; return the seconds that it took."""
        synchronize(self.device)
        start = time.perf_counter()
        for _ in range(batches):
            self.train_step()
        synchronize(self.device)
        return time.perf_counter() - start

    def train_step(self) -> None:
        """One batch: an update of the discriminator and, when it is due, one of the generator; then lazy penalties."""
        self.step += 1
        image, label = next(self.batches)
        batch: Batch = {"image": image} if label is None else {"image": image, "label": label}
        real = self.gan.real_samples(self.gan.prepare(batch))
        self._noise = Noise(self.step, self.batch_size, device=self.device)
        self._discriminator_step(self._outputs(lambda: real))
        self._lazy_steps("discriminator", real)
        if self.step % self.gan.parts.n_critic == 0:
            self._generator_step(self._outputs(lambda: real))
            self._lazy_steps("generator", real)

    def _discriminator_step(self, real: DiscriminatorOutputs) -> None:
        fake = self._generated()
        for iterate in self.iterations["discriminator"]:
            iterate()
        self.d_optimizer.zero_grad()
        with self._autocast():
            loss = self.gan.parts.loss.discriminator(real.logits, fake.logits)
        self._update("discriminator", loss + self._penalties("discriminator", real, fake))

    def _generator_step(self, real: DiscriminatorOutputs) -> None:
        gan = self.gan
        gan.discriminator.requires_grad_(False)
        for iterate in self.iterations["generator"]:
            iterate()
        self.g_optimizer.zero_grad()
        fake = self._outputs(lambda: self._fake(gan.parts.generator_batches))
        with self._autocast():
            relative = [real.logits.repeat(gan.parts.generator_batches)] if gan.parts.loss.relative else []
            loss = gan.parts.adversarial_weight * gan.parts.loss.generator(fake.logits, *relative)
        self._update("generator", loss + self._penalties("generator", real, fake))
        gan.discriminator.requires_grad_(True)

    def _penalties(self, player: str, real: DiscriminatorOutputs, fake: DiscriminatorOutputs) -> Tensor | float:
        """Sum of the penalties of every step."""
        step = Step(getattr(self.gan, player), real, fake, self._noise)
        always = (p for p in self.gan.penalties.of(player).values() if p.interval == 1)
        return sum(penalty.weight * penalty(step) for penalty in always)

    def _lazy_steps(self, player: str, samples: Samples) -> None:
        """An optimizer step for each lazy penalty that is due."""
        for penalty in self.gan.penalties.of(player).values():
            if penalty.interval == 1 or self.step % penalty.interval:
                continue
            self._optimizer(player).zero_grad()
            fake = self._generated() if player == "discriminator" else self._outputs(lambda: self._fake(1))
            step = Step(getattr(self.gan, player), self._outputs(lambda: samples), fake, self._noise)
            self._update(player, penalty.interval * penalty.weight * penalty(step))

    def _update(self, player: str, loss: Tensor) -> None:
        """Run the backward pass, take an optimizer step, and apply the constraints."""
        optimizer = self._optimizer(player)
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()
        if player == "discriminator":
            for constraint in self.gan.parts.constraints.values():
                constraint(self.gan.discriminator)

    def _optimizer(self, player: str) -> Optimizer:
        return self.d_optimizer if player == "discriminator" else self.g_optimizer

    def _generated(self) -> DiscriminatorOutputs:
        """Outputs for samples through which no gradient goes back."""
        with torch.no_grad(), self._autocast():
            samples = self._fake(1).computed()
        return self._outputs(lambda: samples)

    def _outputs(self, draw: Callable[[], Samples]) -> DiscriminatorOutputs:
        return DiscriminatorOutputs(
            self.gan.discriminator, draw, lambda samples: self.gan.augment(samples, self._noise)
        )

    def _fake(self, batches: int) -> Samples:
        count = batches * self.batch_size
        latents, condition = (
            self._latents(count),
            self.gan.condition.sample(Noise(self.step, count, device=self.device)),
        )
        return Samples(lambda: self.gan.generator(latents, condition).float(), condition, latents)

    def _latents(self, count: int) -> Tensor:
        draw = torch.randn if self.gan.latent.distribution == "normal" else torch.rand
        return draw(count, self.gan.latent.dim, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)


class BareD2GAN(BareLoop):
    """Bare training loop of a D2GAN, without penalties; for the arguments see `BareLoop`."""

    gan: D2GAN

    def _discriminator_step(self, real: DiscriminatorOutputs) -> None:
        fake = self._generated()
        self.d_optimizer.zero_grad()
        with self._autocast():
            loss = self._dual.first(real.logits, fake.logits)
            loss = loss + self._dual.second(self._second(real).logits, self._second(fake).logits)
        self._update("discriminator", loss)

    def _generator_step(self, real: DiscriminatorOutputs) -> None:
        discriminators = self.gan.players()["discriminator"].network.requires_grad_(False)
        self.g_optimizer.zero_grad()
        fake = self._outputs(lambda: self._fake(1))
        with self._autocast():
            loss = self._dual.generator(fake.logits, self._second(fake).logits)
        self._update("generator", loss)
        discriminators.requires_grad_(True)

    @property
    def _dual(self) -> Dual:
        return cast(Dual, self.gan.parts.loss)

    def _second(self, outputs: DiscriminatorOutputs) -> DiscriminatorOutputs:
        return outputs.with_discriminator(self.gan.second_discriminator)


def bare_loop(
    gan: AdversarialModule, batches: Batches, batch_size: int, device: torch.device, precision: str
) -> BareLoop | None:
    """Bare loop of an algorithm, or None if there is none for the algorithm or the precision; see `BareLoop`.

    Growing networks stay at their current stage. There is none for conditions from the data, such as source images.
    """
    kind = type(gan)
    if precision not in PRECISIONS or gan.condition.needs_batch or (kind is D2GAN and cast(D2GAN, gan).parts.penalties):
        return None
    loops: dict[type, type[BareLoop]] = {GAN: BareLoop, D2GAN: BareD2GAN}
    return loops[kind](cast(GAN, gan), batches, batch_size, device, precision) if kind in loops else None


def real_batches(data: TrainingData, batch_size: int, device: torch.device) -> Batches:
    """Endless real batches: float32 (n, C, H, W) in [-1, 1] or points (n, 2), with labels (n,) or None."""
    if isinstance(data, MixtureData):
        centers, std = torch.tensor(data.mixture.centers, device=device), data.mixture.std
        weights = data.mixture.weights.to(device)
        while True:
            modes = torch.multinomial(weights, batch_size, replacement=True)
            yield centers[modes] + std * torch.randn(batch_size, 2, device=device), modes
    loader: Any = data.train_dataloader()
    while isinstance(loader, MemoryLoader):
        images, labels = loader.data.images, loader.data.labels
        for index in torch.randperm(len(images), device=images.device).split(batch_size)[:-1]:
            yield images[index].to(device).float() / 127.5 - 1, None if labels is None else labels[index].to(device)
    while True:
        for batch in loader:
            label = batch.get("label")
            yield batch["image"].to(device).float() / 127.5 - 1, None if label is None else label.to(device)


def synchronize(device: torch.device) -> None:
    """Wait for pending work of a GPU; no effect on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
