"""The estimate is what the same steps take when they are made."""

import pytest
import torch
from omegaconf import OmegaConf

from gan_lab.benchmark.bare import bare_loop
from gan_lab.benchmark.estimate import Meter, devices_of, estimate
from gan_lab.config.build import build_module
from gan_lab.gans.catalog import CATALOG, TWO_PLAYER
from tests.helpers.model_data import POINT_MODELS, small_data

CPU = torch.device("cpu")


def resolved(tiny, *overrides: str):
    cfg = tiny(*overrides, "budget.images=80")
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))
    OmegaConf.resolve(plain)
    return plain


def made(cfg, steps: int) -> tuple[int, int, int]:
    """Bytes in the end, most bytes and operations of so many steps of the bare loop, with numbers."""
    module, spec = build_module(cfg), cfg.dataset
    image = torch.zeros(cfg.batch_size, spec.channels, spec.resolution, spec.resolution)
    labels = torch.zeros(cfg.batch_size, dtype=torch.long)
    batches = ((image.clone(), labels) for _ in range(steps))  # one at a time, as they count while they are kept
    loop = bare_loop(module, batches, cfg.batch_size, CPU, "32-true")
    assert loop is not None
    with Meter() as meter:
        meter.add(*module.parameters(), *module.buffers())
        for _ in range(steps):
            loop.train_step()
        return meter.live, meter.peak, meter.operations


SMALL_STYLEGAN2 = (
    "stylegan2",
    "dataset.resolution=8",
    "architecture.generator.mapping_layers=1",
    "regularizer.r1.interval=2",
    "regularizer.path_length.interval=2",
)


@pytest.mark.parametrize(
    "model",
    [("dcgan",), ("wgan_gp",), ("sngan",), ("r3gan",), ("pggan",), ("msg_gan",), SMALL_STYLEGAN2],
    ids=lambda model: model[0],
)
def test_estimate_is_what_the_steps_take(model: tuple[str, ...], tiny) -> None:
    cfg = resolved(tiny, "dataset.resolution=16", f"model={model[0]}", *model[1:])
    intervals = [node.get("interval", 1) for node in cfg.regularizer.values()]
    cycle = max(cfg.n_critic, *intervals, 1)
    found, (live, peak, operations) = estimate(cfg), made(cfg, 2 * cycle)
    assert found is not None
    assert found.operations == operations / (2 * cycle * cfg.batch_size)
    assert found.resident_bytes == pytest.approx(live, rel=0.02)
    assert found.peak_bytes == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize(("interval", "updates"), [(1, 4), (2, 6)])
def test_the_bare_loop_has_a_step_for_each_lazy_penalty(interval: int, updates: int, tiny) -> None:
    """In 4 batches: 4 updates of each player, and 2 of a penalty of every second one, as in the frame."""
    overrides = ("regularizer=[r1]", f"regularizer.r1.interval={interval}", "architecture.discriminator.norm=none")
    cfg = resolved(tiny, "dataset.resolution=16", *overrides)
    batches = ((torch.zeros(8, 1, 16, 16), torch.zeros(8, dtype=torch.long)) for _ in range(4))
    loop = bare_loop(build_module(cfg), batches, 8, CPU, "32-true")
    assert loop is not None
    counts = {"discriminator": 0, "generator": 0}
    for player, optimizer in (("discriminator", loop.d_optimizer), ("generator", loop.g_optimizer)):

        def count(*_: object, player: str = player) -> None:
            counts[player] += 1

        optimizer.register_step_post_hook(count)
    for _ in range(4):
        loop.train_step()
    assert counts == {"discriminator": updates, "generator": 4}


def test_operations_of_a_linear_network(tiny) -> None:
    """A product of (n, a) and (a, b) takes 2 n a b operations, and as many for each gradient of its backward pass."""
    width, pixels, latent = 8, 16 * 16, 100
    overrides = (
        "architecture=mlp",
        "architecture.generator.norm=none",
        "architecture.discriminator.depth=1",
        "architecture.generator.depth=1",
    )
    found = estimate(resolved(tiny, "dataset.resolution=16", *overrides))
    generator = latent * width + width * pixels
    discriminator = pixels * width + width
    # The discriminator's update: samples without a graph, then real and generated ones forward and back to the weights
    # of all layers, and to the input of the last.
    first = generator + 2 * (2 * discriminator + width)
    # The generator's update: all layers forward, back through the discriminator to its input, and to the weights of
    # the generator and the input of its last layer.
    second = 2 * generator + width * pixels + 2 * discriminator
    assert found is not None and found.operations == 2 * (first + second)


def test_weights_gradients_moments_and_average_stay(tiny) -> None:
    cfg = resolved(
        tiny, "dataset.resolution=16", "architecture.generator.norm=none", "architecture.discriminator.norm=none"
    )
    module = build_module(cfg)
    g, d = (sum(p.numel() for p in network.parameters()) for network in (module.generator, module.discriminator))
    found = estimate(cfg)
    assert found is not None
    assert found.resident_bytes == pytest.approx(4 * (4 * (g + d) + g), rel=0.05)  # with batches of eight small images
    assert found.peak_bytes > found.resident_bytes


@pytest.mark.slow
@pytest.mark.parametrize("model", [e.name for e in CATALOG if e.algorithm == TWO_PLAYER and e.name in POINT_MODELS])
def test_every_model_of_two_players_has_one(model: str, tiny) -> None:
    overrides = (f"model={model}", *small_data(model), "hardware.precision=bf16-mixed")
    found = estimate(resolved(tiny, *overrides))
    assert found is not None and found.peak_bytes > found.resident_bytes > 0 and found.operations > 0


def test_algorithms_without_a_bare_loop_have_none(tiny) -> None:
    assert estimate(resolved(tiny, "model=veegan", "dataset.resolution=16")) is None


def test_more_images_take_more_and_half_precision_less(tiny) -> None:
    overrides = ("dataset.resolution=32", "batch_size=32", "architecture.generator.width=32")
    peaks = [
        estimate(resolved(tiny, *overrides, *more)).peak_bytes
        for more in ((), ("accumulate=4",), ("hardware.precision=bf16-mixed",), ("hardware.devices=2",))
    ]
    assert peaks[1] < peaks[0] and peaks[2] < peaks[0] and peaks[1] < peaks[3] < peaks[0]


@pytest.mark.parametrize(
    ("devices", "nodes", "count"), [("auto", 1, 1), (-1, 1, 1), (8, 1, 8), ("8", 2, 16), ([0, 3], 1, 2)]
)
def test_devices_come_from_the_config(devices, nodes: int, count: int) -> None:
    assert devices_of(OmegaConf.create({"hardware": {"devices": devices, "num_nodes": nodes}})) == count
