"""A hand-made game on points, small enough to compute by hand, and ways to run it."""

from collections.abc import Iterator

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import Wasserstein


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

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.layers(latents))


class Discriminator(nn.Module):
    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.output = nn.Linear(8, 1)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(samples)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)

    def forward(self, samples: Tensor) -> Tensor:
        return self.head(self.features(samples))


def sgd(rate: float = 0.1):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


def adam(rate: float = 0.01):
    return lambda parameters: torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.9))


def make_game(norm: bool = False, optimizer=None, **settings) -> GAN:
    """A two-player game from fixed initial weights."""
    torch.manual_seed(0)
    settings.setdefault("loss", Wasserstein())
    settings.setdefault("optimizers", {"generator": optimizer or sgd(), "discriminator": optimizer or sgd()})
    return GAN(Generator(norm), Discriminator(norm), Parts(latent=LatentPrior(3), **settings))


def train(
    game: GAN, batches: int, *callbacks: Callback, batch_size: int = 4, size: int = 8, **trainer_settings
) -> Trainer:
    """Train on the CPU for so many batches; an epoch has size / batch_size of them."""
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
    trainer.fit(game, DataLoader(Points(size), batch_size=batch_size))
    return trainer


def state(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


def steps_by_player(game: GAN) -> Iterator[tuple[str, list[int]]]:
    """Wraps each player's optimizer so that the batch numbers of its steps are noted."""
    for name, player in game.runner.players.items():
        noted: list[int] = []
        make = player.optimizer

        def counting(parameters, make=make, noted=noted):
            optimizer = make(parameters)
            optimizer.register_step_post_hook(lambda *_: noted.append(game.batches_seen))
            return optimizer

        object.__setattr__(player, "optimizer", counting)
        yield name, noted
