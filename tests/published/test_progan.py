"""Import of ProGAN: equal to forward passes that are written from the formulas, on the published names."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gan_lab
from gan_lab.sampling.export_file import read_card
from tests.helpers.imported import discriminator_of
from tests.helpers.published_files import (
    progan_discriminator_shapes,
    progan_shapes,
    progan_snapshot,
    random_tensors,
    write_pickle,
    write_torch,
    zoo_checkpoint,
    zoo_discriminator_shapes,
    zoo_shapes,
)

Command = Callable[..., Any]
Tensors = dict[str, Tensor]

CHANNELS = {4: 6, 8: 6, 16: 4}
LATENT = 5


def pixel_norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def act(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Zoo:
    """Forward passes of pytorch_GAN_zoo's ProGAN on its own names: weights and biases times He's constant."""

    def __init__(self, tensors: Tensors, alpha: float = 0.0) -> None:
        self.tensors = tensors
        self.alpha = alpha  # of the lower resolution

    def layer(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.tensors[f"{name}.module.weight"], self.tensors[f"{name}.module.bias"]
        constant = sqrt(2 / weight[0].numel())
        if weight.dim() == 2:
            return (x @ weight.T + bias) * constant
        return (F.conv2d(x, weight, padding=weight.shape[-1] // 2) + bias[:, None, None]) * constant

    def generator(self, z: Tensor) -> Tensor:
        x = pixel_norm(act(self.layer("formatLayer", pixel_norm(z))).view(len(z), -1, 4, 4))
        x = before = pixel_norm(act(self.layer("groupScale0.0", x)))
        for level in (0, 1):
            before, x = x, doubled(x)
            for place in (0, 1):
                x = pixel_norm(act(self.layer(f"scaleLayers.{level}.{place}", x)))
        return (1 - self.alpha) * self.layer("toRGBLayers.2", x) + self.alpha * doubled(
            self.layer("toRGBLayers.1", before)
        )

    def discriminator(self, x: Tensor) -> Tensor:
        low = act(self.layer("fromRGBLayers.1", F.avg_pool2d(x, 2)))
        x = act(self.layer("fromRGBLayers.2", x))
        for level in (1, 0):
            for place in (0, 1):
                x = act(self.layer(f"scaleLayers.{level}.{place}", x))
            x = F.avg_pool2d(x, 2)
            if level == 1:
                x = (1 - self.alpha) * x + self.alpha * low
        groups = x.view(-1, 4, *x.shape[1:])
        stddev = (groups.var(1, unbiased=True) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(4)
        x = torch.cat([x, stddev[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        x = act(self.layer("groupScaleZero.1", act(self.layer("groupScaleZero.0", x)).flatten(1)))
        return self.layer("decisionLayer", x)[:, 0]


class TensorFlow:
    """Forward passes of ProGAN's TensorFlow code on its own names, by the definition of its operations."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors

    def kernel(self, name: str, gain: float = sqrt(2), up: bool = False) -> Tensor:
        weight = self.tensors[f"{name}/weight"]
        inputs = weight.shape[3] if up else weight.shape[2]
        return weight * (gain / sqrt(weight.shape[0] * weight.shape[1] * inputs))

    def bias(self, name: str) -> Tensor:
        return self.tensors[f"{name}/bias"][:, None, None]

    def dense(self, name: str, x: Tensor, gain: float = sqrt(2)) -> Tensor:
        weight = self.tensors[f"{name}/weight"]
        return x @ (weight * gain / sqrt(weight.shape[0]))

    def conv(self, name: str, x: Tensor, gain: float = sqrt(2)) -> Tensor:
        kernel = self.kernel(name, gain).permute(3, 2, 0, 1)
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2) + self.bias(name)

    @staticmethod
    def fused_kernel(kernel: Tensor) -> Tensor:
        """The 4x4 kernel of the fused layers: the sum of four shifted 3x3 kernels."""
        wide = F.pad(kernel, (0, 0, 0, 0, 1, 1, 1, 1))
        return wide[1:, 1:] + wide[:-1, 1:] + wide[1:, :-1] + wide[:-1, :-1]

    def generator(self, z: Tensor, fused: bool) -> Tensor:
        x = self.dense("4x4/Dense", pixel_norm(z), sqrt(2) / 4).view(len(z), -1, 4, 4)
        x = pixel_norm(act(x + self.bias("4x4/Dense")))
        x = pixel_norm(act(self.conv("4x4/Conv", x)))
        for size in (8, 16):
            block = f"{size}x{size}"
            if fused:
                kernel = self.fused_kernel(self.kernel(f"{block}/Conv0_up", up=True)).permute(3, 2, 0, 1)
                x = F.conv_transpose2d(x, kernel, stride=2, padding=1) + self.bias(f"{block}/Conv0_up")
            else:
                x = self.conv(f"{block}/Conv0", doubled(x))
            x = pixel_norm(act(self.conv(f"{block}/Conv1", pixel_norm(act(x)))))
        return self.conv("ToRGB_lod0", x, 1.0)

    def discriminator(self, x: Tensor, fused: bool) -> Tensor:
        x = act(self.conv("FromRGB_lod0", x))
        for size in (16, 8):
            block = f"{size}x{size}"
            x = act(self.conv(f"{block}/Conv0", x))
            if fused:
                kernel = self.fused_kernel(self.kernel(f"{block}/Conv1_down")).permute(3, 2, 0, 1) / 4
                x = act(F.conv2d(x, kernel, stride=2, padding=1) + self.bias(f"{block}/Conv1_down"))
            else:
                x = F.avg_pool2d(act(self.conv(f"{block}/Conv1", x)), 2)
        groups = x.view(4, -1, *x.shape[1:])  # every (n / 4)-th sample
        stddev = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(4)
        x = torch.cat([x, stddev[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        x = act(self.conv("4x4/Conv", x)).flatten(1)
        x = act(self.dense("4x4/Dense0", x) + self.tensors["4x4/Dense0/bias"])
        return (self.dense("4x4/Dense1", x, 1.0) + self.tensors["4x4/Dense1/bias"])[:, 0]


def images(count: int = 8) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


def zoo_networks() -> tuple[Tensors, Tensors]:
    generator = random_tensors(zoo_shapes(16, CHANNELS, LATENT), 0)
    for name in generator:
        if "toRGB" in name:
            generator[name] *= 0.2  # images in [-1, 1], which samples are clipped to
    return generator, random_tensors(zoo_discriminator_shapes(16, CHANNELS), 1)


def progan_networks(fused: bool = True) -> tuple[Tensors, Tensors]:
    generator = random_tensors(progan_shapes(16, CHANNELS, LATENT, fused), 0)
    for name in generator:
        if "ToRGB" in name:
            generator[name] *= 0.2
    return generator, random_tensors(progan_discriminator_shapes(16, CHANNELS, fused), 1)


@pytest.mark.parametrize(("alpha", "old"), [(0.0, True), (0.3, False)])
def test_the_checkpoint_of_the_zoo(alpha: float, old: bool, tmp_path: Path) -> None:
    generator, discriminator = zoo_networks()
    source = write_torch(tmp_path / "celebahq.pth", zoo_checkpoint(generator, discriminator, alpha), old)
    file = gan_lab.import_weights(source, out=tmp_path / "x.safetensors").file
    loaded = gan_lab.load(file, device="cpu")
    latents, _ = loaded.draw(8)
    expected = Zoo(generator, alpha).generator(latents)
    assert expected.std() > 0.1
    torch.testing.assert_close(loaded.generate(latents), expected.clamp(-1, 1), rtol=0, atol=1e-4)
    logits = Zoo(discriminator, alpha).discriminator(images())
    assert logits.std() > 0.01
    torch.testing.assert_close(discriminator_of(file)(images()), logits, rtol=1e-4, atol=1e-4)
    assert read_card(file)[0]["source"]["format"] == "progan_gan_zoo"


def test_the_trained_generator_of_the_zoo(tmp_path: Path) -> None:
    generator, discriminator = zoo_networks()
    source = write_torch(tmp_path / "celebahq.pth", zoo_checkpoint(generator, discriminator))
    file = gan_lab.import_weights(source, out=tmp_path / "x.safetensors", weights="raw").file
    state = gan_lab.load(file, "raw", "cpu").generator.state_dict()
    bias = generator["groupScale0.0.module.bias"] + 1
    torch.testing.assert_close(state["blocks.0.conv.bias"], bias * sqrt(2 / 54))


@pytest.mark.parametrize("fused", [True, False])
def test_the_pickle_of_tensorflow(fused: bool, tmp_path: Path) -> None:
    generator, discriminator = progan_networks(fused)
    source = write_pickle(tmp_path / "celebahq.pkl", progan_snapshot(generator, discriminator))
    file = gan_lab.import_weights(source, out=tmp_path / "x.safetensors").file
    loaded = gan_lab.load(file, device="cpu")
    latents, _ = loaded.draw(8)
    expected = TensorFlow(generator).generator(latents, fused)
    assert expected.std() > 0.1
    torch.testing.assert_close(loaded.generate(latents), expected.clamp(-1, 1), rtol=0, atol=1e-4)
    order = [0, 4, 1, 5, 2, 6, 3, 7]  # their groups are then ours
    logits = TensorFlow(discriminator).discriminator(images()[order], fused)
    assert logits.std() > 0.01
    torch.testing.assert_close(discriminator_of(file)(images())[order], logits, rtol=1e-4, atol=1e-4)
    card, _ = read_card(file)
    assert card["source"]["format"] == "progan_tensorflow" and "CC BY-NC 4.0" in card["source"]["license"]


def test_the_stage_of_tensorflow(tmp_path: Path) -> None:
    source = write_pickle(tmp_path / "growing.pkl", progan_snapshot(*progan_networks(), lod=1.25))
    file = gan_lab.import_weights(source, out=tmp_path / "x.safetensors").file
    stage = gan_lab.load(file, device="cpu").generator.stage
    assert (stage.resolution, stage.alpha) == (8, 0.75)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g, d: g.pop("8x8/Conv1/bias"), "has no tensor 8x8/Conv1/bias in its Gs"),
        (lambda g, d: g.update({"8x8/Conv2/bias": torch.ones(1)}), "such as 8x8/Conv2/bias: it is another network"),
        (
            lambda g, d: d.update({"4x4/Dense1/bias": torch.ones(3)}),
            "output.bias of the discriminator, which must",
        ),
    ],
)
def test_other_networks_are_refused(
    change: Callable[[Tensors, Tensors], Any], sentence: str, tmp_path: Path, command: Command
) -> None:
    generator, discriminator = progan_networks()
    change(generator, discriminator)
    write_pickle(tmp_path / "x.pkl", progan_snapshot(generator, discriminator))
    outcome = command("import", "x.pkl")
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err


@pytest.mark.parametrize("lod", [-1.0, 7.0, float("nan")])
def test_stages_that_do_not_exist(lod: float, tmp_path: Path, command: Command) -> None:
    write_pickle(tmp_path / "x.pkl", progan_snapshot(*progan_networks(), lod=lod))
    outcome = command("import", "x.pkl")
    assert outcome.status == 2 and len(outcome.err.splitlines()) == 1, outcome.err
