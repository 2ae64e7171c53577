"""Penalties of any player of any algorithm: lazy penalties of the generator, and unknown players."""

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.regularizers.penalties import R1
from gan_lab.regularizers.weights import HistoricalAveraging
from gan_lab.training.fit import fit
from tests.gans.test_every_model import ON_POINTS
from tests.helpers.model_data import POINT_MODELS, small_data
from tests.helpers.points_gan import make_gan
from tests.helpers.representatives import MODELS


@pytest.mark.parametrize("penalty", [R1, HistoricalAveraging])
@pytest.mark.parametrize("player", ["critic", "encoder", "manifold_discriminator", ""])
def test_unknown_players_are_refused(player: str, penalty: type) -> None:
    sentence = f"^regularizer.own.player={player} is not a player of this algorithm; choose discriminator or generator$"
    with pytest.raises(ValueError, match=sentence):
        make_gan(penalties={"own": penalty(player=player)})


def test_the_refusal_names_the_players_of_the_algorithm(tiny) -> None:
    overrides = ("model=reg_gan", "regularizer=[orthogonal]", "regularizer.orthogonal.player=critic")
    with pytest.raises(ConfigError, match=r"player=critic .* choose discriminator or generator or encoder\.$"):
        build(tiny(*overrides))


# LAPGAN has a generator for each level, and no points: tests/gans/test_lapgan.py.
@pytest.mark.parametrize("model", [model for model in MODELS if model.values != ("lapgan",)])
def test_a_lazy_penalty_of_the_generator_works_in_every_model(model: str, tiny) -> None:
    """A separate update at every second update of the generator; only its optimizer is compensated."""
    data = ("dataset=ring", "architecture=mlp") if model in POINT_MODELS else small_data(model)
    points = (
        *data,
        "n_critic=1",
        "budget.images=32",
        "~callbacks.train_log",
        *ON_POINTS.get(model, ()),
        *(("regularizer=[r1_by_resolution]",) if model == "stylegan2" else ()),  # it has a lazy penalty of its own
    )
    target = "+regularizer.lazy._target_=gan_lab.regularizers.weights.Orthogonal"
    plain = build(tiny(f"model={model}", *points)).module
    module = fit(tiny(f"model={model}", *points, target, "+regularizer.lazy.interval=2")).module
    due = [number for number, record in enumerate(module.records, 1) if "generator/lazy" in record]
    assert due == [2, 4] and all(torch.isfinite(value).all() for value in module.parameters())
    lazy = [update for update in module.runner.updates if update.lazy and update.phase.player == "generator"]
    assert {(update.interval, update.gain) for update in lazy} == {(2, 2)}
    lrs = {}
    for each in (plain, module):
        lrs[each] = [player.optimizer().param_groups[0]["lr"] for player in each.runner.players.values()]
    factors = [1 / (1 + len(lazy) / 2) if name == "generator" else 1.0 for name in module.runner.players]
    assert lrs[module] == pytest.approx([lr * factor for lr, factor in zip(lrs[plain], factors, strict=True)])
