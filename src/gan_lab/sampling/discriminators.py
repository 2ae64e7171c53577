"""Pretrained discriminators and encoders: loading from a checkpoint or an imported file, and the same one untrained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.config.build import build_network
from gan_lab.config.targets import allowing
from gan_lab.errors import CheckpointError, ConfigError, first_line, is_out_of_memory
from gan_lab.runs.remote import local_path, named
from gan_lab.sampling.export_file import SUFFIX, Stored, read_export
from gan_lab.sampling.stored import encoder_name, network_of, read_stored


@dataclass(frozen=True)
class PretrainedDiscriminator:
    """Discriminator, or encoder, loaded from a checkpoint or an imported file.

    Attributes:
        network: In evaluation mode, without gradients of its parameters; `features` and `head` as in `Discriminator`.
        config: Resolved config of the run; for an imported file only the keys of the networks.
        images_seen: Real images seen in training.
        path: The file.
        name: Of the network in the config: `discriminator`, or that of the encoder.
    """

    network: Discriminator
    config: DictConfig
    images_seen: int
    path: Path
    name: str = "discriminator"

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(iter(self.network.state_dict().values())).device

    @torch.no_grad()
    def score(self, samples: Tensor, condition: Tensor | Sequence[int] | int | None = None) -> Tensor:
        """Logits (n, ...) on the network's device: high for what it takes for real.

        Args:
            samples: (n, ...) on any device; images in [-1, 1].
            condition: With n rows; a label for each sample, or one for all; or None.

        Raises:
            ConfigError: The samples or the condition do not fit the network.
        """
        try:
            given = None if condition is None else torch.as_tensor(condition, device=self.device)
            given = given.expand(len(samples)) if given is not None and given.dim() == 0 else given
            return cast(Tensor, self.network(samples.to(self.device), given))
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(
                f"{named(self.path)}: the {self.name} cannot take these samples: {first_line(error)}."
            ) from error

    def untrained(self, seed: int = 0) -> nn.Module:
        """The same network with new random weights: what every result about a trained one is compared with.

        Args:
            seed: Key of the weights. The random state of PyTorch is the same before and after.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(self.config, self.name)
        return network.requires_grad_(False).eval().to(self.device)


def load_discriminator(
    path: str | Path, device: str | torch.device | None = None, allow_targets: Sequence[str] = ()
) -> PretrainedDiscriminator:
    """Load the discriminator of a checkpoint file, of a run folder's last checkpoint, or of a file that has one.

    Args:
        path: A `.ckpt` file, a run folder, or a `.safetensors` file of `gan-lab import` with a discriminator.
        device: Device of the network; by default a GPU if there is one.
        allow_targets: Your packages or full class names that the config may name, too. Their code is run.

    Raises:
        UserError: The file is missing or cannot be used, has no discriminator, or its config names a target that is not
            allowed.
    """
    stored = _stored(local_path(path))
    if not stored.state or OmegaConf.select(stored.config, "architecture.discriminator") is None:
        raise CheckpointError(
            f"{named(stored.file)} has no discriminator, which gan-lab export leaves out: give a run folder or a "
            "checkpoint."
        )
    with allowing(allow_targets):
        network = network_of(stored, "discriminator", stored.state)
    return PretrainedDiscriminator(_frozen(network, device), stored.config, stored.images_seen, stored.file)


def load_encoder(
    path: str | Path, device: str | torch.device | None = None, allow_targets: Sequence[str] = ()
) -> PretrainedDiscriminator:
    """Load the trained encoder of a checkpoint file, or of a run folder's last checkpoint.

    Its output is a latent, and its `features` are those of the discriminator that it is made of; see
    `architectures.encoding`. For the arguments see `load_discriminator`.

    Raises:
        UserError: As in `load_discriminator`, or the model has no encoder.
    """
    stored = read_stored(path, "raw")
    name = encoder_name(stored.config)
    if name is None or not stored.encoder:
        raise CheckpointError(
            f"{named(stored.file)} has no encoder: give a checkpoint of a model with one, such as model=bigan."
        )
    with allowing(allow_targets):
        network = network_of(stored, name, stored.encoder)
    return PretrainedDiscriminator(_frozen(network, device), stored.config, stored.images_seen, stored.file, name)


def _frozen(network: nn.Module, device: str | torch.device | None) -> Discriminator:
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return cast(Discriminator, network.requires_grad_(False).eval().to(device))


def _stored(path: Path) -> Stored:
    """The config and the discriminator's weights; without weights for an export."""
    if path.is_file() and path.suffix == SUFFIX:
        stored = read_export(path)
        return replace(stored, state=stored.discriminator)
    return read_stored(path, "raw", "discriminator")
