"""How adaptive discriminator augmentation finds its probability."""

import torch
from torch import Tensor, nn

from gan_lab.processes import mean_over_processes


class Controller(nn.Module):
    """Raises the probability of augmentation while the discriminator overfits: Karras et al. (2020b), section 3.2.

    Overfitting is r = E[sign(logits of real images less the boundary)], in [-1, 1], over `interval` batches. Then
    p <- clamp(p + sign(r - target) * images / adapt_images, 0, 1), where `images` counts those of these batches.

    All is in the state: `p`, the last `r` as `signal`, the sums over batches and the images pending, so that a run
    resumed between two adjustments takes the same steps. The sums are over all processes after every batch, not only
    where p is adjusted: one process writes the checkpoint, and DDP copies its buffers to the others.

    Args:
        batch_size: Images in a batch over all processes.
        target: r at which p rests.
        adapt_images: Real images in which p can rise from 0 to 1.
        interval: Batches from one adjustment to the next.
        p_start: p before the first adjustment.
        fixed: Leave p where it is.

    Raises:
        ValueError: An option is out of its range.
    """

    p: Tensor
    signal: Tensor
    sums: Tensor

    def __init__(
        self,
        batch_size: int,
        target: float = 0.6,
        adapt_images: int = 500_000,
        interval: int = 4,
        p_start: float = 0.0,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= p_start <= 1:
            raise ValueError(f"augment.p_start must be a probability, from 0 to 1, not {p_start}")
        if not -1 < target < 1:
            raise ValueError(f"augment.target must lie between -1 and 1, not {target}")
        for name, value in {"adapt_images": adapt_images, "interval": interval, "batch_size": batch_size}.items():
            if value < 1:
                raise ValueError(f"augment.{name} must be at least 1, not {value}")
        self.target = target
        self.adapt_images = adapt_images
        self.images_between = interval * batch_size
        self.fixed = fixed
        self.pending_images = 0  # a number of Python's: the decision to adjust must not wait for the device
        self.register_buffer("p", torch.tensor(float(p_start)))
        self.register_buffer("signal", torch.zeros(()))
        self.register_buffer("sums", torch.zeros(2))  # of signs, and of logits

    @torch.no_grad()
    def learn(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Count a batch, and adjust p when it is time.

        Args:
            margins: Logits of this process's real images less the boundary, (n,).
            images: Number of images in the batch over all processes.

        Returns:
            New `p` and the `signal` r, scalars, where p was adjusted; nothing otherwise.
        """
        if self.fixed:
            return {}
        signs = margins.float().sign()
        self.sums += mean_over_processes(torch.stack((signs.sum(), torch.ones_like(signs).sum())))
        self.pending_images += images
        if self.pending_images < self.images_between:
            return {}
        self.signal.copy_(self.sums[0] / self.sums[1])
        self.p.add_((self.signal - self.target).sign() * (self.pending_images / self.adapt_images)).clamp_(0, 1)
        self.sums.zero_()
        self.pending_images = 0
        return {"p": self.p.clone(), "signal": self.signal.clone()}

    def get_extra_state(self) -> dict[str, int]:
        """What a state dict holds beside the buffers."""
        return {"pending_images": self.pending_images}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take up what `get_extra_state` gave."""
        self.pending_images = state["pending_images"]
