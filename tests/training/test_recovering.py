"""Recovery from non-finite values, collapse and out-of-memory: rollback with lower learning rates, or an error."""

import json
from pathlib import Path

import pytest
import torch

from gan_lab.config.compose import compose
from gan_lab.errors import LostProcessError, TrainingError
from gan_lab.gans.gan import GAN
from gan_lab.runs.state import read_state
from gan_lab.training.fit import fit
from gan_lab.training.recovering import lost_process_reported
from tests.conftest import TINY
from tests.helpers.distributed import run_in_two_processes

OVERRIDES = [override for override in TINY if override not in ("~callbacks.checkpoints", "~callbacks.collapse")]
RUN = ("dataset.resolution=8", "budget.images=160", "callbacks.checkpoints.every_images=32", "lr=1e-3")


@pytest.fixture
def nan_loss(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loss is NaN from 80 images on while the learning rate is above the first entry; it is appended each time."""
    original, learning_rates = GAN.discriminator_loss, [0.0]

    def discriminator_loss(self, step):
        lr = self.runner.optimizer("discriminator").param_groups[0]["lr"]
        if self.images_seen >= 80 and lr > learning_rates[0]:
            learning_rates.append(lr)
            return {key: value * float("nan") for key, value in original(self, step).items()}
        return original(self, step)

    monkeypatch.setattr(GAN, "discriminator_loss", discriminator_loss)
    return learning_rates


def test_rollback_with_lower_learning_rates(nan_loss, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bit for bit the same as resuming from that checkpoint with the lower learning rate."""
    nan_loss[0] = 0.3e-3
    experiment = fit(compose(*OVERRIDES, *RUN, "trouble.on_non_finite=rollback", f"run.dir={tmp_path}/run"))
    assert nan_loss[1:] == [1e-3, 0.5e-3] and experiment.module.images_seen == 160
    assert [r.message for r in caplog.records if "Rollback" in r.message] == [
        "Rollback 1: resuming from 64 images with 0.5 times the learning rates.",
        "Rollback 2: resuming from 64 images with 0.25 times the learning rates.",
    ]
    assert experiment.module.runner.optimizer("generator").param_groups[0]["lr"] == 0.25e-3
    assert read_state(tmp_path / "run")["state"] == "finished"

    fit(compose(*OVERRIDES, *RUN, "callbacks.budget.images=64", f"run.dir={tmp_path}/first"))
    manually = (*RUN[:-1], "lr=0.25e-3", "allow_changes=true", f"resume={tmp_path}/first/checkpoints/last.ckpt")
    other = fit(compose(*OVERRIDES, *manually, f"run.dir={tmp_path}/second"))
    for (key, a), (_, b) in zip(experiment.module.named_parameters(), other.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key


def test_lower_learning_rates_are_saved_in_checkpoints_with_a_schedule(nan_loss, tmp_path: Path) -> None:
    nan_loss[0] = 0.35e-3  # exceeded until half of the run, with half of the learning rate
    decay = ("schedule=linear_decay",)
    settings = (*OVERRIDES, *RUN, *decay, "trouble.on_non_finite=rollback")
    fit(compose(*settings, f"run.dir={tmp_path}"))
    assert nan_loss[1:] == pytest.approx([0.55e-3])  # in the batch before
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert [state["param_groups"][0]["initial_lr"] for state in checkpoint["optimizer_states"]] == [0.5e-3] * 2


def test_limit_of_rollbacks(nan_loss, tmp_path: Path) -> None:
    settings = (
        "trouble.on_non_finite=rollback",
        "trouble.rollback.times=2",
        "trouble.rollback.lr_factor=0.1",
        f"run.dir={tmp_path}",
    )
    with pytest.raises(TrainingError) as stopped:
        fit(compose(*OVERRIDES, *RUN, *settings))
    assert nan_loss[1:] == pytest.approx([1e-3, 1e-4, 1e-5])
    assert str(stopped.value) == (
        "Training stopped because the discriminator's term adversarial is nan (batch 11, 80 images seen); no weights "
        f"were updated. The last good checkpoint is {tmp_path}/checkpoints/images_0000000064.ckpt, after 64 images; "
        "trouble.rollback.times=2 rollbacks have been used."
    )


def test_error_before_the_first_checkpoint(nan_loss, tmp_path: Path) -> None:
    rare = "callbacks.checkpoints.every_images=1000"
    with pytest.raises(
        TrainingError, match=r"no checkpoint yet; set trouble.on_non_finite=rollback to restart automatically with"
    ):
        fit(compose(*OVERRIDES, *RUN, rare, f"run.dir={tmp_path}"))


def collapsing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """All samples are equal from 72 images on at the first learning rate; returns the images seen when they are."""
    step, seen = GAN.training_step, []

    def training_step(self, batch, batch_idx):
        step(self, batch, batch_idx)
        if self.images_seen >= 72 and self.runner.optimizer("generator").param_groups[0]["lr"] == 1e-3:
            seen.append(self.images_seen)
            with torch.no_grad():
                next(self.generator.parameters()).zero_()

    monkeypatch.setattr(GAN, "training_step", training_step)
    return seen


COLLAPSE = (
    "callbacks.collapse.every_images=8", "callbacks.collapse.warmup_images=16", "callbacks.collapse.diversity=0.005",
    "trouble.on_collapse=rollback", "callbacks.checkpoints.every_images=8",
)  # fmt: skip


def test_rollback_to_a_checkpoint_before_the_collapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    seen = collapsing(monkeypatch)
    experiment = fit(compose(*OVERRIDES, *RUN, *COLLAPSE, "callbacks.checkpoints.keep=4", f"run.dir={tmp_path}"))
    assert seen == [72, 80, 88] and experiment.module.images_seen == 160
    assert any("resuming from 64 images" in record.message for record in caplog.records)
    assert experiment.module.runner.optimizer("generator").param_groups[0]["lr"] == 0.5e-3


def test_error_if_all_checkpoints_are_from_the_collapse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collapsing(monkeypatch)
    with pytest.raises(TrainingError, match=r"No good checkpoint is left; set a larger callbacks.checkpoints.keep\.$"):
        fit(compose(*OVERRIDES, *RUN, *COLLAPSE, "callbacks.checkpoints.keep=1", f"run.dir={tmp_path}"))


def test_restart_without_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    collapsing(monkeypatch)
    rare = "callbacks.checkpoints.every_images=1000"
    assert fit(compose(*OVERRIDES, *RUN, *COLLAPSE, rare, f"run.dir={tmp_path}")).module.images_seen == 160
    assert any("resuming from 0 images" in record.message for record in caplog.records)


def test_a_branch_goes_back_to_where_it_began(nan_loss, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not to new weights, although it has no checkpoint of its own; and the advice names that checkpoint."""
    first = fit(compose(*OVERRIDES, *RUN, "callbacks.budget.images=64", f"run.dir={tmp_path}/first"))
    file = tmp_path / "first" / "checkpoints" / "images_0000000064.ckpt"
    branch = (
        *RUN,
        "callbacks.checkpoints.every_images=1000",
        f"resume={file}",
        "callbacks.checkpoints.every_minutes=null",
    )
    with pytest.raises(TrainingError, match=rf"The last good checkpoint is {file}, after 64 images; set trouble"):
        fit(compose(*OVERRIDES, *branch, f"run.dir={tmp_path}/second"))
    caplog.clear()
    nan_loss[0] = 0.6e-3
    found = fit(compose(*OVERRIDES, *branch, "trouble.on_non_finite=rollback", f"run.dir={tmp_path}/third"))
    assert "Rollback 1: resuming from 64 images with 0.5 times the learning rates." in caplog.text
    assert found.module.images_seen == 160 and first.module.images_seen == 64
    assert found.module.runner.optimizer("generator").param_groups[0]["lr"] == 0.5e-3
    manually = ("lr=0.5e-3", "allow_changes=true", f"run.dir={tmp_path}/fourth")
    other = fit(compose(*OVERRIDES, *branch, *manually))
    for (key, a), (_, b) in zip(found.module.named_parameters(), other.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key


def test_error_message_of_the_command(nan_loss, command) -> None:
    outcome = command("train", *OVERRIDES, *RUN, "run.name=x")
    assert outcome.status == 1 and "Traceback" not in outcome.err
    assert (
        "set trouble.on_non_finite=rollback to resume from it automatically with lower learning rates." in outcome.err
    )
    assert read_state(Path("runs/x"))["state"] == "failed" and "nan" in read_state(Path("runs/x"))["reason"]
    nan_loss[0] = 1.0
    assert command("train", *OVERRIDES, *RUN, "run.name=x").status == 0  # the same command resumes from the checkpoint


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outcomes of the runs of failures_in_two_processes.py in both processes."""
    folder = tmp_path_factory.mktemp("two")
    from tests.helpers import failures_in_two_processes  # which imports this file

    run_in_two_processes(failures_in_two_processes.main, folder)
    return folder


@pytest.mark.parametrize("name", ["stop", "rollback", "collapse_stop", "collapse", "memory_stop", "memory"])
def test_two_processes_end_in_the_same_way(name: str, two_processes: Path) -> None:
    """A failure in one process stops both with the same error, or both roll back to the same checkpoint."""
    one, other = (json.loads((two_processes / f"{name}_{rank}.json").read_text()) for rank in range(2))
    assert one == other
    if name == "stop":
        assert "the discriminator's term adversarial is nan (batch 11, 80 images seen)" in one["error"]
    if name == "memory_stop":
        assert "too small for 4 images at a time (batch_size=8, accumulate=1): set accumulate=2" in one["error"]
    elif name == "memory":
        assert one["images_seen"] == 160 and one["accumulate"] == 4
    elif name.endswith("stop"):
        assert "The last good checkpoint is" in one["error"] and "after 64 images" in one["error"]
    else:
        assert one["images_seen"] == 160 and one["lr"] == 0.5e-3


OUT_OF_MEMORY = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory."),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
}


@pytest.fixture(params=OUT_OF_MEMORY)
def small_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A device with memory for three images; returns the requested numbers of images."""
    step, requested = GAN.discriminator_step, []

    def discriminator_step(self, batch, noise):
        requested.append(len(batch["image"]))
        if requested[-1] > 3:
            raise OUT_OF_MEMORY[request.param]
        return step(self, batch, noise)

    monkeypatch.setattr(GAN, "discriminator_step", discriminator_step)
    return requested


SHORT = (*RUN[:-1], "budget.images=32", "callbacks.checkpoints.every_images=16")


def test_error_message_of_out_of_memory(small_memory, command) -> None:
    outcome = command("train", *OVERRIDES, *SHORT, "run.name=x")
    assert outcome.status == 1 and "Traceback" not in outcome.err
    assert (
        "The memory is too small for 8 images at a time (batch_size=8, accumulate=1): set accumulate=2 and "
        "allow_changes=true, or hardware.find_micro_batch=true to find one that fits; the same command with "
        "run.dir=runs/x then resumes from the last checkpoint." in outcome.err
    )


@pytest.mark.parametrize("small_memory", ["cpu"], indirect=True)
def test_micro_batches_that_fit_are_found_and_saved(small_memory, tmp_path: Path, caplog) -> None:
    settings = (
        *OVERRIDES,
        *SHORT,
        "architecture.discriminator.norm=none",
        "architecture.generator.norm=none",
        "hardware.find_micro_batch=true",
    )
    found = fit(compose(*settings, f"run.dir={tmp_path}/found", "callbacks.budget.images=16"))
    assert small_memory[:2] == [8, 4] and set(small_memory[2:]) == {2} and found.config.accumulate == 4
    assert [r.message for r in caplog.records if "accumulate=" in r.message][-1].endswith("resuming with accumulate=4.")
    small_memory.clear()
    resumed = fit(compose(*settings, f"run.dir={tmp_path}/found"))  # the same command does not search again
    assert set(small_memory) == {2} and resumed.module.images_seen == 32
    reference = fit(compose(*settings[:-1], "accumulate=4", f"run.dir={tmp_path}/reference"))
    for (key, a), (_, b) in zip(resumed.module.named_parameters(), reference.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key


def test_memory_of_an_evaluation_is_not_a_matter_of_micro_batches(monkeypatch: pytest.MonkeyPatch, command) -> None:
    def measure(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("gan_lab.callbacks.evaluation.measure", measure)
    more = ("metrics=[ms_ssim]", "dataset.resolution=16", "evaluation.samples=20", "hardware.find_micro_batch=true")
    outcome = command("train", *OVERRIDES, *SHORT, *more, "run.name=x")
    assert outcome.status == 1 and "Traceback" not in outcome.err and "accumulate=" not in outcome.err
    assert (
        "The memory is too small outside of a training step: set a smaller evaluation.batch_size (now 512), "
        "evaluation.samples (now 20) or network; the same command with run.dir=runs/x then resumes from the last "
        "checkpoint." in outcome.err
    )


def test_error_if_one_image_is_too_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def discriminator_step(self, batch, noise):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(GAN, "discriminator_step", discriminator_step)
    with pytest.raises(
        TrainingError, match=r"too small for 1 images at a time .*, the smallest micro-batch: set a smaller width"
    ):
        fit(compose(*OVERRIDES, *SHORT, "hardware.find_micro_batch=true", f"run.dir={tmp_path}"))


LOST = (
    "[gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:5304: Connection reset by peer. This is typically caused",
    "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:5304",
    "[gloo/transport/tcp/pair.cc:301] Write error: Broken pipe",
    "NCCL error: remote process exited or there was a network error",
    "ncclRemoteError: A call failed possibly due to a network error",
    "NCCL communicator was aborted on rank 1.",
)


@pytest.mark.parametrize("text", LOST)
def test_a_killed_process_is_reported_by_the_others(text: str, tmp_path: Path) -> None:
    with (
        pytest.raises(LostProcessError, match=r"Another process of this run ended .*: there is no checkpoint yet"),
        lost_process_reported(tmp_path, 2),
    ):
        raise RuntimeError(text)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with (
        pytest.raises(LostProcessError, match=f"with gan-lab train resume={tmp_path}\\.$"),
        lost_process_reported(tmp_path, 2),
    ):
        raise RuntimeError(text)


@pytest.mark.parametrize(("text", "processes"), [(LOST[0], 1), ("shapes cannot be multiplied", 2)])
def test_other_runtime_errors_are_not_those_of_a_killed_process(text: str, processes: int, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=text[-10:]), lost_process_reported(tmp_path, processes):
        raise RuntimeError(text)


def test_the_reason_of_a_run_whose_other_process_was_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also with rollback, which would wait for the killed process."""

    def lost(self: GAN, step: object) -> None:
        raise RuntimeError(LOST[0])

    monkeypatch.setattr(GAN, "discriminator_loss", lost)
    monkeypatch.setattr("lightning.pytorch.Trainer.world_size", 2)
    with pytest.raises(LostProcessError):
        fit(compose(*OVERRIDES, *RUN, "trouble.on_non_finite=rollback", f"run.dir={tmp_path}"))
    assert read_state(tmp_path)["reason"].startswith("Another process of this run ended (connection closed)")
