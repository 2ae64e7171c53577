"""The benchmark measures two loops that do the same work."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hydra
import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from gan_lab.benchmark.bare import bare_loop, real_batches
from gan_lab.benchmark.device_speed import DeviceSpeed, device_speed
from gan_lab.benchmark.framed import Stopwatch, run_framed
from gan_lab.benchmark.measure import Report, bench
from gan_lab.benchmark.report import bench as benched
from gan_lab.config import resolvers, schema
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit
from tests.conftest import TINY


@pytest.fixture(autouse=True)
def small_operations(monkeypatch) -> None:
    monkeypatch.setattr("gan_lab.benchmark.device_speed.CONVOLUTION", (2, 16, 8, 3))
    monkeypatch.setattr("gan_lab.benchmark.device_speed.MATRIX", 64)


CPU = torch.device("cpu")


@pytest.fixture
def tiny_bench(tmp_path: Path) -> Callable[..., DictConfig]:
    """Composes a tiny benchmark."""
    return lambda *overrides: compose(*TINY, f"run.dir={tmp_path}/run", *overrides, command="bench")


def bare(experiment):
    return bare_loop(experiment.module, real_batches(experiment.data, 8, CPU), 8, CPU, "32-true")


@pytest.mark.parametrize("model", ["dcgan", "wgan", "wgan_gp", "acgan", "projection_gan", "r3gan", "d2gan", "msg_gan"])
def test_bare_loop_trains_the_same_networks(model: str, tiny) -> None:
    """The same number of updates of each player as in the framework; all weights change; constraints hold."""
    experiment = build(tiny(f"model={model}", "dataset.resolution=16"))
    before = {name: value.clone() for name, value in experiment.module.named_parameters()}
    loop = bare(experiment)
    assert loop is not None
    counts = {"discriminator": 0, "generator": 0}
    loop.d_optimizer.register_step_post_hook(lambda *_: counts.update(discriminator=counts["discriminator"] + 1))
    loop.g_optimizer.register_step_post_hook(lambda *_: counts.update(generator=counts["generator"] + 1))
    for _ in range(10):
        loop.train_step()
    assert counts == {"discriminator": 10, "generator": 10 // experiment.module.parts.n_critic}
    still = {
        n
        for n, v in experiment.module.named_parameters()
        if torch.equal(v, before[n]) and not n.startswith("averaged.")
    }
    assert still <= {"discriminator.output.bias"}
    if model == "wgan":
        assert max(p.abs().max() for p in experiment.module.discriminator.parameters()) <= 0.01


def test_algorithms_without_a_bare_loop_have_none(tiny) -> None:
    for overrides in (["model=veegan"], ["model=bigan"], ["model=d2gan", "regularizer=[drift]"]):
        experiment = build(tiny(*overrides, "dataset.resolution=16"))
        assert bare(experiment) is None


def test_bare_loop_keeps_the_stage_of_networks_that_grow(tiny) -> None:
    loop = bare(build(tiny("model=pggan", "budget.images=80", "dataset.resolution=16")))
    seen = []
    features = loop.gan.discriminator.features
    loop.gan.discriminator.features = lambda x, labels: seen.append(x.shape[-1]) or features(x, labels)
    for _ in range(20):
        loop.train_step()
    assert set(seen) == {4}


@pytest.mark.parametrize("overrides", [["model=dcgan"], ["model=wgan_gp", "dataset=ring", "architecture=mlp"]])
def test_report_adds_up(overrides: list[str], capfd) -> None:
    tiny = ("architecture.generator.width=8", "architecture.discriminator.width=8", "hardware=cpu", "batch_size=16")
    settings = ("bench.seconds=0.3", "bench.rounds=2", "bench.warmup_batches=2")
    measured = bench(compose(*tiny, *overrides, *settings, command="bench"))
    assert sum(measured.time_fractions.values()) == pytest.approx(1, abs=0.05)
    assert set(measured.time_fractions) == {"data", "discriminator", "generator", "ema", "logging", "penalty", "rest"}
    if overrides == ["model=dcgan"]:  # otherwise a difference of times, which may be 0 for tiny networks
        assert measured.time_fractions["penalty"] == 0
    assert len(measured.ratios) == 2 and measured.bare_images_per_second is not None
    text = "\n".join(measured.lines())
    for phrase in ("images per second", "seconds per 1000 images", "peak memory", "ratio to the bare loop"):
        assert phrase in text


def test_an_algorithm_that_needs_its_penalties_is_measured_with_them(tiny_bench) -> None:
    """The semi-supervised GAN of Salimans et al. (2016): its generator has no other loss than feature matching."""
    semi_supervised = ("model=semi_supervised", "dataset.resolution=16", "algorithm.labeled.per_class=2")
    measured = bench(tiny_bench(*semi_supervised, *BENCH))
    assert measured.time_fractions["penalty"] == 0 and measured.images_per_second > 0


def test_the_updates_of_every_player_are_a_part_of_the_time(tiny_bench) -> None:
    """Also those that are not named generator and discriminator."""
    fractions = bench(tiny_bench("model=lapgan", "dataset.resolution=16", *BENCH)).time_fractions
    assert {name for name in fractions if "discriminator" in name} == {"discriminator_0", "discriminator_1"}
    assert sum(fractions.values()) == pytest.approx(1, abs=0.05) and fractions["rest"] < 0.5


def test_text_of_a_report() -> None:
    device = DeviceSpeed(convolution=4e11, matmul=8e11)
    measured = Report(500.0, 625.0, [0.8, 0.82, 0.79], {"data": 0.1, "discriminator": 0.9}, 2**30, device)
    assert device.lines(1e11)[1].split("  ")[-1].strip() == "25 % of its convolutions, 12 % of its matrix products"
    text = "\n".join(measured.lines())
    assert "      2.000" in text and "1024 MiB" in text and "0.800 (rounds 0.800" in text


def test_speed_of_a_device_is_that_of_its_operations(monkeypatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("gan_lab.benchmark.device_speed.time.perf_counter", lambda: next(clock))
    speeds = device_speed(torch.device("cpu"), "bf16-mixed", seconds=3)
    assert speeds.convolution == 2 * 2 * 16 * 16 * 8 * 8 * 9 and speeds.matmul == 2 * 64**3  # a call takes a second


def test_framed_loop_sees_the_images_it_reports(tiny) -> None:
    experiment = fit(tiny("budget.images=64", "dataset.resolution=8"))
    assert experiment.module.images_seen == 64


BENCH = (
    "bench.seconds=0.05",
    "bench.rounds=1",
    "bench.warmup_batches=1",
    "bench.resolutions=null",
    "bench.tflops=null",
)


def test_a_measurement_has_complete_cycles_of_updates(tiny, monkeypatch) -> None:
    """With five updates of the discriminator for one of the generator, and pieces of one cycle."""
    monkeypatch.setattr("gan_lab.benchmark.framed.PIECE_SECONDS", 0.0)
    experiment = build(tiny("model=gan", "n_critic=5", "budget.images=400"))
    loop = bare(build(tiny("model=gan", "n_critic=5", "budget.images=400")))
    assert loop is not None
    turns = [("run", 0)]

    def count(kind: str, batches: int = 1) -> None:
        if turns[-1][0] == kind:
            batches += turns.pop()[1]
        turns.append((kind, batches))

    clock = iter(range(1000))
    monkeypatch.setattr("gan_lab.benchmark.framed.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    train_step = loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda: count("bare") or train_step())
    monkeypatch.setattr(Stopwatch, "on_train_batch_start", lambda *_: count("run"), raising=False)
    run_framed(experiment, 3.0, 2, loop)
    # Warmup; then a cycle, whose time is two ticks of this clock, and after it a batch that is not measured.
    assert turns == [("run", 0), ("bare", 2), ("run", 7), ("bare", 6), ("run", 6), ("bare", 6)]


def test_networks_that_grow_are_measured_at_every_resolution(tiny_bench) -> None:
    overrides = ("model=pggan", "dataset.resolution=16", "budget.images=80", "+growth.batch_sizes={4:16,8:12}")
    lines = str(benched(tiny_bench(*overrides, *BENCH))).splitlines()
    assert [line for line in lines if "pixels" in line] == ["4 x 4 pixels", "8 x 8 pixels", "16 x 16 pixels"]
    assert [int(line.split()[1]) for line in lines if line.startswith("  batch ")] == [16, 12, 8]
    memory = [float(line.split()[2]) for line in lines if "estimated memory" in line]
    operations = [float(line.split()[1]) for line in lines if "operations" in line]
    assert len(memory) == 3 and operations == sorted(operations) and len(set(operations)) == 3
    chosen = str(benched(tiny_bench(*overrides, *BENCH, "bench.resolutions=[8]"))).splitlines()
    assert [line for line in chosen if "pixels" in line] == ["8 x 8 pixels"]
    with pytest.raises(ConfigError, match=r"bench.resolutions=\[64\] is not allowed: .*\[4, 8, 16\]"):
        str(benched(tiny_bench(*overrides, *BENCH, "bench.resolutions=[64]"))).splitlines()
    with pytest.raises(ConfigError, match=r"bench.resolutions=\[\] is not allowed: choose from \[4, 8, 16\], or null"):
        str(benched(tiny_bench(*overrides, *BENCH, "bench.resolutions=[]")))


def test_without_rounds_nothing_is_read_and_many_devices_are_estimated(tiny_bench) -> None:
    overrides = (
        "dataset=image_folder",
        "dataset.source=nowhere",
        "dataset.resolution=16",
        "batch_size=48",
        "accumulate=3",
    )
    lines = str(benched(tiny_bench(*overrides, *BENCH, "bench.rounds=0", "hardware.devices=4"))).splitlines()
    assert any("on each of 4 devices for 4 images at a time" in line for line in lines)
    assert not any("per second" in line for line in lines)
    timed = str(
        benched(tiny_bench(*overrides, *BENCH, "bench.rounds=0", "hardware.devices=4", "bench.tflops=0.5"))
    ).splitlines()
    (operations,) = (float(line.split()[1]) for line in timed if line.startswith("operations"))
    (seconds,) = (float(line.split()[2]) for line in timed if line.startswith("estimated time"))
    assert seconds == pytest.approx(operations / 0.5 / 4, rel=1e-3)
    with pytest.raises(ConfigError, match=r"bench\.rounds=0 to only estimate"):
        str(benched(tiny_bench(*overrides, *BENCH, "hardware.devices=4"))).splitlines()


@pytest.mark.parametrize(
    "override", ["model=cgan", "hardware=ddp_bf16", "experiment=dcgan_faces64", "clip_norm=1.0", "budget.kimg=3"]
)
def test_bench_has_the_settings_of_train(override: str) -> None:
    resolvers.register()
    with hydra.initialize_config_dir(str(schema.CONF), version_base="1.3"):
        ours, theirs = (hydra.compose(name, [override, "run.name=x"]) for name in ("bench", "train"))
    settings = OmegaConf.to_container(ours)
    assert settings.pop("bench")
    assert settings == OmegaConf.to_container(theirs)


def test_table_of_speeds() -> None:
    """A row for each model and setting, also for those that cannot be measured."""
    from tools.speed_table import COLUMNS, rows

    head, first, second = rows(["dcgan", "unknown"], [8], ["cpu"], ["false"], [*TINY, *BENCH])
    assert [row.count("|") for row in (*head.splitlines(), first, second)] == [len(COLUMNS) + 1] * 4
    assert re.match(
        r"\| `dcgan` \| 8 \| `cpu` \| false \| [\d,]+ \| [\d.]+ \([\d.]+ to [\d.]+\) \| [\d.]+ \| \d+% \|", first
    )
    assert second.startswith("| `unknown` | 8 | `cpu` | false | not measured: model=unknown is not known")
