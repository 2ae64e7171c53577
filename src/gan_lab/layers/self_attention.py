"""Self-attention over the pixels of a feature map, and attention maps."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

FORMS = ("paper", "code")


class SelfAttention(nn.Module):
    """Self-attention layer of SAGAN (Zhang et al., 2019, §3): adds to each pixel a weighted mean over all pixels.

    Pixel i has a key W_f x_i and a value W_h x_i, pixel j the query W_g x_j; pixel j becomes

        y_j = gamma W_v sum_i beta_ji W_h x_i + x_j,    beta_j = softmax_i(<W_f x_i, W_g x_j>).

    gamma starts at 0, so that the layer starts as the identity. No matrix has a bias.

    | form    | keys and values from            | channels of keys, queries | of values |
    |---------|---------------------------------|---------------------------|-----------|
    | `paper` | each pixel                      | C / 8                     | C / 8     |
    | `code`  | 2x2 pixels each, max-pooled     | C / 8                     | C / 2     |

    `code` is the form of SAGAN's code and of BigGAN; its attention weights need a quarter of the memory.
    Input and output are (n, C, h, w). Odd heights and widths lose their last row or column of keys in the `code` form.

    Args:
        channels: C. C / 8 is rounded down, but is at least 1, so that narrow networks have attention too.
        form: A name from the table.

    Raises:
        ValueError: `channels` is below 1, or the form is not in the table.
    """

    def __init__(self, channels: int, form: str) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be at least 1, not {channels}")
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
        inner = max(1, channels // 8)
        values = inner if form == "paper" else max(1, channels // 2)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)  # W_g
        self.key = nn.Conv2d(channels, inner, 1, bias=False)  # W_f
        self.value = nn.Conv2d(channels, values, 1, bias=False)  # W_h
        self.output = nn.Conv2d(values, channels, 1, bias=False)  # W_v
        self.pool = nn.Identity() if form == "paper" else nn.MaxPool2d(2)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, C, h, w) plus gamma times attention, same shape."""
        values = self.pool(self.value(x)).flatten(2).transpose(1, 2)  # (n, keys, c)
        mean = self.weights(x) @ values  # (n, h w, c)
        mean = mean.transpose(1, 2).unflatten(2, x.shape[2:])  # (n, c, h, w), the channels innermost
        return x + self.gamma * self.output(mean)

    def weights(self, x: Tensor) -> Tensor:
        """Attention beta (n, queries, keys) of a map (n, C, h, w), in [0, 1]; each row sums to 1.

        There are h w queries and, depending on the form, h w or (h // 2) (w // 2) keys, both in row-major order.
        """
        # Explicit products: PyTorch's fused attention has no double backward, which gradient penalties need.
        queries = self.query(x).flatten(2).transpose(1, 2)  # (n, h w, C / 8)
        keys = self.pool(self.key(x)).flatten(2)  # (n, C / 8, keys)
        return (queries @ keys).softmax(2)  # (n, h w, keys)


@torch.no_grad()
def attention_maps(network: nn.Module, pixel: tuple[int, int], *inputs: Tensor) -> Tensor:
    """Attention maps of a query pixel in a network's attention layer (Zhang et al., 2019), one for each sample.

    The network runs in its current mode; call `eval` first for running statistics of norms.

    Args:
        network: Runs one `SelfAttention` layer, once.
        pixel: Row and column of the query in the layer's input.
        *inputs: Arguments of the network: latents (n, latent_dim) or images (n, C, H, W), and labels.

    Returns:
        Attention (n, kh, kw), in [0, 1] with sum 1 for each sample. (kh, kw) is the size of the layer's input in the
        `paper` form and half of it in the `code` form, whose keys are pooled.

    Raises:
        ValueError: The number of attention layers that ran is not 1, or the pixel is outside the layer's input.
    """
    with recorded_attention(network) as seen:
        network(*inputs)
    if len(seen) != 1:
        raise ValueError(
            f"attention maps need a network that runs exactly one SelfAttention layer; this one ran {len(seen)}"
        )
    return attention_from(*seen[0], pixel)


@contextmanager
def recorded_attention(network: nn.Module) -> Iterator[list[tuple[SelfAttention, Tensor]]]:
    """A list of the attention layers that run inside the `with` block, each with its input (n, C, h, w)."""
    seen: list[tuple[SelfAttention, Tensor]] = []
    layers = [layer for layer in network.modules() if isinstance(layer, SelfAttention)]
    hooks = [layer.register_forward_hook(lambda layer, args, _: seen.append((layer, args[0]))) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def attention_from(layer: SelfAttention, x: Tensor, pixel: tuple[int, int]) -> Tensor:
    """Attention (n, kh, kw) of a query pixel of the layer's input x (n, C, h, w); see `attention_maps`.

    Raises:
        ValueError: The pixel is outside the input.
    """
    (row, column), (h, w) = pixel, x.shape[2:]
    if not (0 <= row < h and 0 <= column < w):
        raise ValueError(f"pixel must be a row below {h} and a column below {w}, not ({row}, {column})")
    keys = layer.pool(x[:1, :1]).shape[2:]  # (kh, kw)
    return layer.weights(x)[:, row * w + column].unflatten(1, keys)  # (n, kh, kw)
