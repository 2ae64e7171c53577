"""What a user can get wrong ends with one sentence that names the key or file, status 2, and no traceback."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.cli.main import COMMANDS
from gan_lab.runs.state import read_state
from tests.conftest import SMALL

ONE = (*SMALL, "run.name=one")
"""The shortest run that writes everything, in a folder of a known name."""

Command = Callable[..., "object"]

MEASURED = "dataset=ring architecture=mlp metrics=points evaluation."
"""A run on points with metrics, up to a key of these."""

CONFIG = {
    # Unknown names
    "model=foo": "model=foo is not known: choose from acgan, bgan, bigan, ",
    "regularizer=[foo]": "regularizer=foo is not known: choose from .*r1, r1_by_resolution, r1_lazy, r1_r2, r2",
    "model=dcgn": "model=dcgn is not known: did you mean dcgan",
    "experiment=ring/d2gn": "experiment=ring/d2gn is not known: did you mean ring/d2gan",
    "loss=null": "loss=null is not known: choose from .*hinge",
    "debug=null": r"debug=null is not known: choose from anomaly, .*profile\. ~debug chooses none\.$",
    "regularizer=null": r"regularizer=null is not known: choose from .*r1.*, \[\]",
    "regularizer=[1,2]": r"regularizer=\[1,2\] is not known: choose from .*r1",
    "wrapper=null": "wrapper is not a key .*did you mean wrapper/discriminator or wrapper/generator",
    "conditioning=0": "conditioning=0 is not known: choose from .*none",
    "modle=dcgan": "modle is not a key .*did you mean model",
    "n_critc=3": "n_critc is not a key .*did you mean n_critic",
    "dataset=ring dataset.mixture.modez=3": "did you mean dataset.mixture.modes",
    "unheard_of=3": "unheard_of is not a key .*--cfg job",
    "trainer.gradient_clip_val=1": "trainer.gradient_clip_val is not a key",
    "++batchsize=16": "batchsize is not a key .*did you mean batch_size",
    "+foo=1": "foo is not a key .*--cfg job",
    "+evaluation.every_image=1": "did you mean evaluation.every_images",
    "++trouble.rollback.time=1": "did you mean trouble.rollback.times",
    "~lr": "lr is missing.* leave out ~lr",
    "~seed": "seed is missing.* leave out ~seed",
    "~latent.dim": "latent.dim: .* does not support deletion",
    "wrapper=[packing]": "wrapper is not a key .*did you mean wrapper/discriminator or wrapper/generator",
    # Types
    "lr=abc": "lr=abc is not allowed: it must be a number",
    "n_critic=1.5": "n_critic=1.5 is not allowed: it must be a whole number",
    "batch_size=x": "batch_size=x is not allowed: it must be a whole number",
    "optimizer.generator.lr=abc": "optimizer.generator.lr=abc .*must be a number",
    "dataset.resolution=abc": "dataset.resolution=abc .*must be a whole number",
    "dataset.flip=maybe": "dataset.flip=maybe .*must be true or false",
    "callbacks.sample_grids.count=[1]": "callbacks.sample_grids.count=.* must be a whole number",
    # Ranges
    "n_critic=0": "n_critic=0 .*at least 1",
    "batch_size=-1": "batch_size=-1 .*at least 1",
    "lr=0": "lr=0.0 .*greater than 0",
    "betas=[1.0]": r"betas=\[1.0\] .*two numbers in \[0, 1\)",
    "label_smoothing=0.7": r"label_smoothing=0.7 .*in \[0, 0.5\)",
    "accumulate=0": "accumulate=0 .*at least 1",
    "regularizer=[r1] regularizer.r1.interval=0": "regularizer.r1.interval=0 .*at least 1",
    "regularizer=[r1] regularizer.r1.weight=-1": "regularizer.r1.weight=-1 .*at least 0",
    "callbacks.train_log.every_batches=0": "callbacks.train_log.every_batches=0 .*at least 1",
    "callbacks.sample_grids.count=0": "callbacks.sample_grids.count=0 .*at least 1",
    "callbacks.stage_grids.columns=0": "callbacks.stage_grids.columns=0 .*at least 1",
    "callbacks.collapse.action=x": "callbacks.collapse.action=x .*warn, stop, rollback",
    "callbacks.budget.images=-1": "callbacks.budget.images=-1 .*at least 1",
    "callbacks.evaluation.metrics=3": "callbacks.evaluation.metrics=3 .*a mapping",
    "adversarial_weight=inf": "adversarial_weight=inf .*a finite number",
    "architecture.generator=null": "architecture.generator=None .*a mapping with a _target_",
    "architecture.generator.max_width=0": "architecture.generator.max_width=0 .*at least 1",
    "architecture.generator.latent_dim=7": r"architecture.generator does not fit latent.dim=\d+",
    "architecture.generator.channels=3": "architecture.generator makes samples of 3 x 32 x 32, .* 1 x 32 x 32",
    "architecture.discriminator.resolution=16": "architecture.discriminator does not fit samples of 1 x 32 x 32",
    "wrapper.discriminator=xyzzy": "wrapper.discriminator=xyzzy .*a mapping of names",
    "dataset.reader=null": "dataset.reader=None .*a mapping with a _target_",
    "optimizer.generator.betas=0.5": "optimizer.generator.betas=0.5 .*a list of 2 values",
    "conditioning.num_classes=0 conditioning=concat": "conditioning.num_classes=0 .*at least 1",
    "clip_norm=nan": "clip_norm=nan .*a finite number",
    "latent.dim=0": "latent.dim=0 .*at least 1",
    "latent.bound=0": "latent.bound=0.0 .*greater than 0",
    "averaging.rampup=0": "averaging.rampup=0.0 .*greater than 0, or null",
    "averaging.half_life_images=inf": "averaging.half_life_images=inf .*a finite number",
    "architecture.generator.width=0": "architecture.generator.width=0 .*at least 1",
    "trouble.rollback.lr_factor=2": "trouble.rollback.lr_factor=2.0 .*at most 1",
    "regularizer=[weight_clip] regularizer.weight_clip.limit=0": "regularizer.weight_clip.limit=0 .*greater than 0",
    "regularizer=[top_k] +regularizer.second={_target_:gan_lab.regularizers.selection.TopK}": (
        "top_k and regularizer.second both"
    ),
    "optimizer.generator.lr=-1": "optimizer.generator .*-1",
    "dataset.num_classes=3 metrics=[label_accuracy]": "label_accuracy.* of 10 classes, and dataset.num_classes=3",
    "budget.images=0": "budget.images=0 .*at least 1",
    "budget.images=10 budget.kimg=1": "budget.images=10 and budget.kimg=1.0 .*give one of",
    "latent.distribution=foo": "latent.distribution=foo .*normal or uniform",
    "dataset.cache=foo": "dataset.cache=foo .*auto, device, memory, none",
    "dataset.resolution=28": "dataset.resolution.* power of two .*dataset.resolution=32",
    "architecture.generator.norm=foo": "architecture.generator .*norm .*none, batch, layer, instance",
    # The machine
    "hardware.precision=foo": "hardware.precision=foo is not known: choose from 32-true, bf16-mixed, 16-mixed",
    "hardware.precision=64-true": "hardware.precision=64-true is not known: did you mean 32-true",
    "hardware.precision=16": "hardware.precision=16 is not known: choose from 32-true, bf16-mixed, 16-mixed",
    "hardware.precision=16-mixed hardware.accelerator=cpu": "16-mixed needs a GPU: choose bf16-mixed or 32-true",
    "hardware.devices=0": "^gan-lab train: hardware.accelerator=cpu, hardware.devices=0 cannot be used",
    "trainer.devices=2": "trainer.devices=2 is not allowed, since hardware.devices=1 .*: set hardware.devices instead",
    "trainer.precision=64-true": "trainer.precision=64-true is not allowed.*: set hardware.precision instead",
    "trainer.use_distributed_sampler=true": "use_distributed_sampler=True is not allowed: it must be false, since",
    "hardware.accelerator=foo": "hardware.accelerator=foo.* cpu",
    "hardware.strategy=ddp": "hardware.strategy=ddp is not known: .*auto, ddp_by_player, ddp_find_unused",
    "hardware.devices=foo": "hardware.devices=foo.*int > 0",
    # Targets and their options
    "+loss.foo=1": "loss.foo is not an option of .*NonSaturating: it takes no options",
    "+architecture.generator.foo=1": "architecture.generator.foo is not an option .*latent_dim, channels",
    "+optimizer.generator.foo=1": "optimizer.generator.foo is not an option of .*Adam",
    "+dataset.reader.foo=1": "dataset.reader.foo is not an option of .*read_digits",
    "model=infogan architecture.generator.latent_dim=xyzzy": "generator.latent_dim=xyzzy .* must be a whole number",
    "model=infogan architecture.generator.latent_dim=true": "generator.latent_dim=True .* must be a whole number",
    "callbacks.progress.log_seconds=-1": "callbacks.progress.log_seconds=-1.* at least 0",
    "trainer.log_every_n_steps=-1": "trainer.log_every_n_steps=-1 .* at least 0",
    "extractor.foo=1": "extractor.foo cannot be set, because extractor is null: choose one with extractor=",
    "seed=2 +extractor.foo.bar=1": "extractor.foo.bar cannot be set, because extractor is null",
    "+latent.foo=1": "latent.foo is not a key of this config",
    "+trainer.foo=1": "trainer.foo is not an option of .*Trainer",
    "~dataset.resolution": "dataset.resolution is missing",
    "regularizer=[r1] regularizer.r1=3": "regularizer.r1=3 .*_target_",
    "loss._target_=nothing.Here": r"loss._target_=nothing.Here is not allowed: .*add allow_targets=\[nothing.Here\]",
    "loss._target_=os.system": "loss._target_=os.system is not allowed: .* and a list of Lightning's.$",
    "augment=ada augment.p=2": r"^gan-lab train: augment.p must be in \[0, 1\], not 2.$",
    "loss._target_=nothing.Here allow_targets=[nothing]": "loss._target_=nothing.Here cannot be imported",
    "loss._target_=Hinge": "loss._target_=Hinge is not allowed: write package.module.Name",
    "loss._target_=gan_lab.losses.adversarial._hidden": "is not allowed: a name that begins with _ is private",
    "loss._target_=gan_lab.config.build.partial": "build.partial is not allowed: configs may name the targets",
    "loss._target_=gan_lab.config.build.os.system": "os.system is not allowed: configs may name",
    "allow_targets=mine": "allow_targets",
    "loss._target_=gan_lab.losses.adversarial.Nothing": "loss._target_=.*Nothing cannot be imported",
    "loss._target_=gan_lab.losses.adversarial": "loss._target_=.*must be a class or a function",
    "trainer.max_epochs=0": "trainer.max_epochs=0 .*the budget is the length of a run: set budget.images",
    "+trainer.max_steps=3": "trainer.max_steps=3 .*the budget is the length",
    "+trainer.limit_train_batches=0": "trainer.limit_train_batches=0 .*the budget is the length",
    "+trainer.min_steps=9": "trainer.min_steps=9 .*the budget is the length",
    "schedule=linear_decay schedule.lr.end_factor=-1": "schedule.lr .*end_factor of at least 0, not -1",
    "dataset=ring architecture=mlp metrics=[] extractor=digits": "extractor is for images, .*points.*leave it out",
    "+trainer.gradient_clip_val=1": "trainer.gradient_clip_val .*clip_norm",
    # Pairs
    "metrics=points evaluation.best=eval/x callbacks.checkpoints.best=train/y": (
        "callbacks.checkpoints.best=train/y and evaluation.best=eval/x would both .*give one of"
    ),
    "logger=[wandb] logger.wandb.checkpoints=best": "wandb.checkpoints=best needs .* give evaluation.best=<key in the",
    "batch_size=9 accumulate=2": "batch_size=9 .*multiple of 2",
    "batch_size=5000": "1,797 images, fewer than batch_size=5000",
    "model=dcgan dataset=ring": "architecture=dcgan .*points do not have; set architecture=mlp",
    "model=dcgan regularizer=[gradient_penalty]": "gradient_penalty .*architecture.discriminator.norm=none or layer",
    "model=gan optimizer=adam": "schedule.momentum .*schedule=constant",
    "conditioning=projection dataset.num_classes=null": "needs labels, .*10 classes, 0, 1, .*dataset.num_classes=10, ",
    "conditioning=concat dataset.num_classes=null": "needs labels, .*10 classes.*conditioning=none",
    "conditioning=projection architecture.generator.norm=none": "architecture.generator.norm=batch",
    "conditioning=concat conditioning.prior=foo": "conditioning.prior=foo .*uniform or data",
    "conditioning=projection wrapper/discriminator=[packing]": "packing scores .*conditioning=concat or none",
    "conditioning=none wrapper/discriminator=[packing] wrapper.discriminator.packing.size=3": (
        "packing.size=3 .*batch_size a multiple of 3"
    ),
    "wrapper/discriminator=[packing] wrapper.discriminator.packing.size=0": "packing.size.*at least 1",
    "wrapper/generator=[virtual_batch_norm] architecture.generator.norm=none": "virtual_batch.*generator.norm=batch",
    "wrapper/discriminator=[minibatch_discrimination] regularizer=[r1] architecture.discriminator.norm=none": (
        "Discrimination .*mixes"
    ),
    "augment=ada loss=wasserstein": "augment=ada .*Wasserstein.*augment=diffaugment",
    "augment=ada dataset=ring architecture=mlp": "augment=ada .*points; set augment=none",
    "augment=diffaugment dataset=ring architecture=mlp": "augment=diffaugment .*points; set augment=none",
    "augment=diffaugment augment.policy=[flip]": "augment.policy .*color, translation, cutout",
    "regularizer=[consistency] dataset=ring architecture=mlp": "regularizer=consistency .*points",
    "regularizer=[top_k] regularizer.top_k.min_fraction=0": r"regularizer.top_k.min_fraction=0 .*in \(0, 1\]",
    "loss=relativistic label_smoothing=0.1": "label_smoothing needs .*Relativistic",
    "adversarial_weight=0": "adversarial_weight=0 .*feature_matching",
    "adversarial_weight=-1": "adversarial_weight=-1.0 .*at least 0",
    "model=sagan dataset.resolution=16": "attention_divisor .*16 pixels",
    "objective.mode=up": "objective.mode=up .*min, max",
    # Grammar and flags
    "lr=[": r"lr=\[ cannot be read",
    "lr": "lr cannot be read .*key=value",
    "seed=0,1": "seed=0,1 are several values: add -m",
    "=3": "must be a string or a list",
    "~nothing": "'nothing' does not exist",
    "--cfg job --info defaults": "Only one of",
    "--config-dir nowhere": "nowhere' not found",
    # Metrics
    "metrics=foo": "metrics=foo is not known: choose from .*points",
    "metrics=points": "metrics=points needs points .*dataset=ring",
    f"{MEASURED}samples=0": "evaluation.samples=0 .*at least 1",
    f"{MEASURED}metrics.kl.bins=0": "bins=0 .*at least 1",
    f"{MEASURED}metrics.kl.extent=1.0": "extent=1.0 leaves .* choose at least 2.6",
    f"{MEASURED}metrics.kl.bins=x": "evaluation.metrics.kl.bins=x .*must be a whole number",
    # Data and checkpoints that are not there
    "dataset=image_folder": "dataset.source has no value yet: give one",
    "dataset=image_folder dataset.source=nowhere": "dataset.source=nowhere does not exist",
    "resume=nowhere": "nowhere does not exist: give a checkpoint file or a run folder",
}


def assert_refused(outcome: object, pattern: str) -> str:
    """The one sentence of a refused command, after checking that it is one and matches `pattern`."""
    assert outcome.status == 2, outcome
    assert "Traceback" not in outcome.err + outcome.out
    sentences = [line for line in outcome.err.splitlines() if line.startswith("gan-lab ")]
    assert len(sentences) == 1 and outcome.err.rstrip().endswith(sentences[0]), outcome.err
    assert re.search(pattern, sentences[0]), sentences[0]
    assert ".." not in sentences[0].replace("...", "")
    return sentences[0]


@pytest.mark.parametrize("overrides", CONFIG, ids=str)
def test_config(command: Command, overrides: str) -> None:
    assert_refused(command("train", "hardware=cpu", *overrides.split()), CONFIG[overrides])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(command: Command) -> None:
    assert_refused(command("train", "hardware=gpu"), "hardware.accelerator=gpu.* cannot be used: .*gpu")


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    {
        "sample": "run=latest finds no run",
        "sample run=x count=0": "count=0 .*at least 1",
        "sample run=x weights=foo": "weights=foo .*ema or raw",
        "sample runn=x": "runn .*did you mean run",
        "sample run=one": "one does not exist: give a checkpoint file or a run folder",
        "interpolate": "run=latest finds no run",
        "interpolate run=x seconds=0": "seconds=0.0 .*greater than 0",
        "interpolate run=x fps=0": "fps=0.0 .*from 1 to 100",
        "interpolate run=x smoothing=-1": "smoothing=-1.0 .*at least 0",
        "interpolate run=x count=0": "count=0 .*at least 1",
        "interpolate run=x": "x does not exist: give a checkpoint file or a run folder",
        "translate": "source .*value",
        "translate run=x": "source .*value",
        "translate source=x": "source=x does not exist; give the path of an image, or of a folder or zip file",
        "translate source=. run=x": "x does not exist: give a checkpoint file or a run folder",
        "translate source=. direction=foo": "direction=foo .*AtoB, BtoA, or null",
        "invert images=x": "images=x does not exist; give the path of an image, or of a folder or zip file of images",
        "forget concept.boxes=x": "concept.boxes=x does not exist; give the path of a CSV file",
        "forget concept.masks=x": "concept.masks=x does not exist; give the path of a folder of masks",
        "directions method=boundary scores=x": "scores=x does not exist; give the path of a CSV file",
        "interpolate direction=x": "direction=x does not exist; give the path of a file of gan-lab directions",
        "explore directions=x": "directions=x does not exist; give the path of a file of gan-lab directions",
        "export": "run=latest finds no run",
        "export run=x": "x does not exist: give a checkpoint file or a run folder",
        "export run=x weights=foo": "weights=foo .*ema or raw",
        "export run=hf:x": "hf:x is not the name of a model: write hf:<user>/<name>",
        "push": "repo .*value",
        "push repo=x": "repo=x is not allowed: it must be <user>/<name>",
        "push repo=.x/y": "repo=.x/y is not allowed: it must be <user>/<name>",
        "push repo=me/x": "run=latest finds no run",
        "push repo=me/x run=y": "y does not exist: give a checkpoint file or a run folder",
        "push repo=me/x license=A": "license=A is not allowed: it must be an identifier of the hub such as mit",
        "push repo=me/x message=''": "message= is not allowed: it must be a text, or null",
        "import": "source .*value",
        "import source=x": "source=x does not exist; give a file of published weights",
        "import source=''": "source= does not exist; give a file of published weights",
        "import source=. weights=foo": "weights=foo .*ema or raw",
        "compare": "runs=latest finds no sweep in runs/multirun, .*as in gan-lab compare runs/a runs/b",
        "compare runs=nowhere": "runs=nowhere is not a directory",
        "compare runs=-1": "runs=-1 is not allowed: it must be a folder or a list of folders",
        "compare runs=[1]": r"runs=\[1\] is not allowed",
        "compare runs=[]": r"runs=\[\] is not allowed",
        "compare nowhere": "runs=nowhere is not a directory",
        "compare . nowhere": "runs=nowhere is not a directory",
        "compare .": r"\. contains no finished run",
        "compare . columns=1": "columns=1 .*at least 2",
        "memorization": "run=latest finds no run",
        "memorization extractor=efflite0": "run=latest finds no run",
        "memorization extractor=efflite0 run=one": "one does not exist: give a checkpoint file or a run folder",
        "memorization extractor=efflite0 run=x count=0": "count=0 .*at least 1",
        "memorization extractor=efflite0 run=x samples=8": "count=16 .*at most samples=8",
        "memorization extractor=efflite0 run=x nearest=0": "nearest=0 .*at least 1",
        "memorization extractor=efflite0 run=. device=foo": "device=foo cannot be used",
        "memorization extractor={a:1}": "extractor={a:1} is not allowed: choose one by name",
        "memorization extractor=foo": "extractor=foo is not known: choose from digits, efflite0",
        "memorization extractor=efflite0 run=x weights=foo": "weights=foo .*ema or raw",
        "memorization extractor=efflite0 run=. device=meta": "device=meta cannot be used",
        "memorization run=. out=/dev/null": "out=/dev/null is not a directory",
        "evaluate metrics=[ms_ssim] run=. out=/dev/null": "out=/dev/null is not a directory",
        "duplicates dataset=digits out=/dev/null": "out=/dev/null is not a directory",
        "duplicates": "dataset is not given: .*dataset=digits",
        "duplicates dataset=digits method=foo": "method=foo is not known: choose autoencoder or extractor",
        "duplicates dataset=digits method=extracter": "did you mean extractor",
        "duplicates dataset=digits method=extractor extractor=efflite0 threshold=0": "threshold=0.0 .*greater than 0",
        "duplicates dataset=digits threshold=1.5": "threshold=1.5 .*whole number of bits",
        "duplicates dataset=digits threshold=-1": "threshold=-1.0 .*whole number of bits, at least 0",
        "duplicates dataset=digits epochs=0": "epochs=0 .*at least 1",
        "duplicates dataset=digits count=0": "count=0 .*at least 1",
        "duplicates dataset=ring": "MixtureData samples a distribution .*dataset=image_folder",
        "duplicates dataset=digits dataset.exclude=none.csv": "dataset.exclude=none.csv cannot be read: No such file",
        "prepare": "dataset is not given: .*dataset=image_folder",
        "prepare dataset=ring": "MixtureData generates its samples .*dataset=image_folder",
        "prepare dataset=digits resolutions=[4,5]": r"resolutions=\[4, 5\] .*a subset of 4, 8, 16, 32, or null for all",
        "train dataset=prepared": "dataset.source has no value yet: give one",
        "train dataset=prepared dataset.source=x": "dataset.source=x is not a prepared data set",
        "list what=foo": "what=foo .*choose from all, .*loss",
        "list los": "what=los is not known: did you mean loss",
        "runs sort=bset": "sort=bset is not known: did you mean best",
        "sample run=. truncation=-1": "truncation=-1.0 .*at least 0, or null",
        "sample batch_norm=stand": "batch_norm=stand is not known",
        "list format=foo": "format=foo .*text or markdown",
        "bench model=foo": "model=foo is not known",
        "bench bench.rounds=-1": "bench.rounds=-1 .*at least 0",
        "bench hardware=ddp_cpu": "hardware.devices=2 .*one process",
    }.items(),
)
def test_other_commands(command: Command, overrides: str, pattern: str) -> None:
    assert_refused(command(*overrides.split()), pattern)


def test_unknown_command(command: Command) -> None:
    outcome = command("trian")
    assert outcome.status == 2
    assert outcome.err == f"gan-lab: trian is not a command: did you mean train? Choose from {', '.join(COMMANDS)}.\n"
    assert command("xyzzy").err == f"gan-lab: xyzzy is not a command: choose from {', '.join(COMMANDS)}.\n"
    assert command("model=dcgan").err.rstrip().endswith("a command must come first, as in gan-lab train model=dcgan.")
    assert {"train", "sample", "evaluate", "compare"} <= set(COMMANDS)


def test_a_bug_keeps_its_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the user's mistakes are made short."""
    monkeypatch.setattr("gan_lab.training.fit.build_data", lambda cfg: {}["bug"])
    with pytest.raises(KeyError, match="bug"):
        command("train", *ONE)


