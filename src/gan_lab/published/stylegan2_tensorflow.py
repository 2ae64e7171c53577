"""StyleGAN2 of NVIDIA's TensorFlow codes: pickles of `stylegan2` and `stylegan2-ada`."""

from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.base import Converted, Source, Weights, plain_latents
from gan_lab.published.network_pickles import Record
from gan_lab.published.stylegan2 import LICENSE, convert_discriminator, convert_generator
from gan_lab.published.tensorflow import are_networks, settings_of, variables_of

FORMAT, URL = "stylegan2_tensorflow", "https://github.com/NVlabs/stylegan2"
SETTINGS = {"label_size": 0, "normalize_latents": True, "resample_kernel": [1, 3, 3, 1]}


def recognizes(content: Any) -> bool:
    """Whether a file's content is G, D and averaged G, as the training scripts write."""
    return are_networks(content, "dnnlib.tflib.network.Network") and isinstance(
        content[0].state.get("components"), dict
    )


def convert(source: Source) -> Converted:
    """Convert the averaged generator, or the trained one for `raw`, and the discriminator.

    Raises:
        CheckpointError: A network is another one.
    """
    generators = {"ema": (source.content[2], "Gs"), "raw": (source.content[0], "G")}
    record, name = generators[source.weights]
    tensors, clamp = _generator(record, name, source.file)
    generator, latent_dim, _ = convert_generator(Weights(tensors, name, source.file), clamp)
    critic = source.content[1]
    settings = settings_of(critic)
    discriminator = convert_discriminator(
        Weights(_discriminator(critic, source.file), "D", source.file),
        clamp=_clamp(settings),
        group=settings.get("mbstd_group_size", 4),
    )
    return Converted(
        format=FORMAT,
        generator=generator,
        latent=plain_latents(latent_dim),
        num_classes=None,
        license=LICENSE,
        url=URL,
        conversion=[
            f"Weights of {name} and D by name, with outputs first; kernels of convolutions with upsampling flipped in "
            "both axes, with inputs first; biases of styles plus 1, which the code adds at each use."
        ],
        discriminator=discriminator,
    )


def _clamp(settings: dict[str, Any]) -> float | None:
    value = settings.get("conv_clamp")
    return float(value) if isinstance(value, int | float) else None


def _generator(network: Record, name: str, file: Path) -> tuple[dict[str, Tensor], float | None]:
    """The tensors under the names of the PyTorch code, and the limit of the maps."""
    components = network.state.get("components")
    components = components if isinstance(components, dict) else {}
    parts = [part for key in ("mapping", "synthesis") if isinstance(part := components.get(key), Record)]
    if len(parts) != 2:
        raise CheckpointError(f"{file} has a network {name} without the components mapping and synthesis.")
    mapping, synthesis = (Weights(variables_of(part, file, SETTINGS), name, file) for part in parts)
    own = Weights(variables_of(network, file, SETTINGS), name, file)
    own.drop("lod")
    found = {"mapping.w_avg": own.take("dlatent_avg", 1)}
    own.finish()
    layer = 0
    while f"Dense{layer}/weight" in mapping:
        found |= _dense(mapping, f"Dense{layer}", f"mapping.fc{layer}")
        layer += 1
    mapping.finish()
    synthesis.drop("lod")
    found["synthesis.b4.const"] = synthesis.take("4x4/Const/const", 4)[0]
    size, number = 4, 0
    while f"{size}x{size}/ToRGB/weight" in synthesis:
        block, ours = f"{size}x{size}", f"synthesis.b{size}"
        for theirs, conv in [("Conv", "conv1")] if size == 4 else [("Conv0_up", "conv0"), ("Conv1", "conv1")]:
            found |= _modulated(synthesis, f"{block}/{theirs}", f"{ours}.{conv}", flip=conv == "conv0")
            found[f"{ours}.{conv}.noise_strength"] = synthesis.take(f"{block}/{theirs}/noise_strength", 0)
            found[f"{ours}.{conv}.noise_const"] = synthesis.take(f"noise{number}", 4)[0, 0]
            number += 1
        found |= _modulated(synthesis, f"{block}/ToRGB", f"{ours}.torgb")
        size *= 2
    synthesis.finish()
    return found, _clamp(settings_of(parts[1]))


def _discriminator(network: Record, file: Path) -> dict[str, Tensor]:
    """The tensors under the names of the PyTorch code."""
    weights = Weights(variables_of(network, file, SETTINGS), "D", file)
    weights.drop("lod")
    found: dict[str, Tensor] = {}
    size = 8
    while f"{size}x{size}/Conv0/weight" in weights:
        block = f"{size}x{size}"
        for theirs, ours in (("FromRGB", "fromrgb"), ("Conv0", "conv0"), ("Conv1_down", "conv1"), ("Skip", "skip")):
            if f"{block}/{theirs}/weight" in weights:
                found[f"b{size}.{ours}.weight"] = _kernel(weights, f"{block}/{theirs}")
            if f"{block}/{theirs}/bias" in weights:
                found[f"b{size}.{ours}.bias"] = weights.take(f"{block}/{theirs}/bias", 1)
        size *= 2
    found |= {"b4.conv.weight": _kernel(weights, "4x4/Conv"), "b4.conv.bias": weights.take("4x4/Conv/bias", 1)}
    found |= _dense(weights, "4x4/Dense0", "b4.fc") | _dense(weights, "Output", "b4.out")
    weights.finish()
    return found


def _kernel(weights: Weights, name: str) -> Tensor:
    """A kernel (h, w, inputs, outputs) as (outputs, inputs, h, w)."""
    return weights.take(f"{name}/weight", 4).permute(3, 2, 0, 1)


def _dense(weights: Weights, theirs: str, ours: str) -> dict[str, Tensor]:
    return {f"{ours}.weight": weights.take(f"{theirs}/weight", 2).T, f"{ours}.bias": weights.take(f"{theirs}/bias", 1)}


def _modulated(weights: Weights, theirs: str, ours: str, flip: bool = False) -> dict[str, Tensor]:
    """A modulated convolution. Kernels of upsampling layers are those of a correlation, ours of a convolution."""
    kernel = _kernel(weights, theirs)
    return {
        f"{ours}.weight": kernel.flip(2, 3) if flip else kernel,
        f"{ours}.bias": weights.take(f"{theirs}/bias", 1),
        f"{ours}.affine.weight": weights.take(f"{theirs}/mod_weight", 2).T,
        f"{ours}.affine.bias": weights.take(f"{theirs}/mod_bias", 1) + 1,
    }
