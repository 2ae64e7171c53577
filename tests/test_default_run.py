"""The run that a new user sees first, at full length. Run with `make slow`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.svm import SVC

import gan_lab
from gan_lab.config.build import instantiate
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit


@pytest.mark.slow
def test_draws_all_ten_digits(tmp_path: Path) -> None:
    """A classifier trained on the real digits (99 % right on held-out ones) is sure of each digit at least five times in a thousand."""
    torch.set_num_threads(2)
    fit(compose("hardware=cpu", f"run.dir={tmp_path}"))
    data = instantiate(compose(f"run.dir={tmp_path}").dataset, "dataset")
    batches = list(data.train_dataloader())
    images = torch.cat([batch["image"] for batch in batches]).flatten(1).numpy() / 255
    labels = torch.cat([batch["label"] for batch in batches]).numpy()
    held_out = len(images) // 4
    classifier = SVC(probability=True, random_state=0).fit(images[held_out:], labels[held_out:])
    assert classifier.score(images[:held_out], labels[:held_out]) > 0.98

    assert Image.open(tmp_path / "samples" / "final.png").size[0] >= 640
    samples = gan_lab.load(tmp_path).sample(1000, seed=0)
    probabilities = classifier.predict_proba(((samples + 1) / 2).flatten(1).numpy())
    sure = probabilities.argmax(1)[probabilities.max(1) > 0.8]
    assert np.bincount(sure, minlength=10).min() >= 5, np.bincount(sure, minlength=10)
