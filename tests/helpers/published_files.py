"""Files in the formats of other projects, with random weights and the globals of their pickles."""

import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Tree = dict[str, Any]
"""Tensors by name; a name with dots is that of a submodule's tensor."""

SOURCE_CODE = "import os\nos.environ['CODE_OF_A_FILE_RAN'] = '1'\n"


class EasyDict(dict):
    """Stands for `dnnlib.util.EasyDict`."""


def _reconstruct_persistent_obj(meta: Any) -> Any:
    """Stands for that of `torch_utils.persistence`, and must not be called."""
    raise AssertionError("a file was unpickled")


class Network:
    """Stands for the `Network` of NVIDIA's TensorFlow codes."""

    def __init__(self, variables: dict[str, np.ndarray], **settings: Any) -> None:
        self.version = 2
        self.name = "G"
        self.static_kwargs = settings
        self.build_module_src = SOURCE_CODE
        self.build_func_name = "G_paper"
        self.variables = list(variables.items())


class TflibNetwork(Network):
    """Stands for the `Network` of the TensorFlow codes of StyleGAN2."""

    def __init__(
        self, variables: dict[str, np.ndarray], components: dict[str, Network] | None = None, **settings: Any
    ) -> None:
        super().__init__(variables, **settings)
        self.static_kwargs = EasyDict(settings)
        self.components = EasyDict(components or {})


TflibNetwork.__qualname__ = TflibNetwork.__name__ = "Network"


class BaseConfig:
    """Stands for the settings in checkpoints of pytorch_GAN_zoo."""


class Persistent:
    """A module as NVIDIA's codes pickle it: the source code of its class, its name, and its attributes."""

    def __init__(self, name: str, **attributes: Any) -> None:
        self.name = name
        self.attributes = attributes
        self.parameters: OrderedDict[str, Tensor] = OrderedDict()
        self.buffers: OrderedDict[str, Tensor] = OrderedDict()
        self.modules: OrderedDict[str, Persistent] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            "training": False,
            "_parameters": self.parameters,
            "_buffers": self.buffers,
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": self.modules,
            "_init_args": (),
            "_init_kwargs": EasyDict(layers=2),
            "weight_gain": np.float64(0.25),
            **self.attributes,
        }
        meta = {"type": "class", "version": 6, "module_src": SOURCE_CODE, "class_name": self.name, "state": state}
        return _reconstruct_persistent_obj, (meta,), None


BUFFERS = ("noise_const", "w_avg", "resample_filter")


def persistent(name: str, tensors: dict[str, Tensor], attributes: dict[str, dict[str, Any]]) -> Persistent:
    """A tree of modules with these tensors; `attributes` are those of a submodule."""
    root = Persistent(name)

    def module(path: str) -> Persistent:
        found = root
        for part in filter(None, path.split(".")):
            found = found.modules.setdefault(part, Persistent("Part"))
        return found

    for path, value in tensors.items():
        parent, _, last = path.rpartition(".")
        if last in BUFFERS:
            module(parent).buffers[last] = value
        else:
            module(parent).parameters[last] = nn.Parameter(value, requires_grad=False)
    for path, options in attributes.items():
        module(path).attributes |= options
    return root


@contextmanager
def modules_of_others() -> Iterator[None]:
    """Makes the globals of NVIDIA's pickles importable, which is needed to write them."""
    contents = {
        "dnnlib.util": EasyDict,
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "tfutil": Network,
        "dnnlib.tflib.network": TflibNetwork,
        "models.utils.config": BaseConfig,
    }
    names = {"dnnlib", "dnnlib.tflib", "torch_utils", "models", "models.utils", *contents}
    before = {each: (each.__module__, each.__qualname__) for each in contents.values()}
    for name in names:
        sys.modules[name] = ModuleType(name)
    for name, content in contents.items():
        content.__module__ = name
        setattr(sys.modules[name], content.__qualname__, content)
    try:
        yield
    finally:
        for content, (module, _) in before.items():
            content.__module__ = module
        for name in names:
            del sys.modules[name]


def write_pickle(file: Path, content: Any, protocol: int = 4) -> Path:
    with modules_of_others(), file.open("wb") as stream:
        pickle.dump(content, stream, protocol)
    return file


