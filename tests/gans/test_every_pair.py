"""Short runs that cover all pairs of choices of model, loss, regularizer, conditioning, augmentation and precision.

A run ends with changed, finite weights, or stops with a message; this file lists the combinations that are refused.
Pairs of all choices are tried with two-player models of samples from latents; every other model with each choice.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product

import pytest
import torch

from gan_lab.config.build import Experiment, build
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.gans.catalog import CATALOG, TWO_PLAYER
from tests.helpers.model_data import POINT_MODELS, TRANSLATION_MODELS, small_data


def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


FACTORS = {
    "model": [entry.name for entry in CATALOG if entry.algorithm == TWO_PLAYER and entry.name in POINT_MODELS],
    "loss": [loss for loss in choices("loss") if loss != "dual"],  # needs two discriminators
    "regularizer": ["", *(name for name in choices("regularizer") if name != "l1")],  # needs pairs of images, too
    "conditioning": [name for name in choices("conditioning") if name != "source_image"],  # needs pairs of images
    "augment": choices("augment"),
    "precision": ["32-true", "bf16-mixed"],
}
Combination = dict[str, str]
Pair = frozenset[tuple[str, str]]


def pairs(combination: Combination) -> set[Pair]:
    return {frozenset(pair) for pair in combinations(combination.items(), 2)}


def every_pair(factors: dict[str, list[str]]) -> Iterator[Combination]:
    """Combinations that cover all pairs of values of two factors; a deterministic greedy selection."""
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
                chosen[factor] = max(factors[factor], key=lambda v: (gain[v], -used[factor, v]))  # ties: the least used
        used.update(chosen.items())
        for pair in pairs(chosen):
            missing.pop(pair, None)
        yield chosen


COMBINATIONS = list(every_pair(FACTORS))
REPRESENTATIVES = {"gan", "wgan_gp", "improved_gan", "pacgan", "infogan", "mgan", "sngan", "msg_gan", "r3gan"}
"""Models with the most different parts; the combinations of the others run with `make slow`."""
CASES = [
    pytest.param(
        c, marks=[] if c["model"] in REPRESENTATIVES else pytest.mark.slow, id="-".join(v or "none" for v in c.values())
    )
    for c in COMBINATIONS
]

SMALLEST = {
    "sagan": ("architecture.generator.attention_divisor=2", "architecture.discriminator.attention_divisor=2"),
    "biggan": ("dataset.resolution=32",),
    "biggan_deep": ("dataset.resolution=32",),
}
"""Overrides that a model needs at, or instead of, 16 pixels."""

PER_SAMPLE = {"gradient_penalty", "divergence_penalty", "r1", "r1_lazy", "r1_by_resolution", "r2", "r1_r2", "dragan"}
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
    "infogan",
    "mgan",
    "madgan",
}
SEVERAL_GENERATORS = {"multi_generator", "multi_agent"}
WITHOUT_OWN_LAYERS = {"pggan", "msg_gan", "stylegan2", "r3gan", "biggan", "biggan_deep"}
NO_BATCH_NORM_IN_GENERATOR = {"gan", "pggan", "msg_gan", "r3gan", "stylegan2"}


def expected_refusals(c: Combination) -> list[str]:
    """Text that the message must contain one of."""
    reasons = []
    if c["regularizer"] in PER_SAMPLE and c["model"] in BATCH_NORM_IN_DISCRIMINATOR:
        reasons.append("mixes the samples")
    if c["model"] == "improved_gan" and c["loss"].startswith("relativistic"):
        reasons.append("label_smoothing needs")
    if c["augment"] == "ada" and c["loss"] in ONLY_DIFFERENCES:
        reasons.append("augment=ada")
    if c["model"] == "pacgan" and c["conditioning"] not in ("none", "concat"):
        reasons.append("packing")
    if c["conditioning"] == "mapping" and c["model"] not in ("stylegan2", "r3gan"):
        reasons.append("set architecture=stylegan2")
    if c["conditioning"] == "projection" and c["model"] in NO_BATCH_NORM_IN_GENERATOR:
        reasons.append("generator.norm=batch")
    if c["model"] == "msg_gan" and (c["augment"] != "none" or "consistency" in c["regularizer"]):
        reasons.append("use all scales")
    if c["regularizer"] == "path_length" and c["model"] not in NO_BATCH_NORM_IN_GENERATOR:
        reasons.append("mixes the samples")
    if c["conditioning"] in SEVERAL_GENERATORS and c["model"] in WITHOUT_OWN_LAYERS:
        reasons.append("does not name its")
    if c["model"] == "improved_gan" and c["conditioning"] in {"codes", *SEVERAL_GENERATORS}:
        reasons.append("another condition")
    return reasons


def test_all_pairs_are_covered() -> None:
    covered = set().union(*(pairs(c) for c in COMBINATIONS))
    assert len(covered) == sum(len(FACTORS[a]) * len(FACTORS[b]) for a, b in combinations(FACTORS, 2))


def hinge_is_zero(module) -> bool:
    """True if the loss is a hinge and was 0 for the discriminator on all batches."""
    losses = [value for record in module.records for value in record["discriminator/adversarial"]]
    return "Hinge" in type(module.parts.loss).__name__ and not any(losses)


@pytest.mark.parametrize("combination", CASES)
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
    assert_trains(build(cfg))


def assert_trains(experiment: Experiment) -> None:
    """The run changes most weights of the generator and the discriminator, and all numbers stay finite."""
    module = experiment.module
    before = {key: value.clone() for key, value in module.named_parameters()}
    experiment.trainer.fit(module, datamodule=experiment.data)
    after = dict(module.named_parameters())
    assert all(torch.isfinite(value).all() for value in after.values())
    for player in ("generator", "discriminator"):
        changed = [not torch.equal(after[key], before[key]) for key in after if key.startswith(f"{player}.")]
        assert sum(changed) >= len(changed) / 2 or (player == "discriminator" and hinge_is_zero(module)), player
    assert all(torch.isfinite(value) for record in module.records for values in record.values() for value in values)


OTHER_MODELS = [entry.name for entry in CATALOG if entry.name not in FACTORS["model"]]
CHOICES = [
    *(f"loss={name}" for name in choices("loss")),
    *(f"regularizer=[{name}]" for name in choices("regularizer")),
    *(f"conditioning={name}" for name in choices("conditioning")),
    *(f"augment={name}" for name in choices("augment")),
    "hardware.precision=bf16-mixed",
]
QUICK = {
    "loss=hinge",
    "regularizer=[top_k]",
    "conditioning=codes",
    "conditioning=multi_generator",
    "augment=diffaugment",
}
"""Choices that are tried in every run of the tests; all others with `make slow`."""

TWO_DISCRIMINATORS = {"d2gan", "d2gan_dfm"}
NO_BATCH_NORM_IN_DISCRIMINATOR = {"semi_supervised", "lapgan", "cyclegan"}
CONDITIONS_OF_LABELS = {"auxiliary_classifier", "concat", "if_labeled", "none", "projection", "shared_embedding"}
CONDITIONINGS = {
    "semi_supervised": {"none"},
    "lapgan": {"none", "mapping"},
    "reg_gan": CONDITIONS_OF_LABELS,
    "mdgan": CONDITIONS_OF_LABELS,
    "pix2pix": {"source_image"},
    "cyclegan": {"source_image"},
}
"""Those that a model trains with; by default those of labels, of codes and of several generators."""


def expected_refusal(model: str, key: str, choice: str) -> str | None:
    """Text that the message must contain, or None if the model trains with this choice."""
    refusals = {
        "loss": refusal_of_loss, "regularizer": refusal_of_regularizer, "conditioning": refusal_of_conditioning
    }  # fmt: skip
    if key in refusals:
        return refusals[key](model, choice)
    return "adapts to one discriminator" if (model, choice) == ("lapgan", "ada") else None


def refusal_of_loss(model: str, loss: str) -> str | None:
    if (model in TWO_DISCRIMINATORS) != (loss == "dual"):
        return "loss=dual"
    return "zero-sum" if model == "unrolled_gan" and loss not in ("minimax", "wasserstein") else None


def refusal_of_regularizer(model: str, regularizer: str) -> str | None:
    if regularizer == "l1":
        return None if model == "pix2pix" else "same sources"
    if regularizer == "path_length":
        return "regularizer=path_length"
    if regularizer == "top_k" and model in ("unrolled_gan", "bigan", *TRANSLATION_MODELS):
        return "regularizer=top_k"
    return "mixes the samples" if regularizer in PER_SAMPLE and model not in NO_BATCH_NORM_IN_DISCRIMINATOR else None


def refusal_of_conditioning(model: str, conditioning: str) -> str | None:
    allowed = CONDITIONINGS.get(model, {*CONDITIONS_OF_LABELS, "codes", *SEVERAL_GENERATORS})
    if conditioning in allowed:
        return None
    rules = [
        (conditioning == "source_image", "needs a data set with a source"),
        (conditioning == "multi_generator" and model == "semi_supervised", "set conditioning=none"),
        (conditioning in SEVERAL_GENERATORS and model not in ("reg_gan", "mdgan"), "does not name its"),
        (model in TRANSLATION_MODELS, "source_image"),
        (model == "lapgan", "norm=batch" if conditioning == "projection" else "conditioning=none or mapping"),
        (conditioning == "mapping", "set architecture=stylegan2"),
        (model == "semi_supervised", "set conditioning=none"),
        (True, "reconstructs real samples"),
    ]
    return next(text for applies, text in rules if applies)


@pytest.mark.parametrize("model", OTHER_MODELS)
@pytest.mark.parametrize("choice", [pytest.param(c, marks=[] if c in QUICK else pytest.mark.slow) for c in CHOICES])
def test_other_models_train_or_refuse_each_choice(model: str, choice: str, tiny) -> None:
    key, _, value = choice.partition("=")
    reason = expected_refusal(model, key, value.strip("[]"))
    if (model, key) == ("semi_supervised", "regularizer"):
        choice = choice.replace("[", "[feature_matching,")  # its generator has no other term
    overrides = (f"model={model}", *small_data(model), choice, "n_critic=1", "generator_batches=1", "budget.images=24")
    if reason is None:
        assert_trains(build(tiny(*overrides)))
        return
    with pytest.raises(ConfigError) as refusal:
        experiment = build(tiny(*overrides))
        experiment.trainer.fit(experiment.module, datamodule=experiment.data)  # some need the shape of logits
    assert reason in str(refusal.value)
    assert str(refusal.value).endswith(".") and ".\n" not in str(refusal.value)
