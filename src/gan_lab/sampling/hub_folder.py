"""Folder for the Hugging Face hub: weights, a readable copy of their card, samples, and the page of the model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from gan_lab.figures import save_image
from gan_lab.files import write_text
from gan_lab.runs.hub import LIBRARY
from gan_lab.runs.remote import CARD, CONFIG, WEIGHTS
from gan_lab.sampling.export_file import Stored, read_card, write_export
from gan_lab.sampling.model_page import model_page

SAMPLES = "samples.png"
"""File of a sheet of samples."""


def write_hub_folder(
    folder: Path,
    stored: Stored,
    card: Mapping[str, Any],
    sheet: Image.Image | None,
    front_matter: Mapping[str, Any] = {},
) -> dict[str, Any]:
    """Write the files of a model; files of the same names are replaced.

    Args:
        folder: Created if it does not exist.
        stored: The generator.
        card: See `gan_lab.sampling.card.card_of`.
        sheet: Samples; None without.
        front_matter: More entries for the hub's description at the top of the page.

    Returns:
        The card as it was written, with the hash of the tensors.
    """
    write_export(folder / WEIGHTS, stored.state, card, stored.others)
    written, _ = read_card(folder / WEIGHTS)
    write_text(folder / CONFIG, json.dumps({"library_name": LIBRARY, **written}, indent=2) + "\n")
    if sheet is not None:
        save_image(sheet, folder / SAMPLES)
    page = model_page(written, WEIGHTS, None if sheet is None else SAMPLES, front_matter)
    write_text(folder / CARD, page)
    return written
