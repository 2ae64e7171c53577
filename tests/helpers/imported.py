"""Networks in files of `gan-lab import`."""

from pathlib import Path

from torch import nn

from gan_lab.config.build import build_network
from gan_lab.sampling.export_file import read_export


def discriminator_of(file: Path) -> nn.Module:
    """The discriminator that the file's config describes, with its weights."""
    stored = read_export(file, "ema")
    network = build_network(stored.config, "discriminator").eval()
    network.load_state_dict(stored.discriminator)
    return network
