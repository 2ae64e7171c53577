"""Export files of untrained translators."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from gan_lab.architectures.unet import UNetGenerator
from gan_lab.sampling.export_file import write_export


def write_translator(
    file: Path, channels: int = 3, source_channels: int = 3, both: bool = False, dropout: float = 0.5
) -> Path:
    """Write an export of U-Nets for 32 pixels: from A to B, and with `both` also from B to A; returns the path."""
    networks, config = {}, dict[str, Any]()
    for name, given, made in (("generator", source_channels, channels), ("back_generator", channels, source_channels)):
        options = {"latent_dim": 0, "channels": made, "resolution": 32, "width": 2, "source_channels": given}
        networks[name] = _network(len(networks), options | {"dropout": dropout})
        target = f"{UNetGenerator.__module__}.{UNetGenerator.__name__}"
        config[name] = {"_target_": target, **options, "dropout": dropout}
    names = {"AtoB": "generator", "BtoA": "back_generator"}
    directions = {direction: names[direction] for direction in (("AtoB", "BtoA") if both else ("AtoB",))}
    card = {
        "weights": "ema",
        "images_seen": 64,
        "config": {
            "architecture": {name: config[name] for name in directions.values()},
            "latent": {"dim": 0},
            "conditioning": {"_target_": "gan_lab.gans.conditions.FromData", "key": "source"},
            "translation": {"networks": directions, "filters": {"AtoB": "bicubic"}, "background": 255},
        },
    }
    others = {"back_generator": networks["back_generator"].state_dict()} if both else {}
    write_export(file, networks["generator"].state_dict(), card, others)
    return file


def _network(seed: int, options: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNetGenerator(**options)
