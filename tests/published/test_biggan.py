"""Import of BigGAN and BigGAN-deep: equal to forward passes that are written from the formulas, on published names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gan_lab
from gan_lab.sampling.export_file import read_card
from tests.helpers.imported import discriminator_of
from tests.helpers.published_biggan import (
    ajbrock_discriminator_shapes,
    ajbrock_shapes,
    biggan_tensors,
    huggingface_shapes,
)
from tests.helpers.published_files import write_torch

Command = Callable[..., Any]
Tensors = dict[str, Tensor]

CLASSES, LATENT, LABEL = 5, 20, 6


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class Ajbrock:
    """Forward passes of BigGAN-PyTorch in evaluation mode, on its own names."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.prefix = ""

    def weight(self, name: str) -> Tensor:
        """The weight divided by its singular value after one power iteration of the stored vector."""
        weight, u = self.tensors[f"{name}.weight"], self.tensors[f"{name}.u0"]
        matrix = weight.flatten(1)
        v = F.normalize(u @ matrix)
        u = F.normalize(v @ matrix.T)
        return weight / (v @ matrix.T @ u.T).squeeze()

    def bias(self, name: str) -> Tensor | None:
        return self.tensors.get(f"{name}.bias")

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.weight(name)
        return F.conv2d(x, weight, self.bias(name), padding=weight.shape[-1] // 2)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weight(name), self.bias(name))

    def standardized(self, name: str, x: Tensor) -> Tensor:
        mean, var = self.tensors[f"{name}.stored_mean"], self.tensors[f"{name}.stored_var"]
        return (x - mean[:, None, None]) / (var + 1e-5).sqrt()[:, None, None]

    def norm(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        if condition.is_floating_point():
            gain, shift = self.linear(f"{name}.gain", condition), self.linear(f"{name}.bias", condition)
        else:
            gain, shift = (self.tensors[f"{name}.{kind}.weight"][condition] for kind in ("gain", "bias"))
        return self.standardized(name, x) * (1 + gain)[:, :, None, None] + shift[:, :, None, None]

    def attention(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.gamma" not in self.tensors:
            return x
        queries = self.conv(f"{name}.theta", x).flatten(2)
        keys, values = (F.max_pool2d(self.conv(f"{name}.{part}", x), 2).flatten(2) for part in ("phi", "g"))
        weights = (queries.transpose(1, 2) @ keys).softmax(2)
        mean = (values @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return x + self.tensors[f"{name}.gamma"] * self.conv(f"{name}.o", mean)

    def output(self, x: Tensor) -> Tensor:
        gain, bias = (self.tensors[f"output_layer.0.{kind}"][:, None, None] for kind in ("gain", "bias"))
        x = F.relu(self.standardized("output_layer.0", x) * gain + bias)
        return torch.tanh(self.conv("output_layer.2", x)[:, :3])

    def generator(self, z: Tensor, labels: Tensor, blocks: int, hierarchical: bool = True) -> Tensor:
        shared = self.tensors.get("shared.weight")
        condition = labels if shared is None else shared[labels]
        parts = list(z.chunk(blocks + 1, 1)) if hierarchical else [z]
        x = self.linear("linear", parts[0]).view(len(z), -1, 4, 4)
        for number in range(blocks):
            name = f"blocks.{number}.0"
            given = torch.cat([condition, parts[number + 1]], 1) if hierarchical else condition
            h = self.conv(f"{name}.conv1", doubled(F.relu(self.norm(f"{name}.bn1", x, given))))
            h = self.conv(f"{name}.conv2", F.relu(self.norm(f"{name}.bn2", h, given)))
            x = self.attention(f"blocks.{number}.1", h + self.conv(f"{name}.conv_sc", doubled(x)))
        return self.output(x)

    def deep_generator(self, z: Tensor, labels: Tensor, blocks: int) -> Tensor:
        condition = torch.cat([z, self.tensors["shared.weight"][labels]], 1)
        x = self.linear("linear", condition).view(len(z), -1, 4, 4)
        for number in range(blocks):
            name = f"blocks.{number}.0"
            h = self.conv(f"{name}.conv1", F.relu(self.norm(f"{name}.bn1", x, condition)))
            h = F.relu(self.norm(f"{name}.bn2", h, condition))
            if number % 2:
                h, x = doubled(h), doubled(x)
            h = self.conv(f"{name}.conv2", h)
            h = self.conv(f"{name}.conv3", F.relu(self.norm(f"{name}.bn3", h, condition)))
            h = self.conv(f"{name}.conv4", F.relu(self.norm(f"{name}.bn4", h, condition)))
            x = self.attention(f"blocks.{number}.1", h + x[:, : h.shape[1]])
        return self.output(x)

    def score(self, x: Tensor, labels: Tensor) -> Tensor:
        features = F.relu(x).sum((2, 3))
        return self.linear("linear", features)[:, 0] + (self.weight("embed")[labels] * features).sum(1)

    def discriminator(self, x: Tensor, labels: Tensor, blocks: int) -> Tensor:
        for number in range(blocks):
            name = f"blocks.{number}.0"
            h = self.conv(f"{name}.conv1", F.relu(x) if number else x)
            h = self.conv(f"{name}.conv2", F.relu(h))
            if f"{name}.conv_sc.weight" in self.tensors:
                x = self.conv(f"{name}.conv_sc", x)
            x = h + x
            if number < blocks - 1:
                x = F.avg_pool2d(x, 2)
            x = self.attention(f"blocks.{number}.1", x)
        return self.score(x, labels)

    def deep_discriminator(self, x: Tensor, labels: Tensor, stages: int) -> Tensor:
        x = self.conv("input_conv", x)
        for stage in range(stages):
            for step in (0, 1):
                name = f"blocks.{stage}.{step}"
                h = x
                for part in (1, 2, 3):
                    h = self.conv(f"{name}.conv{part}", F.relu(h))
                h = F.relu(h)
                if not step:
                    h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
                if f"{name}.conv_sc.weight" in self.tensors:
                    x = torch.cat([x, self.conv(f"{name}.conv_sc", x)], 1)
                x = self.conv(f"{name}.conv4", h) + x
            x = self.attention(f"blocks.{stage}.2", x)
        return self.score(x, labels)


def huggingface(tensors: Tensors, z: Tensor, labels: Tensor, step: int) -> Tensor:
    """Forward pass of pytorch-pretrained-BigGAN at 128 pixels, with the statistics of one truncation."""

    def weight(name: str) -> Tensor:
        kernel, u, v = (tensors[f"generator.{name}.weight_{kind}"] for kind in ("orig", "u", "v"))
        return kernel / (u @ kernel.flatten(1) @ v)

    def conv(name: str, x: Tensor) -> Tensor:
        kernel = weight(name)
        return F.conv2d(x, kernel, tensors.get(f"generator.{name}.bias"), padding=kernel.shape[-1] // 2)

    def standardized(name: str, x: Tensor) -> Tensor:
        mean, var = (tensors[f"generator.{name}.running_{kind}"][step][:, None, None] for kind in ("means", "vars"))
        return (x - mean) / (var + 1e-4).sqrt()

    def norm(name: str, x: Tensor) -> Tensor:
        gain, shift = (condition @ weight(f"{name}.{kind}").T for kind in ("scale", "offset"))
        return standardized(name, x) * (1 + gain)[:, :, None, None] + shift[:, :, None, None]

    condition = torch.cat([z, tensors["embeddings.weight"].T[labels]], 1)
    x = condition @ weight("gen_z").T + tensors["generator.gen_z.bias"]
    x = x.view(len(z), 4, 4, -1).permute(0, 3, 1, 2)
    for number in range(11):
        name = f"layers.{number}"
        if number == 8:
            queries = conv(f"{name}.snconv1x1_theta", x).flatten(2)
            keys, values = (F.max_pool2d(conv(f"{name}.snconv1x1_{p}", x), 2).flatten(2) for p in ("phi", "g"))
            weights = (queries.transpose(1, 2) @ keys).softmax(2)
            mean = (values @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
            x = x + tensors[f"generator.{name}.gamma"] * conv(f"{name}.snconv1x1_o_conv", mean)
            continue
        h = conv(f"{name}.conv_0", F.relu(norm(f"{name}.bn_0", x)))
        h = F.relu(norm(f"{name}.bn_1", h))
        if (number - (number > 8)) % 2:
            h, x = doubled(h), doubled(x)
        h = conv(f"{name}.conv_2", F.relu(norm(f"{name}.bn_2", conv(f"{name}.conv_1", h))))
        h = conv(f"{name}.conv_3", F.relu(norm(f"{name}.bn_3", h)))
        x = h + x[:, : h.shape[1]]
    gain, bias = (tensors[f"generator.bn.{kind}"][:, None, None] for kind in ("weight", "bias"))
    return torch.tanh(conv("conv_to_rgb", F.relu(standardized("bn", x) * gain + bias))[:, :3])


def compared(file: Path, forward: Callable[[Tensor, Tensor], Tensor]) -> None:
    """The file's images equal those of a forward pass of latents and labels."""
    loaded = gan_lab.load(file, device="cpu")
    latents, labels = loaded.draw(3, seed=1)
    expected = forward(latents, labels)
    assert 0.1 < expected.std() < 0.9
    torch.testing.assert_close(loaded.generate(latents, labels), expected, rtol=0, atol=1e-4)


def images(resolution: int) -> Tensor:
    return torch.rand(3, 3, resolution, resolution, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.parametrize(("truncation", "step", "old"), [(1.0, 50, True), (0.4, 20, False)])
def test_huggingface(truncation: float, step: int, old: bool, tmp_path: Path) -> None:
    tensors = biggan_tensors(huggingface_shapes(8, LATENT, LABEL, CLASSES), 0)
    source = write_torch(tmp_path / "pytorch_model.bin", tensors, old)
    file = gan_lab.import_weights(source, out=tmp_path / "x.safetensors", truncation=truncation).file
    compared(file, lambda z, y: huggingface(tensors, z, y, step))
    card, _ = read_card(file)
    assert card["source"]["format"] == "biggan_huggingface" and not card["discriminator"]
    assert f"for a truncation of {truncation:g};" in card["source"]["conversion"][0]


@pytest.mark.parametrize(
    ("resolution", "shared", "hierarchical", "parallel"), [(64, LABEL, True, True), (32, 0, False, False)]
)
def test_ajbrock(resolution: int, shared: int, hierarchical: bool, parallel: bool, tmp_path: Path) -> None:
    """A chunked latent with a shared embedding, as for ImageNet; none of both, as for CIFAR."""
    shapes = ajbrock_shapes(resolution, 4, LATENT, CLASSES, shared, hierarchical)
    tensors = biggan_tensors(shapes, 0)
    stored = {f"module.{name}": value for name, value in tensors.items()} if parallel else tensors
    source = write_torch(tmp_path / "G_ema.pth", stored, old=True)
    file = gan_lab.import_weights(source, out=tmp_path / "x.safetensors").file
    blocks = {64: 4, 32: 3}[resolution]
    compared(file, lambda z, y: Ajbrock(tensors).generator(z, y, blocks, hierarchical))


def test_ajbrock_deep_and_its_discriminator(tmp_path: Path) -> None:
    generator = biggan_tensors(ajbrock_shapes(64, 4, LATENT, CLASSES, LABEL, deep=True), 0)
    discriminator = biggan_tensors(ajbrock_discriminator_shapes(128, 8, CLASSES, deep=True), 1)
    source = write_torch(tmp_path / "G.pth", generator)
    critic = write_torch(tmp_path / "D.pth", discriminator)
    file = gan_lab.import_weights(source, discriminator=critic, out=tmp_path / "x.safetensors").file
    compared(file, lambda z, y: Ajbrock(generator).deep_generator(z, y, 8))
    labels = torch.tensor([0, 4, 2])
    logits = Ajbrock(discriminator).deep_discriminator(images(128), labels, 5)
    torch.testing.assert_close(discriminator_of(file)(images(128), labels), logits, rtol=1e-4, atol=1e-4)
    assert set(read_card(file)[0]["source"]["sha256"]) == {"G.pth", "D.pth"}


@pytest.mark.parametrize(("resolution", "width"), [(128, 8), (64, 2)])
def test_the_discriminator_of_ajbrock(resolution: int, width: int, tmp_path: Path) -> None:
    source = write_torch(tmp_path / "G.pth", biggan_tensors(ajbrock_shapes(32, 2, LATENT, CLASSES, LABEL), 0))
    tensors = biggan_tensors(ajbrock_discriminator_shapes(resolution, width, CLASSES), 1)
    critic = write_torch(tmp_path / "D.pth", tensors)
    file = gan_lab.import_weights(source, discriminator=critic, out=tmp_path / "x.safetensors").file
    labels = torch.tensor([0, 4, 2])
    logits = Ajbrock(tensors).discriminator(images(resolution), labels, {128: 6, 64: 5}[resolution])
    torch.testing.assert_close(discriminator_of(file)(images(resolution), labels), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    {
        "missing": (lambda t: t.pop("blocks.0.0.bn1.gain.u0"), "blocks.0.0"),
        "surplus": (lambda t: t.update({"blocks.0.0.conv3.weight": torch.ones(1)}), "blocks.0.0.conv3.weight"),
        "no norm": (lambda t: [t.pop(f"blocks.1.0.conv1.{kind}") for kind in ("u0", "sv0")], "with other layers than"),
        "shape": (lambda t: t.update({"blocks.1.0.conv1.bias": torch.ones(1)}), "which must have (16,)"),
        "no tensor": (
            lambda t: t.update({"linear.bias": 3}),
            "linear.bias in its generator, which is not a tensor",
        ),
    }.values(),
)
def test_other_networks_are_refused(
    change: Callable[[Tensors], Any], sentence: str, tmp_path: Path, command: Command
) -> None:
    tensors = biggan_tensors(ajbrock_shapes(32, 4, LATENT, CLASSES, LABEL), 0)
    change(tensors)
    write_torch(tmp_path / "G.pth", tensors)
    outcome = command("import", "G.pth")
    assert outcome.status == 2 and sentence in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err


def test_a_discriminator_that_is_none(tmp_path: Path, command: Command) -> None:
    tensors = biggan_tensors(ajbrock_shapes(32, 4, LATENT, CLASSES, LABEL), 0)
    write_torch(tmp_path / "G.pth", tensors)
    outcome = command("import", "G.pth", "discriminator=G.pth")
    assert outcome.status == 2 and "G.pth has no tensor" in outcome.err and len(outcome.err.splitlines()) == 1
    write_torch(tmp_path / "hf.bin", biggan_tensors(huggingface_shapes(8, LATENT, LABEL, CLASSES), 0))
    outcome = command("import", "hf.bin", "discriminator=G.pth")
    assert (
        outcome.status == 2
        and "discriminator=G.pth is not used, because format=biggan_huggingface has one file" in outcome.err
    )
    assert "discriminator=D.pth does not exist" in command("import", "G.pth", "discriminator=D.pth").err
