"""A small GAN on points, whose updates can be computed by hand, and helpers to train and watch it."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.profilers import Profiler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import Wasserstein
from gan_lab.noise import Noise, mix, name_hash


class Points(Dataset):
    """Fixed points in the plane as batches of gan_lab."""

    def __init__(self, count: int) -> None:
        self.points = torch.randn(count, 2, generator=torch.Generator().manual_seed(3))

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.points[index]}


class Generator(nn.Module):
    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.output = nn.Linear(8, 2)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(self.layers(latents))


class Discriminator(nn.Module):
    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.output = nn.Linear(8, 1)

    def features(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(samples)

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)

    def forward(self, samples: Tensor) -> Tensor:
        return self.head(self.features(samples))


def sgd(lr: float = 0.1):
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


def adam(lr: float = 0.01):
    return lambda parameters: torch.optim.Adam(parameters, lr=lr, betas=(0.5, 0.9))


def make_gan(norm: bool = False, optimizer=None, **settings) -> GAN:
    """A two-player GAN from fixed initial weights."""
    torch.manual_seed(0)
    settings.setdefault("loss", Wasserstein())
    settings.setdefault("optimizers", {"generator": optimizer or sgd(), "discriminator": optimizer or sgd()})
    return GAN(Generator(norm), Discriminator(norm), Parts(latent=LatentPrior(3), **settings))


def train(
    gan: GAN, batches: int, *callbacks: Callback, batch_size: int = 4, size: int = 8, **trainer_settings
) -> Trainer:
    """Train on the CPU for `batches` batches; an epoch has size / batch_size batches."""
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=batches,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        log_every_n_steps=1,
        **trainer_settings,
    )
    trainer.fit(gan, DataLoader(Points(size), batch_size=batch_size))
    return trainer


def state(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {key: value.clone() for key, value in network.state_dict().items()}


def equal_states(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def changed_keys(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


class StepCounter(Callback):
    """Records the batch number of every optimizer step, by player."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        for name in module.runner.players:
            if module.runner.optimizer(name) is getattr(optimizer, "optimizer", optimizer):
                self.steps.setdefault(name, []).append(module.batches_seen)


class UpdateWatch(Profiler):
    """A profiler that records the results of `read` before and after every update.

    Attributes:
        updates: Player, result before and result after, for each update.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        super().__init__()
        self.read = read
        self.updates: list[tuple[str, Any, Any]] = []
        self._before: Any = None

    def start(self, action_name: str) -> None:
        if action_name.startswith("phase/"):
            self._before = self.read()

    def stop(self, action_name: str) -> None:
        if action_name.startswith("phase/"):
            self.updates.append((action_name.removeprefix("phase/"), self._before, self.read()))


def noise_of(update: str, batch: int = 1, count: int = 4, seed: int = 0) -> Noise:
    """The random stream of an update, by its key, such as `generator` or `discriminator/r1`."""
    return Noise(mix(seed, batch, name_hash(update)), count)


def latents_of(update: str, batch: int = 1, count: int = 4, dim: int = 3) -> Tensor:
    """The latents (count, dim) of an update."""
    return noise_of(update, batch, count).child("latents").normal(dim)
