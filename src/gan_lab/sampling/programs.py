"""Generators as programs for other runtimes: ONNX, and torch.export for PyTorch alone. The batch size is free.

Their inputs are `latents`, the condition if there is one, and `truncation` if the generator has styles.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.errors import ConfigError, first_line, original
from gan_lab.files import atomic_write
from gan_lab.gans.conditions import Codes, Condition, GeneratorNumbers, Labels
from gan_lab.layers.noise_dropout import with_fixed_masks
from gan_lab.layers.style_mapping import has_styles, run_with_styles, style_average
from gan_lab.noise import Noise
from gan_lab.sampling.pretrained import PretrainedGenerator
from gan_lab.sampling.translators import Translator

OPSET = 18
"""Version of ONNX's operators."""

LARGEST_DIFFERENCE = 1e-4
"""Most that samples of a program may differ from those of the generator, relative to the range of the samples."""

CARD = "gan_lab"
"""Name of the card in the metadata of a program."""

_TRACED, _CHECKED = 2, 3  # rows; another number shows that the batch size is free

_CONDITIONS: dict[type, str] = {Labels: "labels", GeneratorNumbers: "generator", Codes: "code"}
"""Name of the input by kind of condition; others are images."""


@dataclass(frozen=True)
class Portable:
    """A generator whose inputs are tensors only, and examples of these.

    Attributes:
        module: In evaluation mode, on the CPU: the inputs in their order to samples float32 (n, ...).
        draw: Example inputs by name, with this number of rows; `truncation` is one number.
    """

    module: nn.Module
    draw: Callable[[int], dict[str, Tensor]]


@dataclass(frozen=True)
class Program:
    """A program in a file.

    Attributes:
        file: The file.
        inputs: Type and shape of each input, by name in their order; `batch` is the free size.
        output: Those of the samples.
        opset: Version of ONNX's operators; None for torch.export.
        difference: Largest difference from the generator's samples, relative to their range.
    """

    file: Path
    inputs: dict[str, dict[str, Any]]
    output: dict[str, Any]
    opset: int | None
    difference: float


class _PortableGenerator(nn.Module):
    def __init__(self, network: nn.Module, has_latents: bool, has_condition: bool) -> None:
        super().__init__()
        self.network = network
        self.has_latents = has_latents
        self.has_condition = has_condition
        self.truncates = has_styles(network)

    def forward(self, *inputs: Tensor) -> Tensor:
        given = list(inputs)
        psi = given.pop() if self.truncates else None
        condition = given.pop() if self.has_condition else None
        latents = given.pop() if self.has_latents else inputs[0].new_zeros(inputs[0].shape[0], 0)
        if psi is None:
            samples: Tensor = self.network(latents, condition)
        else:
            average = style_average(self.network)
            samples = run_with_styles(self.network, lambda w: average + psi * (w - average), (latents, condition))
        return samples.float()


def portable_generator(loaded: PretrainedGenerator) -> Portable:
    """A generator on the CPU; its condition is an input, and psi if it has styles."""
    name = _condition_name(loaded.condition)

    def draw(count: int) -> dict[str, Tensor]:
        latents, condition = loaded.draw(count, count)
        found = {"latents": latents} | ({} if condition is None else {name: condition})
        return found | ({"truncation": torch.tensor(0.7)} if has_styles(loaded.generator) else {})

    return _portable(loaded.generator, draw)


def portable_translator(translator: Translator) -> Portable:
    """A translator on the CPU, for images in [-1, 1] of the resolution of its training; dropout is the same for all."""
    size = translator.resolution or translator.multiple

    def draw(count: int) -> dict[str, Tensor]:
        source = 2 * Noise(count, count).uniform(translator.source_channels, size, size) - 1
        latents = {"latents": translator.latent.sample(Noise(count, count))} if translator.latent.dim else {}
        return latents | {"source": source}

    return _portable(translator.network, draw)


