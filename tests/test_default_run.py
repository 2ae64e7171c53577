"""The run that a new user sees first, at full length. Run with `make slow`."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.digit_confidence import SAMPLES, RealDigits, samples_of


@pytest.mark.slow
def test_generates_all_ten_digits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A classifier of real digits is nearly as sure of generated ones, and finds the class asked for, and all ten."""
    torch.set_num_threads(2)
    fit(compose("hardware=cpu", f"run.dir={tmp_path}"))
    digits = RealDigits()
    real, generated = digits.held_out(), digits.score(*samples_of(tmp_path))

    assert real.confidence > 0.9 and real.accuracy is not None and real.accuracy > 0.98
    assert generated.confidence >= 0.85, generated
    assert min(generated.counts) >= 0.04 * SAMPLES, generated
    assert generated.accuracy is not None and generated.accuracy >= 0.9, generated
    assert not any("collapse" in record.message for record in caplog.records)
    assert Image.open(tmp_path / "samples" / "final.png").size[0] >= 640
