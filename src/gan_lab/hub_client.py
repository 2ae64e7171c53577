"""The Hugging Face hub: whether it responds, and errors of its client as messages. Imports the client when needed."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from gan_lab.errors import UserError, first_line
from gan_lab.servers import responds

PROBE_SECONDS = 8.0


def hub_is_reachable() -> bool:
    """Whether the hub responds within seconds; without this check, its client retries for much longer."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and responds(constants.ENDPOINT, PROBE_SECONDS)


@contextlib.contextmanager
def asking_hub(what: str, kind: type[UserError]) -> Iterator[None]:
    """Replace errors of the client within the block by one-line messages, and log no requests.

    Args:
        what: Begins each message: key and value, as `run=hf:user/name`.
        kind: Class of the errors that are raised.

    Raises:
        UserError: The hub refused, or cannot be reached.
    """
    from huggingface_hub import utils

    try:
        with quiet_client():
            yield
    except utils.LocalEntryNotFoundError as error:
        raise kind(
            f"{what} is not in the local cache and the hub cannot be reached: check the network, or give a local file."
        ) from error
    except utils.RevisionNotFoundError as error:
        raise kind(f"{what} has no such revision on the hub: give a branch, a tag or a commit of it.") from error
    except utils.EntryNotFoundError as error:
        raise kind(
            f"{what} was not written by gan-lab export: it has no config.json with model.safetensors."
        ) from error
    except utils.HfHubHTTPError as error:
        raise kind(f"{what} {_refusal(error)}") from error
    except utils.HFValidationError as error:
        raise kind(f"{what} is not the name of a repository: write <user>/<name>.") from error
    except OSError as error:
        raise kind(f"{what}: the hub cannot be reached or a file cannot be written: {first_line(error)}.") from error


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Without a line for each request in the log, and with progress bars on a terminal only."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = [logging.getLogger(name) for name in ("httpx", "httpx2")]
    levels = [logger.level for logger in loggers]
    hidden = not sys.stderr.isatty() and not are_progress_bars_disabled()
    hidden = hidden and "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ  # with the variable set, the calls only warn
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    if hidden:
        disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if hidden:
            enable_progress_bars()


def _refusal(error: OSError) -> str:
    """End of the message for an answer of the hub that is an error."""
    from huggingface_hub import get_token, utils

    status = getattr(getattr(error, "response", None), "status_code", None)
    advice = "run hf auth login, or set HF_TOKEN to a token of the hub"
    if isinstance(error, utils.GatedRepoError):
        return "is gated: accept its conditions on its page, with the account of your token."
    if status == 401 and get_token() is not None and not isinstance(error, utils.RepositoryNotFoundError):
        return f"cannot be used, since the hub does not accept your token: {advice}."
    if isinstance(error, utils.RepositoryNotFoundError):
        return f"is not on the hub, or is not accessible to you; for a private repository, {advice}."
    if status == 401:
        return f"needs an account: {advice}."
    if status == 403:
        return "is not yours to write to: give a name of your own account, and a token that may write."
    return f"was refused by the hub: {first_line(error)}."
