"""Compiled networks: equal to eager ones, eager where second derivatives are needed, compiled at first only."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.gans.gan import GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.gans.unrolled_gan import UnrolledGAN
from gan_lab.losses.adversarial import Minimax
from gan_lab.regularizers.penalties import GradientPenalty
from gan_lab.training.fit import fit
from tests.helpers.points_gan import Discriminator, Generator, adam, make_gan, train

CPU = torch.device("cpu")
GROWING = (
    "model=pggan", "growth=celebahq", "growth.hold_images=24", "growth.fade_images=32", "+growth.batch_sizes={16:4}",
    "dataset=noise", "dataset.resolution=16", "dataset.reader.count=64", "width=8", "latent.dim=8", "batch_size=8",
    "budget.images=160", "optimizer=sgd", "lr=1e-2", "metrics=[]", "logger=[]", "hardware=cpu",
)  # fmt: skip
FAST = "aot_eager"  # traces forward and backward as inductor does, but generates no code


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Networks of the same class use the same code."""
    torch._dynamo.reset()


def unrolled() -> GAN:
    torch.manual_seed(0)
    optimizers = {"generator": adam(), "discriminator": adam()}
    return UnrolledGAN(Generator(), Discriminator(), Parts(Minimax(), optimizers, LatentPrior(3)), unroll_steps=2)


def penalized() -> GAN:
    return make_gan(penalties={"gradient_penalty": GradientPenalty()}, optimizer=adam())


def plain() -> GAN:
    return make_gan(norm=True, optimizer=adam())


@pytest.mark.parametrize(
    "make", [penalized, *(pytest.param(each, marks=pytest.mark.slow) for each in (plain, unrolled))]
)
def test_training_is_that_of_eager_networks(make) -> None:
    """Every second batch is smaller. Without the eager updates, PyTorch would refuse the second derivatives."""
    eager, compiled = make(), make()
    compiled.compile_networks(CPU, backend=FAST)
    for gan in (eager, compiled):
        train(gan, 6, size=6)
    torch.testing.assert_close(compiled.state_dict(), eager.state_dict(), rtol=1e-4, atol=1e-6)
    assert compiled.compilation is not None and compiled.compilation.compiled_graphs > 0


@pytest.mark.slow
def test_compilations_end_after_the_first_batches() -> None:
    gan, found = plain(), []
    gan.compile_networks(CPU, backend=FAST)
    step = gan.training_step

    def counted(*args: Any) -> None:
        step(*args)
        found.append(gan.progress()["compiled_graphs"])

    gan.training_step = counted  # type: ignore[method-assign]
    train(gan, 10, size=6)
    assert 0 < found[0] < found[1] and set(found[3:]) == {found[3]} and found[3] <= 16
    assert "compiled_graphs" not in plain().progress()


def test_grids_and_metrics_use_eager_networks() -> None:
    gan = plain()
    gan.compile_networks(CPU, backend=FAST)
    gan.generate(torch.zeros(4, 3), average=False)
    assert gan.compilation is not None and gan.compilation.compiled_graphs == 0


def test_message_without_a_compiler(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"^hardware\.compile needs a C\+\+ compiler on a CPU"):
        make_gan().compile_networks(CPU)


@pytest.mark.slow
def test_runs_with_generated_code_are_equal(tmp_path: Path) -> None:
    settings = ("architecture=mlp", "dataset=ring", "batch_size=64", "budget.images=640", "logger=[]", "metrics=[]")
    settings += ("optimizer=sgd", "lr=1e-2")  # Adam makes steps of rounding errors
    runs = [
        fit(compose("model=gan", *settings, f"run.dir={tmp_path}/{value}", f"hardware.compile={value}")).module
        for value in ("false", "true")
    ]
    weights = (dict(run.named_parameters()) for run in runs)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_growing_networks_are_compiled_again_in_each_stage(tmp_path: Path, monkeypatch, caplog) -> None:
    """4, 8 and 16 pixels with fades between them, another size of batches at 16, and an eager penalty."""
    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_: torch_compile(function, backend=FAST))
    weights, graphs = [], []
    for value in ("false", "true"):
        experiment = build(compose(*GROWING, f"run.dir={tmp_path}/{value}", f"hardware.compile={value}"))
        module, step = experiment.module, experiment.module.training_step

        def counted(*args: Any, module: Any = module, step: Any = step) -> None:
            step(*args)
            graphs.append(module.progress().get("compiled_graphs"))

        module.training_step = counted  # type: ignore[method-assign]
        experiment.trainer.fit(module, datamodule=experiment.data)
        weights.append(dict(module.named_parameters()))
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
    counts = [count for count in dict.fromkeys(graphs) if count is not None]
    assert len(counts) == 3 and counts == sorted(counts) and counts[-1] <= 16  # once in each stage, none in the fades
    assert "recompile_limit" not in caplog.text


class Reads(TorchDispatchMode):
    """Counts how often a number is read back from a tensor: on a GPU each waits for all that was started."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_no_step_reads_a_number_back() -> None:
    """With `check_finite` one is, for each update."""
    gan, reads = make_gan(norm=True, optimizer=adam(), check_finite=False), Reads()
    step = gan.training_step

    def watched(*args: Any) -> None:
        with reads:
            step(*args)

    gan.training_step = watched  # type: ignore[method-assign]
    train(gan, 12)
    assert reads.count == 0
    with Reads() as control:
        torch.ones(()).item()
    assert control.count == 1
