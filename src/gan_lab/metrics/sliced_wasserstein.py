"""Sliced Wasserstein distance between patches of real and generated images, at each scale."""

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
"""Width of a descriptor in pixels."""

SMALLEST = 16
"""Smallest resolution of the coarsest scale in pixels; the coarsest scale is below twice that."""

_KERNEL = [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]
_IMAGES = 256  # images processed at once
_DIRECTIONS = 16  # directions projected on at once: 270 MB of projections with the paper's settings


def scales(resolution: int) -> list[int]:
    """Resolutions of the levels of a pyramid, the finest first, halved while at least 16 pixels are left.

    Raises:
        ValueError: The resolution is below 16, or a level that must be halved is odd.
    """
    resolutions = [resolution]
    while resolutions[-1] >= 2 * SMALLEST:
        resolutions.append(resolutions[-1] // 2)
    if resolution < SMALLEST or resolution % 2 ** (len(resolutions) - 1):
        raise ValueError(
            f"Images of {resolution} pixels have no pyramid: the resolution must be at least {SMALLEST} and divisible "
            f"by 2 until it is below {2 * SMALLEST}."
        )
    return resolutions


def laplacian_pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Laplacian pyramid, the finest level first (Burt and Adelson, 1983).

    Each level is the difference to the next coarser one, enlarged; the last is the coarsest image itself. The filter is
    outer([1, 4, 6, 4, 1] / 16) in both directions, with reflected borders.

    Args:
        images: float (n, C, H, W); H and W must be divisible by 2 `levels - 1` times.
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
    """Images at twice the resolution: zeros between the pixels, blurred, and times four to keep the brightness."""
    n, channels, height, width = images.shape
    with_zeros = images.new_zeros(n, channels, 2 * height, 2 * width)
    with_zeros[..., ::2, ::2] = images
    return 4 * _blurred(with_zeros)


def descriptors(level: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Patches of 7x7 pixels.

    Args:
        level: Images (n, C, H, W).
        rows: First row of each patch, int64 (n, p), from 0 to H - 7.
        columns: First column, int64 (n, p), from 0 to W - 7.

    Returns:
        (n p, C, 7, 7), grouped by image.
    """
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (n, C, H - 6, W - 6, 7, 7), a view
    image = torch.arange(len(level), device=level.device)[:, None]
    return windows[image, :, rows, columns].flatten(0, 1)


def normalized(patches: Tensor) -> Tensor:
    """Patches (n, C, 7, 7) as rows (n, 49 C), normalized to mean 0 and variance 1 in each channel over the set.

    Each set is normalized by its own statistics, so a change of brightness or contrast of all images does not change
    the distance. A channel that is constant over the set becomes 0.
    """
    variance, mean = torch.var_mean(patches, dim=(0, 2, 3), correction=0, keepdim=True)
    return ((patches - mean) / torch.where(variance > 0, variance.sqrt(), 1)).flatten(1)


def unit_directions(dimension: int, count: int, generator: torch.Generator) -> Tensor:
    """Uniformly distributed unit vectors as columns, float32 (dimension, count), on the CPU."""
    return F.normalize(torch.randn(dimension, count, generator=generator), dim=0)


def sliced_wasserstein(a: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    """Mean Wasserstein-1 distance of the projections of two sets of n points (Rabin et al., 2011).

    In one dimension the optimal assignment pairs the sorted projections. Two samples of the same distribution are about
    1 / sqrt(n) apart: 0.028 for 4,096 points with normal coordinates.

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
    """Sliced Wasserstein distance of patches of generated and real images (Karras et al., 2018, section 5).

    Images become Laplacian pyramids from their own resolution down to 16 pixels. At each scale, normalized patches of
    7x7 pixels at random places are compared by `sliced_wasserstein`. The first `images` of either set are used, but
    equally many of both. The random numbers depend on the seed and on the two sets of images: neither their order nor
    the number of processes changes the value, and the distance of a set from itself is 0.

    It is invariant to a change of brightness or contrast of all images; see `normalized`. Compare with the value of two
    sets of real images, which is above that of independent points, since patches of an image are correlated. Images are
    stored as uint8; `compute` makes float32 patches of one scale at a time, 2 x 2,097,152 of them with the paper's
    settings.

    Args:
        images: Largest number of images of either set.
        patches: Patches from an image at each scale.
        directions: Directions at each scale.
        seed: Seed of the places and directions.

    Raises:
        ValueError: A number is below 1.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    real_kind: ClassVar[str] = "images"
    """Key of the real images in `real_state`."""

    real: list[Tensor]  # uint8 (n, C, H, W); both lists become one tensor when processes are synchronized
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
        """Store images (n, C, H, H) in [-1, 1], quantized to 0..255, up to `images` in total.

        Raises:
            ValueError: The images are not square, or have no pyramid.
        """
        if images.dim() != 4 or images.shape[2] != images.shape[3]:
            raise ValueError(f"Pyramids need square images (n, C, H, H); these samples are {tuple(images.shape)}.")
        scales(images.shape[2])
        kept = self.real if real else self.generated
        room = self.images - sum(len(part) for part in kept)
        kept.append(quantized(images[: max(room, 0)]))

    def compute(self) -> dict[str, Tensor]:
        """1000 times the distance at each scale, named by resolution (`16`, `32`, ...), and the `mean`; float64.

        Raises:
            ValueError: One of the sets is empty, or the shapes of their images differ.
        """
        real, generated = self._sets()
        resolutions, values = scales(real.shape[2]), {}
        for level, resolution in enumerate(resolutions):
            generator = torch.Generator().manual_seed(mix(self.seed, resolution))
            places = torch.randint(resolution - PATCH + 1, (2, len(real), self.patches), generator=generator).to(
                real.device
            )
            directions = unit_directions(real.shape[1] * PATCH**2, self.directions, generator).to(real.device)
            a, b = (normalized(_patches(images, len(resolutions), level, places)) for images in (real, generated))
            values[str(resolution)] = 1000 * sliced_wasserstein(a, b, directions)
        return values | {"mean": torch.stack(list(values.values())).mean()}

    def _sets(self) -> tuple[Tensor, Tensor]:
        """Equally many real and generated images, uint8 (n, C, H, H), each set sorted by a hash."""
        if not (len(self.real) and len(self.generated)):
            raise ValueError("The sliced Wasserstein distance needs real and generated images, but one set is empty.")
        real, generated = dim_zero_cat(self.real), dim_zero_cat(self.generated)
        if real.shape[1:] != generated.shape[1:]:
            raise ValueError(
                f"The real images are {tuple(real.shape)} and the generated ones {tuple(generated.shape)}; their "
                "shapes must be equal, apart from the number of images."
            )
        count = min(self.images, len(real), len(generated))
        return sorted_by_hash(real[:count]), sorted_by_hash(generated[:count])

    def real_state(self) -> dict[str, Tensor]:
        """The real images of this process, uint8 (n, C, H, H) on the CPU, with the key `real_kind`."""
        return {self.real_kind: dim_zero_cat(self.real).cpu()}

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        """Replace the real images by those of a `real_state`.

        Only one of several processes may load it, since their images are joined.
        """
        self.real = [state[self.real_kind][: self.images].to(self.device)]
        self._computed = None  # the cached value belongs to other real images

    def reset_generated(self) -> None:
        """Remove the generated images and keep the real ones; `reset` removes both."""
        self.generated = []
        self._computed = None

    @property
    def protocol(self) -> dict[str, float]:
        """Settings that the value depends on, to be reported with it."""
        counts = [sum(len(part) for part in kept) for kept in (self.real, self.generated)]
        return {
            "images": min(self.images, *counts),
            "patches": self.patches,
            "directions": self.directions,
            "seed": self.seed,
        }


def sorted_by_hash(images: Tensor) -> Tensor:
    """Images (n, C, H, W), uint8, sorted by a random hash of their pixels.

    So the random numbers of each image do not depend on the order of the batches.
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
    """Images of every process that has any; for one without images torchmetrics would substitute a float32 (0,)."""
    parts = gather_all_tensors(images if images.dim() == 4 else images.new_zeros(0, 0, 0, 0, dtype=torch.uint8), group)
    return [part for part in parts if len(part)]
