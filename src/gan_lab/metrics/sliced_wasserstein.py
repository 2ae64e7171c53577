"""The sliced Wasserstein distance between patches of real and of generated images, scale by scale."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from gan_lab.metrics.pixels import filtered, quantized
from gan_lab.noise import mix

PATCH = 7
"""Side of a descriptor in pixels."""

SMALLEST = 16
"""Side of the coarsest scale in pixels, or a little more where the images do not lead to it."""

_KERNEL = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
_IMAGES = 256  # images worked on at once
_DIRECTIONS = 16  # directions projected on at once: 270 MB of projections with the numbers of the paper


def scales(side: int) -> list[int]:
    """Sides of the levels of a pyramid, the finest first: halved as long as 16 pixels are left.

    Raises:
        ValueError: The side is below 16, or odd before that.
    """
    sides = [side]
    while sides[-1] >= 2 * SMALLEST:
        sides.append(sides[-1] // 2)
    if side < SMALLEST or side % 2 ** (len(sides) - 1):
        raise ValueError(
            f"Images of {side} pixels have no pyramid: halves must come out even down to {SMALLEST} or more."
        )
    return sides


def laplacian_pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """What each scale adds to the next coarser one, the finest first, and the coarsest as it is (Burt and Adelson, 1983).

    Both ways the filter is outer([1, 4, 6, 4, 1] / 16), and the border is mirrored without its own pixels.

    Args:
        images: float (n, C, H, W); H and W can be halved `levels - 1` times.
        levels: Number of scales.
    """
    pyramid = []
    for _ in range(levels - 1):
        coarser = _blurred(images)[..., ::2, ::2]
        pyramid.append(images - _enlarged(coarser))
        images = coarser
    return [*pyramid, images]


def _blurred(images: Tensor) -> Tensor:
    return filtered(F.pad(images, [2] * 4, mode="reflect"), _KERNEL)


def _enlarged(images: Tensor) -> Tensor:
    """Twice the side: zeros between the pixels, blurred, and four times as bright to make up for them."""
    n, channels, height, width = images.shape
    spread = images.new_zeros(n, channels, 2 * height, 2 * width)
    spread[..., ::2, ::2] = images
    return 4 * _blurred(spread)


def descriptors(level: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Patches of 7x7 pixels.

    Args:
        level: Images (n, C, H, W).
        rows: First row of each patch, int64 (n, p), from 0 to H - 7.
        columns: First column, int64 (n, p), from 0 to W - 7.

    Returns:
        (n p, C, 7, 7), the patches of an image one after the other.
    """
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (n, C, H - 6, W - 6, 7, 7), a view
    image = torch.arange(len(level), device=level.device)[:, None]
    return windows[image, :, rows, columns].flatten(0, 1)


