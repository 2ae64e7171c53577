"""Checks of the documents: commands run, tables match the catalog, files exist."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

import gan_lab
from gan_lab.config.groups import choices as choices_of
from gan_lab.config.schema import CONF
from gan_lab.gans.catalog import CATALOG

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDE = [f"docs/guide/{file.name}" for file in sorted((ROOT / "docs/guide").glob("*.md"))]
RUNNABLE = ["README.md", "docs/index.md", *GUIDE]
"""Pages whose commands stand alone: in an empty folder, each page from top to bottom."""

DOCUMENTS = [*RUNNABLE, "CONTRIBUTING.md"]
SMALL = (
    "debug=fast", "budget.images=64", "architecture.generator.width=8", "architecture.discriminator.width=8",
    "evaluation.samples=100", "evaluation.times=1",
)  # fmt: skip


def blocks(language: str, document: str = "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def command_lines(document: str) -> list[list[str]]:
    """All lines of a page's shell blocks, split into arguments, without comments."""
    lines = [line for block in blocks("bash", document) for line in block.splitlines()]
    return [arguments for arguments in (shlex.split(line, comments=True) for line in lines) if arguments]


def only_composed(arguments: list[str]) -> bool:
    """It needs a GPU, a hub, or a file of the reader's; or it starts two processes, which test_processes.py tests."""
    settings = " ".join(arguments)
    return (
        "hardware=gpu" in settings
        or "hardware=ddp" in settings
        or bool(re.search(r"dataset=(?!digits|ring|grid)", settings))
    )


def small(arguments: list[str]) -> list[str]:
    """The same command on a few images, unless it gives a length itself."""
    arguments = [re.sub(r"^((evaluation\.)?samples)=\d+$", r"\1=100", argument) for argument in arguments]
    if "bench.rounds=0" in arguments:
        return [*arguments, "architecture.generator.width=8", "architecture.discriminator.width=8"]
    if arguments[0] == "bench":
        return [*arguments, "bench.seconds=0.2", "bench.rounds=1", "bench.warmup_batches=1", *SMALL]
    if arguments[0] == "explore":
        return [*arguments, "minutes=0", "port=0"]
    if arguments[0] in ("import", "translate"):  # of files that readers have
        return [*arguments, "--cfg", "job"]
    flags = ("--cfg", "--info", "-m")
    if arguments[0] != "train" or any(argument in flags[:2] for argument in arguments):
        return arguments
    if only_composed(arguments):
        return [*arguments, "run.name=x", "--cfg", "job", "--resolve"]
    return [*(argument for argument in arguments if not argument.startswith("budget.")), *SMALL]


def needs_other_commands(arguments: list[str]) -> bool:
    """It reads runs of the commands before it, or those after it read its run."""
    return arguments[1] != "train" or any(argument.startswith("run.name=") for argument in arguments)


_tried: set[tuple[str, ...]] = set()
"""Commands that ran on an earlier page."""


@pytest.mark.parametrize("document", RUNNABLE)
def test_every_documented_command_runs(document: str, command, tmp_path: Path) -> None:
    """In the order of the page, in one folder; what needs a GPU or a download is composed and resolved only."""
    for arguments in command_lines(document):
        if arguments[0] == "gan-lab" and (tuple(arguments) not in _tried or needs_other_commands(arguments)):
            _tried.add(tuple(arguments))
            outcome = command(*small(arguments[1:]))
            assert outcome.status == 0, f"{' '.join(arguments)}: {outcome.err}"
    if document != "docs/guide/examples.md":  # programs, in tests/test_examples.py
        for block in blocks("python", document):
            printed, namespace = io.StringIO(), {}
            with contextlib.redirect_stdout(printed):
                exec(compile(block, document, "exec"), namespace)
            assert namespace["images"].shape == (16, 1, 32, 32)
            assert all(line in README.splitlines() for line in printed.getvalue().splitlines())


def test_no_documented_command_is_lost() -> None:
    assert sum(arguments[0] == "gan-lab" for document in RUNNABLE for arguments in command_lines(document)) >= 45


