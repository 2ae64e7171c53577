"""Pools of earlier generated images."""

import torch
from torch import Tensor

from gan_lab.gans.image_pool import ImagePool
from gan_lab.noise import Noise


def numbered(first: int, count: int) -> Tensor:
    """Images of one channel and two pixels that contain their number."""
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1).expand(-1, 1, 1, 2)


def exchanged(pool: ImagePool, count: int, batch: int = 1) -> list[int]:
    """Numbers of the images that the pool returns for images 0 to `count` - 1."""
    returned = []
    for first in range(0, count, batch):
        returned.append(pool(numbered(first, batch), Noise(first, batch)))
        pool.commit()
    return torch.cat(returned)[:, 0, 0, 0].int().tolist()


def test_without_a_pool_new_images_are_returned() -> None:
    pool = ImagePool(0)
    assert exchanged(pool, 20) == list(range(20)) and len(pool.images) == 0


def test_returns_new_images_while_it_is_filled() -> None:
    pool = ImagePool(8)
    assert exchanged(pool, 8) == list(range(8))
    assert torch.equal(pool.images, numbered(0, 8))


def test_half_of_the_images_come_from_the_pool_and_each_is_returned_once() -> None:
    size, count = 10, 2000
    pool = ImagePool(size)
    returned = exchanged(pool, count, batch=4)
    later = list(enumerate(returned))[size:]
    older = [(position, number) for position, number in later if number != position]
    assert abs(len(older) / len(later) - 0.5) < 3 * 0.5 / len(later) ** 0.5
    assert all(number < position for position, number in older)
    # An image leaves the pool when it is returned, except those of the time when the pool was filled: twice.
    numbers = [number for number in returned if number >= size]
    assert len(set(numbers)) == len(numbers)
    kept = set(pool.images[:, 0, 0, 0].int().tolist())
    assert set(range(count)) == set(returned) | kept
    # The times in the pool are geometric: it exchanges a given image with probability 1 / (2 size).
    mean = sum(position - number for position, number in older) / len(older)
    assert abs(mean - 2 * size) < 4 * 2 * size / len(older) ** 0.5


def test_images_of_one_batch_are_exchanged_in_order() -> None:
    """As if they came in batches of one, also where two have the same place."""
    draws = torch.tensor([0, 0, 3, 1])  # exchange with place 0, again, keep, exchange with place 1
    pool = ImagePool(2)
    exchanged(pool, 2)
    returned = pool(numbered(2, 4), type("Draws", (), {"integers": lambda self, high: draws})())
    pool.commit()
    assert returned[:, 0, 0, 0].tolist() == [0, 2, 4, 1]
    assert pool.images[:, 0, 0, 0].tolist() == [3, 5]


def test_without_a_commit_the_pool_stays_as_it_was() -> None:
    pool = ImagePool(4)
    exchanged(pool, 40)
    before = pool.images.clone()
    first = pool(numbered(40, 8), Noise(7, 8))
    assert torch.equal(pool.images, before)
    assert torch.equal(first, pool(numbered(40, 8), Noise(7, 8)))
    pool.commit()
    assert not torch.equal(pool.images, before)


def test_a_restored_pool_returns_the_same() -> None:
    for images in (0, 3, 20):  # empty, partly filled, full
        pool, restored = ImagePool(5), ImagePool(5)
        if images:
            exchanged(pool, images)
        restored.load_state_dict(pool.state_dict())
        assert torch.equal(restored.images, pool.images)
        new = numbered(images, 6)
        assert torch.equal(pool(new, Noise(1, 6)), restored(new, Noise(1, 6)))


def test_images_of_another_size_start_a_new_pool() -> None:
    pool = ImagePool(2)
    exchanged(pool, 9)
    larger = torch.rand(1, 1, 4, 4)
    assert torch.equal(pool(larger, Noise(0, 1)), larger)
    pool.commit()
    assert torch.equal(pool.images, larger)
