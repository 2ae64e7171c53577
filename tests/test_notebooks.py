"""Every notebook runs from top to bottom with a small budget, and a training in a notebook can be stopped."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import jupytext
import pytest
from jupyter_client.manager import start_new_kernel
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


Cell = Callable[..., list[str]]


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    """Runs a cell in a kernel and returns its outputs as text; presses the stop button at an output with `stop_at`."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))

    def run(code: str, stop_at: str | None = None) -> list[str]:
        message, outputs = client.execute(code), []
        while True:
            reply = client.get_iopub_msg(timeout=240)
            if reply["parent_header"].get("msg_id") != message:
                continue
            content = reply["content"]
            if content.get("execution_state") == "idle":
                return outputs
            text = content.get("text") or content.get("data", {}).get("text/plain") or content.get("evalue")
            outputs += [text] if text else []
            if stop_at is not None and text and stop_at in text:
                manager.interrupt_kernel()
                stop_at = None

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def images(experiment: str) -> int:
    """Images seen, in the text of an experiment."""
    return int(experiment.split()[1].replace(",", ""))


@pytest.mark.slow
def test_the_stop_button_stops_with_a_checkpoint(cell: Cell) -> None:
    """And the same cell resumes it."""
    cell("import gan_lab")
    sizes = "width=8", "batch_size=8", "dataset.max_images=64", "budget.images=100000"
    cell(f"config = gan_lab.compose('model=dcgan', 'hardware=cpu', 'run.dir=run', '~callbacks.sample_grids', *{sizes})")
    stopped = cell("gan_lab.fit(config)", stop_at="kimg")
    assert re.fullmatch(r"Experiment\(run: [\d,]+ of 100,000 images, stopped by SIGINT\)", stopped[-1])
    assert any(text.startswith("\r  0%|") for text in stopped)
    again = cell("gan_lab.fit(config)", stop_at="kimg")
    assert images(again[-1]) > images(stopped[-1]) > 0
