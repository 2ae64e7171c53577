"""The server of Weights & Biases: whether there is a key for it, and whether it responds. Imports W&B when needed."""

import logging
import netrc
import os
from pathlib import Path
from urllib.parse import urlparse

from gan_lab.servers import responds

log = logging.getLogger(__name__)


def has_key() -> bool:
    """Whether there is an API key: in the environment, W&B's settings, or the netrc file that `wandb login` writes."""
    import wandb

    settings = wandb.setup().settings
    return any(
        (
            os.environ.get("WANDB_API_KEY"),
            os.environ.get("WANDB_IDENTITY_TOKEN_FILE"),
            settings.api_key,
            _is_in_netrc(urlparse(settings.base_url).hostname or ""),
        )
    )


def _is_in_netrc(host: str) -> bool:
    home = Path.home()
    for path in [Path(os.environ["NETRC"])] if "NETRC" in os.environ else [home / ".netrc", home / "_netrc"]:
        try:
            return netrc.netrc(path.expanduser()).authenticators(host) is not None
        except FileNotFoundError:
            continue
        except (OSError, netrc.NetrcParseError) as error:
            log.warning("%s cannot be read for a W&B API key: %s.", path, error)
    return False


def server_responds(seconds: float = 4.0) -> bool:
    """Whether the server or a proxy responds in that time."""
    import wandb

    return responds(wandb.setup().settings.base_url, seconds)
