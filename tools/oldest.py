"""Print the lower bounds of the dependencies in pyproject.toml as exact versions, for `pip install --constraint`.

    python tools/oldest.py > oldest.txt

The extras that only developers need (`docs`, `dev`) are left out. Python 3.10 has no reader of TOML.
"""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> None:
    """Print one line for each dependency."""
    current = ""
    for line in PROJECT.read_text("utf-8").splitlines():
        if found := re.match(r"(\w+) = \[", line):
            current = found[1]
        if current not in ("docs", "dev", "requires"):
            for package, version in re.findall(r'"([\w-]+)>=([\w.]+)', line):
                print(f"{package}=={version}")


if __name__ == "__main__":
    main()
