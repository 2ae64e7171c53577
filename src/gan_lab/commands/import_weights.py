"""`gan-lab import`: converts published weights of other projects to an export."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from gan_lab.config.build import build_network
from gan_lab.config.overrides import to_paste
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import write_text
from gan_lab.layers.batch_statistics import with_standing_statistics
from gan_lab.published.base import Converted
from gan_lab.published.formats import convert, sha256_of, sources_of
from gan_lab.sampling.card import sample_format
from gan_lab.sampling.export_file import SUFFIX, read_card, write_export
from gan_lab.sampling.pretrained import STANDING_BATCH, STANDING_PASSES, load
from gan_lab.version import __version__

NO_WEIGHTS = ("num_batches_tracked", "_extra_state")
"""Endings of values in state dicts that are not weights: batches of a batch norm, the stage of a growing network."""


@dataclass(frozen=True)
class Imported:
    """Published weights in an export.

    Attributes:
        file: The `.safetensors` file.
        card: Description in the file, with the source, its license and what was converted.
        card_file: A readable copy of the card.
    """

    file: Path
    card: dict[str, Any]
    card_file: Path

    def __str__(self) -> str:
        source, sample = self.card["source"], self.card["sample"]
        networks = "generator and discriminator" if self.card["discriminator"] else "generator, without a discriminator"
        return (
            f"{source['file']} ({source['format']}) is in {self.file}: {networks}, {sample['channels']} x "
            f"{sample['resolution']} x {sample['resolution']} pixels. License: {source['license']}. "
            f"Next: gan-lab sample {to_paste('run', self.file)}"
            + (f" weights={self.card['weights']}" if self.card["weights"] != "ema" else "")
        )


def import_weights(cfg: DictConfig) -> Imported:
    """Write the file of a composed `import` config, and beside it a readable copy of its card.

    Raises:
        UserError: The source cannot be used, or the output file exists.
    """
    source = Path(cfg.source).expanduser()
    file = Path(f"{source.stem}{SUFFIX}") if cfg.out is None else Path(cfg.out)
    if file.suffix != SUFFIX:
        raise ConfigError(f"out={cfg.out} is not allowed: it must be a file name that ends with {SUFFIX}.")
    if file.exists():
        raise ConfigError(f"out={file} exists already: give another file name, or delete the file.")
    critic = None if cfg.discriminator is None else Path(cfg.discriminator).expanduser()
    converted = convert(source, cfg.format, cfg.weights, cfg.truncation, critic)
    config = _config(converted)
    generator = _network(config, "generator", source, converted)
    discriminator = None
    if converted.discriminator is not None:
        discriminator = _network(config, "discriminator", source, converted)
    if converted.needs_statistics:
        generator = with_standing_statistics(generator, _latents(converted))
    card = _card(config, converted, [source, *([critic] if critic else [])], cfg.weights, generator)
    others = {} if discriminator is None else {"discriminator": discriminator.state_dict()}
    write_export(file, generator.state_dict(), card, others)
    load(file, cfg.weights, "cpu").sample(1)  # check that the file works
    card, _ = read_card(file)
    beside = file.with_suffix(".json")
    write_text(beside, json.dumps(card, indent=2) + "\n")
    return Imported(file, card, beside)


def _config(converted: Converted) -> DictConfig:
    """Config of the networks, as that of a run with them."""
    networks = {"generator": converted.generator, "discriminator": converted.discriminator}
    given = {name: network for name, network in networks.items() if network is not None}
    return OmegaConf.create(
        {
            "architecture": {name: network.config for name, network in given.items()},
            "wrapper": {name: network.wrapper for name, network in given.items()},
            "latent": converted.latent,
            "conditioning": {
                "_target_": "gan_lab.gans.conditions.Labels",
                "num_classes": converted.num_classes,
                "prior": "uniform",
            },
        }
    )


def _network(config: DictConfig, name: str, source: Path, converted: Converted) -> nn.Module:
    """A network of the config in evaluation mode, with the converted weights."""
    network = build_network(config, name).requires_grad_(False).eval()
    needed, given = network.state_dict(), getattr(converted, name).state
    for key, value in needed.items():
        if key in given and (given[key].shape != value.shape or given[key].layout != value.layout):
            raise CheckpointError(
                f"{source} has weights of shape {tuple(given[key].shape)} for {key} of the {name}, which must have "
                f"{tuple(value.shape)}: it is another network, which cannot be imported."
            )
        if key in given and not given[key].isfinite().all():
            raise CheckpointError(f"{source} has values for {key} of the {name} that are not finite.")
    free = ("running_mean", "running_var") if converted.needs_statistics else ()
    missing = [key for key in needed.keys() - given.keys() if not key.endswith((*NO_WEIGHTS, *free))]
    if other := [*missing, *(given.keys() - needed.keys())]:
        raise CheckpointError(
            f"{source} has a {name} with other layers than that of gan_lab, such as {other[0]}, and cannot be imported."
        )
    network.load_state_dict({**needed, **given})
    return network


def _latents(converted: Converted) -> Iterator[tuple[Tensor]]:
    """Latents for standing statistics."""
    source = torch.Generator().manual_seed(0)
    for _ in range(STANDING_PASSES):
        yield (torch.randn(STANDING_BATCH, converted.latent["dim"], generator=source),)


def _card(
    config: DictConfig, converted: Converted, sources: list[Path], weights: str, generator: nn.Module
) -> dict[str, Any]:
    """Description of an imported file, stored in its metadata."""
    with torch.no_grad():
        latents = torch.zeros(1, config.latent.dim)
        labels = None if converted.num_classes is None else torch.zeros(1, dtype=torch.int64)
        sample = generator(latents, labels)
    argument = "" if weights == "ema" else f', weights="{weights}"'
    return {
        "about": "Published weights, converted by gan-lab import. The .safetensors file contains this card.",
        "load": f'import gan_lab; gan_lab.load("<this file>.safetensors"{argument}).sample(4)',
        "source": {
            "file": ", ".join(each.name for each in sources),
            "sha256": {each.name: sha256_of(each) for source in sources for each in sources_of(source)},
            "format": converted.format,
            "license": converted.license,
            "url": converted.url,
            "conversion": converted.conversion,
        },
        "model": None,
        "paper": None,
        "dataset": None,
        "classes": None,
        "weights": weights,
        "images_seen": 0,  # unknown
        "discriminator": converted.discriminator is not None,
        "sample": sample_format(sample),
        "config": OmegaConf.to_container(config),
        "measured": {},
        "versions": {"gan_lab": __version__, "torch": str(torch.__version__)},
    }