def _portable(network: nn.Module, draw: Callable[[int], dict[str, Tensor]]) -> Portable:
    examples = draw(1)
    conditions = [value for name, value in examples.items() if name not in ("latents", "truncation")]
    condition = conditions[0] if conditions else None
    fixed = with_fixed_masks(network, examples.get("latents", torch.zeros(1, 0)), condition)
    return Portable(_PortableGenerator(fixed, "latents" in examples, bool(conditions)).eval(), draw)


def _condition_name(condition: Condition) -> str:
    return next((name for kind, name in _CONDITIONS.items() if isinstance(condition, kind)), "condition")


@torch.no_grad()
def write_program(file: Path, portable: Portable, kind: str, card: Mapping[str, Any]) -> Program:
    """Trace a generator, write it, run what was written, and compare the samples.

    Args:
        file: The file; replaced if it exists.
        portable: The generator.
        kind: `onnx` or `torch_export`.
        card: Description of the generator, which goes into the file.

    Raises:
        ConfigError: It cannot be traced or written, or the program gives other samples.
    """
    with _quiet():
        try:
            traced = _traced(portable)
            content, run = (_onnx if kind == "onnx" else _exported)(traced, list(portable.draw(1)), card)
            given = portable.draw(_CHECKED)
            wanted, found = portable.module(*given.values()), run(given)
        except Exception as error:  # of tracers, which raise many kinds
            reason = first_line(original(error))
            raise ConfigError(
                f"format={kind} is not possible for {type(portable.module.network).__name__}: {reason}."
            ) from error
    difference = ((found - wanted).abs().max() / (wanted.max() - wanted.min()).clamp_min(1e-12)).item()
    if not difference <= LARGEST_DIFFERENCE:
        raise ConfigError(
            f"format={kind} is not possible for {type(portable.module.network).__name__}: the samples of the program "
            f"differ by {difference:.2g} of their range."
        )
    with atomic_write(file) as target:
        target.write(content)
    inputs = {name: _described(value) for name, value in given.items()}
    return Program(file, inputs, _described(wanted), OPSET if kind == "onnx" else None, difference)


def _traced(portable: Portable) -> Any:
    """The graph of a generator, with a free number of rows."""
    examples = portable.draw(_TRACED)
    batch = torch.export.Dim("batch")
    shapes = tuple(None if value.dim() == 0 else {0: batch} for value in examples.values())
    return torch.export.export(portable.module, tuple(examples.values()), dynamic_shapes=(shapes,))


Run = Callable[[Mapping[str, Tensor]], Tensor]


def _exported(traced: Any, names: Sequence[str], card: Mapping[str, Any]) -> tuple[bytes, Run]:
    buffer = io.BytesIO()
    torch.export.save(traced, buffer, extra_files={f"{CARD}.json": json.dumps(card)})
    content = buffer.getvalue()
    program = torch.export.load(io.BytesIO(content)).module()
    return content, lambda given: program(*given.values())


def _onnx(traced: Any, names: Sequence[str], card: Mapping[str, Any]) -> tuple[bytes, Run]:
    import onnxruntime

    made = torch.onnx.export(
        traced, (), dynamo=True, opset_version=OPSET, input_names=names, output_names=["samples"], verbose=False
    )
    assert made is not None
    model = made.model_proto
    _name_batch(model.graph)
    model.metadata_props.add(key=CARD, value=json.dumps(card))
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, lambda given: torch.from_numpy(session.run(None, {k: v.numpy() for k, v in given.items()})[0])


def _name_batch(graph: Any) -> None:
    """Name the free size `batch`, which the tracer has given a number."""
    sizes = [value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output, *graph.value_info)]
    free = next((dim.dim_param for dim in sizes[0] if dim.dim_param), None)
    for dim in (dim for dims in sizes for dim in dims if free and dim.dim_param == free):
        dim.dim_param = "batch"


def _described(value: Tensor) -> dict[str, Any]:
    shape = ["batch", *value.shape[1:]] if value.dim() else []
    return {"type": str(value.dtype).removeprefix("torch."), "shape": shape}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and notes of the tracers, which concern their own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
