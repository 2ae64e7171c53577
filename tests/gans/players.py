"""What tests of games with more than two players share: an encoder for the hand-made game, and watching who moves."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import NonSaturating
from tests.gans.game import moved, sgd, state, train

LATENT_DIM = 3


class Encoder(nn.Module):
    """Points (n, 2) to latents (n, 3)."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.output = nn.Linear(8, LATENT_DIM)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.layers(samples))


def make_parts(*players: str, rate: float = 0.1, latent_dim: int = LATENT_DIM, **settings: Any) -> Parts:
    """Parts with plain gradient descent for generator, discriminator and further players."""
    settings.setdefault("loss", NonSaturating())
    optimizers = {name: sgd(rate) for name in ("generator", "discriminator", *players)}
    return Parts(latent=LatentPrior(latent_dim), optimizers=optimizers, **settings)


def states(game: GAN) -> dict[str, dict[str, Tensor]]:
    """Parameters and buffers of every network that plays."""
    others = {"generator_ema", "augment"}
    return {name: state(network) for name, network in game.named_children() if name not in others and state(network)}


def changes(game: GAN, batches: int) -> list[tuple[str, dict[str, set[str]]]]:
    """For every move of some batches the player, and what changed by network, bit for bit."""
    play, noted = game.runner._move, []

    def watched(phase: Any, *rest: Any, **named: Any) -> None:
        before = states(game)
        play(phase, *rest, **named)
        after = states(game)
        noted.append((phase.player, {name: moved(before[name], after[name]) for name in before}))

    game.runner._move = watched
    train(game, batches)
    return noted


def assert_each_moves_itself(game: GAN, players: list[str], batches: int = 2) -> None:
    """The players move in this order, each all of its weights, and nothing but itself."""
    played = changes(game, batches)
    assert [player for player, _ in played] == players * batches
    for player, changed in played:
        for name, keys in changed.items():
            if name == player:
                parameters = {key for key, _ in game.get_submodule(name).named_parameters()}
                assert all(key.endswith("bias") for key in parameters - keys), name  # a batch norm may undo a bias
            else:
                assert not keys, f"{player} moves {name}: {keys}"


def assert_micro_batches_make_no_difference(make: Callable[..., GAN]) -> None:
    """Without layers that mix samples, two micro-batches are as good as one batch."""
    whole, halves = make(), make(accumulate=2)
    start = states(whole)
    train(whole, 2)
    train(halves, 2)
    for name, a in states(whole).items():
        b = states(halves)[name]
        assert moved(start[name], a)
        for key in a:
            torch.testing.assert_close(a[key], b[key], atol=1e-6, rtol=0)
