"""Tests of `dataset=skeleton`."""

from own_package.skeleton import read_skeleton


def test_images_and_labels() -> None:
    raw = read_skeleton("skeleton", count=5)
    assert len(raw) == 5 and raw.labels is not None and raw.labels.tolist() == [0, 1, 0, 1, 0]
    assert {raw.load(number).size for number in range(5)} == {(32, 32)}


def test_the_same_images_at_each_reading() -> None:
    first, again = (read_skeleton("skeleton", count=2) for _ in range(2))
    assert first.load(1).tobytes() == again.load(1).tobytes()
