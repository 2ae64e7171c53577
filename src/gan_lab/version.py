"""Version of the package."""

import subprocess
from pathlib import Path

__version__ = "0.1.0"


def commit() -> str | None:
    """Git commit of a checkout of gan_lab, with `-dirty` if files differ from it; None for an installed package."""
    root = Path(__file__).parents[2]
    if not ((root / ".git").exists() and (root / "src" / "gan_lab" / "version.py").is_file()):
        return None
    try:
        describe = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
        found = subprocess.run(describe, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return found.strip() or None
