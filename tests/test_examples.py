"""The programs in examples/ run as they are, from any folder."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LAST_LINES = {
    "plain_python": "5376 images seen, samples (16, 1, 8, 8)",
    "custom_loss": "512 images seen with custom_loss.Exponential",
    "custom_networks": "512 images seen, samples (16, 1, 32, 32)",
    "own_dataset": "600 images seen, samples of class 3: (4, 1, 16, 16)",
}


def test_every_example_is_expected_here() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == set(LAST_LINES)


@pytest.mark.parametrize("name", LAST_LINES)
def test_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert LAST_LINES[name] in done.stdout
