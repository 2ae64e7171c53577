"""Import of mimicry's SN-GAN: equal to forward passes that are written from the formulas, on the published names."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gan_lab
from tests.helpers.imported import discriminator_of
from tests.helpers.published_biggan import biggan_tensors
from tests.helpers.published_files import write_torch

Command = Callable[..., Any]
Tensors = dict[str, Tensor]

LATENT = 5
GENERATORS = {32: [16, 16, 16, 16], 48: [32, 16, 8, 4], 64: [64, 32, 16, 8, 4]}
"""Channels from the first linear layer on; 48 pixels start at 6x6."""
DISCRIMINATORS = {32: [8, 8, 8, 8], 48: [4, 8, 16, 32, 64], 64: [4, 8, 16, 32, 64]}
HALVINGS = {32: 2, 48: 4, 64: 5}


def generator_tensors(resolution: int) -> Tensors:
    maps = GENERATORS[resolution]
    start = 6 if resolution == 48 else 4
    shapes: dict[str, tuple[int, ...]] = {"l1.weight": (start**2 * maps[0], LATENT), "l1.bias": (start**2 * maps[0],)}
    for number, (i, o) in enumerate(pairwise(maps), 2):
        for layer, inputs, kernel in (("c1", i, 3), ("c2", o, 3), ("c_sc", i, 1)):
            shapes |= {
                f"block{number}.{layer}.weight": (o, inputs, kernel, kernel),
                f"block{number}.{layer}.bias": (o,),
            }
        shapes |= norm(f"block{number}.b1", i) | norm(f"block{number}.b2", o)
    last = len(maps) + 1
    shapes |= norm(f"b{last}", maps[-1]) | {f"c{last}.weight": (3, maps[-1], 3, 3), f"c{last}.bias": (3,)}
    tensors = biggan_tensors(shapes, 0)
    for value in tensors.values():
        if value.dim() > 1:
            value.div_(value[0].numel() ** 0.5)
    counters = {f"{name.rpartition('.')[0]}.num_batches_tracked": torch.tensor(7) for name in shapes if "_var" in name}
    return tensors | counters


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{kind}": (channels,) for kind in ("weight", "bias", "running_mean", "running_var")}


def discriminator_tensors(resolution: int) -> Tensors:
    maps = [3, *DISCRIMINATORS[resolution]]
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, shape: tuple[int, ...]) -> None:
        rest = torch.Size(shape[1:]).numel()
        shapes.update({f"{name}.weight_orig": shape, f"{name}.weight_u": shape[:1], f"{name}.weight_v": (rest,)})
        shapes[f"{name}.bias"] = shape[:1]

    for number, (i, o) in enumerate(pairwise(maps), 1):
        hidden = o if number == 1 else i
        layer(f"block{number}.c1", (hidden, i, 3, 3))
        layer(f"block{number}.c2", (o, hidden, 3, 3))
        if number <= HALVINGS[resolution] or i != o:
            layer(f"block{number}.c_sc", (o, i, 1, 1))
    layer(f"l{len(maps)}", (1, maps[-1]))
    return biggan_tensors(shapes, 1)


def generated(t: Tensors, z: Tensor, resolution: int) -> Tensor:
    """Pre-activation blocks with bilinear upsampling on both branches."""

    def conv(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=t[f"{name}.weight"].shape[-1] // 2)

    def normalized(name: str, x: Tensor) -> Tensor:
        weight, bias, mean, var = (t[f"{name}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var"))
        scale = weight / (var + 1e-5).sqrt()
        return F.relu((x - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None])

    def doubled(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    start, blocks = (6 if resolution == 48 else 4), len(GENERATORS[resolution]) - 1
    x = F.linear(z, t["l1.weight"], t["l1.bias"]).view(len(z), -1, start, start)
    for block in (f"block{number}" for number in range(2, blocks + 2)):
        h = conv(f"{block}.c1", doubled(normalized(f"{block}.b1", x)))
        x = conv(f"{block}.c2", normalized(f"{block}.b2", h)) + conv(f"{block}.c_sc", doubled(x))
    return torch.tanh(conv(f"c{blocks + 2}", normalized(f"b{blocks + 2}", x)))


def scored(t: Tensors, x: Tensor, resolution: int) -> Tensor:
    """Blocks whose ReLU in place changes what the skip connection reads."""

    def weight(name: str) -> Tensor:
        kernel, u, v = (t[f"{name}.weight_{kind}"] for kind in ("orig", "u", "v"))
        return kernel / (u @ kernel.flatten(1) @ v)

    def conv(name: str, x: Tensor) -> Tensor:
        kernel = weight(name)
        return F.conv2d(x, kernel, t[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    blocks = len(DISCRIMINATORS[resolution])
    h = F.avg_pool2d(conv("block1.c2", F.relu(conv("block1.c1", x))), 2)
    x = h + conv("block1.c_sc", F.avg_pool2d(x, 2))
    for number in range(2, blocks + 1):
        x = F.relu(x)
        h = conv(f"block{number}.c2", F.relu(conv(f"block{number}.c1", x)))
        if f"block{number}.c_sc.bias" in t:
            x = conv(f"block{number}.c_sc", x)
        x = h + x
        if number <= HALVINGS[resolution]:
            x = F.avg_pool2d(x, 2)
    name = f"l{blocks + 1}"
    return F.linear(F.relu(x).sum((2, 3)), weight(name), t[f"{name}.bias"])[:, 0]


def checkpoint(tensors: Tensors) -> dict[str, Any]:
    return {"model_state_dict": tensors, "optimizer_state_dict": {"state": {}, "param_groups": []}, "global_step": 9}


@pytest.mark.parametrize("resolution", GENERATORS)
def test_both_networks_equal_the_published_ones(resolution: int, tmp_path: Path) -> None:
    generator, discriminator = generator_tensors(resolution), discriminator_tensors(resolution)
    source = write_torch(tmp_path / "netG_9_steps.pth", checkpoint(generator), old=True)
    critic = write_torch(tmp_path / "netD_9_steps.pth", checkpoint(discriminator))
    file = gan_lab.import_weights(source, discriminator=critic, out=tmp_path / "x.safetensors").file
    loaded = gan_lab.load(file, device="cpu")
    latents, _ = loaded.draw(3)
    expected = generated(generator, latents, resolution)
    assert 0.1 < expected.std() < 0.9
    torch.testing.assert_close(loaded.generate(latents), expected, rtol=0, atol=1e-4)
    images = torch.rand(3, 3, resolution, resolution, generator=torch.Generator().manual_seed(5)) * 2 - 1
    logits = scored(discriminator, images, resolution)
    torch.testing.assert_close(discriminator_of(file)(images), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g, d: g.pop("block3.b1.bias"), "has no tensor block3.b1.bias in its generator"),
        (lambda g, d: d.update({"l_y.weight_orig": torch.ones(3)}), "in its discriminator that are not part of"),
        (lambda g, d: d.clear(), "has no tensor block1.c1.bias in its discriminator"),
        (lambda g, d: g.update({"l1.weight": torch.ones(7, 5)}), "it is another network|do not fit"),
    ],
)
def test_other_networks_are_refused(
    change: Callable[[Tensors, Tensors], Any], sentence: str, tmp_path: Path, command: Command
) -> None:
    generator, discriminator = generator_tensors(32), discriminator_tensors(32)
    change(generator, discriminator)
    write_torch(tmp_path / "netG.pth", checkpoint(generator))
    write_torch(tmp_path / "netD.pth", checkpoint(discriminator))
    outcome = command("import", "netG.pth", "discriminator=netD.pth")
    assert outcome.status == 2 and any(each in outcome.err for each in sentence.split("|")), outcome.err
    assert len(outcome.err.splitlines()) == 1
