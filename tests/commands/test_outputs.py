"""Names of files of samples, and that they never belong to an earlier command."""

from pathlib import Path

import pytest

from gan_lab.commands.outputs import folder_of_outputs, refuse_used_folder, samples_name
from gan_lab.errors import ConfigError
from gan_lab.files import create_folder, unused_path


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "seed_7"),
        ({"labels": 3}, "seed_7_labels_3"),
        ({"labels": [3, 7]}, "seed_7_labels_3-7"),
        ({"labels": "all", "weights": "raw"}, "seed_7_labels_all_raw"),
        ({"labels": ["a/b", "../c"]}, "seed_7_labels_a-b-..-c"),
        ({"labels": list(range(9))}, "seed_7_labels_0-1-2-3-4-and_4_more"),
        ({"truncation": 0.5, "truncation_form": "scale", "batch_norm": "batch"}, "seed_7_scale_0.5_batch"),
        ({"truncation_cutoff": 2, "noise": "random", "weights": "raw"}, "seed_7_raw_cutoff_2_random_noise"),
        ({"mixing": "4-7"}, "seed_7_mixed_4-7"),
    ],
)
def test_a_name_is_made_of_the_options(asked: dict, name: str) -> None:
    assert samples_name(7, **asked) == name


def test_files_have_a_folder_for_their_outputs(tmp_path: Path) -> None:
    """Beside them, and another one than that of a run of the same name."""
    assert folder_of_outputs(tmp_path) == tmp_path
    assert folder_of_outputs(Path("x.safetensors")) == Path("x_outputs")
    assert folder_of_outputs(Path("runs/a/checkpoints/last.ckpt")) == Path("runs/a/checkpoints/last_outputs")


def test_an_existing_folder_is_numbered(tmp_path: Path) -> None:
    """Also where the name ends like a file type, and an empty folder is used."""
    first = create_folder(tmp_path / "samples" / "resample_0.5")
    assert create_folder(first) == first
    (first / "grid.png").touch()
    second = create_folder(first)
    assert second.name == "resample_0.5-2"
    (second / "grid.png").touch()
    assert create_folder(first).name == "resample_0.5-3" and [file.name for file in first.iterdir()] == ["grid.png"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "seed_0").touch()
    assert create_folder(tmp_path / "seed_0").name == "seed_0-2"


def test_an_existing_file_is_numbered(tmp_path: Path) -> None:
    for name in ("walk_0.5.gif", "walk_0.5-2.gif", "walk_0.5-3.gif"):
        file = unused_path(tmp_path / "walk_0.5.gif")
        assert file.name == name
        file.touch()


def test_a_given_folder_with_files_is_refused(tmp_path: Path) -> None:
    refuse_used_folder(tmp_path / "new")
    refuse_used_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"^out={tmp_path} contains files already"):
        refuse_used_folder(tmp_path)
    with pytest.raises(ConfigError, match="is not a directory"):
        refuse_used_folder(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"sheet\.PNG is the name of a file: give a new folder"):
        refuse_used_folder(tmp_path / "sheet.PNG")
    refuse_used_folder(tmp_path / "psi_0.7")
