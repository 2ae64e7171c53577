"""Every notebook runs from top to bottom with a small budget."""

import re
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_first_gan",
        "02_mode_collapse",
        "03_reading_the_numbers",
        "04_what_has_it_learned",
    ]


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if path == NOTEBOOKS[0] else pytest.mark.slow) for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_runs(path: Path) -> None:
    def shortened(budget: re.Match[str]) -> str:
        return f"BUDGET = {min(1_000, int(budget[1]) // 8)}"

    text, changed = re.subn(r"^BUDGET = ([\d_]+)", shortened, path.read_text(), flags=re.MULTILINE)
    assert changed == 1, "a notebook must set BUDGET exactly once, so that the tests can reduce it"
    notebook = jupytext.reads(text, fmt="py:percent")
    NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    figures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if {"image/png", "image/gif"} & set(output.get("data", {}))
    ]
    assert len(figures) >= 2