def write_torch(file: Path, content: Any, old: bool = False) -> Path:
    """A file of `torch.save`, or of that before PyTorch 1.6."""
    with modules_of_others():
        torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file


def random_tensors(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=source) for name, shape in shapes.items()}


def stylegan2_shapes(
    resolution: int, channels: dict[int, int], latent: int, style: int, layers: int, classes: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the generator in NVIDIA's PyTorch codes."""
    shapes: dict[str, tuple[int, ...]] = {"mapping.w_avg": (style,)}
    if classes is not None:
        shapes |= linear("mapping.embed", classes, style)
    for number in range(layers):
        first = latent if classes is None else latent + style
        shapes |= linear(f"mapping.fc{number}", style if number else first, style)
    inputs = channels[4]
    for size in sizes(resolution):
        block, outputs = f"synthesis.b{size}", channels[size]
        shapes[f"{block}.resample_filter"] = (4, 4)
        if size == 4:
            shapes[f"{block}.const"] = (outputs, 4, 4)
        for name, i in (("conv0", inputs), ("conv1", outputs))[size == 4 :]:
            layer = f"{block}.{name}"
            shapes |= linear(f"{layer}.affine", style, i)
            shapes |= {
                f"{layer}.weight": (outputs, i, 3, 3),
                f"{layer}.noise_strength": (),
                f"{layer}.bias": (outputs,),
                f"{layer}.resample_filter": (4, 4),
                f"{layer}.noise_const": (size, size),
            }
        shapes |= linear(f"{block}.torgb.affine", style, outputs)
        shapes |= {f"{block}.torgb.weight": (3, outputs, 1, 1), f"{block}.torgb.bias": (3,)}
        inputs = outputs
    return shapes


def stylegan2_discriminator_shapes(
    resolution: int, channels: dict[int, int], residual: bool = True, classes: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the discriminator in NVIDIA's PyTorch codes."""
    shapes: dict[str, tuple[int, ...]] = {}
    for size in reversed(sizes(resolution)[1:]):
        block, inputs, outputs = f"b{size}", channels[size], channels[size // 2]
        shapes[f"{block}.resample_filter"] = (4, 4)
        if size == resolution:
            shapes |= convolution(f"{block}.fromrgb", 3, inputs, 1)
        shapes |= convolution(f"{block}.conv0", inputs, inputs, 3)
        shapes |= convolution(f"{block}.conv1", inputs, outputs, 3)
        if residual:
            shapes |= {f"{block}.skip.weight": (outputs, inputs, 1, 1), f"{block}.skip.resample_filter": (4, 4)}
    last = channels[4]
    if classes is not None:
        shapes |= linear("mapping.embed", classes, last)
        for number in range(8):
            shapes |= linear(f"mapping.fc{number}", last, last)
    shapes |= convolution("b4.conv", last + 1, last, 3)
    return shapes | linear("b4.fc", 16 * last, last) | linear("b4.out", last, last if classes else 1)


def stylegan2_tensors(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Random tensors, with the filters, the biases of styles near 1, and layers of the mapping as at their start."""
    tensors = random_tensors(shapes, seed)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for name, value in tensors.items():
        if name.endswith("resample_filter"):
            value.copy_(torch.outer(taps, taps))
        elif ".fc" in name and "mapping" in name:
            value.mul_(100)
        elif name.endswith("affine.bias"):
            value.mul_(0.3).add_(1)
        elif name.endswith("bias"):
            value.mul_(0.3)
    return tensors


def stylegan2_snapshot(
    generator: dict[str, Tensor], discriminator: dict[str, Tensor], clamp: float | None = None, group: int | None = 4
) -> dict[str, Any]:
    """The content of a snapshot: both networks, the averaged generator, the data set's settings."""
    of_generator, of_discriminator = (
        {name.rpartition(".")[0]: {"conv_clamp": clamp} for name in tensors} for tensors in (generator, discriminator)
    )
    raw = generator | {"mapping.w_avg": generator["mapping.w_avg"] + 1}
    return {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", path="images.zip"),
        "G": persistent("Generator", raw, of_generator),
        "D": persistent("Discriminator", discriminator, of_discriminator | {"b4.mbstd": {"group_size": group}}),
        "G_ema": persistent("Generator", generator, of_generator),
        "augment_pipe": None,
    }


def zoo_shapes(resolution: int, channels: dict[int, int], latent: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of ProGAN's generator in pytorch_GAN_zoo."""
    first = channels[4]
    shapes = zoo_layer("formatLayer", latent, 16 * first) | zoo_layer("groupScale0.0", first, first, 3)
    for level, size in enumerate(sizes(resolution)):
        shapes |= zoo_layer(f"toRGBLayers.{level}", channels[size], 3, 1)
        if size > 4:
            shapes |= zoo_layer(f"scaleLayers.{level - 1}.0", channels[size // 2], channels[size], 3)
            shapes |= zoo_layer(f"scaleLayers.{level - 1}.1", channels[size], channels[size], 3)
    return shapes


def zoo_discriminator_shapes(resolution: int, channels: dict[int, int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of ProGAN's discriminator in pytorch_GAN_zoo."""
    first = channels[4]
    shapes = zoo_layer("groupScaleZero.0", first + 1, first, 3) | zoo_layer("groupScaleZero.1", 16 * first, first)
    shapes |= zoo_layer("decisionLayer", first, 1)
    for level, size in enumerate(sizes(resolution)):
        shapes |= zoo_layer(f"fromRGBLayers.{level}", 3, channels[size], 1)
        if size > 4:
            shapes |= zoo_layer(f"scaleLayers.{level - 1}.0", channels[size], channels[size], 3)
            shapes |= zoo_layer(f"scaleLayers.{level - 1}.1", channels[size], channels[size // 2], 3)
    return shapes


def zoo_layer(name: str, inputs: int, outputs: int, kernel: int = 0) -> dict[str, tuple[int, ...]]:
    shape = (outputs, inputs, kernel, kernel) if kernel else (outputs, inputs)
    return {f"{name}.module.weight": shape, f"{name}.module.bias": (outputs,)}


def zoo_checkpoint(generator: dict[str, Tensor], discriminator: dict[str, Tensor], alpha: float = 0) -> dict[str, Any]:
    config = BaseConfig()
    config.alpha, config.depthScales, config.attribKeysOrder = alpha, [6, 6, 4], None
    raw = {name: value + 1 for name, value in generator.items()}
    return {"config": config, "netG": raw, "netD": discriminator, "avgG": generator}


def progan_shapes(resolution: int, channels: dict[int, int], latent: int, fused: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables of ProGAN's generator in TensorFlow."""
    first, levels = channels[4], sizes(resolution)
    shapes = {"lod": (), "4x4/Dense/weight": (latent, 16 * first), "4x4/Dense/bias": (first,)}
    shapes |= variables("4x4/Conv", (3, 3, first, first), first)
    for lod, size in enumerate(reversed(levels)):
        inputs, outputs, block = channels.get(size // 2, 0), channels[size], f"{size}x{size}"
        shapes |= variables(f"ToRGB_lod{lod}", (1, 1, outputs, 3), 3)
        if size > 4 and fused:
            shapes |= variables(f"{block}/Conv0_up", (3, 3, outputs, inputs), outputs)
        elif size > 4:
            shapes |= variables(f"{block}/Conv0", (3, 3, inputs, outputs), outputs)
        if size > 4:
            shapes |= variables(f"{block}/Conv1", (3, 3, outputs, outputs), outputs)
    return shapes


def progan_discriminator_shapes(resolution: int, channels: dict[int, int], fused: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables of ProGAN's discriminator in TensorFlow."""
    first, levels = channels[4], sizes(resolution)
    shapes = {"lod": (), **variables("4x4/Conv", (3, 3, first + 1, first), first)}
    shapes |= variables("4x4/Dense0", (16 * first, first), first) | variables("4x4/Dense1", (first, 1), 1)
    for lod, size in enumerate(reversed(levels)):
        inputs, block = channels[size], f"{size}x{size}"
        shapes |= variables(f"FromRGB_lod{lod}", (1, 1, 3, inputs), inputs)
        if size > 4:
            shapes |= variables(f"{block}/Conv0", (3, 3, inputs, inputs), inputs)
            outputs = channels[size // 2]
            shapes |= variables(f"{block}/Conv1{'_down' * fused}", (3, 3, inputs, outputs), outputs)
    return shapes


def variables(name: str, shape: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/weight": shape, f"{name}/bias": (outputs,)}


def progan_snapshot(
    generator: dict[str, Tensor], discriminator: dict[str, Tensor], lod: float = 0.0
) -> tuple[Network, Network, Network]:
    """The content of a snapshot: generator, discriminator, averaged generator."""

    def network(tensors: dict[str, Tensor], add: float = 0.0) -> Network:
        arrays = {name: (value + add).numpy() for name, value in tensors.items()}
        return Network(arrays | {"lod": np.float32(lod)}, num_channels=3, label_size=0)

    return network(generator, 1.0), network(discriminator), network(generator)


def stylegan2_in_tensorflow(
    generator: dict[str, Tensor], discriminator: dict[str, Tensor], **settings: Any
) -> tuple[Network, Network, Network]:
    """The networks of `stylegan2_tensors`, without labels, as the TensorFlow codes store them."""

    def kernel(value: Tensor) -> np.ndarray:
        return value.permute(2, 3, 1, 0).numpy()

    mapping: dict[str, np.ndarray] = {}
    synthesis: dict[str, np.ndarray] = {"lod": np.float32(0)}
    noise = 0
    for name, value in generator.items():
        part, *path = name.split(".")
        if part == "mapping" and path[0] != "w_avg":
            layer, kind = path
            mapping[f"Dense{layer[2:]}/{kind}"] = value.T.numpy() if kind == "weight" else value.numpy()
        if part == "mapping" or name.endswith("resample_filter"):
            continue
        size = int(path[0][1:])
        if path[1] == "const":
            synthesis["4x4/Const/const"] = value[None].numpy()
            continue
        layers = {"torgb": "ToRGB", "conv1": "Conv" if size == 4 else "Conv1", "conv0": "Conv0_up"}
        layer = f"{size}x{size}/{layers[path[1]]}"
        if path[2] == "affine":
            synthesis[f"{layer}/mod_{path[3]}"] = (value.T if path[3] == "weight" else value - 1).numpy()
        elif path[2] == "noise_const":
            synthesis[f"noise{noise}"] = value[None, None].numpy()
            noise += 1
        elif path[2] == "weight":
            synthesis[f"{layer}/weight"] = kernel(value.flip(2, 3) if path[1] == "conv0" else value)
        else:
            synthesis[f"{layer}/{path[2]}"] = value.numpy()
    critic: dict[str, np.ndarray] = {"lod": np.float32(0)}
    names = {
        "fromrgb": "FromRGB",
        "conv0": "Conv0",
        "conv1": "Conv1_down",
        "skip": "Skip",
        "conv": "Conv",
        "fc": "Dense0",
    }
    for name, value in discriminator.items():
        block, layer, kind = [*name.split("."), ""][:3]
        if kind in ("weight", "bias"):
            size = int(block[1:])
            theirs = "Output" if layer == "out" else f"{size}x{size}/{names[layer]}"
            stored = value.numpy() if kind == "bias" else value.T.numpy() if value.dim() == 2 else kernel(value)
            critic[f"{theirs}/{kind}"] = stored

    def network(add: float) -> Network:
        parts = {"mapping": TflibNetwork(mapping, **settings), "synthesis": TflibNetwork(synthesis, **settings)}
        return TflibNetwork({"dlatent_avg": (generator["mapping.w_avg"] + add).numpy()}, parts)

    return network(1.0), TflibNetwork(critic, mbstd_group_size=4, **settings), network(0.0)


def sizes(resolution: int) -> list[int]:
    return [2**k for k in range(2, resolution.bit_length())]


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def convolution(name: str, inputs: int, outputs: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.weight": (outputs, inputs, kernel, kernel),
        f"{name}.bias": (outputs,),
        f"{name}.resample_filter": (4, 4),
    }
