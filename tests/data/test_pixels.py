"""Scaling and flips of image batches."""

import torch

from gan_lab.data.pixels import flip_coin, flip_where, to_unit_range
from gan_lab.noise import mix


def test_unit_range():
    scaled = to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert scaled.dtype == torch.float32
    torch.testing.assert_close(scaled, torch.tensor([-1.0, -0.6, 1.0]))


def test_the_coin_is_fair_and_changes_with_the_key():
    count = 100_000
    index = torch.arange(count)
    coins = [flip_coin(index, mix(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)]
    five_sigma = 5 * 0.5 * count**0.5
    for number, coin in enumerate(coins):
        assert abs(int(coin.sum()) - count / 2) < five_sigma
        assert abs(int((coin[1:] == coin[:-1]).sum()) - count / 2) < five_sigma  # neighboring images are independent
        for other in coins[:number]:
            assert abs(int((coin == other).sum()) - count / 2) < five_sigma  # so are epochs and seeds


def test_the_coin_depends_on_the_image_and_not_on_the_batch():
    index = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    coins = flip_coin(index, mix(7, 3))
    assert torch.equal(flip_coin(index[1::4], mix(7, 3)), coins[1::4])
    assert torch.equal(flip_coin(torch.arange(1000), mix(7, 3))[index], coins)


def test_the_coin_is_splitmix64():
    def reference(index: int, key: int) -> bool:
        mask = (1 << 64) - 1
        state = (index * 0x9E3779B97F4A7C15 + key) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        return bool((state ^ (state >> 31)) >> 63)

    key = mix(1, 2)
    assert flip_coin(torch.arange(200), key).tolist() == [reference(index, key) for index in range(200)]


def test_flip_mirrors_left_to_right():
    images = torch.tensor([[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]])
    flipped = flip_where(images, torch.tensor([True, False]))
    assert flipped.tolist() == [[[[2, 1], [4, 3]]], [[[5, 6], [7, 8]]]]
