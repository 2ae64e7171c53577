"""How a run went in one sentence, and the facts that identify it, from what is already in its folder."""

import math
import re
from collections.abc import Mapping
from typing import Any

from gan_lab.callbacks.collapse_rule import PATIENCE, default_warmup
from gan_lab.metrics.protocol import Measurement
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
    rows = [row for row in run.rows if all(math.isfinite(row.get(key, math.nan)) for key in keys)]
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
    """Distance of two samples, with labels also within classes; the less diverse of both decides."""
    overall, in_class = (run.finals.get(key) for key in ("collapse/diversity", "collapse/diversity_in_class"))
    if overall is None:
        return ""
    ratios = [overall] if in_class is None else [overall, in_class]
    if not all(map(math.isfinite, ratios)):
        return "the samples have values that are not finite"
    text = f"two samples differ {overall:.2f} times as much as two real images"
    if in_class is not None:
        text += f", and two of one class {in_class:.2f} times as much as two real ones of that class"
    if min(ratios) < ALIKE:
        return f"{text}, so they are nearly alike"
    if min(ratios) < LESS_DIVERSE:
        return f"{text}, so they are less diverse"
    return f"{text}, more than the data do" if max(ratios) > TOO_DIVERSE else f"{text}, so they are diverse"


def _labels(run: RunFolder) -> str:
    """How many samples have the label that was asked for, with what real images and chance would have."""
    key = next((key for key in run.finals if key.startswith("eval/label_accuracy")), None)
    if key is None or not math.isfinite(run.finals[key]):
        return ""
    record = run.records.get(key, Measurement(math.nan))
    count = record.protocol.samples
    references = [] if record.ideal_value is None else [f"real images: {100 * record.ideal_value:.3g} %"]
    if (classes := _integer(record.protocol.options.get("classes"), 0)) > 0:
        references.append(f"chance: {100 / classes:.3g} %")
    text = f"labels are obeyed in {100 * run.finals[key]:.3g} % of {'the' if count is None else f'{count:,}'} samples"
    return f"{text} ({', '.join(references)})" if references else text


def _collapse(run: RunFolder) -> str:
    """Signs of a collapse, or none; a run that was too short for the rule was not checked."""
    warnings = [str(warning.get("text", "")) for warning in run.warnings]
    if signs := [text for text in warnings if re.search(r"signs? of (a )?collapse", text)]:
        since = re.search(r"since ([\d,]+)", signs[-1]) or re.search(r"After ([\d,]+) images", signs[-1])
        return f"signs of a collapse since {since[1]} images" if since else "signs of a collapse"
    checks = [seen for seen, ratio in run.curve("collapse/diversity").items() if math.isfinite(ratio)]
    if not checks:
        return ""
    begin = _integer(run.setting("callbacks.collapse.warmup_images"), default_warmup(run.budget))
    wanted = _integer(run.setting("callbacks.collapse.patience"), PATIENCE)
    if sum(seen >= begin for seen in checks) >= wanted:
        return "no collapse was detected"
    return f"collapse was not checked, which takes {wanted} checks from {begin:,} images on"


def _integer(value: Any, default: int) -> int:
    """An integer of an untrusted file, or the default."""
    return int(text) if (text := str(value)).isdecimal() else default
