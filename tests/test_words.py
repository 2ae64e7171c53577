"""The check of the text: what it finds, what it leaves, and its exit status. The repository itself passes it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "tools" / "check_words.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """The module, which is not in a package."""
    spec = importlib.util.spec_from_file_location("check_words", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("learnRate = 1e-3", "rate"),
        ("first_game_of(x)", "game"),
        ("FirstGame(x)", "game"),
        ("a batch's moves", "moves"),
        ("the `neighbours` of an image", "neighbours"),
        ("recolour(x)", "recolour"),
        ("def optimise():", "optimise"),
        ("labelled", "labelled"),
        ("it is no folder", "is no"),
    ],
)
def test_finds(check: ModuleType, line: str, word: str) -> None:
    assert word in [found for found, _ in check.findings(line)]


@pytest.mark.parametrize(
    "line",
    [
        "learning_rate, learningRate and the decay rate",
        "an exponential moving average",
        "two panels side by side, whole numbers",
        "math.floor(x) and (x // 2).floor()",
        "there is no checkpoint, and it is no longer needed",
        "center, color, neighbors, normalized, memorization, analyze",
        "generate, separates, iterations, gamers",  # the letters of a word to avoid inside of another one
    ],
)
def test_leaves(check: ModuleType, line: str) -> None:
    assert list(check.findings(line)) == []


def test_an_exception_hides_only_its_match(check: ModuleType) -> None:
    assert [found for found, _ in check.findings("the learning rate and the rate")] == ["rate"]


def run(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, str(PROGRAM), *arguments], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


def test_lines_and_status(tmp_path: Path) -> None:
    """Long lines of tracked Markdown and YAML files are found, except rows of tables and single links."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    long = "text " * 24 + "x"  # 121 characters
    (tmp_path / "page.md").write_text(f"{long[1:]}\n{long}\n| {long} |\n<https://{'x' * 120}>\n")
    (tmp_path / "conf.yaml").write_text(f"# {long}\nkey: 1\n")
    (tmp_path / "code.py").write_text(f"x = 1  # {long}\n")  # Ruff's
    (tmp_path / "untracked.md").write_text(f"{long}\n")
    subprocess.run(["git", "add", "page.md", "conf.yaml", "code.py"], cwd=tmp_path, check=True)
    status, lines = run(tmp_path)
    assert status == 1
    assert lines == [
        "conf.yaml:1: 123 characters -> at most 120",
        "page.md:2: 121 characters -> at most 120",
        "2 findings",
    ]
    assert run(tmp_path, "code.py")[0] == 0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the list of files under version control")
def test_the_repository_is_clean() -> None:
    status, lines = run(ROOT)
    assert status == 0, "\n".join(lines)
