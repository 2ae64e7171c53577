"""Helpers of tests of GANs with more than two players: an encoder of points, and checks of what each update changes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import NonSaturating
from tests.helpers.points_gan import UpdateWatch, changed_keys, sgd, state, train

LATENT_DIM = 3


class Encoder(nn.Module):
    """Points (n, 2) to latents (n, 3)."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.output = nn.Linear(8, LATENT_DIM)

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(self.layers(samples))


def make_parts(*players: str, lr: float = 0.1, latent_dim: int = LATENT_DIM, **settings: Any) -> Parts:
    """Parts with plain gradient descent for generator, discriminator and additional players."""
    settings.setdefault("loss", NonSaturating())
    optimizers = {name: sgd(lr) for name in ("generator", "discriminator", *players)}
    return Parts(latent=LatentPrior(latent_dim), optimizers=optimizers, **settings)


def states(gan: GAN) -> dict[str, dict[str, Tensor]]:
    """Parameters and buffers of every player's network."""
    return {name: state(player.network) for name, player in gan.runner.players.items()}


def changes_per_update(gan: GAN, batches: int) -> list[tuple[str, dict[str, set[str]]]]:
    """The player and the changed keys of every player, for each update of `batches` batches; bit for bit."""
    watch = UpdateWatch(lambda: states(gan))
    train(gan, batches, profiler=watch)
    return [
        (player, {name: changed_keys(before[name], after[name]) for name in before})
        for player, before, after in watch.updates
    ]


def assert_each_updates_only_itself(gan: GAN, players: list[str], batches: int = 2) -> None:
    """Check that the players are updated in this order, and that each updates all of its weights and nothing else."""
    updates = changes_per_update(gan, batches)
    assert [player for player, _ in updates] == players * batches
    for player, changed in updates:
        for name, keys in changed.items():
            if name == player:
                parameters = {key for key, _ in gan.get_submodule(name).named_parameters()}
                assert all(key.endswith("bias") for key in parameters - keys), name  # batch norm cancels biases
            else:
                assert not keys, f"{player} changes {name}: {keys}"


def assert_micro_batches_make_no_difference(make: Callable[..., GAN]) -> None:
    """Check that two micro-batches give the update of one batch, without layers that mix samples."""
    one_batch, two_micro_batches = make(), make(accumulate=2)
    start = states(one_batch)
    train(one_batch, 2)
    train(two_micro_batches, 2)
    for name, a in states(one_batch).items():
        b = states(two_micro_batches)[name]
        assert changed_keys(start[name], a)
        for key in a:
            torch.testing.assert_close(a[key], b[key], atol=1e-6, rtol=0)
