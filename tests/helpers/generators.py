"""Export files of untrained generators."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from gan_lab.config.build import build_network
from gan_lab.config.compose import compose
from gan_lab.sampling.export_file import write_export
from tests.conftest import TINY


def write_generator(file: Path, *overrides: str, seed: int = 0, **card: Any) -> Path:
    """Write an export of the generator that these overrides of a tiny run describe; returns the path."""
    cfg = compose(*TINY, "run.dir=unused", *overrides)
    OmegaConf.resolve(cfg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(cfg, "generator")
    networks = {"architecture": {"generator": cfg.architecture.generator}}
    networks["wrapper"] = {"generator": cfg.wrapper.get("generator", {})}
    others = {"latent": cfg.latent, "conditioning": cfg.conditioning}
    config = OmegaConf.to_container(OmegaConf.create(networks | others))
    write_export(file, network.state_dict(), {"weights": "ema", "images_seen": 64, "config": config, **card})
    return file
