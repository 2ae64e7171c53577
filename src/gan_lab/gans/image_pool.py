"""Pool of earlier generated images, which a discriminator is trained with in place of the newest ones."""

from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.processes import rows_of_all_processes, rows_of_this_process
from gan_lab.ranges import require_at_least


class ImagePool(nn.Module):
    """History of generated images: Shrivastava et al. (2017), section 2.3, in the form of CycleGAN's code.

    While the pool is filled, every new image is stored and returned. Then each new image, with probability 1/2, is
    exchanged for a random stored one, and else returned itself. So an image stays for 2 `size` images on average, and
    each that is stored while the pool is full is returned once.

    Images are exchanged one after the other, in the order of the batch over all processes: all processes hold the same
    pool, which is saved with the weights, and neither their number nor that of micro-batches changes what is returned.

    Args:
        size: Number of images; with 0 new images are returned.

    Raises:
        ValueError: `size` is negative.
    """

    images: Tensor

    def __init__(self, size: int) -> None:
        require_at_least("algorithm.pool_size", size, 0)
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(0))  # (k, ...), k <= size
        self._next = self.images

    @torch.no_grad()
    def forward(self, new: Tensor, noise: Noise) -> Tensor:
        """Images (n, ...), some of them from the pool in place of new ones, which `commit` stores.

        Args:
            new: Generated images (n, ...).
            noise: One row for each.
        """
        if self.size == 0:
            return new
        draws = rows_of_all_processes(noise.integers(2 * self.size))
        pool = self.images.clone() if self.images.shape[1:] == new.shape[1:] else new[:0]
        returned = []
        for image, draw in zip(rows_of_all_processes(new).split(1), draws.split(1), strict=True):
            if len(pool) < self.size:
                pool = torch.cat([pool, image])
                returned.append(image)
                continue
            place = draw % self.size  # tensors, for which the host does not wait
            exchanged = (draw < self.size).view(1, *[1] * (image.dim() - 1))
            old = pool[place]
            pool[place] = torch.where(exchanged, image, old)
            returned.append(torch.where(exchanged, old, image))
        self._next = pool
        return rows_of_this_process(torch.cat(returned))

    def commit(self) -> None:
        """Store the images of the last call; without it the pool stays as it was, as for lazy penalties."""
        self.images = self._next

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # A checkpoint has as many images as were stored.
        if isinstance(stored := state_dict.get(f"{prefix}images"), Tensor):
            self.images = self._next = self.images.new_empty(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