def test_a_second_ctrl_c_has_no_traceback(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gan_lab.gans.gan.GAN.discriminator_step", interrupted)
    outcome = command("train", *ONE)
    assert outcome.status == 130 and "Traceback" not in outcome.err + outcome.out
    state = read_state(tmp_path / "runs/one")
    assert (state["state"], state["reason"]) == ("stopped", "SIGINT")
    assert not (tmp_path / "runs/one/warnings.jsonl").exists()


@pytest.mark.parametrize("line", ["train", "list loss", "runs"])
def test_ctrl_c_while_a_command_begins(command: Command, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gan_lab.cli.app.check_choices", interrupted)
    outcome = command(*line.split())
    assert outcome.status == 130 and outcome.err == f"gan-lab {line.split()[0]}: stopped by SIGINT.\n"


def test_traceback_on_demand(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="n_critic=0"):
        command("train", "n_critic=0")


def test_yaml_of_the_user(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "broken.yaml").write_text("_target_: [a\nb: c: d\n")
    (tmp_path / "mine" / "loss" / "typo.yaml").write_text("_target_: gan_lab.losses.adversarial.Hinge\nmargin: 2\n")
    assert_refused(command("train", "--config-dir", "mine", "loss=broken"), "loss/broken.yaml.*line")
    assert_refused(
        command("train", "--config-dir", "mine", "loss=typo", "hardware=cpu"), "loss.margin is not an option"
    )


@pytest.mark.parametrize("text", ["", "lr: 1\n", "- lr\n"], ids=["empty", "settings", "list"])
def test_an_experiment_without_the_line_of_its_package(text: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/own.yaml").write_text(text)
    outcome = command("train", "--config-dir", "mine", "experiment=own")
    assert_refused(outcome, "experiment=own: the first line of its file must be # @package _global_, and settings must")


@pytest.mark.parametrize("flags", [["--config-dir", "{}"], ["hydra.searchpath=[file://{}]"]], ids=["flag", "override"])
@pytest.mark.parametrize("more", [[], ["-m", "seed=0,1"]], ids=["run", "sweep"])
def test_an_experiment_that_is_not_utf8(flags: list[str], more: list[str], command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/another.yaml").write_bytes(b"# @package _global_\nlr: '\xfa'\n")
    (tmp_path / "mine/experiment/own.yaml").write_bytes(b"# @package _global_\nrun:\n  name: caf\xe9\n")
    given = [flag.format(tmp_path / "mine") for flag in flags]
    outcome = command("train", *given, "experiment=own", *more)
    assert_refused(outcome, "mine/experiment/own.yaml is not a text file in UTF-8: one of its bytes is 0xe9")


@pytest.mark.parametrize("value", ["&x {b: *x}", "&x [1, *x]", "{c: &x {d: [{e: *x}]}}"])
def test_a_value_that_contains_itself(value: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/own.yaml").write_text(f"# @package _global_\nlr: {value}\n")
    outcome = command("train", "--config-dir", "mine", "experiment=own")
    assert_refused(outcome, r"contains itself by an alias in \".*own.yaml\", line 2")


# -- data -------------------------------------------------------------------------------------------------------------


def pixels(resolution: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (resolution, resolution, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with eight good images of many kinds: 8 and 16 bits, gray, palette, transparent."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = Image.fromarray(pixels())
    image.save(folder / "rgb.jpg")
    image.convert("L").save(folder / "gray.png")
    image.convert("P").save(folder / "palette.gif")
    image.convert("RGBA").save(folder / "transparent.png")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("1").save(folder / "bits.png")
    Image.fromarray(pixels()[..., 0].astype(np.uint16) * 257).save(folder / "sixteen.png")
    Image.fromarray(pixels(300)).save(folder / "large.webp")
    return folder


def train_on(command: Command, source: Path, *overrides: str) -> object:
    small = (override for override in ONE if override != "budget.images=32")
    folder = ("dataset=image_folder", f"dataset.source={source}", "dataset.resolution=16", "batch_size=4")
    return command("train", *small, *folder, "budget.images=8", "callbacks.sample_grids.count=4", *overrides)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.png": (lambda path: path.write_bytes(b""), "empty.png cannot be read: the file is empty"),
    "text.png": (lambda path: path.write_text("hello"), "text.png cannot be read: it is not an image"),
    "point.png": (lambda path: Image.fromarray(pixels(1)).save(path), "point.png is 1x1 pixels"),
    "cut.jpg": (
        lambda path: path.write_bytes((path.parent / "rgb.jpg").read_bytes()[:-300]), "cut.jpg cannot be read: .*trunc",
    ),
}  # fmt: skip


def test_images_of_all_kinds_train(command: Command, photos: Path) -> None:
    outcome = train_on(command, photos)
    assert outcome.status == 0, outcome.err
    assert Image.open(photos.parent / "runs/one/samples/real.png").getbbox() is not None


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_image(command: Command, photos: Path, name: str) -> None:
    damage, pattern = DAMAGE[name]
    damage(photos / name)
    assert_refused(train_on(command, photos), pattern)


def test_damaged_images_are_skipped_and_counted(command: Command, photos: Path) -> None:
    for name, (damage, _) in DAMAGE.items():
        damage(photos / name)
    outcome = train_on(command, photos, "dataset.on_error=skip")
    assert outcome.status == 0, outcome.err
    assert "Skipped 4 of 12 images" in outcome.err


def test_skipped_images_are_not_in_the_epoch(command: Command, photos: Path, tmp_path: Path) -> None:
    """The budget counts the usable ones, and the report of the run still has the warning."""
    usable = len(list(photos.iterdir()))
    for name, (damage, _) in DAMAGE.items():
        damage(photos / name)
    overrides = ("dataset.on_error=skip", "budget.images=null", "budget.epochs=2", "batch_size=2")
    outcome = train_on(command, photos, *overrides)
    assert outcome.status == 0 and f": {2 * usable} images in batches of 2, 2 epochs;" in outcome.err, outcome.err
    assert "Skipped 4 of 12 images" in (tmp_path / "runs/one/warnings.jsonl").read_text()


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_batch_larger_than_the_set_leaves_no_folder(
    on_error: str, command: Command, photos: Path, tmp_path: Path
) -> None:
    count = len(list(photos.iterdir()))
    if on_error == "skip":
        (photos / "empty.png").write_bytes(b"")
    outcome = train_on(command, photos, f"batch_size={count + 1}", f"dataset.on_error={on_error}")
    assert_refused(outcome, f"The data set has {count} images, fewer than batch_size={count + 1}; give a smaller one")
    assert not (tmp_path / "runs/one").exists()


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """A folder with three classes of three images."""
    for name in ("ant", "bee", "cow"):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(pixels() // (number + 1)).save(tmp_path / "animals" / name / f"{number}.png")
    return tmp_path / "animals"


@pytest.mark.parametrize("conditioning", ["concat", "none"])
@pytest.mark.parametrize("way", ["max_images=2", "on_error=skip"])
def test_classes_without_images(way: str, conditioning: str, command: Command, animals: Path, tmp_path: Path) -> None:
    if way == "on_error=skip":
        for file in (animals / "bee").iterdir():
            file.write_bytes(b"")
    overrides = (f"dataset.{way}", "dataset.num_classes=3", f"conditioning={conditioning}", "batch_size=2")
    outcome = train_on(command, animals, *overrides)
    more = "a larger dataset.max_images" if way == "max_images=2" else "usable images of each"
    warning = f"usable images, and none of the class (ant|bee|cow), .*: give {more}, or conditioning=none"
    assert outcome.status == 0, outcome.err
    assert bool(re.search(warning, outcome.err)) == (conditioning == "concat")


def test_folder_without_images(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no image")
    assert_refused(train_on(command, tmp_path / "notes"), "notes contains no images; .*.png")


# -- odd, but legal ---------------------------------------------------------------------------------------------------


def test_log_loss_with_weight_clipping_trains(command: Command, tmp_path: Path) -> None:
    assert command("train", *ONE, "model=dcgan", "regularizer=[weight_clip]").status == 0
    state = torch.load(tmp_path / "runs/one/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = [
        v for k, v in state.items() if k.startswith("discriminator.") and "running" not in k and v.is_floating_point()
    ]
    assert max(float(weight.abs().max()) for weight in weights) == pytest.approx(0.01)


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(command: Command, tmp_path: Path) -> Path:
    """A run folder with checkpoints."""
    assert command("train", *ONE, "callbacks.checkpoints.every_images=16").status == 0
    return tmp_path / "runs" / "one"


def test_unusable_checkpoints(command: Command, trained: Path, tmp_path: Path) -> None:
    good = trained / "checkpoints" / "last.ckpt"
    (tmp_path / "cut.ckpt").write_bytes(good.read_bytes()[:-1000])
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    (tmp_path / "zero.ckpt").write_bytes(b"")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    (tmp_path / "empty").mkdir()
    cases = {
        "cut.ckpt": "cut.ckpt cannot be read: it is incomplete, damaged, or not a checkpoint",
        "text.ckpt": "text.ckpt cannot be read",
        "zero.ckpt": "zero.ckpt cannot be read",
        "foreign.ckpt": "foreign.ckpt is not a gan_lab checkpoint",
        "missing.ckpt": "missing.ckpt does not exist: give a checkpoint file or a run folder",
        "empty": "empty is not a run folder with a checkpoint: .*last.ckpt is missing",
    }
    for file, pattern in cases.items():
        assert_refused(command("sample", f"run={file}"), pattern)
        assert_refused(command("train", *ONE[:-1], "run.name=two", f"resume={file}"), pattern)
    assert command("sample", "run=runs/one", "count=2", "device=cpu").status == 0
    assert_refused(command("sample", "run=runs/one", "count=2", "device=foo"), "device=foo cannot be used")
    assert_refused(command("sample", "run=runs/one", "labels=3"), "labels=.* needs a run with conditioning")
    assert_refused(command("sample", "run=runs/one", "labels=foo"), "labels=foo needs a run with conditioning")
    assert_refused(command("sample", "run=runs/one", "labels=all"), "conditioning")


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_file_in_the_place_of_the_run_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    assert_refused(command("train", *ONE), "runs.* cannot be written: (Not a directory|File exists)")


def test_disk_full_at_a_checkpoint(command: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The earlier checkpoint stays complete, and no half-written file stays behind."""
    folder = trained / "checkpoints"
    before = (folder / "last.ckpt").read_bytes()

    class FullDisk:
        def __init__(self, file: object) -> None:
            self.file, self.left = file, 50_000

        def write(self, data: bytes) -> int:
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

        def flush(self) -> None:
            self.file.flush()

    save = torch.save  # the real one, for it turns the disk's error into one of its own
    monkeypatch.setattr("torch.save", lambda obj, file: save(obj, FullDisk(file)))
    outcome = command("train", *ONE, "resume=runs/one", "budget.images=64")
    assert_refused(outcome, "cannot be written: No space left on device")
    assert (folder / "last.ckpt").read_bytes() == before
    assert {file.suffix for file in folder.iterdir()} == {".ckpt"} and not list(folder.glob(".*"))


def test_disk_full_at_the_log(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.csv")

    monkeypatch.setattr("lightning.pytorch.loggers.csv_logs.ExperimentWriter.save", full)
    assert_refused(command("train", *ONE), "metrics.csv cannot be written: No space left on device")


def test_only_regular_files_are_replaced(command: Command, trained: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.html").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link.html"):
        assert_refused(command("report", f"run={trained}", f"out={name}"), f"{name} is not a regular file")
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link.html").is_symlink()


def test_control_characters_stay_out_of_the_terminal(command: Command, photos: Path) -> None:
    evil = "z\x1b[2J\x1b]0;title\x07\x9b.png"
    (photos / evil).write_text("no image")
    outcome = train_on(command, photos)
    assert_refused(outcome, r"z\\x1b\[2J\\x1b\]0;title\\x07\\x9b.png cannot be read")
    outcome = train_on(command, photos, "dataset.on_error=skip")
    assert outcome.status == 0 and "\\x1b[2J" in outcome.err
    assert not re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", outcome.err.replace("\x1b[A", ""))
