"""Semantic hashes of images by an autoencoder that learns the very set that it hashes (Radford et al., 2016, section 4.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lab.noise import reseed

SIDE = 32  # pixels
"""Of the images that are hashed."""

_CHUNK = 4096  # images encoded at once


@dataclass(frozen=True)
class Hashing:
    """How the autoencoder is trained; what the paper does not tell is ours.

    It tells the layers, 3072-128-3072, that the hidden ones are rectified, and that there is noise on the input and dropout.

    Args:
        bits: Hidden units, which is the length of a hash.
        epochs: Passes over the images.
        batch_size: Images in a step.
        learning_rate: Of Adam.
        noise: Standard deviation of what is added to the pixels, which are in [-1, 1].
        dropout: Share of the hidden units that are left out.
        seed: What the initial weights, the order, the noise and the dropout are functions of.

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
    """Images float (n, C, H, W) in [-1, 1] as uint8 (n, C, 32, 32) on the CPU, which is 3 kB for one in colour."""
    if images.shape[-2:] != (SIDE, SIDE):
        images = F.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True)
    return images.add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def semantic_hashes(images: Tensor, hashing: Hashing = Hashing(), device: torch.device | str = "cpu") -> Tensor:
    """Train the autoencoder on images, and hash them by which of its hidden units are active.

    The caller's random state stays as it was. Pixels are taken less their mean image, without which many units would be
    active for all images or for none.

    A hash finds copies, not look-alikes. Of 600 of scikit-learn's digits the two most alike differ in 4 to 6 of 128 bits, by
    the seed; copies that were saved anew with noise of 8 grey levels in none to 3, and so do most of those that were shifted
    by an eighth of a thumbnail's pixel; a shift by half of one changes as many bits as another digit does.

    Args:
        images: uint8 (n, C, H, W), n at least 1; see `thumbnails`.
        hashing: The settings.
        device: Where the network is trained.

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
    centre = mean.float().to(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        reseed(hashing.seed, device)
        encoder = nn.Linear(rows.shape[1], hashing.bits, device=device)
        _train(encoder, rows, centre, hashing)
    with torch.no_grad():
        parts = [encoder(_pixels(part, centre)) > 0 for part in rows.split(_CHUNK)]
    return torch.cat([part.cpu() for part in parts])


def _train(encoder: nn.Linear, rows: Tensor, centre: Tensor, hashing: Hashing) -> None:
    """Let an encoder and a decoder reproduce the rows, uint8 (n, d), from noisy ones."""
    decoder = nn.Linear(hashing.bits, rows.shape[1], device=centre.device)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=hashing.learning_rate)
    for _ in range(hashing.epochs):
        for index in torch.randperm(len(rows)).split(hashing.batch_size):
            clean = _pixels(rows[index], centre)
            active = F.relu(encoder(clean + hashing.noise * torch.randn_like(clean)))
            loss = F.mse_loss(decoder(F.dropout(active, hashing.dropout)), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _pixels(rows: Tensor, centre: Tensor) -> Tensor:
    """uint8 rows (n, d) less their mean, in units of half the range of pixels."""
    return (rows.to(centre.device).float() - centre) / 127.5
