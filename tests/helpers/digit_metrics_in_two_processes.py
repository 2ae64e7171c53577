"""Updates the digit metrics as one of two gloo processes and saves their values. Called by test_scores.py."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from gan_lab.metrics.digits import StackedModes
from gan_lab.metrics.scores import InceptionScore, ModeScore

SAMPLES = 1001
TRAIN = torch.arange(1.0, 11.0) / 55


class Brightness(nn.Module):
    """Classifier that reads the digit d in images (n, 1, H, W) of gray value 0.1 d."""

    def forward(self, images: Tensor) -> Tensor:
        return -(images.mean((1, 2, 3))[:, None] - torch.arange(10) / 10).square()


def stack(labels: Tensor) -> Tensor:
    """Images (n, 3, 2, 2) that `Brightness` reads as labels 0..999, red the last digit."""
    digits = torch.stack([labels % 10, labels // 10 % 10, labels // 100], dim=1)
    return (digits / 10)[:, :, None, None].expand(-1, -1, 2, 2)


def metrics() -> dict[str, tuple[Metric, Tensor]]:
    """Metrics by name, each with its input; the scores take logits as images."""
    generator = torch.Generator().manual_seed(5)
    logits = 4 * torch.randn(SAMPLES, 10, generator=generator)
    images = stack(torch.randint(1000, (SAMPLES,), generator=generator))
    return {
        "modes": (StackedModes(Brightness()), images),
        "inception": (InceptionScore(nn.Identity(), splits=1), logits),
        "splits": (InceptionScore(nn.Identity(), splits=7), logits),
        "mode_score": (ModeScore(nn.Identity(), TRAIN), logits),
    }


def main(folder: Path) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    values = {}
    for name, (metric, samples) in metrics().items():
        for part in samples[rank::2].split(100):  # 501 and 500: the sizes differ
            metric.update(part)
        values[name] = metric.compute()
        metric.sync()
        values[f"{name} states"] = {key: getattr(metric, key) for key in metric._defaults}
    torch.save(values, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
