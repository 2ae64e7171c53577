"""Page of a model on the Hugging Face hub, from the card of its export: what it is, how good it is, how to use it."""

from collections.abc import Mapping
from typing import Any

import yaml

from gan_lab.metrics.protocol import Measurement

Card = Mapping[str, Any]

DISTRIBUTION = "gan-lab-lightning"
"""Name of the package on an index."""


def model_page(card: Card, weights: str, sheet: str | None, front_matter: Mapping[str, Any]) -> str:
    """The page in Markdown, with the hub's description in YAML at its top.

    Args:
        card: See `gan_lab.sampling.card.card_of`.
        weights: Name of the file of weights, beside the page.
        sheet: Name of an image with samples, beside the page; None without.
        front_matter: More entries for the description in YAML.
    """
    sections = {
        "": [f"# {title(card)}", _about(card), *([] if sheet is None else [f"![Samples]({sheet})"])],
        "Model": _facts(card),
        "Training data": _data(card),
        "Training": _training(card),
        "Measured": _measured(card),
        "How to use it": _use(card, weights),
        "Limits": _limits(card),
        "License": [_license(card)],
    }
    parts = [part for name, texts in sections.items() if texts for part in ([f"## {name}"] * bool(name) + texts)]
    metadata = yaml.safe_dump({**front_matter, **_metadata(card)}, sort_keys=False, allow_unicode=True)
    return f"---\n{metadata}---\n\n" + "\n\n".join(parts) + "\n"


def title(card: Card) -> str:
    """What the model is, as `ProGAN on digits`."""
    name = str(card.get("paper") or card.get("model") or _source(card).get("file") or "Generator").split(",")[0]
    data = _data_of(card).get("name") or card.get("dataset")
    return name if data is None else f"{name} on {data}"


def _about(card: Card) -> str:
    if _source(card):
        return "Published weights of a GAN's generator, converted for gan_lab."
    return f"The {'translators' if _translates(card) else 'generator'} of a GAN that was trained with gan_lab."


def _metadata(card: Card) -> dict[str, Any]:
    """Description for the hub: library, task, license, data set, tags."""
    task = "image-to-image" if _translates(card) else "unconditional-image-generation"
    license = card.get("license") or ("other" if _source(card).get("license") else "unknown")
    metadata = {"library_name": "gan_lab", "pipeline_tag": task, "license": license}
    if hub := _data_of(card).get("hub"):
        metadata["datasets"] = [hub]
    return metadata | {"tags": ["gan", "pytorch", *([card["model"]] if card.get("model") else [])]}


def _facts(card: Card) -> list[str]:
    sample = card.get("sample") or {}
    size = f"points of {sample.get('coordinates')} numbers"
    if sample.get("kind") != "point":
        pixels = sample.get("resolution")
        size = f"{pixels} x {pixels} pixels, channels: {sample.get('channels')}, values in [-1, 1]"
    prior = (card.get("config") or {}).get("latent") or {}
    rows = {
        "Paper": card.get("paper"),
        "Converted from": _source(card).get("url"),
        "Weights": {"ema": "averaged generator (ema)", "raw": "generator as trained (raw)"}.get(card["weights"]),
        "Real images seen": f"{card['images_seen']:,}" if card["images_seen"] else None,
        "Samples": size,
        "Latents": f"{prior.get('dim')}, {prior.get('distribution') or 'normal'}",
        "Classes": ", ".join(map(str, card["classes"][:20])) if card.get("classes") else None,
        "SHA-256 of the tensors": card.get("sha256"),
    }
    return [_table(["", ""], [[name, str(value)] for name, value in rows.items() if value])]


def _data(card: Card) -> list[str]:
    data = _data_of(card)
    rows = {
        "Name": data.get("name") or card.get("dataset") or "unknown",
        "On the hub": data.get("hub"),
        "Images": f"{data['images']:,}" if isinstance(data.get("images"), int) else "unknown",
        "License": data.get("license") or "not stated here: ask its publisher",
    }
    return [_table(["", ""], [[name, str(value)] for name, value in rows.items() if value])]


def _training(card: Card) -> list[str]:
    if source := _source(card):
        return [
            f"Not trained with gan_lab: {source.get('conversion')} of {source.get('file')} ({source.get('format')})."
        ]
    if not card.get("command"):
        return []
    versions = ", ".join(f"{name} {version}" for name, version in (card["versions"] or {}).items())
    return [f"```\n{card['command']}\n```", f"Written with {versions}."]


def _measured(card: Card) -> list[str]:
    measured = {key: Measurement.from_json(record, key) for key, record in (card["measured"] or {}).items()}
    if not measured:
        return ["Nothing was measured: `gan-lab evaluate` does."]
    rows = [
        [
            f"`{key}`",
            f"{each.value:.5g}",
            "" if each.ideal_value is None else f"{each.ideal_value:g}",
            str(each.protocol),
        ]
        for key, each in measured.items()
    ]
    return [
        _table(["metric", "value", "of a perfect sampler", "protocol"], rows),
        "Values are comparable with those of the same protocol only.",
    ]


def _use(card: Card, weights: str) -> list[str]:
    argument = "" if card["weights"] == "ema" else f', weights="{card["weights"]}"'
    option = "" if card["weights"] == "ema" else f" weights={card['weights']}"
    if _translates(card):
        python = (
            f'import gan_lab\nfrom PIL import Image\n\ntranslator = gan_lab.load_translator("{weights}"{argument})\n'
            'translator(Image.open("a.jpg")).save("b.png")'
        )
        command = f"gan-lab translate run={weights}{option} source=<images> out=<folder>"
    else:
        python = f'import gan_lab\n\nimages = gan_lab.load("{weights}"{argument}).sample(16, seed=0)'
        command = f"gan-lab sample run={weights}{option} count=16"
    return [
        f"With the Python package `{DISTRIBUTION}`:",
        f"```python\n{python}\n```",
        f"```\n{command}\n```",
        f"`hf:<user>/<name>` in the place of `{weights}` takes the files from the hub. They contain tensors and text; "
        "loading them runs no code.",
    ]


def _limits(card: Card) -> list[str]:
    return [
        "- The samples are those of one network of one run: kinds of images that are rare in the training data may be "
        "missing or wrong, and its imbalances are repeated.\n"
        "- Nothing here shows whether training images are copied: `gan-lab memorization` searches for copies."
    ]


def _license(card: Card) -> str:
    if license := card.get("license"):
        return f"The weights: {license}. That of the training data may limit their use as well."
    of_source = _source(card).get("license")
    return f"The weights: {of_source or 'not stated'}. That of the training data may limit their use as well."


def _translates(card: Card) -> bool:
    return "translation" in (card.get("config") or {})


def _data_of(card: Card) -> Card:
    return card.get("data") or {}


def _source(card: Card) -> Card:
    """Origin of imported weights; empty for those of a run."""
    return card.get("source") or {}


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|").replace("<", r"\<").replace("\n", " ") for cell in row) + " |"
        for row in lines
    )
