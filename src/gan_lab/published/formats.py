"""Formats of published weights: reading a file, recognizing its format, and converting it."""

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_lab.errors import CheckpointError, ConfigError, unknown_choice
from gan_lab.published import biggan, dcgan, mimicry, progan, stylegan2, stylegan2_tensorflow
from gan_lab.published.base import Converted, Source, refused
from gan_lab.published.network_pickles import read_pickle

OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a file of `torch.save` before PyTorch 1.6: a pickle of a number."""


SETTINGS = ("models.utils.config.BaseConfig",)
"""Classes in files of `torch.save` that are read as `PlainSettings`: those of pytorch_GAN_zoo."""


class PlainSettings:
    """Attributes of an object whose class is not imported."""


@dataclass(frozen=True)
class Format:
    """A format of published weights.

    Attributes:
        about: What such files are, for messages.
        recognizes: Whether the content of a file has this format.
        convert: Converts it.
        separate: The discriminator is in another file.
    """

    about: str
    recognizes: Callable[[Any], bool]
    convert: Callable[[Source], Converted]
    separate: bool = False


FORMATS = {
    "stylegan2": Format("pickle of StyleGAN2 or StyleGAN2-ADA for PyTorch", stylegan2.recognizes, stylegan2.convert),
    "stylegan2_tensorflow": Format(
        "pickle of StyleGAN2's TensorFlow codes", stylegan2_tensorflow.recognizes, stylegan2_tensorflow.convert
    ),
    "progan_gan_zoo": Format("checkpoint of pytorch_GAN_zoo's ProGAN", progan.recognizes_zoo, progan.convert_zoo),
    "progan_tensorflow": Format(
        "pickle of ProGAN's TensorFlow code", progan.recognizes_tensorflow, progan.convert_tensorflow
    ),
    "biggan_huggingface": Format(
        "pytorch_model.bin of pytorch-pretrained-BigGAN", biggan.recognizes_huggingface, biggan.convert_huggingface
    ),
    "biggan_ajbrock": Format(
        "generator of BigGAN-PyTorch", biggan.recognizes_ajbrock, biggan.convert_ajbrock, separate=True
    ),
    "sngan_mimicry": Format(
        "generator of SN-GAN in a checkpoint of mimicry", mimicry.recognizes, mimicry.convert, separate=True
    ),
    "dcgan_theano": Format("folder of arrays of DCGAN's authors", dcgan.recognizes, dcgan.convert),
}


def convert(
    file: Path, name: str = "auto", weights: str = "ema", truncation: float = 1.0, discriminator: Path | None = None
) -> Converted:
    """Read a file and convert its networks.

    Args:
        file: A file of another project.
        name: Its format, or `auto` to recognize it.
        weights: See `Source`.
        truncation: See `Source`.
        discriminator: File of the discriminator, for formats in which it is another one.

    Raises:
        UserError: A file is damaged, contains code, or has another format.
    """
    if name not in (*FORMATS, "auto"):
        raise ConfigError(unknown_choice("format", name, ["auto", *FORMATS]))
    content = read(file)
    if name == "auto":
        name = _recognized(content, file)
    chosen = FORMATS[name]
    if not chosen.recognizes(content):
        raise CheckpointError(f"{file} is not a {chosen.about}, as format={name} needs: try format=auto.")
    if discriminator is not None and not chosen.separate:
        raise ConfigError(
            f"discriminator={discriminator} is not used, because format={name} has one file; leave it out."
        )
    critic = None if discriminator is None else read(discriminator)
    with refused(file if discriminator is None else discriminator, chosen.about):
        return chosen.convert(Source(content, file, weights, truncation, critic, discriminator))


def _recognized(content: Any, file: Path) -> str:
    found = [key for key, each in FORMATS.items() if each.recognizes(content)]
    if not found:
        raise CheckpointError(
            f"{file} has none of the formats that can be imported: {', '.join(FORMATS)}. Its names of networks and "
            "tensors are other ones."
        )
    return found[0]


def read(file: Path) -> Any:
    """Content of a file as plain data: a pickle, or a file of `torch.save`; or of a folder of arrays.

    Raises:
        CheckpointError: It is damaged, or contains anything else.
    """
    if file.is_dir():
        return dcgan.read_arrays(file)
    try:
        with file.open("rb") as stream:
            start = stream.read(len(OLD_TORCH))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}.") from error
    if start == OLD_TORCH or zipfile.is_zipfile(file):
        return _read_torch(file)
    if not start.startswith(b"\x80"):
        raise CheckpointError(f"{file} is neither a pickle nor a file of torch.save, and cannot be imported.")
    return read_pickle(file)


def _read_torch(file: Path) -> Any:
    """Content of a file of `torch.save`, on the CPU; plain data only. Checksums are checked, as in checkpoints."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if (broken := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(broken)
        with torch.serialization.safe_globals([(PlainSettings, name) for name in SETTINGS]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(file, str(error))) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError, NotImplementedError) as error:
        raise CheckpointError(f"{file} cannot be read: it is truncated, damaged, or of another kind.") from error


def _refusal(file: Path, message: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", message)
    asked = found[1] if found else "objects that are not plain data"
    return f"{file} asks for {asked}, which published networks do not contain; no code of the file was run."


def sources_of(path: Path) -> list[Path]:
    """The files that `read` reads."""
    if not path.is_dir():
        return [path]
    return [file for network in ("gen", "discrim") for file in dcgan.files_of(path, network)]


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(2**20):
            digest.update(part)
    return digest.hexdigest()
