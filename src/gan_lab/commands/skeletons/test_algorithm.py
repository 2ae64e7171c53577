"""Tests of `algorithm=skeleton`."""

from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer
from own_package.skeleton import Skeleton
from torch.utils.data import DataLoader

from gan_lab.architectures.mlp import MLPDiscriminator, MLPGenerator
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.losses.adversarial import NonSaturating


def test_it_trains_points() -> None:
    adam = partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.999))
    parts = Parts(NonSaturating(), {"generator": adam, "discriminator": adam}, LatentPrior(4))
    algorithm = Skeleton(MLPGenerator(4, 2, None), MLPDiscriminator(2, None), parts)
    points: Any = torch.randn(64, 2)
    silent: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(max_epochs=1, accelerator="cpu", **silent).fit(algorithm, DataLoader(points, batch_size=32))
    assert algorithm.images_seen == 64
