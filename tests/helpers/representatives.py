"""Models that stand for the others where trying all takes minutes."""

import pytest

from gan_lab.gans.catalog import CATALOG

FIRST = list({entry.algorithm: entry.name for entry in reversed(CATALOG)}.values())
"""The first model of each algorithm."""

REPRESENTATIVES = [*FIRST, "sngan", "pggan", "biggan", "r1_gan", "pix2pix"]
"""With spectral norm, growing networks, conditional norms, lazy penalties and images from images as well."""

MODELS = [
    pytest.param(entry.name, marks=[] if entry.name in REPRESENTATIVES else pytest.mark.slow) for entry in CATALOG
]
"""All models as parameters of a test; those that have a representative are slow."""
