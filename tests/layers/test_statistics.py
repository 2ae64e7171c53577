"""Layers that keep statistics: their buffers, restoration for players not updated, and averages over processes."""

from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from gan_lab.gans.gan import GAN
from gan_lab.layers.statistics import keeps_statistics, statistics_buffers
from gan_lab.layers.style_mapping import StyleMapping
from tests.helpers.player_updates import make_parts
from tests.helpers.points_gan import Discriminator, Generator, UpdateWatch, changed_keys, state, train


class MeanOfInputs(nn.Module):
    """Identity with a moving average of inputs, a count, and a constant buffer in a child."""

    keeps_statistics = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.constant = nn.Module()
        self.constant.register_buffer("value", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.detach().mean(0), 0.1)
            self.batches += 1
        return x


def test_layers_that_keep_statistics() -> None:
    assert keeps_statistics(nn.BatchNorm1d(2)) and keeps_statistics(MeanOfInputs())
    others = (nn.BatchNorm1d(2, track_running_stats=False), nn.InstanceNorm1d(2), nn.LayerNorm(2), nn.Linear(2, 2))
    assert not any(keeps_statistics(layer) for layer in others)


def test_statistics_buffers() -> None:
    norm, own = nn.BatchNorm1d(2), MeanOfInputs()
    found = statistics_buffers(nn.Sequential(norm, nn.Sequential(own), nn.LayerNorm(2)))
    expected = [norm.running_mean, norm.running_var, norm.num_batches_tracked, own.mean, own.batches]
    assert [id(buffer) for buffer in found] == [id(buffer) for buffer in expected]  # without children's buffers


def make() -> GAN:
    networks = Generator(), Discriminator()
    for network in networks:
        network.layers.append(MeanOfInputs())
    return GAN(*networks, make_parts())


def test_statistics_of_other_players_are_restored() -> None:
    gan = make()
    watch = UpdateWatch(lambda: [state(gan.discriminator), state(gan.generator)])
    train(gan, 3, profiler=watch)
    for player, before, after in watch.updates:
        discriminator, generator = map(changed_keys, before, after)
        own, other = (discriminator, generator) if player == "discriminator" else (generator, discriminator)
        assert {"layers.3.mean", "layers.3.batches"} <= own and not other
    assert gan.discriminator.layers[3].batches == 6 and gan.generator.layers[3].batches == 3


def test_statistics_of_all_updates() -> None:
    """Those of StyleGAN2's average style also count the passes in which the discriminator's samples are generated."""
    assert StyleMapping.keeps_statistics and StyleMapping.counts_all_updates
    gan = make()
    gan.generator.layers[3].counts_all_updates = True
    watch = UpdateWatch(lambda: [state(gan.discriminator), state(gan.generator)])
    averaged: list[list[int]] = []

    class Asking(Callback):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            averaged.append([tensor.data_ptr() for tensor in module.runner.tensors_to_average()])

    train(gan, 3, Asking(), profiler=watch)
    for player, before, after in watch.updates:
        discriminator, generator = map(changed_keys, before, after)
        assert {"layers.3.mean", "layers.3.batches"} <= generator
        assert ("layers.3.mean" in discriminator) == (player == "discriminator")
    assert gan.generator.layers[3].batches == 6
    assert len(averaged) == 6 and all(gan.generator.layers[3].mean.data_ptr() in found for found in averaged)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_processes_average_floating_point_values(player: str) -> None:
    """Gradients and the mean of the updated player; a count is not averaged."""
    found: dict[str, list[int]] = {}

    class Asking(Callback):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            name = next(n for n in module.runner.players if module.runner.optimizer(n) is optimizer)
            found[name] = [tensor.data_ptr() for tensor in module.runner.tensors_to_average()]

    gan = make()
    train(gan, 1, Asking())
    network = getattr(gan, player)
    assert network.layers[3].mean.data_ptr() in found[player]
    assert network.layers[3].batches.data_ptr() not in found[player]
    assert len(found[player]) == len(list(network.parameters())) + 1
