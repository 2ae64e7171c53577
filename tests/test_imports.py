"""The import rule of CONTRIBUTING.md, and that only the phase runner moves weights."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gan_lab

ROOT = Path(gan_lab.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = {
    "errors": 0, "noise": 0, "types": 0, "torchvision_guard": 0, "processes": 0,
    "losses": 1, "regularizers": 1, "layers": 1, "optim": 1, "pictures": 1, "charts": 1, "augment": 1,
    "architectures": 2, "data": 2, "metrics": 2, "pages": 2,
    "gans": 3,
    "callbacks": 4, "loggers": 4, "analysis": 4, "strategies": 4,
    "config": 5, "benchmark": 6, "cli": 7,
}  # fmt: skip

# Beyond "only lower layers": what else a folder may take from this project, and from outside.
SIBLINGS = {"config": {"config"}, "benchmark": {"config"}, "cli": {"config", "benchmark"}}
MAY_NOT = {
    "gans": {"architectures", "data", "callbacks"},
    "data": {"architectures", "layers", "losses", "regularizers", "optim"},
    "architectures": {"losses", "regularizers", "optim"},
    "metrics": {"architectures", "data", "losses", "regularizers", "optim"},
    "callbacks": {"architectures", "data", "losses", "regularizers"},
    "analysis": {"architectures", "gans"},
}
LIGHTNING_FREE = {part for part, layer in LAYERS.items() if layer < 3} - {"data"} | {"analysis"}
HYDRA_ALLOWED = {"config", "cli", "benchmark"}


def part(file: Path) -> str:
    relative = file.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    """Dotted names of all modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_file_has_a_layer() -> None:
    assert {part(file) for file in FILES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("file", [f for f in FILES if part(f) != "__init__"], ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_only_what_the_layer_allows(file: Path) -> None:
    here = part(file)
    for name in imports(file):
        top, *rest = name.split(".")
        if top == "gan_lab" and rest and rest[0] in LAYERS and rest[0] != here:
            there = rest[0]
            assert LAYERS[there] < LAYERS[here] or LAYERS[there] == LAYERS[here] == 0, f"{file} imports {name}"
            assert there not in MAY_NOT.get(here, set()), f"{file} imports {name}"
        if top in ("lightning", "pytorch_lightning"):
            assert here not in LIGHTNING_FREE, f"{file} imports {name}"
            assert top == "lightning", f"{file} imports {name}: two copies of Lightning do not mix"
        if top in ("hydra", "omegaconf"):
            assert here in HYDRA_ALLOWED, f"{file} imports {name}"
        if top == "wandb":
            assert here in ("callbacks", "loggers"), f"{file} imports {name}"
        if here == "callbacks" and name.startswith("gan_lab.gans."):
            assert name.startswith("gan_lab.gans.base"), f"{file} imports a concrete game"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_only_the_phase_runner_moves_weights(file: Path) -> None:
    # The bare loop is what the frame is measured against; the classifier judges samples and plays no game; the autoencoder
    # hashes a data set before any game.
    others = ("benchmark/bare.py", "metrics/classifier.py", "analysis/semantic_hash.py")
    if str(file.relative_to(ROOT)) in ("gans/phases.py", *others):
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("backward", "manual_backward", "step"), f"{file}:{node.lineno}"


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_command_line_help_is_light() -> None:
    run(
        "import sys, gan_lab, gan_lab.cli.main\n"
        "heavy = {'torch', 'lightning', 'hydra', 'wandb', 'numpy', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )


def test_listing_needs_no_torch() -> None:
    run("import sys, gan_lab.cli.list\nassert not {'torch', 'lightning', 'wandb'} & set(sys.modules)")


def train_with(folder: Path) -> None:
    run(
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from gan_lab.config.compose import compose\nfrom gan_lab.config.fit import fit\n"
        f"fit(compose('debug=fast', 'budget.images=32', 'hardware=cpu', 'run.dir={folder}/run'))\n"
        "assert sys.modules.get('torchvision') is None"
    )


def test_torchvision_is_not_needed(tmp_path: Path) -> None:
    train_with(tmp_path)


def test_a_broken_torchvision_changes_nothing(tmp_path: Path) -> None:
    """A package with metadata whose import fails, as a CUDA build beside a CPU build of torch does."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    (tmp_path / "torchvision-0.28.0.dist-info").mkdir()
    (tmp_path / "torchvision-0.28.0.dist-info" / "METADATA").write_text("Name: torchvision\nVersion: 0.28.0\n")
    train_with(tmp_path)
