"""Maps that draw a concept, found and dropped by the command."""

import csv
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image

import gan_lab
from gan_lab.analysis.concepts import RULES
from gan_lab.config.command_rules import PIXEL_RULES
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.gans.latents import LatentPrior
from gan_lab.training.fit import fit
from tests.conftest import SMALL

SMALL_SEARCH = {"samples": 20, "held_out": 8, "drop": [1, 4], "random_sets": 2, "device": "cpu"}
BRIGHT = {"concept.rule": "bright", "concept.threshold": 0.0, "test_samples": 10}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forget") / "run"
    longer = ("budget.images=960", "batch_size=32", "lr=2e-3", "averaging.half_life_images=50", "averaging.rampup=null")
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=32", *longer, f"run.dir={folder}"))
    return folder


def test_maps_are_dropped_beside_random_ones(run: Path) -> None:
    found = gan_lab.forget(run, insert=[0, 0, 0.5, 0.5], **BRIGHT, **SMALL_SEARCH)
    assert str(found.layer) == "2: 16 maps of 8x8 pixels"
    assert sorted(found.order) == list(range(16)) and len(found.iou) == 16
    assert [each.dropped for each in found.effects] == sorted({1, 4, found.positive})
    assert all(each.inside > 0 and each.outside > 0 for each in found.effects)
    assert found.inserted is not None
    assert found.folder.name == "forget_bright" and (found.folder / "forgotten.png").is_file()
    assert len(found.table) == len(found.effects) + 2
    again = gan_lab.forget(run, insert=[0, 0, 0.5, 0.5], **BRIGHT, **SMALL_SEARCH)
    assert again.effects == found.effects
    assert "Forgetting a concept: bright" in (run / "report.html").read_text()


def test_latents_that_were_chosen_by_their_samples_cause_no_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The warning is for latents of a user; those of one class need not be like a sample of the prior."""
    monkeypatch.setattr(LatentPrior, "mismatch", lambda prior, latents: "another mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        gan_lab.forget(run, out=str(tmp_path / "found"), **BRIGHT, **SMALL_SEARCH)


def test_an_export_is_enough_and_a_rectangle_has_no_fraction(run: Path, tmp_path: Path) -> None:
    gan_lab.export(run, out=str(tmp_path / "model.safetensors"))
    rectangle = {"concept.rectangle": [0, 0, 0.5, 1]}
    found = gan_lab.forget(tmp_path / "model.safetensors", layer=1, **rectangle, **SMALL_SEARCH)
    assert found.table[0] == ["dropped maps", "change inside", "random maps", "change outside", "random maps"]
    assert {len(row) for row in found.table} == {5}
    assert found.layer.number == 1 and found.fraction is None
    assert (tmp_path / "model_outputs/inside/forget_rectangle/finding.json").is_file()


def test_boxes_and_masks_of_the_same_place_find_the_same_maps(run: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    with boxes.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["sample", "left", "top", "right", "bottom"])
        writer.writerows([number, 8, 8, 24, 20] for number in range(20))
    mask = torch.zeros(32, 32, dtype=torch.uint8)
    mask[8:20, 8:24] = 255
    (tmp_path / "masks").mkdir()
    for number in range(20):
        Image.fromarray(mask.numpy()).save(tmp_path / f"masks/{number}.png")
    of_boxes = gan_lab.forget(run, **{"concept.boxes": str(boxes)}, **SMALL_SEARCH)
    of_masks = gan_lab.forget(run, **{"concept.masks": str(tmp_path / "masks")}, **SMALL_SEARCH)
    assert of_boxes.order == of_masks.order and of_boxes.effects == of_masks.effects
    Image.new("L", (8, 8)).save(tmp_path / "masks/3.png")
    with pytest.raises(UserError, match=r"3\.png has 8x8 pixels, but the samples have 32x32"):
        gan_lab.forget(run, **{"concept.masks": str(tmp_path / "masks")}, **SMALL_SEARCH)
    boxes.write_text("sample,left,top,right,bottom\n0,8,8,24,20\n1,8,8,24,20\n")
    with pytest.raises(UserError, match=r"none of the last 8 samples, .* or samples and held_out \(now 8, the last"):
        gan_lab.forget(run, **{"concept.boxes": str(boxes)}, **SMALL_SEARCH)
    boxes.write_text("sample,left\n1,2\n")
    with pytest.raises(UserError, match="must be a CSV file with whole numbers: sample, left, top, right, bottom"):
        gan_lab.forget(run, **{"concept.boxes": str(boxes)}, **SMALL_SEARCH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one of concept.rule, .* not none"),
        ({**BRIGHT, "concept.rectangle": [0, 0, 1, 1]}, "not concept.rule and concept.rectangle"),
        ({"concept.rule": "shiny"}, "concept.rule=shiny .*bright, dark, red"),
        ({"concept.rule": "red"}, "concept.rule=red needs images in color"),
        ({**BRIGHT, "concept.label": 3}, "not concept.rule and concept.label"),
        ({**BRIGHT, "concept.patch": 0.5}, "concept.patch=0.5 has no effect without concept.label"),
        ({"concept.label": 3, "concept.area": 0}, "concept.area=0.* is not allowed: it must be in"),
        ({"concept.rectangle": [0.5, 0, 0.2, 1]}, "left < right and top < bottom"),
        ({"concept.rectangle": [0.5, 0]}, "left < right and top < bottom"),
        ({**BRIGHT, "concept.threshold": 3}, "the concept is in none of the first"),
        ({**BRIGHT, "held_out": 20}, "held_out=20 is not allowed: it must be less than samples=20"),
        ({**BRIGHT, "layer": 7}, "layer=7 is not allowed: choose one of 1: 32 maps of 4x4 pixels; 2:"),
        ({"concept.masks": "nowhere"}, "nowhere"),
        (
            {"concept.masks": __file__},
            "concept.masks=.*test_forget.py is not a directory; give a folder of files <number",
        ),
    ],
)
def test_values_that_do_not_fit(run: Path, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        gan_lab.forget(run, **(SMALL_SEARCH | settings))


def test_the_early_check_knows_all_rules() -> None:
    assert PIXEL_RULES == RULES
