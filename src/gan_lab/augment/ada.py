"""Controller of the probability of adaptive discriminator augmentation (ADA)."""

import torch
from torch import Tensor, nn

from gan_lab.processes import mean_over_processes


class Controller(nn.Module):
    """Controller that raises the augmentation probability p on overfitting: Karras et al. (2020b), section 3.2.

    Overfitting is measured by r = E[sign(logits of real images - boundary)], in [-1, 1], over `interval` batches. Then
    p <- max(0, p + sign(r - target) * images / adapt_images) with the number of `images` in these batches. As in the
    authors' code there is no upper bound: above 1, where every transform is applied to every image, p counts how long
    it stays there.

    The state contains `p`, the last `r` as `signal`, the sums over batches and the pending images, so that a run
    resumed between two adjustments makes the same ones. The sums are over all processes after every batch, not only at
    adjustments, because one process writes the checkpoint and DDP copies its buffers to the others.

    Args:
        batch_size: Images in a batch over all processes.
        target: Value of r at which p does not change.
        adapt_images: Real images in which p can rise from 0 to 1.
        interval: Batches between adjustments.
        p: Probability before the first adjustment.
        fixed: Keep p constant.

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
        p: float = 0.0,
        fixed: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"augment.p must be in [0, 1], not {p}")
        if not -1 < target < 1:
            raise ValueError(f"augment.target must be between -1 and 1, not {target}")
        for name, value in {"adapt_images": adapt_images, "interval": interval, "batch_size": batch_size}.items():
            if value < 1:
                raise ValueError(f"augment.{name} must be at least 1, not {value}")
        self.target = target
        self.adapt_images = adapt_images
        self.images_between = interval * batch_size
        self.fixed = fixed
        self.pending_images = 0  # a Python number, so that the decision to adjust does not wait for the device
        self.register_buffer("p", torch.tensor(float(p)))
        self.register_buffer("signal", torch.zeros(()))
        self.register_buffer("sums", torch.zeros(2))  # sum of signs, number of logits

    @torch.no_grad()
    def adapt(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Count a batch, and adjust p every `interval` batches.

        Args:
            margins: Logits minus the boundary of this process's real images, (n, ...).
            images: Number of images in the batch over all processes.

        Returns:
            New `p` and the `signal` r, scalars, if p was adjusted; otherwise empty.
        """
        if self.fixed:
            return {}
        signs = margins.float().sign()
        self.sums += mean_over_processes(torch.stack((signs.sum(), torch.ones_like(signs).sum())))
        self.pending_images += images
        if self.pending_images < self.images_between:
            return {}
        self.signal.copy_(self.sums[0] / self.sums[1])
        self.p.add_((self.signal - self.target).sign() * (self.pending_images / self.adapt_images)).clamp_(min=0)
        self.sums.zero_()
        self.pending_images = 0
        return {"p": self.p.clone(), "signal": self.signal.clone()}

    def get_extra_state(self) -> dict[str, int]:
        """State besides the buffers."""
        return {"pending_images": self.pending_images}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the value of `get_extra_state`."""
        self.pending_images = state["pending_images"]
