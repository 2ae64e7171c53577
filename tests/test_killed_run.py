"""`kill -9` at any moment leaves a run that goes on, and that ends as if nobody had killed it."""

from pathlib import Path

import pytest

from tests.exact_resume import differences
from tests.killed_run import IMAGES, kill_until_finished, settings, train


@pytest.mark.parametrize(("images", "kills"), [(1600, 5), pytest.param(IMAGES, 60, marks=pytest.mark.slow)])
def test_killed_again_and_again(images: int, kills: int, tmp_path: Path) -> None:
    train(settings(tmp_path / "whole", images))
    killed, _ = kill_until_finished(tmp_path / "killed", images, kills, seed=0, longest=3.0 if kills == 5 else 6.0)
    assert killed >= min(kills, 50)
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
