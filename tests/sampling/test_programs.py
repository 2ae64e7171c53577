"""Generators as ONNX and torch.export: the samples of gan_lab, with another batch size than the traced one."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import gan_lab
from gan_lab.errors import ConfigError
from gan_lab.gans.catalog import CATALOG
from gan_lab.sampling.programs import Portable, portable_generator, portable_translator, write_program
from gan_lab.sampling.translators import Translator, load_translator
from tests.conftest import Outcome
from tests.gans.test_every_model import smallest_resolution
from tests.helpers.generators import write_generator
from tests.helpers.model_data import needs_sources, small_data
from tests.helpers.translators import write_translator

CARD = {"measured": {}, "about": "A generator of gan_lab.", "versions": {}, "sample": {"kind": "image"}}


def assert_same(found: Tensor, wanted: Tensor) -> None:
    """Equal to 1e-5 of the range."""
    assert (found - wanted).abs().max() <= 1e-5 * (wanted.max() - wanted.min())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small conditional generator."""
    folder = tmp_path_factory.mktemp("programs")
    return write_generator(folder / "digits.safetensors", "model=cgan", "dataset.resolution=8", **CARD)


def test_onnx(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Named inputs with a free number of rows, the card in the file, and a description beside it; no notes of tools."""
    caplog.set_level(logging.INFO)
    found = gan_lab.export(model, format="onnx", out=tmp_path / "digits.onnx")
    assert not caplog.messages
    session = onnxruntime.InferenceSession(tmp_path / "digits.onnx")
    inputs = [(each.name, each.type, each.shape) for each in session.get_inputs()]
    assert inputs == [("latents", "tensor(float)", ["batch", 100]), ("labels", "tensor(int64)", ["batch"])]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("samples", ["batch", 1, 8, 8])]
    loaded = gan_lab.load(model, device="cpu")
    for count in (1, 5):
        latents, labels = loaded.draw(count, seed=count)
        assert labels is not None
        (samples,) = session.run(None, {"latents": latents.numpy(), "labels": labels.numpy()})
        assert_same(torch.from_numpy(samples), loaded.generate(latents, labels))
    card = json.loads(session.get_modelmeta().custom_metadata_map["gan_lab"])
    assert card == found.card and card["about"] == CARD["about"]
    described = json.loads((tmp_path / "digits.json").read_text())
    assert described["opset"] == 18 and described["inputs"]["labels"] == {"type": "int64", "shape": ["batch"]}
    assert (
        "ONNX with opset 18: latents float32 (batch, 100), labels int64 (batch) to samples (batch, 1, 8, 8), "
        in str(found)
    )


def test_truncation_is_an_input(tmp_path: Path) -> None:
    """Of a generator with styles; the program needs nothing of gan_lab."""
    small = ("latent.dim=8", "dataset.resolution=8", "architecture.generator.mapping_layers=1")
    file = write_generator(tmp_path / "x.safetensors", "model=stylegan2", *small, **CARD)
    found = gan_lab.export(file, format="torch_export", out=tmp_path / "x.pt2")
    extra = {"gan_lab.json": ""}
    program = torch.export.load(tmp_path / "x.pt2", extra_files=extra).module()
    assert json.loads(extra["gan_lab.json"]) == found.card and "a program for torch.export.load" in str(found)
    loaded = gan_lab.load(file, device="cpu")
    loaded.generator.get_buffer("styles.average").normal_(generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        program.get_buffer("network.styles.average").copy_(loaded.generator.get_buffer("styles.average"))
    latents, _ = loaded.draw(5)
    for psi in (1.0, 0.5, 0.0):
        wanted = loaded.adjusted(truncation=psi).generate(latents)
        assert_same(program(latents, torch.tensor(psi)), wanted)


@pytest.mark.slow
def test_translators_take_images(tmp_path: Path) -> None:
    """Dropout has the mask of evaluation mode."""
    file = write_translator(tmp_path / "x.safetensors")
    translator = load_translator(file, device="cpu")
    found = write_program(tmp_path / "x.pt2", portable_translator(translator), "torch_export", {})
    assert found.inputs == {"source": {"type": "float32", "shape": ["batch", 3, 32, 32]}} and found.difference <= 1e-5
    source = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    program = torch.export.load(tmp_path / "x.pt2").module()
    assert_same(program((source.float() / 127.5 - 1)[None]), translator.translate([source]))


def portable(model: str, folder: Path) -> Portable:
    """An untrained generator of a model, as small as it can be."""
    data = (*small_data(model), f"dataset.resolution={smallest_resolution(model)}")
    loaded = gan_lab.load(write_generator(folder / "x.safetensors", f"model={model}", *data), device="cpu")
    if not needs_sources(model):
        return portable_generator(loaded)
    return portable_translator(
        Translator(loaded.generator, loaded.latent, "AtoB", 1, 255, "lanczos", 32, 0, loaded.path)  # type: ignore[arg-type]
    )


QUICK = ("pggan", "torch_export")
"""A model of each of the kinds is above; tracing takes seconds."""


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        pytest.param(entry.name, kind, marks=[] if (entry.name, kind) == QUICK else pytest.mark.slow)
        for entry in CATALOG
        for kind in ("onnx", "torch_export")
    ],
)
def test_every_model(model: str, kind: str, tmp_path: Path) -> None:
    found = write_program(tmp_path / "x", portable(model, tmp_path), kind, {})
    assert found.difference <= 1e-5


def test_the_older_exporter_takes_growing_networks(tmp_path: Path) -> None:
    """Every value of a state dict must be a tensor for it."""
    file = write_generator(tmp_path / "x.safetensors", "model=pggan", "latent.dim=8", "dataset.resolution=8")
    generator = gan_lab.load(file, device="cpu").generator
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(generator, (torch.randn(2, 8),), io.BytesIO(), dynamo=False)


class Peeking(nn.Module):
    """A generator that depends on the values of its latents."""

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return latents if latents.sum() > 0 else -latents


class Broken(nn.Module):
    """A generator without finite samples."""

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return latents * float("nan")


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Peeking(), r"format=torch_export is not possible for Peeking: .*\.$"),
        (Broken(), r"format=torch_export is not possible for Broken: the samples of the program differ by nan of "),
    ],
    ids=["branches", "not finite"],
)
def test_what_cannot_be_exported(network: nn.Module, sentence: str, model: Path, tmp_path: Path) -> None:
    """In one sentence, without a file."""
    loaded = gan_lab.load(model, device="cpu")
    object.__setattr__(loaded, "generator", network)
    with pytest.raises(ConfigError, match=sentence) as error:
        write_program(tmp_path / "x.pt2", portable_generator(loaded), "torch_export", {})
    assert "\n" not in str(error.value) and not (tmp_path / "x.pt2").exists()


REFUSED = {
    "format=onnx out=x.pt": "out=x.pt is not allowed: with format=onnx it must end with .onnx.",
    "format=torch_export out=x.onnx": "out=x.onnx is not allowed: with format=torch_export it must end with .pt2.",
    "format=torchscript": "format=torchscript is not known: did you mean torch_export? Choose from safetensors, onnx",
    "format=onnx out=used.onnx": "out=used.onnx exists already: give another file name, or delete the file.",
    "format=onnx out=folder.onnx": "out=folder.onnx is not allowed: it is a folder, whose name must not end with .onnx",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_refusals(arguments: str, model: Path, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    (tmp_path / "used.onnx").write_text("x")
    (tmp_path / "folder.onnx").mkdir()
    outcome = command("export", f"run={model}", *arguments.split())
    assert outcome.status == 2 and REFUSED[arguments] in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err


def test_missing_packages(model: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.config.early_checks.find_spec", lambda name: None if name == "onnxscript" else name)
    outcome = command("export", f"run={model}", "format=onnx")
    assert outcome.status == 2 and outcome.err.rstrip().endswith(
        'format=onnx needs the package onnxscript: run pip install "gan-lab-lightning[onnx]".'
    )
