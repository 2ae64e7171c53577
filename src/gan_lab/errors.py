"""Errors that are the user's to mend: the command line prints their one sentence and no traceback."""


class UserError(Exception):
    """Something the user gave cannot be used. The message is one sentence that names the key or file and says what is allowed."""


class ConfigError(UserError):
    """A config value, or a pair of them, that cannot be trained."""


class DataError(UserError):
    """A data source or a file in it that cannot be read."""


class CheckpointError(UserError):
    """A file that is not a usable checkpoint."""
