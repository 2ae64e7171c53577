"""Updates the pixel metrics as one of two gloo processes and saves their values. Called by test_ms_ssim.py."""

from pathlib import Path

import torch
from torch import Tensor

from gan_lab.metrics.ms_ssim import MSSSIM
from gan_lab.metrics.sliced_wasserstein import SlicedWasserstein

HALF = 20  # generated images of the first process; the second has 10 more


def samples() -> tuple[Tensor, Tensor]:
    """Generated and real images, (50, 3, 32, 32) and (36, 3, 32, 32)."""
    generator = torch.Generator().manual_seed(6)
    generated, real = torch.rand(50, 3, 32, 32, generator=generator), torch.rand(36, 3, 32, 32, generator=generator)
    return 2 * generated - 1, 2 * real.square() - 1


def metric() -> SlicedWasserstein:
    """Metric that uses fewer images than both processes have together."""
    return SlicedWasserstein(images=30, patches=8, directions=8, seed=3)


def main(folder: Path) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    generated, real = samples()
    own = generated[:HALF] if rank == 0 else generated[HALF:]
    similarity, shared, loaded = MSSSIM(), metric(), metric()
    for part in own.split(7):
        similarity.update(part)
        shared.update(part)
        loaded.update(part)
    shared.update(real[:18] if rank == 0 else real[18:], real=True)
    if rank == 0:  # the other has none
        complete = metric()
        complete.update(real, real=True)
        loaded.load_real_state(complete.real_state())
    values = {"similarity": similarity.compute(), "shared": shared.compute(), "loaded": loaded.compute()}
    similarity.sync()
    torch.save(values | {"pairs": similarity.pairs}, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