def test_other_commands_name_what_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for arguments in (each for document in DOCUMENTS for each in command_lines(document)):
        if arguments[0] == "make":
            assert arguments[1] in targets
        elif arguments[0] == "pip":
            assert set(re.findall(r"\[(\w+)\]", " ".join(arguments))) <= set(extras)
        else:
            assert arguments[0] in ("gan-lab", "eval")


def test_readme_names_every_model() -> None:
    models = README.partition("\n## Models\n")[2].partition("\n## ")[0].partition(".")[0]
    assert re.findall(r"`(\w+)`", models) == [entry.name for entry in CATALOG]
    assert f"trains {len(CATALOG)} GAN variants" in README and f"| {len(CATALOG)} named GANs" in README


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize(
    "group",
    [
        "model",
        "preset",
        "loss",
        "regularizer",
        "conditioning",
        "wrapper/discriminator",
        "wrapper/generator",
        "augment",
        "architecture",
        "growth",
        "dataset",
        "hardware",
        "metrics",
        "extractor",
        "logger",
        "sweep",
        "debug",
    ],
)
def test_table_of_groups_names_every_choice(group: str) -> None:
    composing = (ROOT / "docs/guide/composing.md").read_text()
    (row,) = re.findall(rf"^\| `{group}` \| (.*) \|$", composing, re.MULTILINE)
    choices = {
        re.split(r"[ (]", argument.strip())[0] for argument in re.sub(r"\(.*?\)", "", row).split(": ")[-1].split(",")
    }
    assert choices == set(choices_of(group))


def test_links_and_images_exist() -> None:
    pages = {"README.md", "CONTRIBUTING.md", *(str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md"))}
    for name in pages - {"docs/models.md"}:
        for target in re.findall(r"\]\((?!http|#|\.\./\.\./actions)([^)#]*)", (ROOT / name).read_text()):
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


def test_every_experiment_has_a_header() -> None:
    for file in (CONF / "experiment").glob("*.yaml"):
        header = "\n".join(line for line in file.read_text().splitlines() if line.startswith("#"))
        assert re.search(r"\(\d{4}\)", header), f"{file.name}: paper"
        assert f"gan-lab train experiment={file.stem}" in header, f"{file.name}: command"
        assert "Length:" in header and "Measured:" in header, file.name


def test_map_of_the_house_names_every_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    folders = [path.name for path in (ROOT / "src/gan_lab").iterdir() if path.is_dir() and path.name != "__pycache__"]
    folders += [path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "local")]
    for folder in folders:
        assert f"{folder}/" in text, folder


def test_catalog_is_cited() -> None:
    for entry in CATALOG:
        assert re.fullmatch(r"\d{4}\.\d{4,5}|https://openreview\.net/forum\?id=\w+", entry.reference)
        assert re.search(r"\(\d{4}\)$", entry.paper)


def test_worked_examples_of_the_architecture_run(tmp_path: Path) -> None:
    """One after the other, as a reader would type them."""
    namespace: dict = {"folder": tmp_path}
    for block in blocks("python", "docs/architecture.md"):
        exec(compile(block, "docs/architecture.md", "exec"), namespace)
    algorithm, data = namespace["algorithm"], namespace["data"]
    assert algorithm.images_seen == 256 and set(algorithm.runner.players) == {"discriminator", "generator", "reader"}
    assert data.size == 8 and data.real_batch(8).shape == (8, 1, 8, 8)


def test_examples_from_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"folder": tmp_path}
    for block in blocks("python", "docs/python.md"):
        exec(compile(block, "docs/python.md", "exec"), namespace)
    assert namespace["images"].shape == (16, 1, 32, 32) and namespace["files"].samples.shape == (9, 1, 32, 32)
    assert namespace["experiment"].module.images_seen == 128 and namespace["other"].module.images_seen == 64


def test_every_function_is_in_the_table() -> None:
    rows = re.findall(r"^\| `.*?` \| (.*?) \|", (ROOT / "docs/python.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    beside = {"PretrainedGenerator", "Translator", "__version__", "compose", "config_dir", "load"}
    assert named == set(gan_lab.__all__) - beside
