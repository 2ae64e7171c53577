"""Normalization with gain and shift computed linearly from a condition vector."""

from torch import Tensor, nn

from gan_lab.layers.normalization import normalization


class ModulatedNorm(nn.Module):
    """norm(x) (1 + A c) + B c for a condition c of each sample: conditional norm of BigGAN (Brock et al., 2019).

    A and B, (channels, condition_dim), have no biases, and the inner norm has no gain and shift: with A c = B c = 0 the
    layer is the plain norm. Without a condition (condition_dim 0) it is the plain norm with gain and shift.
    Input and output are (n, channels, h, w) in one dtype.

    Args:
        norm: `none`, `batch` or `layer`, see `normalization`.
        channels: Channels of x.
        condition_dim: Size of c; 0 for none.
    """

    def __init__(self, norm: str, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = normalization(norm, channels, 2)
        self.gain: nn.Linear | None = None
        self.shift: nn.Linear | None = None
        if condition_dim:
            _drop_affine(self.norm)
            self.gain = nn.Linear(condition_dim, channels, bias=False)
            self.shift = nn.Linear(condition_dim, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalized x, modulated by conditions (n, condition_dim)."""
        if self.gain is None or self.shift is None:
            return self.norm(x)
        gain = 1 + self.gain(condition)[:, :, None, None]  # (n, channels, 1, 1)
        shift = self.shift(condition)[:, :, None, None]
        return (self.norm(x) * gain + shift).to(x.dtype)


def _drop_affine(norm: nn.Module) -> None:
    """Remove a norm's gain and shift."""
    if isinstance(norm, nn.BatchNorm2d | nn.GroupNorm):
        norm.register_parameter("weight", None)
        norm.register_parameter("bias", None)
        norm.affine = False
