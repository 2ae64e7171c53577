"""`gan-lab list`: what there is to choose, and which runs there are. Imports neither torch nor Lightning."""

import re
import sys
from itertools import takewhile
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.cli import app
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.gans.catalogue import CATALOGUE, markdown_table


def main() -> None:
    """Entry point. What is listed may stand alone as the first word: `gan-lab list runs`."""
    sys.argv[1:2] = [f"what={word}" if re.fullmatch(r"\w+", word) else word for word in sys.argv[1:2]]
    app.run("list", show)


def show(cfg: DictConfig) -> None:
    """Print the choices of every config group, or of one, with what each file says of itself; or the runs."""
    if cfg.what == "runs":
        from gan_lab.config.listing import list_runs

        print(list_runs(Path(cfg.root)))
        return
    groups = sorted(
        folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name not in ("hydra", "local")
    )
    if cfg.what not in ("all", *groups):
        raise ConfigError(f"what={cfg.what} is not known: choose from all, runs, {', '.join(groups)}.")
    if cfg.format not in ("text", "markdown"):
        raise ConfigError(f"format={cfg.format} is not known: choose text or markdown.")
    if cfg.format == "markdown":
        print(markdown_table())
        return
    for group in groups if cfg.what == "all" else [cfg.what]:
        print(f"{group}=")
        for choice, text in _choices(group).items():
            print(f"  {choice:20} {text}")
        print()


def _choices(group: str) -> dict[str, str]:
    if group == "model":
        return {entry.name: f"{entry.title}, {entry.paper}: {entry.differs}" for entry in CATALOGUE}
    return {file.stem: _first_sentence(file) for file in sorted((CONF / group).glob("*.yaml"))}


def _first_sentence(file: Path) -> str:
    """The first sentence of the comment that a file begins with."""
    lines = takewhile(lambda line: line.startswith("#"), file.read_text().splitlines())
    comment = " ".join(line[1:].strip() for line in lines if not line.startswith("# @package"))
    return re.split(r"(?<=\.)\s+(?=[A-Z])", comment)[0]


if __name__ == "__main__":
    main()
