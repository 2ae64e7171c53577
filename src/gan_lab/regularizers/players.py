"""The names of the two players, for penalties that either of them can have."""

PLAYERS = ("discriminator", "generator")


def require_player(name: str) -> None:
    """Check the name of a player.

    Raises:
        ValueError: The name is neither `discriminator` nor `generator`.
    """
    if name not in PLAYERS:
        raise ValueError(f"player={name} is not known; choose {' or '.join(PLAYERS)}")
