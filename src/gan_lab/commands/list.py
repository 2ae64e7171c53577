"""`gan-lab list`: the choices of every config group. Imports neither torch nor Lightning."""

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.config.groups import choices as files_of
from gan_lab.config.groups import groups
from gan_lab.errors import ConfigError, unknown_choice
from gan_lab.gans.catalog import CATALOG, markdown_table


@dataclass(frozen=True)
class Choices:
    """The choices of config groups.

    Attributes:
        groups: For each config group its choices, each with its description.
        markdown: Print the table of models.
    """

    groups: dict[str, dict[str, str]]
    markdown: bool = False

    def __str__(self) -> str:
        if self.markdown:
            return markdown_table()
        lines = []
        for group, found in self.groups.items():
            width = max(map(len, found))
            lines += [f"{group}=", *(f"  {choice:{width}}  {text}" for choice, text in found.items()), ""]
        return "\n".join(lines)


def choices(cfg: DictConfig) -> Choices:
    """List the choices of every config group, or of one.

    Raises:
        ConfigError: The group or format is unknown.
    """
    listed = [group for group in groups() if cfg.what in ("all", group, group.partition("/")[0])]
    if not listed:
        raise ConfigError(unknown_choice("what", cfg.what, ["all", *groups()]))
    if cfg.format == "markdown":
        return Choices({"model": _choices("model")}, markdown=True)
    return Choices({group: _choices(group) for group in listed})


def _choices(group: str) -> dict[str, str]:
    found = {choice: _first_sentence(file) for choice, file in files_of(group).items()}
    if group == "model":  # in the order of the catalog, then the user's own
        found = {entry.name: f"{entry.title}, {entry.paper}: {entry.differs}" for entry in CATALOG} | {
            choice: text for choice, text in found.items() if choice not in {entry.name for entry in CATALOG}
        }
    return found


def _first_sentence(file: Path) -> str:
    """First sentence of the comment at the head of a file."""
    lines = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    comment = " ".join(line[1:].strip() for line in lines if not line.startswith("# @package"))
    return re.split(r"(?<=\.)\s+(?=[A-Z])", comment)[0]
