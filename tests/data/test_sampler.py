"""The order of the images: complete, shared without overlap, and a function of (seed, epoch)."""

import pytest
import torch

from gan_lab.data.sampler import EpochPosition, EpochSampler, check_share
from gan_lab.errors import DataError


def batches(epoch: int = 0, **options) -> list[list[int]]:
    sampler = EpochSampler(**{"size": 50, "global_batch": 12, "seed": 3, **options})
    sampler.set_epoch(epoch)
    return [index.tolist() for index in sampler]


def test_an_epoch_holds_each_image_at_most_once_and_whole_batches_only():
    drawn = batches()
    assert [len(batch) for batch in drawn] == [12, 12, 12, 12]
    assert len({index for batch in drawn for index in batch}) == 48
    assert all(0 <= index < 50 for batch in drawn for index in batch)
    assert sorted(index for batch in batches(size=48) for index in batch) == list(range(48))


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_joined_are_the_batch_of_one_process(world):
    shares = [batches(epoch=5, rank=rank, world=world) for rank in range(world)]
    for number, whole in enumerate(batches(epoch=5)):
        joined = torch.tensor([share[number] for share in shares]).T.flatten().tolist()  # interleaved
        assert joined == whole


def test_the_order_is_a_function_of_seed_and_epoch():
    assert batches(epoch=2) == batches(epoch=2)
    assert batches(epoch=2) != batches(epoch=3)
    assert batches(epoch=2) != batches(epoch=2, seed=4)


def test_the_global_random_state_plays_no_part():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = batches()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert batches() == first


def test_resume_continues_and_a_finished_epoch_leads_to_the_next():
    sampler = EpochSampler(50, 12, seed=3)
    sampler.resume(epoch=1, batches=3)
    sampler.set_epoch(1)
    assert [index.tolist() for index in sampler] == batches(epoch=1)[3:]
    assert [index.tolist() for index in sampler] == batches(epoch=1)  # the start holds once
    sampler.resume(epoch=1, batches=4)
    assert [index.tolist() for index in sampler] == batches(epoch=2)


def test_another_epoch_begins_at_its_beginning():
    position = EpochPosition(4)
    position.resume(epoch=1, batches=3)
    position.set_epoch(2)
    assert position.take_start() == 0


def test_what_cannot_be_shared_or_filled_is_refused():
    with pytest.raises(DataError, match=r"^batch_size=10 does not divide by the 4 processes\.$"):
        EpochSampler(50, 10, seed=0, world=4)
    with pytest.raises(DataError, match="has 50 images, fewer than batch_size=64"):
        EpochSampler(50, 64, seed=0)
    assert len(EpochSampler(50, 50, seed=0)) == 1
    check_share(12, 4)
