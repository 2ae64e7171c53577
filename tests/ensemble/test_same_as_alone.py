"""A member of an ensemble trains as it would alone, up to rounding, and leaves the same files."""

import csv
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from gan_lab.config.build import Experiment
from gan_lab.config.compose import compose
from gan_lab.ensemble.members import Member, train_together
from gan_lab.errors import TrainingError
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.state import STOPPED, read_state
from gan_lab.training.fit import fit

TINY = (
    "hardware=cpu", "metrics=[]", "latent.dim=4", "architecture.generator.width=8",
    "architecture.discriminator.width=8", "batch_size=16", "~callbacks.progress", "callbacks.sample_grids=null",
    "callbacks.collapse=null", "optimizer.generator.eps=1e-3", "optimizer.discriminator.eps=1e-3", "schedule=constant",
)  # fmt: skip
"""A large eps, since Adam otherwise divides small gradients, which are only rounding, by their own size."""

SILENT = ("logger=[]", "~callbacks.checkpoints", "~callbacks.environment")

METHODS = {
    "wgan_gp": ("n_critic=2", "regularizer.gradient_penalty.weight=1"),
    "d2gan": ("regularizer=[r1]", "regularizer.r1.interval=2", "clip_norm=0.05", "schedule=linear_decay"),
    "mgan": ("conditioning.generators=2",),
    "gan": ("+optimizer.generator.weight_decay=0.01", "wrapper/discriminator=[packing]"),
}
"""Methods with what only one of them has: gradients of gradients, lazy penalties, conditions, packs."""

OTHER_METHODS = ("gan", "wgan_gp", "minibatch_gan", "pacgan", "veegan", "reg_gan", "mdgan", "madgan", "best")


def config(folder: Path, method: str, seed: int, *overrides: str, batches: int = 6) -> DictConfig:
    arguments = (f"experiment=ring/{method}", *TINY, *METHODS.get(method, ()), f"budget.images={16 * batches}")
    return compose(*arguments, f"seed={seed}", f"run.dir={folder}/{seed}", *overrides)


def trained_together(configs: Sequence[DictConfig]) -> list[Member]:
    members = [Member(partial(fit, each)) for each in configs]
    train_together(members)
    for member in members:
        if member.error is not None and not isinstance(member.error, TrainingError):
            raise member.error
    return members


def largest_difference(one: Experiment, other: Experiment) -> float:
    weights = [
        torch.cat([value.flatten() for value in experiment.module.state_dict().values() if torch.is_tensor(value)])
        for experiment in (one, other)
    ]
    return (weights[0] - weights[1]).abs().max().item()


