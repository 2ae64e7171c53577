"""Folder that a model hub can host: the page of `gan-lab explore` with one generator, in a container.

It contains this version of gan_lab itself, so that nothing of it must be on a package index.
"""

import re
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from PIL import Image

import gan_lab
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.files import write_text
from gan_lab.runs.remote import WEIGHTS
from gan_lab.sampling.export_file import Stored
from gan_lab.sampling.hub_folder import write_hub_folder
from gan_lab.sampling.model_page import DISTRIBUTION, title

PORT = 7860
"""Port of the page in the container, as hubs expect it."""

_DOCKERFILE = """\
# The page of gan-lab explore. SPACE_HOST is the name under which the hub serves it.
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
COPY . .
USER 1000
EXPOSE {port}
CMD exec {command}
"""


def write_space(folder: Path, stored: Stored, card: Mapping[str, Any], sheet: Image.Image | None) -> dict[str, Any]:
    """Write the folder: Dockerfile, requirements, gan_lab, weights with their card, and a page with the hub's settings.

    Args:
        folder: New or empty.
        stored: A generator of images from latents.
        card: See `gan_lab.sampling.card.card_of`.
        sheet: Samples; None without.

    Returns:
        The card as it was written.

    Raises:
        ConfigError: gan_lab is not installed, so that its requirements are unknown.
    """
    needed, license = _distribution()
    settings = {"title": title(card), "sdk": "docker", "app_port": PORT, "pinned": False}
    written = write_hub_folder(folder, stored, card, sheet, settings)
    write_text(folder / "requirements.txt", "\n".join(needed) + "\n")
    write_text(folder / "Dockerfile", _DOCKERFILE.format(port=PORT, command=app_command(stored.weights)))
    unwanted = shutil.ignore_patterns("__pycache__", "local")  # local has settings of this machine
    shutil.copytree(Path(gan_lab.__file__).parent, folder / "gan_lab", ignore=unwanted, dirs_exist_ok=True)
    shutil.copytree(CONF, folder / "gan_lab" / "conf", ignore=unwanted, dirs_exist_ok=True)
    write_text(folder / "gan_lab" / "LICENSE", license)
    return written


def app_command(weights: str) -> str:
    """The command that serves the page, in the folder."""
    option = "" if weights == "ema" else f" weights={weights}"
    return (
        f"python -m gan_lab.cli.main explore run={WEIGHTS}{option} host=0.0.0.0 port={PORT} proxy=${{SPACE_HOST:-null}}"
    )


def _distribution() -> tuple[list[str], str]:
    """The packages that gan_lab needs, without those of extras, and its license."""
    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise ConfigError(f"space=... needs {DISTRIBUTION} to be installed: run pip install -e . first.") from error
    needed = [each for each in found.requires or [] if not re.search(r";.*\bextra\b", each)]
    return needed, found.read_text("licenses/LICENSE") or f"{found.metadata['License-Expression']}\n"
