"""The loop that a user would write by hand: plain PyTorch over the same networks, losses, penalties and optimizers.

No Lightning, no averaged weights, no logging, no checkpoints, no seeded streams. What a framework costs is measured
against this.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor

from gan_lab.data.base import TrainingData
from gan_lab.data.loaders import MemoryLoader
from gan_lab.data.mixture_data import MixtureData
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.d2gan import D2GAN
from gan_lab.gans.gan import GAN
from gan_lab.layers.spectral_norm import power_iterations
from gan_lab.noise import Noise
from gan_lab.types import Judged, Step

Batches = Iterator[tuple[Tensor, Tensor | None]]
"""Real samples, float32 in [-1, 1] or points, and their labels, int64 (n,), where there are any."""

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class BareLoop:
    """Trains the two networks of a two-player game by hand.

    Args:
        gan: Whose networks, loss, penalties, constraints and optimizers are used.
        batches: Real images and their labels, as from `real_batches`.
        batch_size: Images in each.
        device: Where it runs.
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
        self.d_optimizer, self.g_optimizer = gan.configure_optimizers()
        self.iterations = {
            "discriminator": power_iterations(gan.discriminator),
            "generator": power_iterations(gan.generator),
        }
        self.step = 0

    def run(self, seconds: float, warmup: int) -> float:
        """Train for about `seconds` after `warmup` batches; returns real images per second."""
        for _ in range(warmup):
            self.train_step()
        synchronize(self.device)
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            self.train_step()
            steps += 1
        synchronize(self.device)
        return steps * self.batch_size / (time.perf_counter() - start)

    def train_step(self) -> None:
        """One batch: a move of the discriminator and, when it is due, one of the generator."""
        self.step += 1
        image, label = next(self.batches)
        image = self.gan.prepare({"image": image})["image"]
        self._noise = Noise(self.step, self.batch_size, device=self.device)
        labels = self.gan.labels.of(label)
        self._discriminator_step(self._judged(lambda: (image, labels)))
        if self.step % self.gan.parts.n_critic == 0:
            self._generator_step(self._judged(lambda: (image, labels)))

    def _discriminator_step(self, real: Judged) -> None:
        with torch.no_grad(), self._autocast():
            samples, labels = self._fake(1)
        fake = self._judged(lambda: (samples.float(), labels))
        for iterate in self.iterations["discriminator"]:
            iterate()
        self.d_optimizer.zero_grad()
        with self._autocast():
            loss = self.gan.parts.loss.discriminator(real.logits, fake.logits)
        self._finish("discriminator", loss, real, fake)
        for constraint in self.gan.parts.constraints.values():
            constraint(self.gan.discriminator)

    def _generator_step(self, real: Judged) -> None:
        gan = self.gan
        gan.discriminator.requires_grad_(False)
        for iterate in self.iterations["generator"]:
            iterate()
        self.g_optimizer.zero_grad()
        fake = self._judged(lambda: self._fake(gan.parts.generator_batches))
        with self._autocast():
            relative = [real.logits.repeat(gan.parts.generator_batches)] if gan.parts.loss.relative else []
            loss = gan.parts.adversarial_weight * gan.parts.loss.generator(fake.logits, *relative)
        self._finish("generator", loss, real, fake)
        gan.discriminator.requires_grad_(True)

    def _finish(self, player: str, loss: Tensor, real: Judged, fake: Judged) -> None:
        """Add the penalties that are due, differentiate, and step."""
        move = Step(getattr(self.gan, player), real, fake, self._noise)
        for penalty in self.gan.penalties.values():
            if penalty.player == player and self.step % penalty.interval == 0:
                loss = loss + penalty.interval * penalty.weight * penalty(move)
        optimizer = self.d_optimizer if player == "discriminator" else self.g_optimizer
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()

    def _judged(self, draw: Callable[[], tuple[Tensor, Tensor | None]]) -> Judged:
        return Judged(self.gan.discriminator, draw, lambda samples: self.gan.augment(samples, self._noise))

    def _fake(self, batches: int) -> tuple[Tensor, Tensor | None]:
        count, classes = batches * self.batch_size, self.gan.labels.num_classes
        labels = torch.randint(classes, (count,), device=self.device) if classes else None
        return self.gan.generator(self._latents(count), labels), labels

    def _latents(self, count: int) -> Tensor:
        draw = torch.randn if self.gan.latent.distribution == "normal" else torch.rand
        return draw(count, self.gan.latent.dim, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)


class BareD2GAN(BareLoop):
    """Trains the three networks of a D2GAN by hand, without penalties; for the arguments see `BareLoop`."""

    gan: D2GAN

    def _discriminator_step(self, real: Judged) -> None:
        with torch.no_grad(), self._autocast():
            samples, labels = self._fake(1)
        fake = self._judged(lambda: (samples.float(), labels))
        self.d_optimizer.zero_grad()
        with self._autocast():
            loss = self.gan.dual.first(real.logits, fake.logits)
            loss = loss + self.gan.dual.second(self._second(real).logits, self._second(fake).logits)
        self._finish("discriminator", loss, real, fake)

    def _generator_step(self, real: Judged) -> None:
        judges = self.gan.judges().requires_grad_(False)
        self.g_optimizer.zero_grad()
        fake = self._judged(lambda: self._fake(1))
        with self._autocast():
            loss = self.gan.dual.generator(fake.logits, self._second(fake).logits)
        self._finish("generator", loss, real, fake)
        judges.requires_grad_(True)

    def _second(self, judged: Judged) -> Judged:
        return Judged(self.gan.second_discriminator, lambda: (judged.samples, judged.labels))


def bare_loop(
    gan: AdversarialModule, batches: Batches, batch_size: int, device: torch.device, precision: str
) -> BareLoop | None:
    """The bare loop of a game, or None where none is written for it or for the precision; see `BareLoop`.

    Networks that grow stay at the stage in which they are.
    """
    kind = type(gan)
    if precision not in PRECISIONS or (kind is D2GAN and cast(D2GAN, gan).penalties):
        return None
    loops: dict[type, type[BareLoop]] = {GAN: BareLoop, D2GAN: BareD2GAN}
    return loops[kind](cast(GAN, gan), batches, batch_size, device, precision) if kind in loops else None


def real_batches(data: TrainingData, batch_size: int, device: torch.device) -> Batches:
    """Real batches for ever: float32 in [-1, 1], (n, C, H, W), or points (n, 2); and their labels (n,), if there are any."""
    if isinstance(data, MixtureData):
        centres, std = torch.tensor(data.mixture.centres, device=device), data.mixture.std
        while True:
            modes = torch.randint(len(centres), (batch_size,), device=device)
            yield centres[modes] + std * torch.randn(batch_size, 2, device=device), modes
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
    """Wait for what was started on a GPU; on a CPU nothing is pending."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
