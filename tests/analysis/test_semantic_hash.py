"""Semantic hashes: training of the autoencoder, and known copies among digits."""

import pytest
import torch
from torch import Tensor

from gan_lab.analysis.duplicates import Duplicates, hash_duplicates
from gan_lab.analysis.semantic_hash import Hashing, semantic_hashes, thumbnails
from tests.helpers.planted_duplicates import DIGITS, copies, planted

QUICK = Hashing(epochs=2)


@pytest.fixture(scope="module")
def small() -> Tensor:
    return thumbnails(planted(32)[:200])


def pairs(found: Duplicates) -> dict[int, int]:
    return dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True))


@pytest.fixture(scope="module")
def hashes() -> dict[int, Tensor]:
    """Hashes of digits with copies, by the resolution of the images."""
    return {resolution: semantic_hashes(thumbnails(planted(resolution))) for resolution in (64, 256)}


ANY = copies("exact") | copies("shifted") | copies("noisy")


def test_images_with_equal_hashes_are_copies(hashes: dict[int, Tensor]) -> None:
    """As in the paper: all exact copies and some noisy ones, and no different digit."""
    found = pairs(hash_duplicates(hashes[64]))
    assert copies("exact").items() <= found.items() <= ANY.items()
    assert len(found.keys() & copies("noisy").keys()) >= 3
    assert min(found) == DIGITS


def test_noisy_copies_differ_in_a_few_bits_and_different_digits_in_more(hashes: dict[int, Tensor]) -> None:
    found = pairs(hash_duplicates(hashes[64], 3))
    assert (copies("exact") | copies("noisy")).items() <= found.items() <= ANY.items()


def test_a_large_image_shifted_by_a_pixel_is_a_copy(hashes: dict[int, Tensor]) -> None:
    """One pixel at resolution 256 is an eighth of a pixel of the hashed thumbnail."""
    found = pairs(hash_duplicates(hashes[256], 3))
    assert copies("exact").items() <= found.items() <= ANY.items()
    assert len(found.keys() & copies("shifted").keys()) >= 8 and len(found.keys() & copies("noisy").keys()) >= 8


def test_hashes_have_the_requested_length_and_use_it(small: Tensor) -> None:
    hashes = semantic_hashes(small, Hashing(bits=48, epochs=5))
    assert hashes.shape == (200, 48) and hashes.dtype == torch.bool
    active = hashes.double().mean(0)
    assert (active.gt(0.02) & active.lt(0.98)).double().mean() > 0.9
    assert hashes.unique(dim=0).shape[0] == 200


def test_hashes_are_a_function_of_the_images_and_the_seed(small: Tensor) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = semantic_hashes(small, QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    with torch.no_grad():
        assert torch.equal(semantic_hashes(small, QUICK), first)
    assert not torch.equal(semantic_hashes(small, Hashing(epochs=2, seed=1)), first)


def test_training_improves_hashes(small: Tensor) -> None:
    """After training, noise changes fewer bits."""
    noise = 25 * torch.randn(small.shape, generator=torch.Generator().manual_seed(0))
    both = torch.cat([small, (small + noise).round().clamp(0, 255).to(torch.uint8)])

    def changed(epochs: int) -> float:
        clean, noisy = semantic_hashes(both, Hashing(epochs=epochs, learning_rate=1e-3 if epochs > 1 else 1e-9)).chunk(
            2
        )
        return float((clean ^ noisy).double().mean())

    assert changed(30) < 0.5 * changed(1)


def test_thumbnails() -> None:
    images = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    small = thumbnails(images)
    assert small.shape == (2, 3, 32, 32) and small.dtype == torch.uint8
    means = (images.mean((2, 3)) + 1) * 127.5
    assert torch.allclose(small.double().mean((2, 3)), means.double(), atol=0.6)
    levels = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 32, 32)
    assert torch.equal(thumbnails(levels.float() / 127.5 - 1), levels)


@pytest.mark.parametrize(
    ("setting", "allowed"),
    {
        "epochs=0": "at least 1", "bits=0": "at least 1", "batch_size=0": "at least 1",
        "learning_rate=0": "greater than 0", "noise=-1": "at least 0", "dropout=1": r"in \[0, 1\)",
    }.items(),
)  # fmt: skip
def test_invalid_settings(setting: str, allowed: str) -> None:
    name, value = setting.split("=")
    with pytest.raises(ValueError, match=f"{setting} is not allowed: it must be {allowed}"):
        Hashing(**{name: int(value)})


def test_no_image() -> None:
    with pytest.raises(ValueError, match="no image"):
        semantic_hashes(torch.zeros(0, 1, 32, 32, dtype=torch.uint8))
