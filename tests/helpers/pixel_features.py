"""Fast extractor for configs in tests."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.metrics.extractors import Extractor, Shared, shared


class PixelFeatures(Extractor):
    """A linear layer on 2x2 pixels of three colors: 4 features. `seen` has the number of images in each call."""

    def __init__(self, seed: int = 0, preprocessing: str = "to 2x2", broken: bool = False) -> None:
        layer = nn.Linear(12, 4)  # uses the global random stream, as networks do
        layer.weight.data = torch.randn(4, 12, generator=torch.Generator().manual_seed(seed))
        layer.bias.data.fill_(float("nan") if broken else 0.0)
        super().__init__(layer, "pixels", 4, preprocessing)
        self.seen: list[int] = []

    def _features(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return self.network(F.adaptive_avg_pool2d(images.expand(-1, 3, -1, -1), 2).flatten(1))


def pixel_features(seed: int = 0, preprocessing: str = "to 2x2", broken: bool = False) -> Shared:
    return shared(PixelFeatures(seed, preprocessing, broken))
