"""Frozen layers of discriminators: which ones, and that training with any penalty leaves them as they are."""

from pathlib import Path

import pytest
import torch
from torch import nn

from gan_lab.architectures.freezing import freeze_from_image
from gan_lab.architectures.wrapped import innermost
from gan_lab.config.build import build, build_network
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.equality import unequal

COUNTS = {
    "stylegan2": (32, 1 + 3 * 3),  # to 4 pixels: a layer that reads the image, and three in each block
    "pggan": (32, 1 + 2 * 3),
    "dcgan": (32, 3),
    "sngan_cnn": (32, 7),
    "resnet": (32, 3 + 3 + 2 + 2),
    "biggan": (32, 3 + 3 + 2 + 2),
    "mlp": (8, 1),
}
"""Resolution and number of layers that can be frozen."""


def discriminator(architecture: str, resolution: int, *more: str) -> nn.Module:
    sizes = ("width=8", f"dataset.resolution={resolution}", "conditioning=none", *more)
    return build_network(compose(f"architecture={architecture}", *sizes), "discriminator")


@pytest.mark.parametrize("architecture", COUNTS)
def test_layers_in_the_order_of_an_image(architecture: str) -> None:
    """Each of the layers runs before the next one; and one more than there are is refused with their number."""
    resolution, count = COUNTS[architecture]
    network = discriminator(architecture, resolution, "architecture.discriminator.norm=none")
    layers = network.layers_from_image()
    assert len(layers) == count
    order: list[int] = []
    for number, layer in enumerate(layers):
        layer[-1].register_forward_hook(lambda *_, number=number: order.append(number))
    network(torch.randn(4, 1, resolution, resolution))
    if architecture in ("resnet", "biggan"):  # the skip connection of a first block runs beside its convolutions
        order = sorted(order)
    assert order == list(range(count))
    freeze_from_image(network, count)
    trained = {name.partition(".")[0] for name, _ in network.named_parameters()}
    ends = {"stylegan2": {"conv", "linear", "output"}, "pggan": {"from_image", "end", "output"}}
    assert trained == ends.get(architecture, {"output"})
    with pytest.raises(ValueError, match=f"={count + 1} is not allowed: .* has {count} layers that can be frozen"):
        freeze_from_image(discriminator(architecture, resolution), count + 1)


def test_plain_blocks_have_two_layers() -> None:
    assert len(discriminator("stylegan2", 32, "architecture.discriminator.blocks=orig").layers_from_image()) == 7


def test_an_image_passes_unchanged_and_names_stay() -> None:
    network = discriminator("stylegan2", 16)
    images, names = torch.randn(4, 1, 16, 16, requires_grad=True), set(network.state_dict())
    before = network(images)
    (wanted,) = torch.autograd.grad(before.sum(), images)
    freeze_from_image(network, 4)
    after = network(images)
    assert torch.equal(before, after) and set(network.state_dict()) == names
    assert torch.equal(torch.autograd.grad(after.sum(), images)[0], wanted)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=stylegan2", "latent.dim=8", "regularizer.r1.interval=2"),
        ("model=wgan_gp", "architecture=dcgan", "conditioning=concat"),
        ("model=sngan", "wrapper/discriminator=[spectral_norm,packing]"),
        ("model=d2gan", "architecture=dcgan", "regularizer=[r1]"),
        ("model=wgan",),
    ],
    ids=lambda overrides: overrides[0],
)
def test_frozen_layers_are_the_same_after_training(overrides: tuple[str, ...], tiny) -> None:
    """Also inside of wrappers, below spectral norm and clipped weights, with penalties, and in both of D2GAN's."""
    sizes = ("dataset.resolution=32", "width=8", "architecture.discriminator.norm=none", "budget.images=32")
    cfg = tiny(*overrides, *sizes, "freeze_discriminator=3")
    before, module = build(cfg).module, fit(cfg).module
    for name in ("discriminator", "second_discriminator"):
        if hasattr(module, name):
            layers = [innermost(getattr(each, name)).layers_from_image() for each in (before, module)]
            for number, (old, new) in enumerate(zip(*(map(nn.ModuleList, each) for each in layers), strict=True)):
                assert (not list(new.parameters())) == (number < 3)
                assert (not list(unequal(old.state_dict(), new.state_dict()))) == (number < 3)
    player = module.runner.players["discriminator"]
    groups = module.runner.optimizer("discriminator").param_groups
    assert [p for group in groups for p in group["params"]] == list(player.network.parameters())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("architecture=stylegan2", "freeze_discriminator=11"), "StyleGAN2Discriminator has 7 layers that can be fr"),
        (("architecture=msg_gan", "freeze_discriminator=1"), "order from the image on, which MSGDiscriminator does no"),
        (
            ("model=dcgan", "freeze_discriminator=2"),
            "norm whose statistics follow the batch; give a number from 0 to 1",
        ),
        (("model=pggan", "growth=even", "freeze_discriminator=2"), "cannot be combined with networks that grow"),
        (("freeze_discriminator=-1",), "freeze_discriminator=-1 is not allowed: it must be at least 0"),
    ],
)
def test_what_cannot_be_frozen(overrides: tuple[str, ...], message: str, tiny) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tiny("dataset.resolution=16", *overrides))


def test_a_run_keeps_its_frozen_layers(tmp_path: Path) -> None:
    quick = (override for override in TINY if "checkpoints" not in override)
    options = (*quick, "architecture.discriminator.norm=none", "dataset.resolution=16", f"run.dir={tmp_path}")
    fit(compose(*options, "freeze_discriminator=1", "budget.images=8"))
    assert fit(compose(*options, "freeze_discriminator=1", "budget.images=16")).module.images_seen == 16
    with pytest.raises(ConfigError, match=r"freeze_discriminator=1 \(now 2\), and no optimizer can use the state"):
        fit(compose(*options, "freeze_discriminator=2", "budget.images=24", "allow_changes=true"))