def trains_as_alone(folder: Path, method: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gan_lab.ensemble"):
        members = trained_together([config(folder / "together", method, seed, *SILENT) for seed in (0, 1)])
    assert not [record for record in caplog.records if record.name.startswith("gan_lab.ensemble")]  # not one by one
    for seed, member in enumerate(members):
        assert largest_difference(fit(config(folder / "alone", method, seed, *SILENT)), member.result) < 1e-5
    assert largest_difference(members[0].result, members[1].result) > 1e-2


@pytest.mark.parametrize("method", ["d2gan", "mgan"])
def test_trains_as_alone(method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trains_as_alone(tmp_path, method, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHER_METHODS)
def test_every_method_trains_as_alone(method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trains_as_alone(tmp_path, method, caplog)


def test_members_have_their_own_settings(tmp_path: Path) -> None:
    settings = (
        ("lr=1e-3", "lr=1e-2"),
        ("regularizer.gradient_penalty.weight=1", "regularizer.gradient_penalty.weight=9"),
    )
    own = [(*SILENT, lr, weight) for lr, weight in zip(*settings, strict=True)]
    members = trained_together([config(tmp_path, "wgan_gp", seed, *each) for seed, each in enumerate(own)])
    for seed, (member, each) in enumerate(zip(members, own, strict=True)):
        assert largest_difference(fit(config(tmp_path / "alone", "wgan_gp", seed, *each)), member.result) < 1e-5


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_files_are_those_of_a_run_alone_and_resume(tmp_path: Path) -> None:
    logged = ("callbacks.train_log.every_batches=2",)
    trained_together([config(tmp_path / "together", "gan", seed, *logged) for seed in (0, 1)])
    fit(config(tmp_path / "alone", "gan", 1, *logged))
    together, alone = (
        {str(file.relative_to(tmp_path / name / "1")): file for file in (tmp_path / name / "1").rglob("*")}
        for name in ("together", "alone")
    )
    assert together.keys() == alone.keys()
    checkpoint = "checkpoints/last.ckpt"
    assert together[checkpoint].stat().st_size < 1.05 * alone[checkpoint].stat().st_size
    assert together["config.yaml"].read_text() == alone["config.yaml"].read_text().replace("alone", "together")
    # Both continue alone, for two more batches.
    for name in ("together", "alone"):
        fit(config(tmp_path / name, "gan", 1, *logged, batches=8))
    ours, theirs = (rows(tmp_path / name / "1/metrics.csv") for name in ("together", "alone"))
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for key in filter(lambda key: key.startswith("train/"), one):
            assert float(one[key]) == pytest.approx(float(other[key]), abs=1e-5), key


def test_a_member_that_is_not_finite_ends_alone(tmp_path: Path) -> None:
    """With the error that it has alone; the others train as they do alone, also with one step less in the stack."""
    runs = [("0", "lr=1e-3"), ("1", "lr=1.0e+18"), ("2", "lr=1e-3")]

    def of(folder: str) -> list[DictConfig]:
        return [config(tmp_path / folder, "gan", int(seed), *SILENT, lr) for seed, lr in runs]

    members = trained_together(of("together"))
    assert [type(member.error) for member in members] == [type(None), TrainingError, type(None)]
    alone = of("alone")
    with pytest.raises(TrainingError) as error:
        fit(alone[1])
    assert str(members[1].error) == str(error.value)
    for number in (0, 2):
        assert largest_difference(fit(alone[number]), members[number].result) < 1e-5


def test_members_resume_at_different_images(tmp_path: Path) -> None:
    fit(config(tmp_path, "wgan_gp", 1, batches=3))
    members = trained_together([config(tmp_path, "wgan_gp", seed, batches=6) for seed in (0, 1)])
    for seed, member in enumerate(members):
        alone = fit(config(tmp_path / "alone", "wgan_gp", seed, batches=6))
        assert largest_difference(alone, member.result) < 1e-5


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("architecture.generator.norm=batch",), "BatchNorm1d of the generator has state"),
        (("architecture.discriminator.dropout=0.5",), "the discriminator has dropout"),
        (("regularizer=[lecam]",), "a regularizer has state"),
        (("accumulate=2",), "accumulate=2 is not 1"),
        (("+optimizer.generator.amsgrad=true",), "optimizer.generator is not Adam in its common form"),
    ],
)
def test_what_cannot_be_stacked_trains_alone(
    overrides: Sequence[str], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gan_lab.ensemble"):
        trained_together([config(tmp_path, "gan", 0, *SILENT, *overrides, batches=1)])
    assert f"This run trains alone: {reason}" in caplog.text


def test_a_loss_that_cannot_be_stacked_trains_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gan_lab.ensemble"):
        members = trained_together([config(tmp_path, "unrolled_gan", seed, *SILENT, batches=2) for seed in (0, 1)])
    assert "2 runs train one by one" in caplog.text
    alone = fit(config(tmp_path / "alone", "unrolled_gan", 1, *SILENT, batches=2))
    assert largest_difference(alone, members[1].result) == 0


def test_a_stop_signal_stops_all_members(tmp_path: Path) -> None:
    members = [Member(partial(fit, config(tmp_path, "gan", seed))) for seed in (0, 1)]
    train_together(members, stop_signal=lambda: 15)
    for member in members:
        assert member.result.module.interrupted == "SIGTERM"
        assert member.result.module.images_seen < 16 * 6


def test_a_second_interrupt_ends_all_members(tmp_path: Path) -> None:
    calls = iter(range(100))

    def interrupted() -> int:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return 0

    members = [Member(partial(fit, config(tmp_path, "gan", seed))) for seed in (0, 1)]
    with pytest.raises(KeyboardInterrupt):
        train_together(members, interrupted)
    for seed, member in enumerate(members):
        assert isinstance(member.error, KeyboardInterrupt)
        assert read_state(tmp_path / str(seed))["state"] == STOPPED


def test_launcher(command: Callable[..., Any], tmp_path: Path) -> None:
    overrides = (*TINY, "budget.images=32", "hydra.sweep.dir=sweep")
    outcome = command(
        "train", *overrides, "-m", "hydra/launcher=ensemble", "experiment=ring/gan,ring/d2gan", "seed=0,1"
    )
    assert outcome.status == 0, outcome.err
    printed = outcome.out + outcome.err
    assert "Runs 0, 1 train at once." in printed and "Runs 2, 3 train at once." in printed
    assert "one by one" not in printed
    for number in range(4):
        run = RunFolder(tmp_path / "sweep" / str(number))
        assert run.config["seed"] == number % 2
        assert run.rows[-1]["progress/images_seen"] == 32
