"""Errors that are the user's to mend: the command line prints their one sentence and no traceback."""


class UserError(Exception):
    """Something the user gave cannot be used. The message is one sentence that names the key or file and says what is allowed."""


class ConfigError(UserError):
    """A config value, or a pair of them, that cannot be trained."""


class DataError(UserError):
    """A data source or a file in it that cannot be read."""


class CheckpointError(UserError):
    """A file that is not a usable checkpoint."""


class TrainingError(Exception):
    """Training cannot go on as it is, though everything that the user gave was allowed. The message is a sentence or two."""


class NonFiniteError(TrainingError):
    """A term or a gradient is infinite or no number. Nobody has moved by it."""


class CollapseError(TrainingError):
    """A run shows the signs of collapse, and is not to go on.

    Attributes:
        healthy_at: Real images seen when nothing was to be seen yet, for the last time.
    """

    def __init__(self, message: str, healthy_at: int) -> None:
        super().__init__(message)
        self.healthy_at = healthy_at
