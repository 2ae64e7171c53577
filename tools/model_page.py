"""Write the site's page of models, from `gan_lab.gans.catalog` and the headers of conf/model and conf/experiment.

    python tools/model_page.py docs/models.md

A header is the comment that a file begins with: free text, then entries such as `# Idea: ...`, whose continuation lines
are indented.
"""

import re
import sys
from itertools import takewhile
from pathlib import Path

import yaml

from gan_lab.gans.catalog import CATALOG, Entry

CONF = Path(__file__).parents[1] / "conf"
ENTRIES = (
    "Idea",
    "Discriminator",
    "Generator",
    "Caveat",
    "Command",
    "SLURM",
    "Length",
    "Differs",
    "Estimate",
    "Measured",
)

INTRODUCTION = """---
hide: [navigation]
---

# Models

<!-- made by tools/model_page.py; do not edit -->

A model is a preset: it chooses algorithm, loss, regularizers, networks and optimizers, and sets their numbers. Each
choice can be replaced on the command line. The facts of a section are those of `conf/model/<name>.yaml`.

In the objectives, `C(x)` is the discriminator's logit of a real sample `x`, `G(z)` the generator's sample from a latent
`z`, `E` the mean over the batch, `softplus(t) = log(1 + exp(t))`, `|.|` the Euclidean norm, and `grad` the gradient
with respect to the sample. `y` is a label, and `CE` the cross entropy of a label under the discriminator's second head
`P`. Every objective is minimized.
"""


def main(file: str) -> None:
    """Write the page to a file."""
    Path(file).write_text(page(), "utf-8")


def page() -> str:
    """The page in Markdown: a table of all models, then one section each, in the catalog's order."""
    rows = [f"| [`{e.name}`](#{e.name}) | {e.title}, {e.paper} | {e.differs} |" for e in CATALOG]
    table = ["| `model=` | paper | what differs |", "|---|---|---|", *rows]
    return "\n".join([INTRODUCTION, *table, "", *(section(entry) for entry in CATALOG)])


def section(entry: Entry) -> str:
    """One model: idea, objective, preset with its sources, commands, measurements, caveats."""
    file = CONF / "model" / f"{entry.name}.yaml"
    source, facts = header(file)
    return f"""## {entry.title} {{ #{entry.name} }}

[{entry.paper}]({entry.url}). {_prose(facts["Idea"])}

- Discriminator: `{facts["Discriminator"]}`
- Generator: `{facts["Generator"]}`

```bash
gan-lab train model={entry.name}
```

{_experiments(entry.name)}
**Measured.** {_prose(facts.get("Measured", "No run that would show more than that it trains."))}

**Caveats.** {_prose(facts["Caveat"])}

??? info "The preset, and where its numbers are from"

    {_prose(source)} Defaults from: {entry.defaults}.

{_indented(settings(file))}
"""


def header(file: Path) -> tuple[str, dict[str, str]]:
    """The free text of a file's header, and its entries by name."""
    comment = takewhile(lambda line: line.startswith("#"), file.read_text("utf-8").splitlines())
    free: list[str] = []
    entries: dict[str, list[str]] = {}
    current = free
    for line in comment:
        if found := re.match(rf"# ({'|'.join(ENTRIES)}): +(.*)", line):
            current = entries.setdefault(found[1], [])
            current.append(found[2])
        elif not line.startswith("# @package"):
            current = current if line.startswith("#  ") else free
            current.append(line[1:].strip())
    return " ".join(free), {name: " ".join(lines) for name, lines in entries.items()}


def settings(file: Path) -> str:
    """The choices and numbers that a preset sets, as a table with the comments beside them."""
    rows = ["| setting | value | |", "|---|---|---|"]
    path: list[str] = []
    for line in file.read_text("utf-8").splitlines():
        if choice := re.match(r"  - override /([\w/]+): (.*)", line):
            rows.append(f"| `{choice[1]}` | `{choice[2]}` | |")
        elif found := re.match(r"( *)(\w+):(?: +([^#\s][^#]*?))?(?: +# (.*))?$", line):
            path[len(found[1]) // 2 :] = [found[2]]
            if found[3]:
                rows.append(f"| `{'.'.join(path)}` | `{found[3]}` | {found[4] or ''}".rstrip() + " |")
    return "\n".join(rows)


def _experiments(model: str) -> str:
    """The experiments that train a model: command, what is trained, length and result."""
    lines = []
    for file in sorted((CONF / "experiment").rglob("*.yaml")):
        defaults = yaml.safe_load(file.read_text("utf-8")).get("defaults", [])
        if {"override /model": model} in defaults:
            text, facts = header(file)
            name = file.relative_to(CONF / "experiment").with_suffix("").as_posix()
            details = [f"{key}: {facts[key]}" for key in ("Length", "Differs", "Measured") if key in facts]
            lines.append(f"- `experiment={name}`: {_prose(' '.join([text, *details]))}")
    return "\n".join(["Experiments:", "", *lines, ""]) if lines else ""


def _prose(text: str) -> str:
    """Text of a comment in Markdown: settings such as `loss.a=-1` as code, no HTML."""
    return re.sub(r"(?<![\w`?])[a-z][\w./]*=[-\w.\[\],/]*[\w\]]", r"`\g<0>`", text).replace("<", "&lt;")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


if __name__ == "__main__":
    main(*sys.argv[1:])
