"""What commands that inspect a discriminator have in common: the images it is shown, its features, its layers."""

from collections.abc import Callable
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import innermost
from gan_lab.commands.inputs import RealImages, check_size, size_of_samples, with_data_of
from gan_lab.data.pixels import to_unit_range
from gan_lab.errors import ConfigError
from gan_lab.figures import to_uint8
from gan_lab.layers.activations import ActivationShape, activation_shapes
from gan_lab.progress import progress
from gan_lab.runs.remote import named
from gan_lab.sampling.discriminators import PretrainedDiscriminator
from gan_lab.sampling.stored import encoder_name


def with_images_of(cfg: DictConfig, run: DictConfig) -> DictConfig:
    """The config of a command with a data set of images of the network's size, by default that of the run.

    Raises:
        ConfigError: The data set has points, or images of another size.
    """
    complete = with_data_of(cfg, run)
    if "dataset" in complete and complete.dataset.get("_target_") and complete.dataset.get("resolution") is None:
        raise ConfigError("This command is for images, and the data set has points: choose another, as dataset=digits.")
    check_size(complete.get("dataset") or OmegaConf.create(), *size_of_samples(run))
    return complete


def read_images(data: RealImages, count: int | None) -> tuple[Tensor, Tensor | None]:
    """Images uint8 (n, C, H, W) of a data set, and their labels int64 (n,), or None if some have none.

    Args:
        data: The data set.
        count: Number of images, chosen by a fixed seed; None, or a number that is not smaller, for all.
    """
    some = data.reals(None if count is None or count >= data.size else count, 512)
    chunks = [(to_uint8(images), labels) for images, labels in progress(some, "images")]
    known = [labels.cpu() for _, labels in chunks if labels is not None]
    return torch.cat([images for images, _ in chunks]), torch.cat(known) if len(known) == len(chunks) else None


def features_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The function that computes a discriminator's last hidden layer (n, d) of images, without its wrappers."""
    return innermost(cast(Discriminator, network)).features


def shapes_of(loaded: PretrainedDiscriminator, images: Tensor) -> list[ActivationShape]:
    """Sizes of a discriminator's activations for images uint8 (n, C, H, W).

    Raises:
        ConfigError: It takes no single images of this size without labels.
    """
    shown = to_unit_range(images[:2]).to(loaded.device)
    try:
        return activation_shapes(features_of(loaded.network), shown)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
        name = type(innermost(loaded.network)).__name__
        other = loaded.name == "discriminator" and encoder_name(loaded.config) is not None
        advice = "; gan-lab probe network=encoder inspects its encoder" if other else ""
        raise ConfigError(
            f"{named(loaded.path)} has a {name} that does not take single images of "
            f"{images.shape[3]}x{images.shape[2]} pixels and {images.shape[1]} channels "
            f"without labels, so its layers cannot be inspected{advice}."
        ) from error
