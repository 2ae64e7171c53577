"""Text of durations."""

from gan_lab.durations import duration


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0, 59.4, 59.6, 3599, 3599.6, 3600, 360_000)] == [
        "0 s", "59 s", "1:00 min", "59:59 min", "1:00 h", "1:00 h", "4.2 d",
    ]  # fmt: skip


def test_seconds_are_rounded_before_they_are_divided() -> None:
    """Never 7:60 min."""
    texts = [duration(k / 10) for k in range(0, 72_000, 3)]
    assert not [text for text in texts if ":60" in text]
