"""The import rule of CONTRIBUTING.md, and that only the phase runner updates weights."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gan_lab

ROOT = Path(gan_lab.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LAYERS = (
    {"durations", "errors", "files", "hub_client", "interrupts", "keys", "noise", "plain_pickle", "processes",
    "progress", "ranges", "ranks", "servers", "step", "terminal", "torchvision_guard", "types", "version",
    "wandb_client"},
    {"losses", "regularizers", "layers", "optim", "figures", "charts", "augment"},
    {"architectures", "data", "metrics", "pages", "published"},
    {"runs"},
    {"gans", "hooks", "loggers"},
    {"callbacks", "analysis", "batch_loop", "strategies"},
    {"ensemble"},
    {"config"},
    {"reports", "sampling"},
    {"explorer"},
    {"training"},
    {"sweeps"},
    {"commands"},
    {"benchmark"},
    {"api"},
    {"cli"},
)  # fmt: skip
LAYER_OF = {part: layer for layer, parts in enumerate(LAYERS) for part in parts}

# Beyond "only lower layers": what a folder may not take from this project, and from outside.
MAY_NOT = {
    "runs": {"architectures", "data", "losses", "regularizers", "optim", "augment"},
    "gans": {"architectures", "data", "runs"},
    "data": {"architectures", "layers", "losses", "regularizers", "optim"},
    "architectures": {"losses", "regularizers", "optim"},
    "metrics": {"architectures", "data", "losses", "regularizers", "optim"},
    "callbacks": {"architectures", "data", "losses", "regularizers"},
    "analysis": {"architectures", "gans"},
}
LIGHTNING_FREE = {part for part, layer in LAYER_OF.items() if layer <= LAYER_OF["runs"]} - {"data"} | {"analysis"}
HYDRA_ALLOWED = {part for part, layer in LAYER_OF.items() if layer >= LAYER_OF["config"]}


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
    assert {part(file) for file in FILES} - {"__init__"} == set(LAYER_OF)


@pytest.mark.parametrize("file", [f for f in FILES if part(f) != "__init__"], ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_only_what_the_layer_allows(file: Path) -> None:
    here = part(file)
    for name in imports(file):
        top, *rest = name.split(".")
        if top == "gan_lab" and rest and rest[0] in LAYER_OF and rest[0] != here:
            there = rest[0]
            assert LAYER_OF[there] < LAYER_OF[here] or LAYER_OF[there] == LAYER_OF[here] == 0, f"{file} imports {name}"
            assert there not in MAY_NOT.get(here, set()), f"{file} imports {name}"
        if top in ("lightning", "pytorch_lightning"):
            assert here not in LIGHTNING_FREE, f"{file} imports {name}"
            assert top == "lightning", f"{file} imports {name}: two copies of Lightning do not mix"
        if top in ("hydra", "omegaconf"):
            assert here in HYDRA_ALLOWED, f"{file} imports {name}"
        if top == "wandb":
            assert here in ("callbacks", "loggers", "wandb_client") or file.name == "wandb_models.py", f"{file}: {name}"
        if here == "callbacks" and name.startswith("gan_lab.gans."):
            assert name.startswith("gan_lab.gans.base"), f"{file} imports a concrete algorithm"


def test_no_module_imports_itself_through_others() -> None:
    names = {
        ".".join(file.relative_to(ROOT.parent).with_suffix("").parts): file for file in FILES if file.stem != "__init__"
    }
    graph = {}
    for name, file in names.items():
        found = imports(file)
        modules = found | {each.rpartition(".")[0] for each in found}
        graph[name] = modules & names.keys() - {name}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_only_the_phase_runner_updates_weights(file: Path) -> None:
    # The bare loop is a baseline; the classifier scores samples outside of any algorithm; the autoencoder hashes a data
    # set; the linear classifier probes features, and supervised training is compared with it; inversion optimizes
    # latents.
    names = ("semantic_hash", "linear_svm", "supervised", "inversion")
    analysis = tuple(f"analysis/{name}.py" for name in names)
    others = ("benchmark/bare.py", "metrics/classifier.py", *analysis)
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
    run("import sys, gan_lab.commands.list\nassert not {'torch', 'lightning', 'wandb'} & set(sys.modules)")


def train_with(folder: Path) -> None:
    run(
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from gan_lab.config.compose import compose\nfrom gan_lab.training.fit import fit\n"
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


def test_refusals_need_no_torch(tmp_path: Path) -> None:
    """What values and paths show is refused before the import of torch, which takes seconds."""
    (tmp_path / "runs/digits").mkdir(parents=True)
    run(
        f"import os, sys; os.chdir({str(tmp_path)!r})\n"
        "from gan_lab.cli.main import main\n"
        "for line in ('sampel', 'sample run=runs/digit', 'sample runs/x', 'evaluate metrics=[fd] run=x',\n"
        "    'export nowhere',\n"
        "    'evaluate images=x dataset=cifar10 metrics=[]', 'memorization x', 'interpolate fps=0 run=runs/digits',\n"
        "    'train batch_size=0', 'train resume=nowhere', 'train model=dcgn', 'compare nowhere', 'report run=x',\n"
        "    'evaluate metrics=[fd] run=runs/digits weights=foo', 'runs rot=x', 'runs nowhere', 'list what=x'):\n"
        "    sys.argv = ['gan-lab', *line.split()]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert end.code == 2, line\n"
        "    else:\n        raise AssertionError(line)\n"
        "    assert 'torch' not in sys.modules, line"
    )
