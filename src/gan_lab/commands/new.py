"""`gan-lab new`: skeleton of a part of the user's own, in a package in the working directory. Light: no torch."""

import keyword
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.config.groups import choices
from gan_lab.errors import ConfigError, unknown_choice
from gan_lab.files import write_text

SKELETONS = Path(__file__).parent / "skeletons"
"""Texts of the files; those of Python are not modules of gan_lab, hence `.py.txt`."""

KINDS = {
    "loss": ("loss", "loss={}"),
    "penalty": ("regularizer", "regularizer=[{}]"),
    "architecture": ("architecture", "architecture={} conditioning=none"),
    "dataset": ("dataset", "dataset={}"),
    "algorithm": ("algorithm", "algorithm={}"),
}
"""For each kind its config group, and the overrides with which it trains."""


@dataclass(frozen=True)
class NewPart:
    """The skeleton of a part, as written.

    Attributes:
        files: Module, YAML file and test.
        command: The command that trains with it.
    """

    files: tuple[Path, ...]
    command: str

    def __str__(self) -> str:
        test = self.files[-1]
        return f"Written: {', '.join(map(str, self.files))}. Next: {self.command}, and pytest {test}"


def new(cfg: DictConfig) -> NewPart:
    """Write the files of a composed `new` config.

    Raises:
        ConfigError: The kind, the name or the package cannot be used, or a file exists.
    """
    if cfg.kind not in KINDS:
        raise ConfigError(unknown_choice("kind", cfg.kind, KINDS))
    group, overrides = KINDS[cfg.kind]
    _check_name(cfg.name, group)
    _check_package(cfg.package)
    package = Path(cfg.package)
    sources = {
        package / f"{cfg.name}.py": f"{cfg.kind}.py.txt",
        package / "conf" / group / f"{cfg.name}.yaml": f"{cfg.kind}.yaml",
        package / f"test_{cfg.name}.py": f"test_{cfg.kind}.py.txt",
    }
    for file in sources:
        if file.exists() or file.is_symlink():
            raise ConfigError(f"{file} exists already: give another name or package, or delete the file.")
    names = {
        "own_package": cfg.package,
        "Skeleton": "".join(part.capitalize() for part in cfg.name.split("_")),
        "skeleton": cfg.name,
    }
    for file, source in sources.items():
        text = (SKELETONS / source).read_text(encoding="utf-8")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, re.sub("|".join(names), lambda match: names[match[0]], text))
    if not (package / "__init__.py").exists():
        write_text(package / "__init__.py", "")
    train = f"gan-lab train --config-dir {package / 'conf'} {overrides.format(cfg.name)}"
    return NewPart(tuple(sources), f"{train} allow_targets=[{cfg.package}]")


def _check_name(name: str, group: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name in ("nan", "inf"):
        raise ConfigError(
            f"name={name} is not allowed: it must be a name in Python of lower-case letters, digits and _, as in "
            "my_part."
        )
    if name in choices(group):
        raise ConfigError(f"name={name} is not allowed: gan_lab has {group}={name} already; give another name.")


def _check_package(package: str) -> None:
    """Refuse names that Python cannot import, or imports from elsewhere."""
    if not package.isidentifier() or keyword.iskeyword(package):
        raise ConfigError(f"package={package} is not allowed: it must be a name in Python, as in my_gan.")
    if Path(package).exists() and not Path(package).is_dir():
        raise ConfigError(f"package={package} is not a directory: give another name.")
    spec = find_spec(package)
    places = [] if spec is None else list(spec.submodule_search_locations or [str(Path(spec.origin or "/").parent)])
    if places and Path(package).resolve() not in [Path(place).resolve() for place in places]:
        raise ConfigError(f"package={package} is not allowed: Python has a package of this name; give another one.")
