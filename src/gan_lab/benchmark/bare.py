"""The loop that a user would write by hand: plain PyTorch over the same networks, losses, penalties and optimizers.

No Lightning, no averaged weights, no logging, no checkpoints, no seeded streams. What a framework costs is measured
against this.
"""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gan_lab.data.base import TrainingData
from gan_lab.data.loaders import MemoryLoader
from gan_lab.data.mixture_data import MixtureData
from gan_lab.gans.gan import GAN
from gan_lab.noise import Noise
from gan_lab.types import CriticStep

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class BareLoop:
    """Trains the two networks of a two-player game by hand.

    Args:
        gan: Whose networks, loss, penalties, constraints and optimizers are used.
        data: Where the batches come from.
        batch_size: Of both.
        device: Where it runs.
        precision: A key of `PRECISIONS`.
    """

    def __init__(self, gan: GAN, data: TrainingData, batch_size: int, device: torch.device, precision: str) -> None:
        self.gan = gan.to(device).train()
        self.device = device
        self.batch_size = batch_size
        self.dtype = PRECISIONS[precision]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.batches = _batches(data, batch_size, device)
        self.d_optimizer, self.g_optimizer = gan.configure_optimizers()
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
        real = next(self.batches)
        self._discriminator_step(real)
        if self.step % self.gan.n_critic == 0:
            self._generator_step()

    def _discriminator_step(self, real: Tensor) -> None:
        discriminator, generator = self.gan.discriminator, self.gan.generator
        self.d_optimizer.zero_grad()
        with self._autocast():
            with torch.no_grad():
                fake = generator(self._latents()).float()
            loss = self.gan.loss.discriminator(discriminator(real).float(), discriminator(fake).float())
        noise = Noise(self.step, self.batch_size, device=self.device)
        move = CriticStep(discriminator, real, lambda: fake, noise)
        for penalty in self.gan.penalties.values():
            if self.step % penalty.interval == 0:
                loss = loss + penalty.interval * penalty.weight * penalty(move)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.d_optimizer)
        self.scaler.update()
        for constraint in self.gan.constraints.values():
            constraint(discriminator)

    def _generator_step(self) -> None:
        self.gan.discriminator.requires_grad_(False)
        self.g_optimizer.zero_grad()
        with self._autocast():
            fakes = [self.gan.generator(self._latents()) for _ in range(self.gan.generator_batches)]
            loss = self.gan.loss.generator(self.gan.discriminator(torch.cat(fakes)).float())
        self.scaler.scale(loss).backward()
        self.scaler.step(self.g_optimizer)
        self.scaler.update()
        self.gan.discriminator.requires_grad_(True)

    def _latents(self) -> Tensor:
        draw = torch.randn if self.gan.latent.distribution == "normal" else torch.rand
        return draw(self.batch_size, self.gan.latent.dim, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)


def _batches(data: TrainingData, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Real batches for ever: float32 in [-1, 1], (n, C, H, W), or points (n, 2)."""
    if isinstance(data, MixtureData):
        centres, std = torch.tensor(data.mixture.centres, device=device), data.mixture.std
        while True:
            modes = torch.randint(len(centres), (batch_size,), device=device)
            yield centres[modes] + std * torch.randn(batch_size, 2, device=device)
    loader: Any = data.train_dataloader()
    while isinstance(loader, MemoryLoader):
        images = loader.data.images
        for index in torch.randperm(len(images), device=images.device).split(batch_size)[:-1]:
            yield images[index].to(device).float() / 127.5 - 1
    while True:
        for batch in loader:
            yield batch["image"].to(device).float() / 127.5 - 1


def synchronize(device: torch.device) -> None:
    """Wait for what was started on a GPU; on a CPU nothing is pending."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