def normalized(patches: Tensor) -> Tensor:
    """Patches (n, C, 7, 7) to rows (n, 49 C) whose mean is 0 and variance 1 in each channel over the whole set.

    Each set is normalized by its own statistics. So a change of brightness and contrast of all images at once leaves the
    distance as it is. A channel that is constant over the set becomes 0.
    """
    variance, mean = torch.var_mean(patches, dim=(0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / torch.where(variance > 0, variance.sqrt(), 1)).flatten(1)


def unit_directions(dimension: int, count: int, generator: torch.Generator) -> Tensor:
    """Uniform on the sphere, float32 (dimension, count), on the CPU."""
    return F.normalize(torch.randn(dimension, count, generator=generator), dim=0)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    """Mean Wasserstein-1 distance of the projections of two sets of as many points (Rabin et al., 2011).

    Along a line the best pairing is that of the sorted projections. Two samples of one distribution are about 1 / sqrt(n)
    apart: 0.028 for 4,096 points with normal coordinates.

    Args:
        a: Points (n, d), float32 or float64.
        b: Points (n, d).
        directions: Unit vectors as columns, (d, k).

    Returns:
        float64 scalar.
    """
    gaps = []
    for chunk in directions.T.split(_DIRECTIONS):
        gap = (chunk @ a.T).sort(1).values - (chunk @ b.T).sort(1).values  # (k, n)
        gaps.append(gap.abs().mean(1, dtype=torch.float64))
    return torch.cat(gaps).mean()


class SlicedWasserstein(Metric):
    """How far patches of generated images are from patches of real ones, at each scale (Karras et al., 2018, section 5).

    Images become Laplacian pyramids from their own side down to 16 pixels. At each scale, patches of 7x7 pixels at random
    places, normalized, are compared by `sliced_wasserstein`. The first `images` of either kind count, and no more than there
    are of the other kind. What is drawn at random is a function of the seed and of the two sets of images: neither their
    order nor the number of processes changes the value, and a set has no distance from itself.

    It does not see a change of brightness and contrast of all images; see `normalized`. Compare with the value of two sets
    of real images: patches of one image are alike, so it is above what `sliced_wasserstein` says of independent points.
    Images are kept as bytes; `compute` makes float32 patches of one scale at a time, with the paper's numbers 2 x 2,097,152 of them.

    Args:
        images: Images of either kind at most.
        patches: Patches from an image at each scale.
        directions: Directions at each scale.
        seed: Key of the places and directions.

    Raises:
        ValueError: A number is below 1.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    real_kind: ClassVar[str] = "images"
    """What is kept of the real images, and its name in `real_state`."""

    real: list[Tensor]  # uint8 (n, C, H, W); these become one tensor where processes are joined
    generated: list[Tensor]

    def __init__(self, images: int = 16_384, patches: int = 128, directions: int = 512, seed: int = 0) -> None:
        super().__init__(dist_sync_fn=_gather)
        for name, value in {"images": images, "patches": patches, "directions": directions}.items():
            if value < 1:
                raise ValueError(f"{name}={value} is not allowed: it must be at least 1.")
        self.images, self.patches, self.directions, self.seed = images, patches, directions, seed
        self.add_state("real", [], "cat")
        self.add_state("generated", [], "cat")

    def update(self, images: Tensor, real: bool = False) -> None:
        """Keep of images (n, C, H, H) in [-1, 1] as many as are still wanted, quantized to 0..255.

        Raises:
            ValueError: They are not square, or have no pyramid.
        """
        if images.dim() != 4 or images.shape[2] != images.shape[3]:
            raise ValueError(
                f"Pyramids are made of square images (n, C, H, H); these samples are {tuple(images.shape)}."
            )
        scales(images.shape[2])
        kept = self.real if real else self.generated
        room = self.images - sum(len(part) for part in kept)
        kept.append(quantized(images[: max(room, 0)]))

    def compute(self) -> dict[str, Tensor]:
        """1000 times the distance at each scale, by its side as `16`, `32`, ..., and their `mean`; float64 scalars.

        Raises:
            ValueError: One of the sets is empty, or their images have another shape.
        """
        real, generated = self._sets()
        sides, values = scales(real.shape[2]), {}
        for level, side in enumerate(sides):
            generator = torch.Generator().manual_seed(mix(self.seed, side))
            places = torch.randint(side - PATCH + 1, (2, len(real), self.patches), generator=generator).to(real.device)
            directions = unit_directions(real.shape[1] * PATCH**2, self.directions, generator).to(real.device)
            a, b = (normalized(_patches(images, len(sides), level, places)) for images in (real, generated))
            values[str(side)] = 1000 * sliced_wasserstein(a, b, directions)
        return values | {"mean": torch.stack(list(values.values())).mean()}

    def _sets(self) -> tuple[Tensor, Tensor]:
        """As many real as generated images, uint8 (n, C, H, H), each set in its own order."""
        if not (len(self.real) and len(self.generated)):
            raise ValueError("The sliced Wasserstein distance needs real and generated images, but one set is empty.")
        real, generated = dim_zero_cat(self.real), dim_zero_cat(self.generated)
        if real.shape[1:] != generated.shape[1:]:
            raise ValueError(
                f"The real images are {tuple(real.shape)} and the generated ones {tuple(generated.shape)}; only their "
                "numbers may differ."
            )
        count = min(self.images, len(real), len(generated))
        return in_own_order(real[:count]), in_own_order(generated[:count])

    def real_state(self) -> dict[str, Tensor]:
        """The real images of this process, uint8 (n, C, H, H) on the CPU, under the name of `real_kind`."""
        return {self.real_kind: dim_zero_cat(self.real).cpu()}

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        """Go on with the real images of a state from `real_state` and no others.

        Of several processes only one may load it, as their images are joined.
        """
        self.real = [state[self.real_kind][: self.images].to(self.device)]
        self._computed = None  # the value of other real images

    def reset_generated(self) -> None:
        """Forget the generated images and keep the real ones; `reset` forgets both."""
        self.generated = []
        self._computed = None

    @property
    def protocol(self) -> dict[str, float]:
        """The numbers on which the value depends beside the images: to be printed with it."""
        counts = [sum(len(part) for part in kept) for kept in (self.real, self.generated)]
        return {
            "images": min(self.images, *counts),
            "patches": self.patches,
            "directions": self.directions,
            "seed": self.seed,
        }


def in_own_order(images: Tensor) -> Tensor:
    """Images (n, C, H, W), uint8, in an order that is a function of them alone: by a random hash of the pixels.

    What is drawn at random for the first, the second and so on thus does not depend on the order of the batches.
    """
    generator = torch.Generator().manual_seed(0)
    weights = torch.randint(1 << 62, (images[0].numel(),), generator=generator).to(images.device)
    keys = [(chunk.flatten(1).long() * weights).sum(1) for chunk in images.split(_IMAGES)]  # modulo 2^64
    return images[torch.cat(keys).argsort()]


def _patches(images: Tensor, levels: int, level: int, places: Tensor) -> Tensor:
    """Patches (n p, C, 7, 7) at one of the levels of the pyramids of images (n, C, H, W), at places (2, n, p)."""
    chunks = zip(images.split(_IMAGES), places.split(_IMAGES, dim=1), strict=True)
    return torch.cat([descriptors(laplacian_pyramid(part.float(), levels)[level], *place) for part, place in chunks])


def _gather(images: Tensor, group: Any = None) -> list[Tensor]:
    """Images of every process that has any; for a process without, torchmetrics would stand in a float32 (0,)."""
    shares = gather_all_tensors(images if images.dim() == 4 else images.new_zeros(0, 0, 0, 0, dtype=torch.uint8), group)
    return [share for share in shares if len(share)]
