"""A run that meets trouble ends with a sentence, or goes back and goes on with lower rates."""

import json
from pathlib import Path

import pytest
import torch

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.config.run_folders import read_state
from gan_lab.errors import TrainingError
from gan_lab.gans.gan import GAN
from tests.conftest import TINY
from tests.jointly import in_two_processes

WORDS = [word for word in TINY if word not in ("~callbacks.checkpoints", "~callbacks.collapse")]
RUN = ("dataset.resolution=8", "budget.images=160", "callbacks.checkpoints.every_images=32", "lr=1e-3")


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """From 80 images on the loss is no number, as long as a rate is above the first entry; the rates that met it follow."""
    whole, noted = GAN.discriminator_loss, [0.0]

    def spoiled(self, real, fake):
        rate = self.runner.optimizer("discriminator").param_groups[0]["lr"]
        if self.images_seen >= 80 and rate > noted[0]:
            noted.append(rate)
            return real.mean() * float("nan")
        return whole(self, real, fake)

    monkeypatch.setattr(GAN, "discriminator_loss", spoiled)
    return noted


def test_goes_back_and_on_with_lower_rates(trouble, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bit for bit what the same checkpoint makes when it is given the lower rate by hand."""
    trouble[0] = 0.3e-3
    experiment = fit(compose(*WORDS, *RUN, "on_non_finite=rollback", f"run.dir={tmp_path}/run"))
    assert trouble[1:] == [1e-3, 0.5e-3] and experiment.module.images_seen == 160
    assert [r.message for r in caplog.records if "Rollback" in r.message] == [
        "Rollback 1: the run goes on from 64 images with 0.5 times the rates.",
        "Rollback 2: the run goes on from 64 images with 0.25 times the rates.",
    ]
    assert experiment.module.runner.optimizer("generator").param_groups[0]["lr"] == 0.25e-3
    assert read_state(tmp_path / "run")["state"] == "finished"

    fit(compose(*WORDS, *RUN, "callbacks.budget.images=64", f"run.dir={tmp_path}/first"))
    by_hand = (*RUN[:-1], "lr=0.25e-3", "allow_changes=true", f"resume={tmp_path}/first")
    other = fit(compose(*WORDS, *by_hand, f"run.dir={tmp_path}/second"))
    for (key, a), (_, b) in zip(experiment.module.named_parameters(), other.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key


def test_lower_rates_stay_in_the_checkpoints_under_a_schedule(trouble, tmp_path: Path) -> None:
    trouble[0] = 0.35e-3  # met at half of the run, with half of the rate
    decay = ("schedule=linear_decay",)
    words = (*WORDS, *RUN, *decay, "on_non_finite=rollback")
    fit(compose(*words, f"run.dir={tmp_path}"))
    assert trouble[1:] == pytest.approx([0.55e-3])  # of the batch before
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert [state["param_groups"][0]["initial_lr"] for state in checkpoint["optimizer_states"]] == [0.5e-3] * 2


def test_gives_up_after_so_many_times(trouble, tmp_path: Path) -> None:
    words = ("on_non_finite=rollback", "rollback.times=2", "rollback.rate=0.1", f"run.dir={tmp_path}")
    with pytest.raises(TrainingError) as stopped:
        fit(compose(*WORDS, *RUN, *words))
    assert trouble[1:] == pytest.approx([1e-3, 1e-4, 1e-5])
    assert str(stopped.value) == (
        "Training stopped, for the discriminator's term adversarial is nan (batch 11, 80 images seen): nobody has moved by it. "
        f"The last good checkpoint is {tmp_path}/checkpoints/images_0000000064.ckpt, after 64 images; it has gone back 2 times, "
        "as rollback.times allows."
    )


def test_before_the_first_checkpoint_there_is_none_to_name(trouble, tmp_path: Path) -> None:
    rare = "callbacks.checkpoints.every_images=1000"
    with pytest.raises(TrainingError, match=r"no checkpoint yet; on_non_finite=rollback begins again by itself, with"):
        fit(compose(*WORDS, *RUN, rare, f"run.dir={tmp_path}"))


def collapsing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The samples are all alike from 72 images on, as long as the rate is the first one; images seen at that."""
    step, seen = GAN.training_step, []

    def training_step(self, batch, batch_idx):
        step(self, batch, batch_idx)
        if self.images_seen >= 72 and self.runner.optimizer("generator").param_groups[0]["lr"] == 1e-3:
            seen.append(self.images_seen)
            with torch.no_grad():
                next(self.generator.parameters()).zero_()

    monkeypatch.setattr(GAN, "training_step", training_step)
    return seen


WATCH = (
    "callbacks.collapse.every_images=8", "callbacks.collapse.grace_images=16", "callbacks.collapse.diversity=0.005",
    "on_collapse=rollback", "callbacks.checkpoints.every_images=8",
)  # fmt: skip


def test_a_collapse_goes_back_to_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    seen = collapsing(monkeypatch)
    experiment = fit(compose(*WORDS, *RUN, *WATCH, "callbacks.checkpoints.keep=4", f"run.dir={tmp_path}"))
    assert seen == [72, 80, 88] and experiment.module.images_seen == 160
    assert any("goes on from 64 images" in record.message for record in caplog.records)
    assert experiment.module.runner.optimizer("generator").param_groups[0]["lr"] == 0.5e-3


def test_a_collapse_that_only_its_own_checkpoints_are_left_of_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collapsing(monkeypatch)
    with pytest.raises(
        TrainingError, match=r"No good checkpoint is left; give callbacks.checkpoints.keep a larger number\.$"
    ):
        fit(compose(*WORDS, *RUN, *WATCH, "callbacks.checkpoints.keep=1", f"run.dir={tmp_path}"))


def test_without_any_checkpoint_it_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    collapsing(monkeypatch)
    rare = "callbacks.checkpoints.every_images=1000"
    assert fit(compose(*WORDS, *RUN, *WATCH, rare, f"run.dir={tmp_path}")).module.images_seen == 160
    assert any("goes on from 0 images" in record.message for record in caplog.records)


def test_the_command_tells_it_in_a_sentence(trouble, command) -> None:
    outcome = command("train", *WORDS, *RUN, "run.name=x")
    assert outcome.status == 1 and "Traceback" not in outcome.err
    assert "on_non_finite=rollback goes back to it by itself, with lower rates." in outcome.err
    assert read_state(Path("runs/x"))["state"] == "failed" and "nan" in read_state(Path("runs/x"))["reason"]
    trouble[0] = 1.0
    assert command("train", *WORDS, *RUN, "run.name=x").status == 0  # the same command goes on from the checkpoint


@pytest.fixture(scope="module")
def ended_jointly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes say of the runs of trouble_in_two_processes.py."""
    folder = tmp_path_factory.mktemp("two")
    in_two_processes("tests.trouble_in_two_processes", str(folder))
    return folder


@pytest.mark.parametrize("name", ["stop", "rollback", "collapse_stop", "collapse", "memory_stop", "memory"])
def test_two_processes_end_alike(name: str, ended_jointly: Path) -> None:
    """What one process meets stops both, which say what it was; both go back to the same checkpoint, at the same rate."""
    one, other = (json.loads((ended_jointly / f"{name}_{rank}.json").read_text()) for rank in range(2))
    assert one == other
    if name == "stop":
        assert "the discriminator's term adversarial is nan (batch 11, 80 images seen)" in one["error"]
    if name == "memory_stop":
        assert "too small for 4 images at a time (batch_size=8, accumulate=1): accumulate=2 needs less" in one["error"]
    elif name == "memory":
        assert one["images_seen"] == 160 and one["accumulate"] == 4
    elif name.endswith("stop"):
        assert "The last good checkpoint is" in one["error"] and "after 64 images" in one["error"]
    else:
        assert one["images_seen"] == 160 and one["rate"] == 0.5e-3


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A device that holds three images at a time; how many it was asked for."""
    step, asked = GAN.discriminator_step, []

    def discriminator_step(self, batch, noise):
        asked.append(len(batch["image"]))
        if asked[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, noise)

    monkeypatch.setattr(GAN, "discriminator_step", discriminator_step)
    return asked


SHORT = (*RUN[:-1], "budget.images=32", "callbacks.checkpoints.every_images=16")


def test_memory_that_runs_out_is_told_with_what_would_fit(small_memory, command) -> None:
    outcome = command("train", *WORDS, *SHORT, "run.name=x")
    assert outcome.status == 1 and "Traceback" not in outcome.err
    assert (
        "The memory of the device is too small for 8 images at a time (batch_size=8, accumulate=1): accumulate=2 needs less, "
        "and hardware.find_micro_batch=true finds what fits; the same command goes on from the last checkpoint."
        in outcome.err
    )


def test_micro_batches_that_fit_are_found_and_kept(small_memory, tmp_path: Path, caplog) -> None:
    words = (
        *WORDS,
        *SHORT,
        "architecture.discriminator.norm=none",
        "architecture.generator.norm=none",
        "hardware.find_micro_batch=true",
    )
    found = fit(compose(*words, f"run.dir={tmp_path}/found", "callbacks.budget.images=16"))
    assert small_memory[:2] == [8, 4] and set(small_memory[2:]) == {2} and found.config.accumulate == 4
    assert [r.message for r in caplog.records if "accumulate=" in r.message][-1].endswith("goes on with accumulate=4.")
    small_memory.clear()
    again = fit(compose(*words, f"run.dir={tmp_path}/found"))  # the same command does not search again
    assert set(small_memory) == {2} and again.module.images_seen == 32
    whole = fit(compose(*words[:-1], "accumulate=4", f"run.dir={tmp_path}/whole"))
    for (key, a), (_, b) in zip(again.module.named_parameters(), whole.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key


def test_one_image_that_is_too_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def discriminator_step(self, batch, noise):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(GAN, "discriminator_step", discriminator_step)
    with pytest.raises(
        TrainingError, match=r"too small for 1 images at a time .* cannot be fewer: set a smaller width"
    ):
        fit(compose(*WORDS, *SHORT, "hardware.find_micro_batch=true", f"run.dir={tmp_path}"))
