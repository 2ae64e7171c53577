"""The site: every page is in its menu, every model has a section with its facts, and it builds without a warning."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gan_lab.config.schema import CONF
from gan_lab.gans.catalog import CATALOG

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The section of each model, by the model's name."""
    file = tmp_path_factory.mktemp("site") / "models.md"
    subprocess.run([sys.executable, ROOT / "tools/model_page.py", file], check=True)
    parts = re.split(r"^## .* \{ #(\w+) \}$", file.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_model_has_a_section(sections: dict[str, str]) -> None:
    assert list(sections) == [entry.name for entry in CATALOG]
    for entry in CATALOG:
        section = sections[entry.name]
        assert entry.url in section and f"gan-lab train model={entry.name}" in section
        for fact in ("- Discriminator: `", "- Generator: `", "**Measured.** ", "**Caveats.** "):
            assert re.search(rf"{re.escape(fact)}\S", section), f"{entry.name}: {fact}"


def test_experiments_stand_with_their_model(sections: dict[str, str]) -> None:
    listed = {name for section in sections.values() for name in re.findall(r"^- `experiment=(\S+)`:", section, re.M)}
    files = {file.relative_to(CONF / "experiment").with_suffix("") for file in (CONF / "experiment").rglob("*.yaml")}
    assert listed == {file.as_posix() for file in files} - {"ring/base", "stacked_mnist"}  # these choose no one model
    assert "`experiment=wgan_gp_cifar10`" in sections["wgan_gp"]


def test_settings_of_a_preset(sections: dict[str, str]) -> None:
    rows = [row.strip() for row in sections["wgan_gp"].splitlines()]
    for row in (
        "| `regularizer` | `[gradient_penalty]` | |",
        "| `betas` | `[0.0, 0.9]` | |",
        "| `latent.distribution` | `normal` | |",
        "| `architecture.discriminator.norm` | `none` | |",
    ):
        assert row in rows


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in (ROOT / "docs").rglob("*.md")} | {"models.md"}
    assert set(re.findall(r"[\w/-]+\.md", menu)) == pages


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    subprocess.run([sys.executable, ROOT / "tools/model_page.py", ROOT / "docs/models.md"], check=True)
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api/losses.html").is_file()


def test_every_image_was_reviewed() -> None:
    """An image can show what no search of the text finds: the folder or the name of a person in a screenshot.

    Small text defeats OCR, so a person reviews them: docs/images/reviewed.txt has the hash of each image that shows no
    such thing, in the format of `sha256sum`. A file's metadata would not be seen, so there is none.
    """
    reviewed = set((ROOT / "docs/images/reviewed.txt").read_text().splitlines())
    lines = set()
    for file in sorted((ROOT / "docs/images").glob("*.[jp][pn]g")):
        line = f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}"
        assert line in reviewed, f"check that {file.name} shows no path, host or name of a person, then add: {line}"
        with Image.open(file) as image:
            assert not image.getexif() and not {"comment", "exif", "xmp", "icc_profile"} & set(image.info), file.name
            assert not getattr(image, "text", {}), file.name
        lines.add(line)
    assert lines == reviewed
