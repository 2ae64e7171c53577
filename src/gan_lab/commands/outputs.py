"""Folders and names of output files: names are made of the options, and never those of an earlier command."""

import re
from pathlib import Path
from typing import Any

from gan_lab.errors import ConfigError
from gan_lab.runs.remote import is_export_folder, name_of_copy

OF_FILES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".csv", ".json", ".html", ".zip")
"""Ends of names that are not those of folders."""

MOST_LABELS = 5
"""Number of labels in a name; more are counted."""


def samples_name(
    seed: int,
    labels: Any = None,
    truncation: float | None = None,
    truncation_form: str = "resample",
    weights: str = "ema",
    batch_norm: str = "running",
    truncation_cutoff: int | None = None,
    noise: str = "fixed",
    mixing: str | None = None,
    generator: Any = None,
    shifted: tuple[int, float] | None = None,
) -> str:
    """Name for samples, such as `seed_0_labels_3-7_resample_0.5_raw`; default values are left out."""
    parts = [f"seed_{seed}"]
    if labels is not None:
        parts.append(f"labels_{_label_names(labels)}")
    if generator is not None:
        parts.append(f"generator_{_label_names(generator)}")
    if truncation is not None:
        parts.append(f"{truncation_form}_{truncation:g}")
    parts += [weights] * (weights != "ema") + [batch_norm] * (batch_norm != "running")
    if truncation_cutoff is not None:
        parts.append(f"cutoff_{truncation_cutoff}")
    if shifted is not None:
        parts.append(f"direction_{shifted[0]}_by_{shifted[1]:g}")
    parts += [f"{noise}_noise"] * (noise != "fixed") + [f"mixed_{mixing}"] * (mixing is not None)
    return "_".join(parts)


def folder_of_outputs(source: Path) -> Path:
    """Folder for what is made of a run folder or a folder of images: itself; of a file: `<name>_outputs` beside it.

    So the files of a checkpoint or an export are never taken for those of its run, or of another export. What is made
    of a folder of an export is beside that folder, and of a downloaded one in the working directory.
    """
    if (name := name_of_copy(source)) is not None:
        return Path(f"{name}_outputs")
    if is_export_folder(source.parent):
        source = source.parent
        return source.with_name(f"{source.name}_outputs")
    return source if source.is_dir() else source.with_name(f"{source.stem}_outputs")


def refuse_used_folder(out: Path, key: str = "out") -> None:
    """Refuse a folder for new files, the value of a key, that contains others, and a path that is or names a file.

    Raises:
        ConfigError: Names the folder.
    """
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{key}={out} contains files already, and would mix them with new ones: give another folder.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{key}={out} is not a directory: give a new folder.")
    if out.suffix.lower() in OF_FILES and not out.exists():
        raise ConfigError(f"{key}={out} is the name of a file: give a new folder, which may get several files.")


def _label_names(labels: Any) -> str:
    names = [labels] if isinstance(labels, str | int | float) else list(labels)
    more = [f"and_{len(names) - MOST_LABELS}_more"] if len(names) > MOST_LABELS else []
    return re.sub(r"[^\w.+-]+", "-", "-".join(map(str, [*names[:MOST_LABELS], *more])))
