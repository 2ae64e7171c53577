"""Every two choices of model, loss, regularizer, conditioning, augmentation and precision meet in some short run.

A run ends with finite weights that have moved, or is refused in a sentence, and which are refused is written down here.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.gans.catalogue import CATALOGUE, TWO_PLAYER


def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


FACTORS = {
    "model": [entry.name for entry in CATALOGUE if entry.game == TWO_PLAYER],
    "loss": [loss for loss in choices("loss") if loss != "dual"],  # of two discriminators
    "regularizer": ["", *choices("regularizer")],
    "conditioning": choices("conditioning"),
    "augment": choices("augment"),
    "precision": ["32-true", "bf16-mixed"],
}
Combination = dict[str, str]
Pair = frozenset[tuple[str, str]]


def pairs(combination: Combination) -> set[Pair]:
    return {frozenset(pair) for pair in combinations(combination.items(), 2)}


def every_pair(factors: dict[str, list[str]]) -> Iterator[Combination]:
    """Few combinations that together hold every pair of values of two factors; greedy, always the same."""
    missing = {
        frozenset(((a, x), (b, y))): None
        for a, b in combinations(factors, 2)
        for x, y in product(factors[a], factors[b])
    }
    used: Counter[tuple[str, str]] = Counter()
    while missing:
        chosen = dict(sorted(next(iter(missing))))
        for factor in factors:
            if factor not in chosen:
                gain = {v: len(pairs({**chosen, factor: v}) & missing.keys()) for v in factors[factor]}
                chosen[factor] = max(factors[factor], key=lambda v: (gain[v], -used[factor, v]))  # of equals the rarest
        used.update(chosen.items())
        for pair in pairs(chosen):
            missing.pop(pair, None)
        yield chosen


COMBINATIONS = list(every_pair(FACTORS))

SMALLEST = {
    "sagan": ("architecture.generator.attention_divisor=2", "architecture.discriminator.attention_divisor=2"),
    "biggan": ("dataset.resolution=32",),
    "biggan_deep": ("dataset.resolution=32",),
}
"""What a model needs in the place of, or at, 16 pixels."""

PER_SAMPLE = {"gradient_penalty", "divergence_penalty", "r1", "r2", "r1_r2", "dragan"}
ONLY_DIFFERENCES = {"wasserstein", "relativistic", "relativistic_average_hinge"}
BATCH_NORM_IN_DISCRIMINATOR = {
    "dcgan",
    "lsgan",
    "wgan",
    "minibatch_gan",
    "improved_gan",
    "pacgan",
    "cgan",
    "acgan",
    "ragan",
}
NO_BATCH_NORM_IN_GENERATOR = {"gan", "pggan", "msg_gan", "r3gan"}


def expected_refusals(c: Combination) -> list[str]:
    """What the sentence must say, for each reason there is."""
    reasons = []
    if c["regularizer"] in PER_SAMPLE and c["model"] in BATCH_NORM_IN_DISCRIMINATOR:
        reasons.append("mixes the samples")
    if c["model"] == "improved_gan" and c["loss"].startswith("relativistic"):
        reasons.append("label_smoothing needs")
    if c["augment"] == "ada" and c["loss"] in ONLY_DIFFERENCES:
        reasons.append("augment=ada")
    if c["model"] == "pacgan" and c["conditioning"] not in ("none", "concat"):
        reasons.append("packing")
    if c["conditioning"] == "projection" and c["model"] in NO_BATCH_NORM_IN_GENERATOR:
        reasons.append("generator.norm=batch")
    if c["model"] == "msg_gan" and (c["augment"] != "none" or "consistency" in c["regularizer"]):
        reasons.append("at all scales")
    return reasons


def test_every_pair_is_there() -> None:
    covered = set().union(*(pairs(c) for c in COMBINATIONS))
    assert len(covered) == sum(len(FACTORS[a]) * len(FACTORS[b]) for a, b in combinations(FACTORS, 2))


def sure(module) -> bool:
    """Whether a hinge had nothing left to teach the discriminator, on any batch."""
    losses = [value for record in module.records for value in record["discriminator/adversarial"]]
    return "Hinge" in type(module.parts.loss).__name__ and not any(losses)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda c: "-".join(v or "none" for v in c.values()))
def test_trains_or_is_refused(combination: Combination, tiny) -> None:
    c = combination
    cfg = tiny(
        f"model={c['model']}", f"loss={c['loss']}", f"regularizer=[{c['regularizer']}]",
        f"conditioning={c['conditioning']}", f"augment={c['augment']}", f"hardware.precision={c['precision']}",
        "dataset.resolution=16", *SMALLEST.get(c["model"], ()), "n_critic=1", "generator_batches=1", "budget.images=24",
    )  # fmt: skip
    reasons = expected_refusals(c)
    if reasons:
        with pytest.raises(ConfigError) as refusal:
            build(cfg)
        assert any(reason in str(refusal.value) for reason in reasons)
        assert str(refusal.value).count(".\n") == 0 and str(refusal.value).endswith(".")
        return
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    module = fit(cfg).module
    after = dict(module.named_parameters())
    assert all(torch.isfinite(value).all() for value in after.values())
    for player in ("generator", "discriminator"):
        moved = [not torch.equal(after[key], before[key]) for key in after if key.startswith(f"{player}.")]
        assert sum(moved) >= len(moved) / 2 or (player == "discriminator" and sure(module)), player
    assert all(torch.isfinite(value) for record in module.records for values in record.values() for value in values)
