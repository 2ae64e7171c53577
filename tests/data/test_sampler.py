"""Samplers: the order is complete, disjoint over processes, and a function of (seed, epoch)."""

import pytest
import torch

from gan_lab.data.sampler import ChangingSampler, EpochPosition, EpochSampler, check_divisible
from gan_lab.errors import DataError


def batches(epoch: int = 0, **options) -> list[list[int]]:
    sampler = EpochSampler(**{"size": 50, "global_batch": 12, "seed": 3, **options})
    sampler.set_epoch(epoch)
    return [index.tolist() for index in sampler]


def test_an_epoch_has_each_image_at_most_once_and_only_complete_batches():
    drawn = batches()
    assert [len(batch) for batch in drawn] == [12, 12, 12, 12]
    assert len({index for batch in drawn for index in batch}) == 48
    assert all(0 <= index < 50 for batch in drawn for index in batch)
    assert sorted(index for batch in batches(size=48) for index in batch) == list(range(48))


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_joined_are_the_batch_of_one_process(world):
    by_rank = [batches(epoch=5, rank=rank, world=world) for rank in range(world)]
    for number, expected in enumerate(batches(epoch=5)):
        joined = torch.tensor([ours[number] for ours in by_rank]).T.flatten().tolist()  # interleaved
        assert joined == expected


def test_the_order_is_a_function_of_seed_and_epoch():
    assert batches(epoch=2) == batches(epoch=2)
    assert batches(epoch=2) != batches(epoch=3)
    assert batches(epoch=2) != batches(epoch=2, seed=4)


def test_the_order_is_independent_of_the_global_random_state():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = batches()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert batches() == first


def test_resume_continues_within_an_epoch_or_with_the_next():
    sampler = EpochSampler(50, 12, seed=3)
    sampler.resume(epoch=1, batches=3)
    sampler.set_epoch(1)
    assert [index.tolist() for index in sampler] == batches(epoch=1)[3:]
    assert [index.tolist() for index in sampler] == batches(epoch=1)  # the start applies once
    sampler.resume(epoch=1, batches=4)
    assert [index.tolist() for index in sampler] == batches(epoch=2)


def test_another_epoch_starts_at_its_first_batch():
    position = EpochPosition(4)
    position.resume(epoch=1, batches=3)
    position.set_epoch(2)
    assert position.take_start() == 0


def test_invalid_batch_sizes():
    with pytest.raises(DataError, match=r"^batch_size=10 is not divisible by the number of processes, 4\.$"):
        EpochSampler(50, 10, seed=0, world=4)
    with pytest.raises(DataError, match="has 50 images, fewer than batch_size=64"):
        EpochSampler(50, 64, seed=0)
    assert len(EpochSampler(50, 50, seed=0)) == 1
    check_divisible(12, 4)


def changing(epoch: int = 0, **options) -> list[list[int]]:
    """Batches of 4 until 10 images are seen, of 6 until 40, then of 2."""
    size = lambda seen: 4 if seen < 10 else 6 if seen < 40 else 2  # noqa: E731
    sampler = ChangingSampler(**{"size": 21, "batch_size": size, "seed": 3, **options})
    sampler.set_epoch(epoch)
    return [index.tolist() for index in sampler]


def test_batches_change_with_the_images_seen():
    # 4, 4, 4 end at 12 and 6 at 18; the next would end at 24 > 21. Then from 18: 24, 30, 36; from 36: 42, then 2 each.
    assert [len(batch) for batch in changing(0)] == [4, 4, 4, 6]
    assert [len(batch) for batch in changing(1)] == [6, 6, 6]
    assert [len(batch) for batch in changing(2)] == [6] + [2] * 7
    assert [len(batch) for batch in changing(3)] == [2] * 10
    for epoch in range(4):
        drawn = [index for batch in changing(epoch) for index in batch]
        assert len(set(drawn)) == len(drawn) and set(drawn) <= set(range(21))
        assert drawn == torch.cat(list(epoch_of(21, 1, epoch))).tolist()[: len(drawn)]


def epoch_of(size: int, batch: int, epoch: int) -> EpochSampler:
    sampler = EpochSampler(size, batch, seed=3)
    sampler.set_epoch(epoch)
    return sampler


def test_constant_batch_sizes_give_the_order_of_epoch_sampler():
    assert changing(2, size=50, batch_size=lambda seen: 12) == batches(epoch=2)


def test_epochs_can_be_requested_in_any_order():
    sampler = ChangingSampler(21, lambda seen: 4 if seen < 10 else 6 if seen < 40 else 2, seed=3)
    assert [len(sampler.sizes(epoch)) for epoch in (3, 0, 2, 1)] == [10, 4, 8, 3]


def test_ranks_joined_are_the_changing_batch_of_one_process():
    by_rank = [changing(epoch=1, rank=rank, world=2) for rank in range(2)]
    for number, expected in enumerate(changing(epoch=1)):
        assert torch.tensor([ours[number] for ours in by_rank]).T.flatten().tolist() == expected


def test_a_changing_epoch_resumes_and_is_empty_when_finished():
    sampler = ChangingSampler(21, lambda seen: 4 if seen < 10 else 6 if seen < 40 else 2, seed=3)
    sampler.resume(epoch=1, batches=2)
    sampler.set_epoch(1)
    assert [index.tolist() for index in sampler] == changing(1)[2:]
    sampler.resume(epoch=1, batches=3)
    sampler.set_epoch(1)
    assert list(sampler) == []
    sampler.set_epoch(2)
    assert [index.tolist() for index in sampler] == changing(2)


def test_invalid_changing_batch_sizes():
    with pytest.raises(
        DataError, match=r"^The data set has 21 images, fewer than a batch of 22; give a smaller one\.$"
    ):
        changing(0, batch_size=lambda seen: 22)
    with pytest.raises(DataError, match="is not divisible by the number of processes, 4"):
        changing(0, world=4)
