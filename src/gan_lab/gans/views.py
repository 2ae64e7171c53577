"""Views: transform real images into what the networks see: unchanged, at a growing resolution, or at all scales."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor, nn

from gan_lab.errors import ConfigError
from gan_lab.layers.growing import Growing, at_stage, growing_networks
from gan_lab.layers.multi_scale import image_pyramid, multi_scale_networks, pack_scales
from gan_lab.optim.growth import Growth
from gan_lab.types import Stage


class View:
    """The identity: real images unchanged."""

    def advance(self, images_seen: int) -> bool:
        """Prepare for the batch after `images_seen` images. True if the state of the optimizers must be reset."""
        return False

    def __call__(self, images: Tensor) -> Tensor:
        """Real images (n, C, H, W) as the networks generate and score them."""
        return images

    def next_stage(self, images_seen: int) -> Stage | None:
        """The stage of the batch after `images_seen` images; None if the networks do not grow."""
        return None

    def progress(self) -> dict[str, float]:
        """Extra values about the progress of the run, for the log and the progress bar."""
        return {}


class GrowingView(View):
    """Real images at the current resolution and alpha of growing networks.

    Args:
        growth: Schedule of the stages.
        algorithm: The module that contains the growing networks, averaged ones included; `advance` sets their stage.
    """

    def __init__(self, growth: Growth, algorithm: nn.Module) -> None:
        self.growth = growth
        self._algorithm = algorithm
        for part in growing_networks(algorithm):
            part.grow(growth.stage(0))

    @cached_property
    def _growing(self) -> list[Growing]:
        """Collected at first use, because an algorithm may register networks after it has created its view."""
        return growing_networks(self._algorithm)

    def advance(self, images_seen: int) -> bool:
        stage = self.growth.stage(images_seen)
        resets = self.growth.reset_optimizers and stage.resolution != self._growing[0].stage.resolution
        for part in self._growing:
            part.grow(stage)
        return resets

    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, C, r, r) at the current resolution r.

        Raises:
            ConfigError: The images of the data are smaller.
        """
        stage = self._growing[0].stage
        if (resolution := images.shape[-1]) < stage.resolution:
            raise ConfigError(
                f"The data have images of {resolution} pixels where growth is at {stage.resolution}: resume with the "
                "same batch_size and growth as before, or use a data set of one resolution."
            )
        return at_stage(images, stage)

    def next_stage(self, images_seen: int) -> Stage | None:
        return self.growth.stage(images_seen)

    def progress(self) -> dict[str, float]:
        """Resolution and alpha of the latest batch."""
        stage = self._growing[0].stage
        return {"resolution": stage.resolution, "alpha": stage.alpha}


class AllScales(View):
    """Real images at all scales, concatenated along their pixels; see `gan_lab.layers.multi_scale`.

    Args:
        resolutions: Resolutions of the images in one sample, in pixels.
    """

    def __init__(self, resolutions: Sequence[int]) -> None:
        self.resolutions = resolutions

    def __call__(self, images: Tensor) -> Tensor:
        """Samples (n, C, sum of resolution^2)."""
        return pack_scales(image_pyramid(images, self.resolutions))


def view_for(algorithm: nn.Module, generator: nn.Module, growth: Growth | None) -> View:
    """The view that the networks of an algorithm need."""
    scales = multi_scale_networks(generator)
    if scales:
        return AllScales(scales[0].resolutions)
    return View() if growth is None else GrowingView(growth, algorithm)
