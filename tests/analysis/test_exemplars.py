"""Choice of exemplars for arithmetic, and scores of their sums, where the answer is known."""

import torch

from gan_lab.analysis.arithmetic import choose_exemplars, choose_pairs, combine, pools, success

CLASSES = 3


def samples(count: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    """Points that are their own samples: logits of the classes, and at the end an attribute in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    attribute = torch.rand(count, generator=generator)
    sureness = 1 + torch.rand(count, generator=generator)
    one_hot = torch.nn.functional.one_hot(labels, CLASSES) * 10 * sureness[:, None]
    return labels, torch.cat([one_hot, attribute[:, None]], 1)


def test_pools_are_the_quarters_of_each_class_the_surest_first() -> None:
    labels, points = samples()
    found = pools(points[:, :CLASSES], points[:, -1])
    for label in range(CLASSES):
        members = points[labels == label, -1]
        assert len(found.most[label]) == len(found.least[label]) == 25
        assert (labels[found.most[label]] == label).all() and (labels[found.least[label]] == label).all()
        assert points[found.most[label], -1].min() >= members.quantile(0.7)
        assert points[found.least[label], -1].max() <= members.quantile(0.3)
        assert found.medians[label] == members.median().item()
        sureness = points[found.most[label], label]
        assert torch.equal(sureness, sureness.sort(descending=True).values)
    a, b, c = found.exemplars(0, 2, 3)
    assert torch.equal(a, found.most[0][:3]) and torch.equal(b, found.least[0][:3])
    assert torch.equal(c, found.least[2][:3])


def test_sums_of_a_linear_generator_succeed_always_and_the_third_term_alone_never() -> None:
    _, points = samples()
    found = pools(points[:, :CLASSES], points[:, -1])
    pairs = choose_pairs([0, 1, 2], 50, seed=0)
    assert (pairs[:, 0] != pairs[:, 1]).all() and pairs.unique().tolist() == [0, 1, 2]
    trials = choose_exemplars(found, pairs, 4, seed=0)
    assert trials.a.shape == (50, 4)
    assert all(len(set(row)) == 4 for row in trials.a.tolist())  # each exemplar once
    sums = combine(points[trials.a], points[trials.b], points[trials.c], points.mean(0), rescale=False)
    torch.testing.assert_close(sums, points[trials.a].mean(1) - points[trials.b].mean(1) + points[trials.c].mean(1))
    # C has at most the lower quarter, and A - B adds at least half of the range.
    assert success(sums[:, :CLASSES], sums[:, -1], trials, found) == (1.0, 1.0)
    third = points[trials.c].mean(1)
    assert success(third[:, :CLASSES], third[:, -1], trials, found) == (0.0, 1.0)
    other = choose_exemplars(found, pairs, 4, seed=1)
    assert not torch.equal(other.a, trials.a)


def test_a_class_that_is_missing_has_no_pool() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    assert set(pools(logits, torch.zeros(2)).most) == {0, 2}
