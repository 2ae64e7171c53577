"""Text of durations for people."""


def duration(seconds: float) -> str:
    """A duration as `45 s`, `3:07 min`, `2:15 h` or `4.2 d`."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60}:{rounded % 60:02d} min"
    return f"{rounded // 3600}:{rounded % 3600 // 60:02d} h" if rounded < 100 * 3600 else f"{seconds / 86400:.1f} d"
