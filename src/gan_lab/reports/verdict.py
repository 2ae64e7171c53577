"""How a run went in one sentence, and the facts that identify it, from what is already in its folder."""

import re
from collections.abc import Mapping
from typing import Any

from gan_lab.runs.folder import RunFolder

AHEAD = 0.9
"""Fraction of correctly classified samples from which a discriminator is far ahead."""

ALIKE, LESS_DIVERSE, TOO_DIVERSE = 0.25, 0.75, 1.25
"""Limits of the mean distance of two samples, divided by that of two real ones."""


def verdict(run: RunFolder) -> str:
    """One sentence on the players, the diversity of the samples, labels and collapse; empty without a log of them."""
    parts = [part for part in (_players(run), _diversity(run), _labels(run), _collapse(run)) if part]
    return f"{parts[0][0].upper()}{'; '.join(parts)[1:]}." if parts else ""


def identity(run: RunFolder) -> list[tuple[str, str]]:
    """Names and values of what identifies a run: seed, parameters, images in the set, version."""
    start: Mapping[str, Any] = run.starts[-1] if run.starts else {}
    found = [("seed", "" if run.seed == "-" else run.seed)]
    found.append(("parameters", ", ".join(f"{name} {count:,}" for name, count in parameters(run).items())))
    images = start.get("training_images")
    found.append(("training images", f"{images:,}" if isinstance(images, int) else ""))
    version = f"gan_lab {start['gan_lab']}" if "gan_lab" in start else ""
    found.append(("code", f"{version}, commit {start['commit']}" if start.get("commit") else version))
    return [(name, value) for name, value in found if value]


def parameters(run: RunFolder) -> dict[str, int]:
    """Number of parameters of each network, by player; empty if unknown."""
    counts = run.starts[-1].get("parameters") if run.starts else None
    return {str(k): v for k, v in counts.items() if isinstance(v, int)} if isinstance(counts, dict) else {}


def _players(run: RunFolder) -> str:
    """Since when the discriminator has been far ahead, up to the newest row of the log."""
    keys = ("train/accuracy/real", "train/accuracy/fake")
    rows = [row for row in run.rows if all(key in row for key in keys)]
    if not rows:
        return ""
    correct = [sum(row[key] for key in keys) / len(keys) for row in rows]
    newest = correct[-max(1, len(correct) // 10) :]
    text = (
        f"the discriminator classifies {100 * sum(newest) / len(newest):.0f} % of real and generated images correctly"
    )
    behind = [k for k, value in enumerate(correct) if value < AHEAD]
    if behind and behind[-1] == len(rows) - 1:
        return f"{text}, so it is not far ahead"
    since = rows[behind[-1] + 1 if behind else 0]["progress/images_seen"]
    return f"{text}: it has been far ahead since {since:,.0f} images"


def _diversity(run: RunFolder) -> str:
    ratio = run.finals.get("collapse/diversity")
    if ratio is None:
        return ""
    text = f"two samples differ {ratio:.2f} times as much as two real images"
    if ratio < ALIKE:
        return f"{text}, so they are nearly alike"
    if ratio < LESS_DIVERSE:
        return f"{text}, so they are less diverse"
    return f"{text}, more than the data do" if ratio > TOO_DIVERSE else f"{text}, so they are diverse"


def _labels(run: RunFolder) -> str:
    key = next((key for key in run.finals if re.match(r"eval/label_accuracy", key)), None)
    return "" if key is None else f"labels are obeyed in {100 * run.finals[key]:.0f} % of the samples"


def _collapse(run: RunFolder) -> str:
    warnings = [str(warning.get("text", "")) for warning in run.warnings]
    if signs := [text for text in warnings if "signs of a collapse" in text]:
        since = re.search(r"since ([\d,]+)", signs[-1])
        return f"signs of a collapse since {since[1]} images" if since else "signs of a collapse"
    return "no collapse was detected" if "collapse/diversity" in run.finals else ""
