"""Semantic hashes of images by an autoencoder trained on the same images (Radford et al., 2016, section 4.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.noise import reseed

RESOLUTION = 32  # pixels
"""Resolution of the hashed images."""

_CHUNK = 4096  # images encoded at once


@dataclass(frozen=True)
class Hashing:
    """Training settings of the autoencoder.

    The paper specifies layers of 3072-128-3072 units, ReLU, input noise and dropout, but not the other values.

    Args:
        bits: Number of hidden units, which is the length of a hash.
        epochs: Epochs of training.
        batch_size: Images in a batch.
        learning_rate: Learning rate of Adam.
        noise: Standard deviation of the noise on pixels in [-1, 1].
        dropout: Dropout probability of the hidden units.
        seed: Seed of the initial weights, the order, the noise and the dropout.

    Raises:
        ValueError: A number is out of range.
    """

    bits: int = 128
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3
    noise: float = 0.3
    dropout: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("bits", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is not allowed: it must be at least 1.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate} is not allowed: it must be greater than 0.")
        if not self.noise >= 0:
            raise ValueError(f"noise={self.noise} is not allowed: it must be at least 0.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} is not allowed: it must be in [0, 1).")


def thumbnails(images: Tensor) -> Tensor:
    """Resize images, float (n, C, H, W) in [-1, 1], to uint8 (n, C, 32, 32) on the CPU: 3 kB per color image."""
    if images.shape[-2:] != (RESOLUTION, RESOLUTION):
        images = F.interpolate(images.float(), (RESOLUTION, RESOLUTION), mode="bilinear", antialias=True)
    return images.add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def semantic_hashes(images: Tensor, hashing: Hashing = Hashing(), device: torch.device | str = "cpu") -> Tensor:
    """Train the autoencoder on images, and hash each image by the set of its active hidden units.

    The global random state is restored. The mean image is subtracted, since otherwise many units would be active for
    all images or for none.

    A hash finds copies, not similar images. Of 600 of scikit-learn's digits, the two most similar ones differ in 4 to 6
    of 128 bits, depending on the seed. Copies with noise of 8 gray levels differ in 0 to 3 bits, as do most copies
    shifted by an eighth of a thumbnail's pixel; a shift by half a pixel changes as many bits as another digit.

    Args:
        images: uint8 (n, C, H, W), n at least 1; see `thumbnails`.
        hashing: Training settings.
        device: Training device.

    Returns:
        Booleans (n, bits) on the CPU.

    Raises:
        ValueError: There is no image.
    """
    if not len(images):
        raise ValueError("There is no image to hash.")
    device = torch.device(device)
    rows = images.flatten(1)
    mean = torch.stack([part.double().sum(0) for part in rows.split(_CHUNK)]).sum(0) / len(rows)
    center = mean.float().to(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        reseed(hashing.seed, device)
        encoder = nn.Linear(rows.shape[1], hashing.bits, device=device)
        _train(encoder, rows, center, hashing)
    with torch.no_grad():
        parts = [encoder(_pixels(part, center)) > 0 for part in rows.split(_CHUNK)]
    return torch.cat([part.cpu() for part in parts])


def _train(encoder: nn.Linear, rows: Tensor, center: Tensor, hashing: Hashing) -> None:
    """Train an encoder and a decoder to reconstruct rows, uint8 (n, d), from noisy ones."""
    decoder = nn.Linear(hashing.bits, rows.shape[1], device=center.device)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=hashing.learning_rate)
    for _ in range(hashing.epochs):
        for index in torch.randperm(len(rows)).split(hashing.batch_size):
            clean = _pixels(rows[index], center)
            active = F.relu(encoder(clean + hashing.noise * torch.randn_like(clean)))
            loss = F.mse_loss(decoder(F.dropout(active, hashing.dropout)), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _pixels(rows: Tensor, center: Tensor) -> Tensor:
    """Convert uint8 rows (n, d) to float32: subtract the mean, divide by half the range of pixels."""
    return (rows.to(center.device).float() - center) / 127.5
