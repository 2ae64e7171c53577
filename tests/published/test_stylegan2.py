"""Import of StyleGAN2's pickles: equal to a forward pass that is written from the formulas, on the published names."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gan_lab
from gan_lab.architectures.stylegan2 import StyleGAN2Discriminator
from gan_lab.sampling.export_file import read_card, read_export
from tests.helpers.imported import discriminator_of
from tests.helpers.published_files import (
    stylegan2_discriminator_shapes,
    stylegan2_in_tensorflow,
    stylegan2_shapes,
    stylegan2_snapshot,
    stylegan2_tensors,
    write_pickle,
)

Command = Callable[..., Any]
Tensors = dict[str, Tensor]

CHANNELS = {4: 6, 8: 6, 16: 4}
LATENT, STYLE, LAYERS = 5, 7, 3


class Published:
    """Forward passes of the published networks (Karras et al., 2020; code of StyleGAN2-ADA), on their own names."""

    def __init__(self, tensors: Tensors, clamp: float | None = None) -> None:
        self.tensors = tensors
        self.clamp = float("inf") if clamp is None else clamp

    def linear(self, name: str, x: Tensor, multiplier: float = 1.0) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return x @ weight.T * (multiplier / sqrt(weight.shape[1])) + multiplier * bias

    @staticmethod
    def act(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x) * sqrt(2)

    def limited(self, x: Tensor, gain: float = 1.0) -> Tensor:
        return x.clamp(-self.clamp, self.clamp) * gain

    @staticmethod
    def filtered(x: Tensor, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = gain * torch.outer(taps, taps)[None, None]
        flat = F.conv2d(x.flatten(0, 1)[:, None], kernel, padding=padding, stride=stride)
        return flat.view(*x.shape[:2], *flat.shape[2:])

    @staticmethod
    def zeros_between(x: Tensor) -> Tensor:
        """Every pixel followed by a zero, in both directions."""
        out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        out[:, :, ::2, ::2] = x
        return out

    def mapping(self, layers: int, z: Tensor | None, labels: Tensor | None) -> Tensor:
        parts = [] if z is None else [z]
        if labels is not None:
            weight, bias = self.tensors["mapping.embed.weight"], self.tensors["mapping.embed.bias"]
            parts.append(weight.T[labels] / sqrt(weight.shape[1]) + bias)
        x = torch.cat([part / (part.square().mean(1, keepdim=True) + 1e-8).sqrt() for part in parts], 1)
        for number in range(layers):
            x = self.act(self.linear(f"mapping.fc{number}", x, 0.01))
        return x

    def modulated(self, name: str, x: Tensor, style: Tensor, up: bool = False, image: bool = False) -> Tensor:
        """One convolution for each sample, with its own weights."""
        weight = self.tensors[f"{name}.weight"]
        factors = self.linear(f"{name}.affine", style)
        outputs = []
        for sample, factor in zip(x, factors, strict=True):
            w = weight * factor[None, :, None, None]
            w = w / (sqrt(weight[0].numel()) if image else (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt())
            if up:  # a convolution, not a correlation, of the map with zeros between its pixels; then the filter
                full = F.conv2d(F.pad(self.zeros_between(sample[None]), (2, 1, 2, 1)), w.flip(2, 3))
                outputs.append(self.filtered(full, padding=1, gain=4))
            else:
                outputs.append(F.conv2d(sample[None], w, padding=weight.shape[-1] // 2))
        return torch.cat(outputs)

    def styled(self, name: str, x: Tensor, style: Tensor, up: bool = False) -> Tensor:
        x = self.modulated(name, x, style, up)
        x = x + self.tensors[f"{name}.noise_const"] * self.tensors[f"{name}.noise_strength"]
        return self.limited(self.act(x + self.tensors[f"{name}.bias"][:, None, None]))

    def generator(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        w = self.mapping(LAYERS, z, labels)
        x = self.tensors["synthesis.b4.const"][None].expand(len(z), -1, -1, -1)
        images: Tensor | None = None
        for size in CHANNELS:
            block = f"synthesis.b{size}"
            if size > 4:
                x = self.styled(f"{block}.conv0", x, w, up=True)
            x = self.styled(f"{block}.conv1", x, w)
            added = self.modulated(f"{block}.torgb", x, w, image=True)
            added = self.limited(added + self.tensors[f"{block}.torgb.bias"][:, None, None])
            if images is not None:
                images = self.filtered(F.pad(self.zeros_between(images), (2, 1, 2, 1)), padding=0, gain=4)
            images = added if images is None else images + added
        assert images is not None
        return images

    def conv(self, name: str, x: Tensor, gain: float = 1.0, down: bool = False, linear: bool = False) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        scaled = weight / sqrt(weight[0].numel())
        if down:
            kernel = weight.shape[-1]
            x = F.conv2d(self.filtered(x, padding=2 if kernel == 3 else 1), scaled, stride=2)
        else:
            x = F.conv2d(x, scaled, padding=weight.shape[-1] // 2)
        if f"{name}.bias" in self.tensors:
            x = x + self.tensors[f"{name}.bias"][:, None, None]
        return self.limited(x if linear else self.act(x), gain)

    def discriminator(self, x: Tensor, labels: Tensor | None = None, group: int = 4) -> Tensor:
        residual = "b16.skip.weight" in self.tensors
        x = self.conv("b16.fromrgb", x)
        for size in (16, 8):
            half = sqrt(0.5) if residual else 1.0
            y = self.conv(f"b{size}.conv1", self.conv(f"b{size}.conv0", x), half, down=True)
            x = y + self.conv(f"b{size}.skip", x, half, down=True, linear=True) if residual else y
        groups = x.view(group, -1, *x.shape[1:])  # every (n / group)-th sample
        stddev = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3)).repeat(group)
        x = torch.cat([x, stddev[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        x = self.act(self.linear("b4.fc", self.conv("b4.conv", x).flatten(1)))
        x = self.linear("b4.out", x)
        if labels is None:
            return x[:, 0]
        return (x * self.mapping(8, None, labels)).sum(1) / sqrt(x.shape[1])


def networks(classes: int | None = None, residual: bool = True) -> tuple[Tensors, Tensors]:
    generator = stylegan2_tensors(stylegan2_shapes(16, CHANNELS, LATENT, STYLE, LAYERS, classes), 0)
    for name in generator:
        if "torgb" in name and not name.endswith("affine.bias"):
            generator[name] *= 0.05  # images in [-1, 1], which samples are clipped to
    return generator, stylegan2_tensors(stylegan2_discriminator_shapes(16, CHANNELS, residual, classes), 1)


def imported(folder: Path, content: Any, **settings: Any) -> Path:
    write_pickle(folder / "published.pkl", content)
    found = gan_lab.import_weights(folder / "published.pkl", out=folder / "ours.safetensors", **settings)
    return found.file


@pytest.mark.parametrize(("classes", "residual", "clamp"), [(None, True, None), (4, False, 2.0)])
def test_both_networks_equal_the_published_ones(
    classes: int | None, residual: bool, clamp: float | None, tmp_path: Path
) -> None:
    generator, discriminator = networks(classes, residual)
    file = imported(tmp_path, stylegan2_snapshot(generator, discriminator, clamp))
    loaded = gan_lab.load(file, device="cpu")
    latents, labels = loaded.draw(8, seed=3)
    expected = Published(generator, clamp).generator(latents, labels)
    assert 0.03 < expected.std() < 1
    torch.testing.assert_close(loaded.generate(latents, labels), expected.clamp(-1, 1), rtol=0, atol=1e-4)
    stored, ours = read_export(file, "ema"), discriminator_of(file)
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 8 - 4
    logits = Published(discriminator, clamp).discriminator(images, labels)
    found = ours(images, labels)
    assert found.std() > 0.03
    torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(loaded.generator.get_submodule("styles").average, generator["mapping.w_avg"])
    assert isinstance(ours, StyleGAN2Discriminator) and stored.config.architecture.discriminator.minibatch_group == 4


@pytest.mark.parametrize("residual", [True, False])
def test_the_pickle_of_tensorflow(residual: bool, tmp_path: Path) -> None:
    generator, discriminator = networks(residual=residual)
    file = imported(tmp_path, stylegan2_in_tensorflow(generator, discriminator, resample_kernel=[1, 3, 3, 1]))
    loaded = gan_lab.load(file, device="cpu")
    latents, _ = loaded.draw(8, seed=3)
    expected = Published(generator).generator(latents)
    torch.testing.assert_close(loaded.generate(latents), expected.clamp(-1, 1), rtol=0, atol=1e-4)
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 8 - 4
    logits = Published(discriminator).discriminator(images)
    torch.testing.assert_close(discriminator_of(file)(images), logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(loaded.generator.get_submodule("styles").average, generator["mapping.w_avg"])
    assert read_card(file)[0]["source"]["format"] == "stylegan2_tensorflow"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"label_size": 3}, "label_size=3, which cannot be imported: it must be 0"),
        ({"resample_kernel": [1, 2, 1]}, "resample_kernel=[1, 2, 1], which cannot be imported"),
    ],
)
def test_other_networks_of_tensorflow(
    settings: dict[str, Any], sentence: str, tmp_path: Path, command: Command
) -> None:
    write_pickle(tmp_path / "x.pkl", stylegan2_in_tensorflow(*networks(), **settings))
    outcome = command("import", "x.pkl")
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err


def test_commands_use_the_file(tmp_path: Path, command: Command) -> None:
    write_pickle(tmp_path / "faces.pkl", stylegan2_snapshot(*networks()))
    outcome = command("import", "faces.pkl")
    assert outcome.status == 0, outcome.err
    assert "faces.pkl (stylegan2) is in faces.safetensors: generator and discriminator, 3 x 16 x 16" in outcome.out
    assert "NVIDIA Source Code License" in outcome.out and "gan-lab sample run=faces.safetensors" in outcome.out
    card, _ = read_card(tmp_path / "faces.safetensors")
    assert card["source"]["file"] == "faces.pkl" and len(card["source"]["sha256"]["faces.pkl"]) == 64
    assert str(tmp_path) not in str(card)
    for arguments in (
        ("sample", "count=2", "truncation=0.5"),
        ("interpolate", "count=1", "seconds=0.2", "space=w"),
    ):
        assert (outcome := command(*arguments, "run=faces.safetensors", "device=cpu")).status == 0, outcome.err
    assert "out=faces.safetensors exists already" in command("import", "faces.pkl").err


def test_the_trained_generator(tmp_path: Path) -> None:
    generator, discriminator = networks()
    file = imported(tmp_path, stylegan2_snapshot(generator, discriminator), weights="raw")
    average = gan_lab.load(file, "raw", "cpu").generator.get_submodule("styles").average
    assert torch.equal(average, generator["mapping.w_avg"] + 1)


def without(name: str) -> Callable[[Tensors, Tensors], Any]:
    return lambda generator, discriminator: (
        (generator | discriminator).pop(name) is not None
        and (
            generator.pop(name, None),
            discriminator.pop(name, None),
        )
    )


def with_surplus(generator: Tensors, discriminator: Tensors) -> None:
    generator["synthesis.input.freqs"] = torch.zeros(3)


def other_filter(generator: Tensors, discriminator: Tensors) -> None:
    discriminator["b8.conv1.resample_filter"] = torch.full((4, 4), 1 / 16)


def other_channels(generator: Tensors, discriminator: Tensors) -> None:
    for name, value in stylegan2_tensors(stylegan2_shapes(16, {4: 2, 8: 6, 16: 6}, 5, 7, 3), 0).items():
        generator[name] = value


def not_finite(generator: Tensors, discriminator: Tensors) -> None:
    generator["mapping.fc0.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "sentence"),
    {
        "missing tensor": (
            without("synthesis.b8.conv0.weight"),
            "has no tensor synthesis.b8.conv0.weight in its G_ema",
        ),
        "missing tensor of the discriminator": (without("b4.fc.bias"), "has no tensor b4.fc.bias in its D"),
        "no layers": (without("mapping.fc0.weight"), "has no tensor mapping.fc0.weight"),
        "surplus": (with_surplus, "such as synthesis.input.freqs: it is another network"),
        "another filter": (other_filter, "has a filter b8.conv1.resample_filter in its D that is not [1, 3, 3, 1]"),
        "other channels": (other_channels, "has maps of [2, 6, 6] channels in its G_ema"),
        "nan": (not_finite, "that are not finite"),
    }.values(),
)
def test_other_networks_are_refused(
    change: Callable[[Tensors, Tensors], Any], sentence: str, tmp_path: Path, command: Command
) -> None:
    generator, discriminator = networks()
    change(generator, discriminator)
    write_pickle(tmp_path / "other.pkl", stylegan2_snapshot(generator, discriminator))
    outcome = command("import", "other.pkl")
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    assert not list(tmp_path.glob("*.safetensors"))
