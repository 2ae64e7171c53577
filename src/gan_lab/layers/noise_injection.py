"""Noise with a learned strength, added to the maps of a generator."""

import torch
from torch import Tensor, nn

from gan_lab.layers.evaluation_noise import EvaluationNoise

NOISES = ("random", "fixed", "none")


class NoiseInjection(EvaluationNoise):
    """Add normal noise times a learned strength (Karras et al., 2019, section 2): x + strength * noise.

    All channels of a sample get the same map. The strength is one number, 0 at the start. In training a random map is
    drawn for each sample, from the global generator. In evaluation mode all samples have the same map, which was drawn
    when the layer was made, so equal latents give equal images; `with_random_noise` changes this.

    Args:
        resolution: Resolution of the maps.
        noise: In training: `random`, `fixed` (the map of evaluation mode), or `none`, also in evaluation mode.

    Raises:
        ValueError: `noise` is unknown.
    """

    map: Tensor

    def __init__(self, resolution: int, noise: str = "random") -> None:
        super().__init__()
        if noise not in NOISES:
            raise ValueError(
                f"architecture.generator.noise={noise} is not known; choose {', '.join(NOISES[:-1])} or {NOISES[-1]}"
            )
        self.noise = noise
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("map", torch.randn(resolution, resolution))

    @property
    def has_noise(self) -> bool:
        return self.noise != "none"

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, resolution, resolution) with noise."""
        return x if self.noise == "none" else x + (self.strength * self._noise(x)).to(x.dtype)

    def _noise(self, x: Tensor) -> Tensor:
        """One map, (resolution, resolution), or one for each sample, (n, 1, resolution, resolution)."""
        shape = (x.shape[0], 1, *x.shape[2:])  # len(x) would fix the batch size of a traced program
        if self.training and self.noise == "random":
            return torch.randn(shape, dtype=self.map.dtype, device=x.device)
        generator = None if self.training else self.generator()
        if generator is None:
            return self.map
        return torch.randn(shape, dtype=self.map.dtype, generator=generator).to(x.device)
