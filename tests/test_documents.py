"""What the documents say is so: commands run, tables are the catalogue's, files exist."""

import re
import shlex
from pathlib import Path

import pytest

from gan_lab.config.schema import CONF
from gan_lab.gans.catalogue import CATALOGUE, markdown_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]
SMALL = ("debug=fast", "budget.images=64", "architecture.generator.width=8", "architecture.discriminator.width=8")


def blocks(language: str, document: str = "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def command_lines() -> list[list[str]]:
    """All lines of shell blocks as words, without comments."""
    lines = [line for name in DOCUMENTS for block in blocks("bash", name) for line in block.splitlines()]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def needs_more_than_this_machine(words: list[str]) -> bool:
    """A GPU, a hub, or a file of the reader's."""
    settings = " ".join(words)
    return (
        "hardware=gpu" in settings
        or "hardware=ddp" in settings
        or bool(re.search(r"dataset=(?!digits|ring|grid)", settings))
    )


def small(words: list[str]) -> list[str]:
    """The same command on a few images, unless it gives a length itself."""
    if "bench.rounds=0" in words:
        return [*words, "architecture.generator.width=8", "architecture.discriminator.width=8"]
    if words[0] == "bench":
        return [*words, "bench.seconds=0.2", "bench.rounds=1", "bench.warmup_batches=1", *SMALL]
    flags = ("--cfg", "--info", "-m")
    if words[0] != "train" or any(word in flags[:2] for word in words):
        return words
    if needs_more_than_this_machine(words):
        return [*words, "run.name=x", "--cfg", "job", "--resolve"]
    return [*(word for word in words if not word.startswith("budget.")), *SMALL]


def test_every_documented_command_runs(command, tmp_path: Path) -> None:
    """In the order of the text, in one folder; what needs a GPU or a download is composed and resolved only."""
    ours = [words[1:] for words in command_lines() if words[0] == "gan-lab"]
    assert len(ours) >= 20
    for words in ours:
        outcome = command(*small(words))
        assert outcome.status == 0, f"gan-lab {' '.join(words)}: {outcome.err}"
    for block in blocks("python"):
        namespace: dict = {}
        exec(compile(block, "README.md", "exec"), namespace)
        assert namespace["images"].shape == (16, 1, 32, 32)


def test_other_commands_name_what_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for words in command_lines():
        if words[0] == "make":
            assert words[1] in targets
        elif words[0] == "pip":
            assert set(re.findall(r"\[(\w+)\]", " ".join(words))) <= set(extras)
        else:
            assert words[0] in ("gan-lab", "eval")


def test_table_of_models_is_the_catalogues() -> None:
    table = README.partition("<!-- catalogue")[2].partition("-->")[2].partition("<!-- /catalogue -->")[0].strip()
    assert table == markdown_table()


@pytest.mark.parametrize(
    "group",
    [
        "model",
        "setting",
        "loss",
        "regularizer",
        "conditioning",
        "wrapper",
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
    (row,) = re.findall(rf"^\| `{group}` \| (.*) \|$", README, re.MULTILINE)
    choices = {re.split(r"[ (]", word.strip())[0] for word in re.sub(r"\(.*?\)", "", row).split(": ")[-1].split(",")}
    assert choices == {file.stem for file in (CONF / group).glob("*.yaml")}


def test_links_and_pictures_exist() -> None:
    for name in DOCUMENTS:
        for target in re.findall(r"\]\((?!http)(.*?)\)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name} links to {target}"


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


def test_catalogue_is_cited() -> None:
    for entry in CATALOGUE:
        assert re.fullmatch(r"\d{4}\.\d{4,5}|https://openreview\.net/forum\?id=\w+", entry.reference)
        assert re.search(r"\(\d{4}\)$", entry.paper)
